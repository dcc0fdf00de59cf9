"""What drift checks find and what is decided on it, as values; light for those who only read them.

Verdicts, causes and actions are enums, recorded by their values.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any

from pipeline.core.policy import DriftTest, Gate

SHARE = {"minimum": 0, "maximum": 1}  # for the description of the API


class Verdict(StrEnum):
    """What a drift test, or the check of a batch, came to."""

    DRIFT = "drift"
    NO_DRIFT = "no drift"
    NO_EVIDENCE = "not enough evidence"
    HELD = "held back"  # of a batch that looks like a broken feed
    NOTHING_DEPLOYED = "nothing deployed"  # of a batch before the first release


class Action(StrEnum):
    """What was done after the check of a batch."""

    DEPLOYED = "deployed"
    KEPT = "kept"


class ChallengeOutcome(StrEnum):
    """How the challenge of the live model ended."""

    WON = "won"  # by the challenger, which was deployed
    LOST = "lost"
    HELD = "held"  # for somebody to promote the challenger
    SAME_MODEL = "same model"  # retraining gave the live model again


class Cause(StrEnum):
    """In which way a feature has drifted."""

    PSI = "psi"  # above its limit
    DISTRIBUTION = "distribution"  # by a test of two samples
    MISSING = "missing"  # share of missing values
    UNSEEN = "unseen"  # share of categories that the training data do not have


class News(StrEnum):
    """What is new of a feature that has drifted: only the first calls for attention."""

    TOLD = "told"  # unlike each recent batch, and it changes the risk
    KNOWN = "known"  # as in a recent batch
    SLIGHT = "slight"  # unlike each of them, but it hardly changes the risk


@dataclass(frozen=True)
class ScoreDrift:
    """The verdict of a drift test on scores, why, and the numbers it used, by name."""

    test: DriftTest
    verdict: Verdict
    reason: str
    numbers: dict[str, float]


class Kind(StrEnum):
    """What is compared with the training data."""

    NUMBER = "number"
    CATEGORY = "category"
    RISK = "risk"  # the predicted one


@dataclass(frozen=True)
class FeatureDrift:
    """How a column, or the predicted risk, of a batch compares with the training data.

    `rows` are those of the batch. Shares are parts of 1: `missing` in the batch and before,
    `unseen` of rows with a category that the training data do not have. P-values are corrected for
    all those of the batch; 0.05 and less is evident. None: undefined for this kind, or too few
    rows. `causes` are empty unless it has drifted. `effect` is the relative change of the mean risk
    of the batch that is due to it, of what is unlike each recent batch.
    """

    feature: str
    kind: Kind
    rows: int
    test: str  # ks or chi2
    missing: Annotated[float, SHARE]
    missing_before: Annotated[float, SHARE]
    psi: float | None = None
    psi_limit: float | None = None
    statistic: float | None = None
    p_value: float | None = None
    missing_p_value: float | None = None
    unseen: float | None = None
    unseen_p_value: float | None = None
    verdict: Verdict = Verdict.NO_EVIDENCE
    reason: str = ""
    causes: tuple[Cause, ...] = ()
    news: News | None = None  # None if it has not drifted
    effect: float | None = None

    @property
    def name(self) -> str:
        """Its name for people, who may call a feature risk, too."""
        return "predicted risk" if self.kind == Kind.RISK else self.feature


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided on a batch, and the numbers it was decided on."""

    files: str  # a JSON array of names
    rows: int = 0
    labelled: int = 0
    release: str | None = None
    deployed_f1: float | None = None
    new_f1: float | None = None
    verdict: Verdict
    action: Action
    reason: str
    champion_f1: float | None = None
    challenger_f1: float | None = None
    new_release: str | None = None
    drift_test: DriftTest | None = None
    gate: Gate | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    challenge: ChallengeOutcome | None = None  # None if there was none
    challenger: str | None = None  # its SHA-256
    compared: str = "{}"  # a JSON object of numbers by name, where the gate goes by evidence
    first_file: int | None = None  # of the contents whose rows the scores are of: the ids of the
    last_file: int | None = None  # first and the last
    data_until: str | None = None  # the newest day of the data, or of files


def decision_to_dict(decision: Decision) -> dict[str, Any]:
    """A decision as JSON types."""
    found = asdict(decision)
    return found | {key: json.loads(found[key]) for key in ("files", "compared")}


SCORE_NAMES = {  # what people call each score
    "f1": "F1",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
}
EXPECTED_SCORES = ("f1", "average_precision", "roc_auc")  # what risks alone let expect


@dataclass(frozen=True)
class Scores:
    """How a model does on labelled rows; None where the rows leave a score undefined."""

    rows: int
    f1: float | None
    accuracy: float
    precision: float | None
    recall: float | None
    roc_auc: float | None
    average_precision: float | None
    log_loss: float
    brier: float
