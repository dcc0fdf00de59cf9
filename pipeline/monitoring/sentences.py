"""The sentences of drift checks and decisions, made of verdicts and numbers."""

from typing import TYPE_CHECKING

from pipeline.core.formatting import pluralize
from pipeline.core.policy import Gate
from pipeline.monitoring.decisions import Cause, FeatureDrift

if TYPE_CHECKING:
    from pipeline.monitoring.bootstrap import Difference
    from pipeline.monitoring.risk_differences import RiskDifference

MODELS_OWN = "the deployed model's"
TEST_NAMES = {"ks": "Kolmogorov-Smirnov", "chi2": "chi-squared"}
# on the input of a batch and on what was done with it; to be filled in by `format`
NO_REFERENCE = "release {release} has no {name}: its input is not compared"
FIRST_RELEASE = "trained on {rows:,} rows and deployed {release}"
OTHER_MEANING = (
    "config.json means something else by leaving than when {former} was trained: {reason}"
)
OTHER_VERSION = "{former} cannot be used with the scikit-learn that is installed now: {reason}"
ALREADY_TRAINED = "release {release} was trained on these files already"
SAME_MODEL = "{reason}; retraining on all rows gives the same model: {release} stays live"
# why the live model is challenged, beside the verdict on its scores
HELD_BACK = "{name} is held back: {reason}"
ACCEPTED = (
    "{names} are accepted: {batches:,} batches of {days:,} days look the same ({reason}), so the"
    " world has changed"
)
INPUT_DRIFT = "{reason}; input drift in {features}"
NEW_OUTCOMES = "{reason}; {rows:,} new rows with a known outcome"
NAMES_NOBODY = "F1 on the new rows is 0: of {left:,} clients who left none was named"
OLD_MODEL = "{reason}; the newest data are {days} days or more after those that were learned from"
TOO_FEW_TO_COMPARE = (
    "fewer than {needed} clients who left, or who stayed, among the newest rows: the challenger"
    " cannot be compared"
)
WAITS = "{champion} stays live; `python deployment.py --promote` puts the challenger live"
PROMOTED = "{reason}: promoted by hand"
NEW_LEAVERS = "{reason}; {new:,} clients have left since, it learned from {learned:,}"
_GATE_RULES = {
    Gate.NOT_WORSE: "",
    Gate.BETTER: ", which must be above zero",
    Gate.ALWAYS: ", and it goes live in any case",
    Gate.EVIDENCE: "",
    Gate.MANUAL: "",
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


def ranking(found: "RiskDifference") -> str:
    """How a model ranks new rows, beside test data and earlier batches, with the intervals."""
    how = "worse" if found.worse() else "no worse"
    return f"on the new rows {_differences(found, 'before')}: {how}"


def _differences(found: "RiskDifference", other: str) -> str:
    auc, loss = found.by_auc, found.by_log_loss
    return (
        f"ROC AUC is {found.auc:.3f}, {other} {found.auc_before:.3f} (95 % interval of the"
        f" difference {auc.low:+.3f} to {auc.high:+.3f}), and relative log loss"
        f" {found.log_loss:.3f}, {other} {found.log_loss_before:.3f} ({loss.low:+.3f} to"
        f" {loss.high:+.3f})"
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


def told(found: FeatureDrift) -> str:
    """How a feature has drifted, and what is new of it."""
    effect = found.effect or 0
    how = f"{'raises' if effect > 0 else 'lowers'} the mean risk by {_percent(abs(effect))}"
    return f"{found.reason}; new: unlike each recent batch, and {how}"


def constant(column: str, value: float | str, share: float, before: float) -> str:
    """That a column has one value, or none."""
    what = f"{value:,g}" if isinstance(value, float) else value
    return f"column {column} is {what} in {_percent(share)} of rows, before in {_percent(before)}"


def factor(column: str, value: float, rows: int) -> str:
    """That the values of a column are in other units."""
    return f"column {column} is {value:,.4g} times what it was (median of {rows:,} clients)"


def shift(column: str, value: float, rows: int) -> str:
    """That the values of a column are higher or lower by a like amount."""
    return f"column {column} is {value:+,.4g} beside what it was (median of {rows:,} clients)"


def jump(what: str, now: float, before: float, clients: int) -> str:
    """That the risks of the clients known before are far higher."""
    them = f"the {clients:,} clients there were before"
    if what == "contact":
        return f"{_percent(now)} of {them} would be contacted, before {_percent(before)}"
    return f"the mean risk of {them} would be {_percent(now)}, before {_percent(before)}"


def inverted(
    rows: int, left: float, usual_left: float, auc: float, usual_auc: float, high: float
) -> str:
    """That outcomes fit better the other way round."""
    return (
        f"its outcomes look inverted: of {rows:,} labelled rows {_percent(left)} left, usually"
        f" {_percent(usual_left)}; AUC {auc:.2f} (95 % interval up to {high:.2f}), usually"
        f" {usual_auc:.2f}"
    )


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


def evidence(
    found: "RiskDifference",
    profit: "Difference | None",
    *,
    f1: tuple[float, float],
    rows: int,
    on_test: float | None,
    better: bool,
    renews: bool,
) -> str:
    """Both models on the newest rows, the challenger first.

    `on_test` is how much worse it is on the test data.
    """
    parts = [
        f"on the newest {rows:,} rows the challenger's {_differences(found, MODELS_OWN)}, F1"
        f" {f1[0]:.4f}, {MODELS_OWN} {f1[1]:.4f}"
    ]
    if profit:
        parts.append(
            f"it earns {profit.value:+.2f} a row by whom it contacts ({profit.low:+.2f} to"
            f" {profit.high:+.2f})"
        )
    if on_test is not None:
        parts.append(
            f"its ROC AUC on the test data is lower by {-on_test:.3f}, so twice the evidence is"
            " needed"
        )
    end = "no worse, and the deployed model is old" if renews else "not better beyond chance"
    return f"{'; '.join(parts)}: {'better beyond chance' if better else end}"


def challenged(
    reason: str, compared: str, deployed: str | None, champion: str, held: bool = False
) -> str:
    """Why the live model was challenged, the comparison, and how it ended."""
    outcome = f"deployed {deployed}" if deployed else f"{champion} stays live"
    if held:
        outcome = WAITS.format(champion=champion)
    return f"{reason}; {compared}: {outcome}"


def contact_lines(left_out: int, control: int, counted: int) -> list[str]:
    """What contacts have to do with the rows that a model learned from, as `Master.contacted`."""
    lines = []
    if left_out or control:
        lines.append(
            f"{pluralize(left_out, 'labelled row')} whose outcome a contact may have changed"
            f" left out; {pluralize(control, 'row')} of the control group, each counted as"
            " often as its share of the proposed asks, in their place"
        )
    if counted:
        lines.append(
            f"{pluralize(counted, 'labelled row')} whose outcome a contact may have changed"
            " counted as they are, as no control group (control_share) can stand for them"
        )
    return lines
