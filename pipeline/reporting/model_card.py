"""The model card of a release: what the model is, how good, and what it must not be used for.

Source of the form: Mitchell and others, Model Cards for Model Reporting, FAT* 2019.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from pipeline.core.formatting import format_day, format_horizon, format_percent, format_score
from pipeline.models.estimators import Model
from pipeline.models.manifest import ModelManifest
from pipeline.models.scorer import unwrap_model
from pipeline.monitoring.decisions import SCORE_NAMES, Scores
from pipeline.monitoring.metrics import Evaluation, Segment
from pipeline.registry.releases import Release
from pipeline.reporting.document import Grid
from pipeline.reporting.tables import calibration_grid, checks_grid, score_grid
from pipeline.storage.ledger import Period
from pipeline.storage.trends import Check

KINDS = {
    "logistic": "logistic regression on scaled numbers and one-hot categories",
    "boosting": "histogram gradient boosting of trees",
    "boosting_7": "histogram gradient boosting of small trees, of up to 7 leaves",
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
    "log_loss_boosting_7": "log loss, boosting of 7 leaves",
    "log_loss_boosting": "log loss, boosting",
    "standard_error_boosting_7": "log loss, standard error of what 7 leaves gain",
    "standard_error_boosting": "log loss, standard error of what more leaves gain",
    "brier": "Brier score, uncalibrated",
    "brier_sigmoid": "Brier score, sigmoid calibration",
    "brier_isotonic": "Brier score, isotonic calibration",
}
NOT_FOR = (
    "Choosing whom to contact for the greatest effect: a high risk says who is likely to leave, not"
    " who would stay if asked (Ascarza, Journal of Marketing Research 55(1), 2018). To learn that,"
    " leave a random control group alone and compare (control_share).",
    "Prices, credit, contracts or other decisions about a client: it was not checked for them.",
    "Explaining why clients leave: reasons are what moves this model, not what moves clients.",
    "Clients unlike those it learned from: the input drift shows them.",
)


@dataclass(frozen=True)
class Card:
    """What a model card contains besides the release's manifest."""

    model: Model
    evaluation: Evaluation
    period: Period
    checks: Sequence[Check]  # the latest last


def card_text(release: Release, card: Card) -> str:
    """The card in Markdown."""
    evaluation = card.evaluation
    about = release_grid(release)
    scores = score_grid(evaluation.scores, evaluation.intervals)
    lift = ("lift of the tenth at the highest risk", format_score(evaluation.lift), "")
    error = ("expected calibration error", format_score(evaluation.calibration_error), "")
    grids = (
        replace(about, rows=(*about.rows, *_details(release.model, card))),
        _features_grid(release.model),
        replace(scores, rows=(*scores.rows, lift, error)),
        calibration_grid(evaluation.bins),
        _segments_grid(evaluation.segments),
        replace(checks_grid(card.checks), caption="Drift checks before this release"),
    )
    not_for = "\n".join(f"- {text}" for text in NOT_FOR)
    parts = [*map(_markdown, grids), f"## What it must not be used for\n\n{not_for}\n"]
    return "\n\n".join([f"# Model card of release {release.id}", *parts])


def release_grid(release: Release) -> Grid:
    """What a release is, and how it was made."""
    manifest, recipe = release.model, release.model.recipe
    won = "the first release, or deployed by hand"
    if release.challenge:
        won = f"in place of {release.challenge.champion}: {release.challenge.reason}"
    horizon = format_horizon(release.horizon_days)
    which = "the newest " if recipe.recent else ""
    learned = f"{which}{manifest.rows:,} rows with a known outcome"
    if manifest.drawn_from:
        learned += f" of a sample, by client, of all {manifest.drawn_from:,} rows"
    learned += f", {format_day(manifest.trained_at)}"
    by_time = f"by time: on rows from {recipe.chosen_since} on, by models of older rows"
    rows = (
        ("release", f"{release.id}, deployed {format_day(release.deployed_at)}"),
        ("why it went live", won),
        ("model", KINDS.get(recipe.kind, recipe.kind)),
        ("learned from", learned),
        *([("predicts", f"who leaves{horizon}")] if horizon else []),
        ("features", ", ".join(manifest.schema.features)),
        ("calibration", CURVES.get(recipe.calibration, recipe.calibration)),
        ("threshold", f"{recipe.threshold:.3g}: {RULES.get(recipe.rule, recipe.rule)}"),
        *([("chosen", by_time)] if recipe.chosen_since else []),
        *(("contacts", text) for text in manifest.contacts),
        *(("warning", text) for text in manifest.warnings),
        ("SHA-256 of the model", manifest.sha256),
    )
    return Grid(
        "The release",
        ("what", "how"),
        rows,
    )


