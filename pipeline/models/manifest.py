"""Manifests of trained models: how and from what a model was made."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import ModelError
from pipeline.core.json_reader import from_json, is_printable
from pipeline.core.schema import Schema

LOGISTIC, BOOSTING, AUTO = "logistic", "boosting", "auto"
BOOSTING_7 = "boosting_7"  # with half the leaves, which only `auto` chooses
UNCALIBRATED, SIGMOID, ISOTONIC = "none", "sigmoid", "isotonic"
HALF = 0.5  # the threshold of a classifier without one of its own

MODEL = "trainedmodel.pkl"
SCORE = "latestscore.txt"
RECORD = "ingestedfiles.txt"
MANIFEST = "manifest.json"
REFERENCE = "reference.json"  # what the model's training data were like
CARD = "modelcard.md"


@dataclass(frozen=True)
class Recipe:
    """How a model was made: what config.json asked for, what was chosen, and on which evidence.

    `evidence` maps names such as `brier_sigmoid` to the cross-validated figures behind the choices.
    `chosen_since` is the first day of the rows they were made on, by models of older rows; empty if
    they were not made by time.
    """

    kind: str = LOGISTIC  # or boosting, boosting_7
    calibration: str = UNCALIBRATED  # or sigmoid, isotonic
    threshold: float = HALF  # clients at or above this risk are predicted to leave
    rule: str = "fixed"  # how the threshold was chosen: fixed, f1, or where a contact pays
    seed: int = 0
    evidence: dict[str, float] = field(default_factory=dict)
    chosen_since: str = ""
    recent: bool = False  # whether it learned from the newest rows only


@dataclass(frozen=True)
class SelfCheck:
    """A few rows of features, None where missing, and the risk that the new model gave them."""

    rows: tuple[tuple[float | str | None, ...], ...]
    risk: tuple[float, ...]


@dataclass(frozen=True)
class ModelManifest:
    """What a model is, and what it was trained on.

    `usual` holds the median or most frequent category of each feature in the training data, NaN as
    None; it is empty in manifests of older versions. `warnings` are sentences about the training.
    """

    sha256: str
    trained_at: str
    rows: int  # labelled rows, all of which it was trained on
    last_file: int  # id in the ledger of the last file in its training data
    schema: Schema
    versions: dict[str, str]
    self_check: SelfCheck
    recipe: Recipe = field(default_factory=Recipe)
    usual: tuple[float | str | None, ...] = ()
    left: int | None = None  # of its rows those whose clients left; None in older manifests
    data_until: str = ""  # the newest day of data or files when it was trained
    warnings: tuple[str, ...] = ()
    drawn_from: int = 0  # all rows, where a sample of them was learned from and judged on
    contacts: tuple[str, ...] = ()  # sentences on what contacts have to do with its rows

    def __post_init__(self) -> None:
        """Raise `ValueError` if the values do not fit each other, or a text cannot be shown."""
        expected = [float | int | None] * len(self.schema.numeric)
        expected += [str | None] * len(self.schema.categorical)
        check = self.self_check
        for row in (*check.rows, *([self.usual] if self.usual else [])):
            if len(row) != len(expected) or not all(map(isinstance, row, expected)):
                raise ValueError("a row of `self_check`, or `usual`, does not fit `schema`")
        if not check.rows or len(check.rows) != len(check.risk):
            raise ValueError("`self_check` does not have one risk per row")
        shown = {k: v for k, v in vars(self).items() if k not in ("self_check", "usual", "schema")}
        if not is_printable([self.schema.columns, {**shown, "recipe": vars(self.recipe)}]):
            raise ValueError("a text cannot be shown")


def read_manifest(path: Path) -> ModelManifest:
    """The manifest beside a trained model; raises `ModelError` if it is missing or damaged."""
    try:
        return from_json(path.read_bytes(), ModelManifest)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: run `python training.py` first") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({error}): run `python training.py`") from None


def to_json(found: dict[str, Any]) -> str:
    """A JSON object as the text of a file."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
