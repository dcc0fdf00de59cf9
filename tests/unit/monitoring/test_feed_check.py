"""What is taken for a broken feed, and what is not: on frames of made-up clients."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.core.schema import Schema
from pipeline.monitoring import metrics
from pipeline.monitoring.feed_check import (
    Compared,
    Feed,
    Finding,
    Risks,
    Sign,
    accepted_with,
    can_compare,
    check_columns,
    check_outcomes,
    check_risks,
    once,
    paired,
)

SCHEMA = Schema("id", "left", ("spend", "visits", "weight", "tenure"), ("plan",))


def clients(count: int, seed: int = 1, first: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"c{first + i}" for i in range(count)],
            "spend": np.exp(random.normal(5, 0.8, count)).round(2),
            "visits": random.poisson(3, count).astype("float64"),
            "weight": random.normal(70, 12, count).round(),
            "tenure": random.integers(0, 120, count).astype("float64"),
            "plan": pd.Series(random.choice(["basic", "plus", "pro"], count), dtype="str"),
            "left": np.nan,
        }
    )


def a_week_later(before: pd.DataFrame, seed: int = 2) -> pd.DataFrame:
    random, count = np.random.default_rng(seed), len(before)
    return before.assign(
        spend=(before["spend"] * np.exp(random.normal(0, 0.25, count))).round(2),
        visits=random.poisson(3, count).astype("float64"),
        tenure=before["tenure"] + 1,
    )


BEFORE = clients(2_000)
NOW = a_week_later(BEFORE)


def signs(now: pd.DataFrame, before: pd.DataFrame = BEFORE) -> dict[str, Finding]:
    """What is found in the columns, by their names."""
    pairs = paired(before, now, SCHEMA)
    return {each.column: each for each in check_columns(*pairs, SCHEMA, same_clients=True)}


@pytest.mark.parametrize("value", [0.0, 42.0, np.nan])
@pytest.mark.parametrize("column", ["spend", "visits", "weight"])
def test_a_column_suddenly_constant_or_empty_is_seen(column: str, value: float) -> None:
    found = signs(NOW.assign(**{column: value}))
    assert set(found) == {column}
    what = "missing" if np.isnan(value) else f"{value:g}"
    assert found[column].reason.startswith(f"column {column} is {what} in 100.0 % of rows, before")


def test_a_category_suddenly_constant_or_empty_is_seen() -> None:
    assert signs(NOW.assign(plan="pro"))["plan"].sign == Sign.CONSTANT
    assert signs(NOW.assign(plan=""))["plan"].sign == Sign.EMPTY


@pytest.mark.parametrize(
    ("column", "factor"),
    [(name, f) for name in ("spend", "weight") for f in (1000, 12, 100, 0.01, 1 / 12)]
    + [("weight", 2.2)],  # what changes by a quarter every week may double in a season
)
def test_other_units_are_seen(column: str, factor: float) -> None:
    found = signs(NOW.assign(**{column: (NOW[column] * factor).round(2)}))
    assert {name: each.sign for name, each in found.items()} == {column: Sign.FACTOR}
    assert float(found[column].value or 0) == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("factor", [1000, 12, 0.01])
def test_other_units_of_what_changes_every_week_are_seen(factor: float) -> None:
    assert set(signs(NOW.assign(visits=NOW["visits"] * factor))) == {"visits"}


def test_other_units_with_another_zero_are_seen() -> None:
    found = signs(NOW.assign(weight=NOW["weight"] + 273.15))
    assert {name: each.sign for name, each in found.items()} == {"weight": Sign.SHIFT}


def joined_together(frame: pd.DataFrame) -> pd.DataFrame:
    """All clients came on one day: what counts weeks doubles for all after the first."""
    return frame.assign(tenure=1.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame,
        lambda frame: frame.assign(visits=(frame["visits"] * 2).round()),  # a season
        lambda frame: frame.assign(spend=frame["spend"] * 1.3),  # dearer at once
        lambda frame: frame.assign(visits=0.0 * frame["visits"]).iloc[:40],  # too few to tell
        lambda frame: frame.assign(tenure=frame["tenure"] + 30),
        lambda frame: frame.assign(weight=frame["weight"].where(frame.index % 3 > 0)),
    ],
)
def test_what_changes_as_the_world_does_is_nothing(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    now = change(NOW)
    assert not (can_compare(BEFORE, now, SCHEMA) and signs(now))


def test_a_counter_that_doubles_for_all_is_nothing() -> None:
    before = BEFORE.assign(tenure=1.0)
    assert not signs(NOW.assign(tenure=2.0), before)
    before = BEFORE.assign(tenure=np.where(BEFORE.index % 2, 1.0, 2.0))
    assert not signs(NOW.assign(tenure=before["tenure"] + 1), before)


def test_mostly_one_value_before_says_nothing_of_all_of_them_now() -> None:
    before = BEFORE.assign(visits=np.where(BEFORE.index % 12, 0.0, 1.0))
    assert not signs(NOW.assign(visits=0.0), before)


def test_new_clients_are_not_compared_where_clients_come_again() -> None:
    new = clients(2_000, seed=3, first=10_000).assign(tenure=0.0, plan="basic", visits=0.0)
    assert not can_compare(BEFORE, new, SCHEMA)
    assert not can_compare(BEFORE, pd.concat([new, NOW[:900]]), SCHEMA)
    assert can_compare(BEFORE, pd.concat([new, NOW[:1_000]]), SCHEMA)
    assert not once(pd.concat([BEFORE, NOW])["id"])


def test_where_files_bring_each_client_once_they_are_compared_with_all_before() -> None:
    assert once(BEFORE["id"])
    new = clients(500, seed=3, first=10_000)

    def found(frame: pd.DataFrame) -> dict[str, Sign]:
        every = check_columns(BEFORE, frame, SCHEMA, same_clients=False)
        return {each.column: each.sign for each in every}

    assert found(new) == {}
    assert found(new.assign(plan="pro", weight=new["weight"] * 2.2)) == {}  # one plan a file
    assert found(new.assign(spend=0.0)) == {"spend": Sign.CONSTANT}
    assert found(new.assign(spend=new["spend"] * 1000)) == {}  # a market of large ones


# --- risks ---


def risks(values: np.ndarray) -> Risks:
    return Risks(values, (values >= 0.2).astype("float64"))


def test_a_jump_of_the_risk_of_the_clients_before_is_seen() -> None:
    random = np.random.default_rng(1)
    before = random.beta(1, 25, 3_000)
    jumped = np.clip(before * 4 + 0.05, 0, 1)
    (found,) = check_risks(risks(before), risks(jumped))
    assert found.sign == Sign.RISK
    mean, was = 100 * jumped.mean(), 100 * before.mean()
    assert found.reason == (
        "the mean risk of the 3,000 clients there were before would be"
        f" {mean:.1f} %, before {was:.1f} %"
    )
    many = np.where(np.arange(3_000) % 10 == 0, 0.21, before)
    (found,) = check_risks(risks(before), risks(many))
    assert "would be contacted" in found.reason


def test_a_season_or_a_few_clients_at_high_risk_are_no_jump() -> None:
    random = np.random.default_rng(1)
    before = random.beta(1, 25, 3_000)
    assert not [*check_risks(risks(before), risks(before * 1.5))]
    assert not [*check_risks(risks(before), risks(random.beta(1, 25, 3_000)))]
    few = before.copy()
    few[:90] = 0.9
    assert not [*check_risks(risks(before), risks(few))]


# --- outcomes ---


def labelled(left: float, separation: float, rows: int = 1_500, seed: int = 1) -> metrics.Tested:
    """Rows of which so many left, whose log-odds are higher by so much; a risk of 0.04 or so."""
    random = np.random.default_rng(seed)
    outcomes = (random.random(rows) < left).astype("int64")
    odds = random.normal(-3.3, 1, rows) + separation * outcomes
    risk = 1 / (1 + np.exp(-odds))
    names = np.array([f"c{i}" for i in range(rows)], object)
    return metrics.Tested(outcomes, (risk > 0.2).astype("int64"), names, risk=risk)


def inverted(rows: metrics.Tested, usual: float = 0.04) -> list[Finding]:
    return [*check_outcomes(rows, 0.75, lambda: usual, 0)]


def turned(rows: metrics.Tested) -> metrics.Tested:
    return metrics.Tested(1 - rows.outcomes, rows.predicted, rows.clients, risk=rows.risk)


def test_inverted_outcomes_are_seen() -> None:
    (found,) = inverted(turned(labelled(0.04, 1)))
    assert found.sign == Sign.OUTCOMES
    assert found.reason.startswith("its outcomes look inverted: of 1,500 labelled rows 96.")


def test_other_causes_and_files_of_leavers_are_not_inverted() -> None:
    assert not inverted(labelled(0.04, 1))
    changed = labelled(0.04, -0.7)
    assert (changed.scores.roc_auc or 1) < 0.4
    assert not inverted(changed)
    assert not inverted(labelled(1.0, 1))
    assert not inverted(labelled(0.9, 1))  # mostly leavers, whom the model knows
    assert not inverted(turned(labelled(0.04, 1, rows=200)))  # too few of one outcome


def test_without_a_usual_share_nothing_is_inverted() -> None:
    assert not inverted(turned(labelled(0.04, 1)), usual=float("nan"))


def test_where_about_half_leave_the_whole_ranking_must_be_turned_round() -> None:
    assert inverted(turned(labelled(0.48, 1)), usual=0.48)
    assert not inverted(labelled(0.48, -1), usual=0.48)  # the share is as ever
    changed = labelled(0.52, -0.6)
    assert (changed.scores.roc_auc or 1) < 0.4
    assert not inverted(changed, usual=0.48)


# --- for how long ---


def feed(day: int, factor: float | None = None, *, compared: bool = True) -> tuple[Feed, bool]:
    found = () if factor is None else (Finding(Sign.FACTOR, "spend", factor, "so"),)
    return Feed(day, (Compared.CLIENTS,) * compared, found), factor is not None


TWICE_BROKEN = (
    replace(
        feed(14, 12.0)[0],
        findings=(*feed(14, 12.0)[0].findings, Finding(Sign.EMPTY, "logins", None, "so")),
    ),
    True,
)


@pytest.mark.parametrize(
    ("former", "now", "accepted"),
    [
        ([feed(0, 12.0)], feed(14, 12.0), []),
        ([feed(0, 12.0), feed(7, 12.1)], feed(14, 11.9), [0, 1]),
        ([feed(0, 12.0), feed(6, 12.1)], feed(13, 11.9), []),
        ([feed(0, 12.0), feed(0, 12.1)], feed(14, 11.9), []),  # of one day: one batch
        ([feed(0, 12.0), feed(7), feed(14, 12.0)], feed(21, 12.0), []),
        ([feed(0, 12.0), feed(7, compared=False), feed(8, 12.0)], feed(21, 12.0), [0, 2]),
        ([feed(0, 12.0), feed(7, 1000.0)], feed(14, 12.0), []),
        # broken in one more way is not whole
        ([feed(0, 12.0), feed(7, 12.0), TWICE_BROKEN], feed(21, 12.0), [0, 1]),
    ],
)
def test_two_more_batches_and_fourteen_days_that_look_the_same_are_the_world(
    former: list[tuple[Feed, bool]], now: tuple[Feed, bool], accepted: list[int]
) -> None:
    assert accepted_with(now[0], former) == accepted