def releases_grid(
    releases: Sequence[Release], scores: Sequence[Scores | None], live: str | None
) -> Grid:
    """Releases side by side: what they are, how they were made, and what they reached.

    `scores` has what each reached on the test data.
    """
    columns = []
    for release, reached in zip(releases, scores, strict=True):
        values = vars(reached) if reached else {}
        scored = {name: format_score(values.get(key)) for key, name in SCORE_NAMES.items()}
        columns.append(scored | {row[0]: row[1] for row in release_grid(release).rows[1:-1]})
    names = dict.fromkeys(name for column in columns for name in column)
    return Grid(
        "Releases side by side, with their scores on the test data",
        ("what", *(f"{each.id}{' (live)' * (each.id == live)}" for each in releases)),
        tuple((name, *(column.get(name, "-") for column in columns)) for name in names),
    )


def _details(manifest: ModelManifest, card: Card) -> Iterator[tuple[str, str]]:
    """What only the whole card has of a release."""
    period, estimator = card.period, unwrap_model(card.model)[0][-1]
    yield "data", f"{period.files:,} files, ingested from {period.first} to {period.last}"
    yield "seed", str(manifest.recipe.seed)
    usual = type(estimator)().get_params()
    own = [(k, v) for k, v in estimator.get_params().items() if v != usual[k] and v is not None]
    yield "parameters", ", ".join(f"{name}={value}" for name, value in own)
    for key, value in manifest.recipe.evidence.items():
        yield f"cross-validated {EVIDENCE.get(key, key)}", f"{value:.5f}"


def _features_grid(manifest: ModelManifest) -> Grid:
    schema, rows = manifest.schema, []
    usual = manifest.usual or ("",) * len(schema.features)
    for name, value in zip(schema.features, usual, strict=True):
        text = "unknown" if value is None else f"{value:.6g}" if isinstance(value, float) else value
        rows.append((name, "number" if name in schema.numeric else "category", text))
    header = ("feature", "kind", "usual (median or most frequent)")
    return Grid("Features", header, tuple(rows))


def _segments_grid(segments: Sequence[Segment]) -> Grid:
    """Scores by category, where unequal errors show."""
    names, rows = ("f1", "precision", "recall", "roc_auc"), []
    for part in segments:
        about = part.column, part.category or "(missing)", f"{part.scores.rows:,}"
        shares = map(format_percent, (part.left, part.risk))
        rows.append((*about, *shares, *(format_score(getattr(part.scores, key)) for key in names)))
    header = (
        "column",
        "category",
        "rows",
        "left",
        "predicted",
        *(SCORE_NAMES[key] for key in names),
    )
    none = "There are no category columns to break the scores down by."
    caption = "Segments (where rows are few, scores differ by chance)"
    return Grid(caption, header, tuple(rows), none)


def _markdown(grid: Grid) -> str:
    """A table below its caption; texts from the data stay in their cells."""
    rows = [[_cell(text) for text in row] for row in grid.rows]
    lines = [f"| {' | '.join(row)} |" for row in (grid.header, ["---"] * len(grid.header), *rows)]
    return f"## {grid.caption}\n\n" + ("\n".join(lines) if rows else grid.empty)


# what Markdown takes for more than a letter, within a cell; an underscore only at a word's end
_ACTIVE = re.compile(r"[\\`*\[|~]|(?<![^\W_])_|_(?![^\W_])")


def _cell(text: str) -> str:
    """A text as a text, whatever it holds: no cell, tag, link or picture."""
    return _ACTIVE.sub(r"\\\g<0>", escape(" ".join(text.splitlines()), quote=False))
