"""The model card of a release: what the model is, how good, and what it must not be used for.

Source of the form: Mitchell and others, Model Cards for Model Reporting, FAT* 2019.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from pipeline.models.estimators import Model
from pipeline.models.manifest import ModelManifest
from pipeline.models.model_parts import unwrap_model
from pipeline.monitoring.bootstrap import Interval
from pipeline.monitoring.metrics import Evaluation, Segment
from pipeline.monitoring.scores import SCORE_NAMES
from pipeline.registry.releases import Release
from pipeline.storage.database import Row
from pipeline.storage.ledger import Period

KINDS = {
    "logistic": "logistic regression on scaled numbers and one-hot categories",
    "boosting": "histogram gradient boosting of trees",
}
CURVES = {
    "none": "none: it did not lower the cross-validated Brier score, or the rows were too few",
    "sigmoid": "sigmoid (Platt), fitted on out-of-fold scores",
    "isotonic": "isotonic, fitted on out-of-fold scores",
}
RULES = {
    "fixed": "as config.json says",
    "f1": "the highest F1 on out-of-fold predictions",
}
EVIDENCE = {
    "log_loss_logistic": "log loss, logistic regression",
    "log_loss_boosting": "log loss, boosting",
    "log_loss_standard_error": "log loss, standard error of the difference",
    "brier": "Brier score, uncalibrated",
    "brier_sigmoid": "Brier score, sigmoid calibration",
    "brier_isotonic": "Brier score, isotonic calibration",
}
NOT_FOR = (
    "Choosing whom to contact for the greatest effect: a high risk says who is likely to leave, not"
    " who would stay if asked (Ascarza, Journal of Marketing Research 55(1), 2018). To learn that,"
    " leave a random control group alone and compare.",
    "Prices, credit, contracts or other decisions about a client: it was not checked for them.",
    "Explaining why clients leave: reasons are what moves this model, not what moves clients.",
    "Clients unlike those it learned from: the input drift in `python diagnostics.py` shows them.",
)
LINE = 100  # characters


@dataclass(frozen=True)
class Card:
    """What a model card contains besides the release's manifest."""

    model: Model
    evaluation: Evaluation
    period: Period
    decisions: Sequence[Row]  # the latest first


def card_text(release: Release, card: Card) -> str:
    """The card in Markdown."""
    manifest = release.model
    parts = [
        f"# Model card of release {release.id}\n\nDeployed {release.deployed_at} {_won(release)}.",
        _section("Data", _data(manifest, card.period)),
        _section("Model", _model(manifest, card.model)),
        _section("Scores on the test data", _scores(card.evaluation)),
        _section("Calibration on the test data", _calibration(card.evaluation)),
        _section("Segments", _segments(card.evaluation.segments)),
        _section("Drift checks before this release", _decisions(card.decisions)),
        _section("What it must not be used for", _items(NOT_FOR)),
    ]
    return "\n".join(parts) + "\n"


def _items(texts: Iterable[str]) -> str:
    return "\n".join(fill(f"- {text}", LINE, subsequent_indent="  ") for text in texts)


def _section(title: str, text: str) -> str:
    return f"\n## {title}\n\n{text.rstrip()}"


def _won(release: Release) -> str:
    if release.challenge is None:
        return "without a comparison: the first release, or by hand"
    return f"in place of {release.challenge.champion}: {release.challenge.reason}"


def _data(manifest: ModelManifest, period: Period) -> str:
    usual = manifest.usual or ("",) * len(manifest.schema.features)
    features = [
        (_cell(name), "number" if name in manifest.schema.numeric else "category", _value(value))
        for name, value in zip(manifest.schema.features, usual, strict=True)
    ]
    return "\n".join(
        [
            f"{manifest.rows:,} rows with a known outcome, of {period.files:,} files ingested from"
            f" {period.first} to {period.last}; trained {manifest.trained_at}.",
            "",
            *_table(("feature", "kind", "usual (median or most frequent)"), features),
        ]
    )


def _model(manifest: ModelManifest, model: Model) -> str:
    recipe, core = manifest.recipe, unwrap_model(model).core[-1]
    rows = [
        ("model", KINDS.get(recipe.kind, recipe.kind)),
        ("learned from", f"all {manifest.rows:,} rows"),
        ("calibration", CURVES.get(recipe.calibration, recipe.calibration)),
        ("threshold", f"{recipe.threshold:.6g}: {RULES.get(recipe.rule, recipe.rule)}"),
        ("seed", str(recipe.seed)),
        ("parameters", ", ".join(f"{k}={v}" for k, v in _parameters(core))),
        *(
            (f"cross-validated {EVIDENCE.get(k, k)}", f"{v:.5f}")
            for k, v in recipe.evidence.items()
        ),
    ]
    return "\n".join(_table(("what", "how"), rows))


def _parameters(estimator: Any) -> list[tuple[str, Any]]:
    """Those that differ from scikit-learn's defaults."""
    usual = type(estimator)().get_params()
    return [(k, v) for k, v in estimator.get_params().items() if v != usual[k] and v is not None]


def _scores(evaluation: Evaluation) -> str:
    rows = [
        (label, _number(getattr(evaluation.scores, key)), _interval(evaluation.intervals.get(key)))
        for key, label in SCORE_NAMES.items()
    ]
    rows.append(("lift of the tenth at the highest risk", _number(evaluation.lift), ""))
    lines = _table(("score", "value", "95 % interval"), rows)
    return "\n".join([f"{evaluation.scores.rows:,} rows with a known outcome.", "", *lines])


def _calibration(evaluation: Evaluation) -> str:
    rows = [
        (f"{b.rows:,}", f"{100 * b.risk:.1f} %", f"{100 * b.left:.1f} %") for b in evaluation.bins
    ]
    error = f"Expected calibration error {evaluation.calibration_error:.4f}."
    return "\n".join([error, "", *_table(("rows", "predicted to leave", "left"), rows)])


def _segments(segments: Sequence[Segment]) -> str:
    if not segments:
        return "There are no category columns to break the scores down by."
    rows = [
        (
            *(_cell(part.column), _cell(part.category) or "(missing)", f"{part.scores.rows:,}"),
            *(f"{100 * part.left:.1f} %", f"{100 * part.risk:.1f} %"),
            *(_number(getattr(part.scores, key)) for key in ("f1", "precision", "recall")),
            _number(part.scores.roc_auc),
        )
        for part in segments
    ]
    header = ("column", "category", "rows", "left", "predicted", "F1", "precision", "recall", "AUC")
    note = "Unequal errors show here; in segments of few rows, scores differ by chance."
    return "\n".join([note, "", *_table(header, rows)])


def _decisions(decisions: Sequence[Row]) -> str:
    if not decisions:
        return "None yet."
    rows = [
        (
            d["at"],
            d["release"] or "",
            f"{d['rows']:,}",
            _number(d["new_f1"]),
            d["verdict"],
            d["action"],
        )
        for d in decisions
    ]
    header = ("when", "live then", "new rows", "F1 on them", "verdict", "action")
    return "\n".join(_table(header, rows))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _interval(found: Interval | None) -> str:
    return f"{found.low:.4f} to {found.high:.4f}" if found else ""


def _value(value: float | str | None) -> str:
    if value is None:
        return "unknown"
    return _cell(value) if isinstance(value, str) else f"{value:.6g}"


def _cell(text: str) -> str:
    """A text from the data as a cell of a Markdown table, on one line."""
    return " ".join(text.splitlines()).replace("\\", "\\\\").replace("|", "\\|")
