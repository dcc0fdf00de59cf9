"""Scoring the clients of one file for a person: who, at which risk, and why; nothing is kept."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.core.config import Config
from pipeline.core.csv_format import escape_formula
from pipeline.core.errors import DataError
from pipeline.core.formatting import format_percent, pluralize
from pipeline.core.schema import Schema, csv_line
from pipeline.data.csv_reader import BadRow, GoodRows, Table, too_many_bad
from pipeline.data.features import Features, features_of
from pipeline.data.frames import frame_of_text
from pipeline.ranking.explanations import Explainer, baseline_row
from pipeline.registry.live_model import Live
from pipeline.reporting.document import Grid
from pipeline.web.request_rows import MOST_COLUMNS, MOST_ROWS, RequestError, check_lines

HEADER = ("line", "client", "risk", "predicted", "reasons", "problem")
TOP = 20  # shown on the page; the rest is in the download


@dataclass(frozen=True)
class ScoredRow:
    """One row of the file: its scores, or what is wrong with it."""

    line: int
    client: str  # empty where the file has no such column
    risk: float | None = None
    predicted: int | None = None
    reasons: tuple[str, ...] = ()
    problem: str = ""


def score_file(content: bytes, live: Live, config: Config) -> list[ScoredRow]:
    """Every row of a CSV text in the order of its lines; raises `RequestError`.

    Rows are checked by the rules of ingestion. The column of the client may be missing, and the
    outcome is not looked at.
    """
    check_lines(content)
    schema = config.schema
    try:
        rows, bad, lines = _checked(content, schema, _columns(content, schema))
    except DataError as error:
        raise RequestError(422, f"the CSV {error}") from None
    return sorted([*_scored(rows, lines, live, config), *bad], key=lambda row: row.line)


@dataclass(frozen=True)
class _Rows:
    clients: list[str]
    features: Features


def _columns(content: bytes, schema: Schema) -> tuple[str, ...]:
    """The columns that are read: that of the client only if the file has it."""
    table = Table(io.BufferedReader(io.BytesIO(content)), schema, schema.features)
    named = schema.client in table.extra_columns
    return (schema.client, *schema.features) if named else schema.features


def _checked(
    content: bytes, schema: Schema, columns: tuple[str, ...]
) -> tuple[_Rows, list[ScoredRow], list[int]]:
    table = Table(io.BufferedReader(io.BytesIO(content)), schema, columns)
    good: list[str] = []
    bad: list[BadRow] = []
    lines: list[int] = []
    for block in table.blocks():
        if isinstance(block, GoodRows):
            good.append(block.text)
            lines += range(block.line, block.line + block.text.count("\n"))
        else:
            bad.append(block)
        if len(lines) + len(bad) > MOST_ROWS or table.width > MOST_COLUMNS:
            raise RequestError(
                413, f"at most {MOST_ROWS:,} rows of {MOST_COLUMNS:,} columns at a time"
            )
    if why := too_many_bad(bad, len(lines) + len(bad)):
        raise DataError(why)
    frame = frame_of_text("".join(good), schema, columns)
    clients = frame[schema.client].tolist() if schema.client in columns else [""] * len(frame)
    told = [ScoredRow(row.line, "", problem=row.reason) for row in bad]
    return _Rows(clients, features_of(frame, schema)), told, lines


def _scored(rows: _Rows, lines: list[int], live: Live, config: Config) -> Iterator[ScoredRow]:
    if not lines:
        return
    labels = [config.labels[column] for column in config.schema.features]
    explainer = Explainer(live.scorer, baseline_row(live.release.model), labels)
    outcomes, risk = live.scorer.scores(rows.features)
    reasons = explainer.reasons(rows.features).texts()
    for place, (line, client) in enumerate(zip(lines, rows.clients, strict=True)):
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


def scored_words(rows: list[ScoredRow], live: Live) -> str:
    """What came of a file, in a sentence."""
    good = [row for row in rows if row.risk is not None]
    leave = sum(row.predicted or 0 for row in good)
    bad = len(rows) - len(good)
    told = f"{pluralize(len(good), 'client')} scored by release {live.release.id}:"
    problems = f" {pluralize(bad, 'row')} could not be read." if bad else ""
    return f"{told} {leave:,} predicted to leave.{problems} Nothing was kept."


def scored_grids(rows: list[ScoredRow]) -> list[Grid]:
    """The clients at the highest risk, and the rows that could not be read."""
    good = [row for row in rows if row.risk is not None]
    risk = np.array([row.risk for row in good])
    first = [good[i] for i in np.argsort(-risk, kind="stable")[:TOP]]
    bad = [row for row in rows if row.risk is None][:TOP]
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
