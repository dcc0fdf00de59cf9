"""The sentences of drift checks and decisions, made of verdicts and numbers."""

from pipeline.core.policy import Gate
from pipeline.monitoring.decisions import Cause, FeatureDrift

TEST_NAMES = {"ks": "Kolmogorov-Smirnov", "chi2": "chi-squared"}
# on the input of a batch and on what was done with it; to be filled in by `format`
NO_REFERENCE = "release {release} has no {name}: its input is not compared"
FIRST_RELEASE = "trained on {rows:,} rows and deployed {release}"
OTHER_MEANING = (
    "config.json means something else by leaving than when {former} was trained: {reason}"
)
ALREADY_TRAINED = "release {release} was trained on these files already"
SAME_MODEL = "{reason}; retraining on all rows gives the same model: {release} stays live"
# why the live model is challenged, beside the verdict on its scores
INPUT_DRIFT = "{reason}; input drift in {features}"
NEW_OUTCOMES = "{reason}; {rows:,} new rows with a known outcome"
_GATE_RULES = {
    Gate.NOT_WORSE: "",
    Gate.BETTER: ", which must be above zero",
    Gate.ALWAYS: ", and it goes live in any case",
}


def too_few(what: str, count: int, needed: int) -> str:
    """Why there is no evidence."""
    return f"{what}: {count}, at least {needed} are needed"


def one_outcome(rows: int, left: bool) -> str:
    """Why there is no evidence where all clients have the same outcome."""
    who = "left" if left else "stayed"
    return f"all {rows:,} new rows with a known outcome are of clients who {who}"


def f1_against(f1: float, limit: float, limit_name: str) -> str:
    """The F1 on the new rows beside a limit."""
    how = "lower" if f1 < limit else "not lower"
    return f"F1 on the new rows is {f1:.4f}, {how} than {limit_name}"


def f1_difference(value: float, low: float, high: float) -> str:
    """The difference of F1 on the new rows and on the test data, with its interval."""
    where = "including zero"
    if high < 0:
        where = "below zero"
    elif low > 0:
        where = "above zero: the model does better on the new rows"
    return (
        f"F1 on the new rows minus F1 on the test data is {value:+.4f},"
        f" its 95 % interval {low:+.4f} to {high:+.4f}, {where}"
    )


def feature_reason(found: FeatureDrift) -> str:
    """Why a feature has drifted or not, by its causes and numbers."""
    psi, limit = f"PSI {found.psi or 0:.3f}", f"its limit {found.psi_limit or 0:.3f}"
    if not found.causes:
        return f"{psi}, not above {limit}"
    missing, before = _percent(found.missing), _percent(found.missing_before)
    test = f"{TEST_NAMES[found.test]} test p {found.p_value or 0:.2g}"
    parts = {
        Cause.PSI: f"{psi} above {limit}",
        Cause.DISTRIBUTION: f"{psi} above 0.1, {test}",
        Cause.MISSING: f"missing {missing}, before {before}",
        Cause.UNSEEN: f"{_percent(found.unseen)} in categories that the training data lack",
    }
    return "; ".join(parts[cause] for cause in found.causes)


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0):.1f} %"


def comparison(
    challenger: float, champion: float, rows: int, interval: tuple[float, float], gate: Gate
) -> str:
    """Both models' F1 on the same rows, the interval of the difference, and what it must be."""
    how = "at least as good as" if challenger >= champion else "worse than"
    low, high = interval
    return (
        f"the challenger's F1 {challenger:.4f} is {how} the deployed model's"
        f" {champion:.4f} on the same {rows:,} rows (95 % interval of the"
        f" difference {low:+.4f} to {high:+.4f}{_GATE_RULES[gate]})"
    )


def challenged(reason: str, compared: str, deployed: str | None, champion: str) -> str:
    """Why the live model was challenged, the comparison, and how it ended."""
    outcome = f"deployed {deployed}" if deployed else f"{champion} stays live"
    return f"{reason}; {compared}: {outcome}"
