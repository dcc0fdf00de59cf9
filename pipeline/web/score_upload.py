"""Scoring the clients of one file for a person: who, at which risk, and why; nothing is kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.core.csv_format import escape_formula
from pipeline.core.formatting import format_percent, pluralize
from pipeline.core.schema import Schema, csv_line
from pipeline.ranking.explanations import Explainer, baseline_row
from pipeline.registry.live_model import Live
from pipeline.reporting.document import Grid
from pipeline.web.request_rows import ClientRows, rows_of_csv

HEADER = ("line", "client", "risk", "predicted", "reasons", "problem")
MAX_SHOWN = 20  # rows on the page; the download has all


@dataclass(frozen=True)
class ScoredRow:
    """One row of the file: its scores, or what is wrong with it."""

    line: int
    client: str  # empty where the file has no such column
    risk: float | None = None
    predicted: int | None = None
    reasons: tuple[str, ...] = ()
    problem: str = ""


def score_file(
    content: bytes, live: Live, schema: Schema, labels: Mapping[str, str]
) -> list[ScoredRow]:
    """Every row of a CSV text, in order of line; raises `RequestError`.

    Rows are checked by the rules of ingestion. The column of the client may be missing, and the
    outcome is ignored. `labels` are what people call the columns.
    """
    rows = rows_of_csv(content, schema, for_people=True)
    bad = [ScoredRow(row.line, "", problem=row.reason) for row in rows.bad.values()]
    good = _scored(rows, live, [labels[column] for column in schema.features])
    return sorted([*good, *bad], key=lambda row: row.line)


def _scored(rows: ClientRows, live: Live, labels: list[str]) -> Iterator[ScoredRow]:
    if not rows.lines:
        return
    explainer = Explainer(live.scorer, baseline_row(live.release.model), labels)
    outcomes, risk = live.scorer.scores(rows.features)
    reasons = explainer.reasons(rows.features)
    for place, (line, client) in enumerate(zip(rows.lines, rows.clients, strict=True)):
        yield ScoredRow(
            line, client, float(risk[place]), int(outcomes[place]), tuple(reasons[place])
        )


def scored_csv(rows: list[ScoredRow]) -> Iterator[str]:
    """The rows as a CSV file, line by line, in which no text is a formula."""
    yield f"{csv_line(HEADER)}\n"
    for row in rows:
        cells = (
            str(row.line),
            escape_formula(row.client),
            "" if row.risk is None else f"{row.risk:.6f}",
            "" if row.predicted is None else str(row.predicted),
            escape_formula("; ".join(row.reasons)),
            escape_formula(row.problem),
        )
        yield f"{csv_line(cells)}\n"


def scored_sentence(rows: list[ScoredRow], live: Live) -> str:
    """The result of a file, in a sentence."""
    good = [row for row in rows if row.risk is not None]
    leave = sum(row.predicted or 0 for row in good)
    bad = len(rows) - len(good)
    scored = f"{pluralize(len(good), 'client')} scored by release {live.release.id}:"
    problems = f" {pluralize(bad, 'row')} could not be read." if bad else ""
    return f"{scored} {leave:,} predicted to leave.{problems} Nothing was kept."


def scored_grids(rows: list[ScoredRow]) -> list[Grid]:
    """The clients at the highest risk, and the rows that could not be read."""
    good = [row for row in rows if row.risk is not None]
    risk = np.array([row.risk for row in good])
    first = [good[i] for i in np.argsort(-risk, kind="stable")[:MAX_SHOWN]]
    bad = [row for row in rows if row.risk is None][:MAX_SHOWN]
    grids = [
        Grid(
            f"The {len(first)} at the highest risk",
            ("client", "line", "risk", "predicted to leave", "reasons"),
            tuple(
                (
                    row.client or "-",
                    f"{row.line:,}",
                    format_percent(row.risk),
                    "yes" if row.predicted else "no",
                    "; ".join(row.reasons) or "-",
                )
                for row in first
            ),
            numbers=(1, 2),
        )
    ]
    if bad:
        problems = tuple((f"{row.line:,}", row.problem) for row in bad)
        grids.append(Grid("Rows that could not be read", ("line", "problem"), problems, (0,)))
    return grids
