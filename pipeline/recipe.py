"""How a model was made: what the config asked for, what was chosen, and on which evidence."""

from dataclasses import dataclass, field

LOGISTIC, BOOSTING, AUTO = "logistic", "boosting", "auto"
UNCALIBRATED, SIGMOID, ISOTONIC = "none", "sigmoid", "isotonic"
HALF = 0.5  # the threshold of a classifier that says nothing of one


@dataclass(frozen=True)
class Recipe:
    """What a model is made by.

    `evidence` holds the cross-validated figures that the choices rest on, by name; a name tells
    the score and of what it is.
    """

    kind: str = LOGISTIC  # or boosting
    calibration: str = UNCALIBRATED  # or sigmoid, isotonic
    threshold: float = HALF  # the least risk that is predicted to leave
    rule: str = "fixed"  # how the threshold came about: fixed, f1, or where a contact pays
    seed: int = 0
    evidence: dict[str, float] = field(default_factory=dict)
