"""The scores of a model on labelled rows, and what people call them."""

from dataclasses import dataclass

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
