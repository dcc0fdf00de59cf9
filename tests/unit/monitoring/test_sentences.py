"""Whole sentences; the tests of the modules that use them hold values."""

from dataclasses import replace

import pytest

from pipeline.core.policy import Gate
from pipeline.monitoring import sentences
from pipeline.monitoring.decisions import Cause, FeatureDrift, Kind, Verdict

DRIFTED = FeatureDrift(
    "place",
    Kind.CATEGORY,
    60,
    "chi2",
    missing=0.15,
    missing_before=0.0,
    psi=0.25,
    psi_limit=0.2,
    p_value=0.0012,
    unseen=0.0714,
    verdict=Verdict.DRIFT,
    causes=(Cause.PSI,),
)


@pytest.mark.parametrize(
    ("effect", "how"),
    [(0.234, "raises the mean risk by 23.4 %"), (-0.5, "lowers the mean risk by 50.0 %")],
)
def test_what_is_told_of_a_feature(effect: float, how: str) -> None:
    found = replace(DRIFTED, reason="PSI 0.250 above its limit 0.200", effect=effect)
    assert sentences.told(found) == f"{found.reason}; new: unlike each recent batch, and {how}"


@pytest.mark.parametrize(
    ("causes", "reason"),
    [
        ((), "PSI 0.250, not above its limit 0.200"),
        ((Cause.PSI,), "PSI 0.250 above its limit 0.200"),
        ((Cause.DISTRIBUTION,), "PSI 0.250 above 0.1, chi-squared test p 0.0012"),
        (
            (Cause.MISSING, Cause.UNSEEN),
            "missing 15.0 %, before 0.0 %; 7.1 % in categories that the training data lack",
        ),
    ],
)
def test_why_a_feature_has_drifted_or_not(causes: tuple[Cause, ...], reason: str) -> None:
    assert sentences.feature_reason(replace(DRIFTED, causes=causes)) == reason


@pytest.mark.parametrize(
    ("challenger", "champion", "interval", "gate", "sentence"),
    [
        (
            *(0.75, 0.5, (0.125, 0.3125), Gate.NOT_WORSE),
            "the challenger's F1 0.7500 is at least as good as the deployed model's 0.5000 on the"
            " same 1,234 rows (95 % interval of the difference +0.1250 to +0.3125)",
        ),
        (
            *(0.4999, 0.5, (-0.125, 0.25), Gate.BETTER),
            "the challenger's F1 0.4999 is worse than the deployed model's 0.5000 on the same 1,234"
            " rows (95 % interval of the difference -0.1250 to +0.2500, which must be above zero)",
        ),
        (
            *(0.5, 0.75, (-0.3125, -0.125), Gate.ALWAYS),
            "the challenger's F1 0.5000 is worse than the deployed model's 0.7500 on the same 1,234"
            " rows (95 % interval of the difference -0.3125 to -0.1250, and it goes live in any"
            " case)",
        ),
    ],
)
def test_a_comparison_has_scores_interval_and_rule(
    challenger: float, champion: float, interval: tuple[float, float], gate: Gate, sentence: str
) -> None:
    assert sentences.comparison(challenger, champion, 1234, interval, gate) == sentence


@pytest.mark.parametrize(
    ("low", "high", "where"),
    [
        (-0.2, -0.1, "below zero"),
        (-0.1, 0.1, "including zero"),
        (0.1, 0.2, "above zero: the model does better on the new rows"),
    ],
)
def test_a_difference_says_where_its_interval_lies(low: float, high: float, where: str) -> None:
    assert sentences.f1_difference(0.05, low, high) == (
        "F1 on the new rows minus F1 on the test data is +0.0500, its 95 % interval"
        f" {low:+.4f} to {high:+.4f}, {where}"
    )


@pytest.mark.parametrize(("deployed", "outcome"), [("2", "deployed 2"), (None, "1 stays live")])
def test_a_challenge_ends_with_its_outcome(deployed: str | None, outcome: str) -> None:
    assert sentences.challenged("drift", "compared", deployed, "1") == f"drift; compared: {outcome}"
