"""`clientrisk.csv`: the ranking as a file, for people and for the API."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.config import RiskBands
from pipeline.ranking import Ranking
from pipeline.reasons import MOST, SEPARATOR, Explainer, Reasons
from pipeline.schema import csv_line
from pipeline.spreadsheet import neutral

COLUMNS = ("rank", "client", "risk", "band", "release", "contact", "reasons")
LOSS_COLUMNS = ("expected_loss", "loss_rank")  # where the config says what clients are worth
BANDS = ("high", "medium", "low")
BLOCK = 50_000  # clients whose reasons and lines are in memory at a time
_MARKS = '=+-@\t\r\n,"'  # only a text with one of these may need an apostrophe or quotes
_KINDS = (len(BANDS), 2, MOST + 1, 2)  # of rows: band, contact, number of reasons, whether a loss


def ranking_text(
    ranking: Ranking, explainer: Explainer, bands: RiskBands, release: str
) -> Iterator[str]:
    """The ranking as `clientrisk.csv` holds it, in blocks of lines.

    Canonical CSV, in which no text is a formula.
    """
    yield header(valued=ranking.loss is not None)
    yield from _blocks(ranking, explainer, bands, release, placed=True)


def header(*, valued: bool) -> str:
    """The first line; `valued`: with expected losses."""
    return ",".join(COLUMNS + LOSS_COLUMNS * valued) + "\n"


def _blocks(
    ranking: Ranking, explainer: Explainer, bands: RiskBands, release: str, *, placed: bool
) -> Iterator[str]:
    """The lines in blocks; unless `placed`, without the places that they begin and end with."""
    templates = np.array(_templates(release, ranking.loss is not None, placed), dtype=object)
    for first in range(0, len(ranking.clients), BLOCK):
        places = slice(first, first + BLOCK)
        reasons = explainer.reasons(ranking.rows.at(np.arange(len(ranking.clients))[places]))
        kinds = _kinds(ranking, places, reasons, bands)
        # by one template for all rows: to put each together takes several times as long
        yield "".join(templates[kinds].tolist()) % _values(ranking, places, reasons, placed)


def _templates(release: str, valued: bool, placed: bool) -> list[str]:
    """The line of each kind of row; what a kind does not show is cut to no characters."""
    templates = []
    for band, contact, count, lost in np.ndindex(_KINDS):
        reasons = SEPARATOR.join(["%s"] * count)
        reasons = (f'"{reasons}"' if count else "") + "%.0s" * (MOST - count)
        cells = ["%d" if placed else "", "%s,%.6f", BANDS[band], release, ("no", "yes")[contact]]
        cells.append(reasons)
        if valued:
            cells += ["%.2f" if lost else "%.0s", ("%d" if lost else "%.0s") if placed else ""]
        templates.append(",".join(cells) + "\n")
    return templates


def _kinds(ranking: Ranking, places: slice, reasons: Reasons, bands: RiskBands) -> np.ndarray:
    """The place of each row's template: shape (rows,)."""
    risk = ranking.risk[places]
    band = (risk < bands.high).astype("int64") + (risk < bands.medium)
    count = (reasons.which >= 0).sum(axis=0)
    lost = np.zeros_like(count) if ranking.loss is None else ~np.isnan(ranking.loss[places])
    kinds: np.ndarray = np.ravel_multi_index(
        (band, ranking.contact[places].astype("int64"), count, lost.astype("int64")), _KINDS
    )
    return kinds


def _values(ranking: Ranking, places: slice, reasons: Reasons, placed: bool) -> tuple[object, ...]:
    """What the templates of these rows are filled with, row by row."""
    words = np.array([*_inner_cells(reasons.words), ""], dtype=object)
    rank = list(range(places.start + 1, places.start + 1 + reasons.which.shape[1]))
    columns: list[Sequence[object]] = [
        *([rank] if placed else []),
        _cells(ranking.clients[places]),
        ranking.risk[places].tolist(),
        *(words[which].tolist() for which in reasons.which),
    ]
    if ranking.loss is not None:
        columns.append(ranking.loss[places].tolist())
        columns += [ranking.loss_rank[places].tolist()] if placed else []
    values: list[object] = [None] * (len(columns) * len(columns[0]))
    for i, column in enumerate(columns):
        values[i :: len(columns)] = column
    return tuple(values)


def _cells(texts: list[str]) -> list[str]:
    """Texts as cells of their own."""
    if not _marked(texts):
        return texts
    return [csv_line((neutral(text),)) if _marked([text]) else text for text in texts]


def _inner_cells(words: list[str]) -> list[str]:
    """Texts as parts of a cell in quotes."""
    if not _marked(words, _MARKS.replace(",", "")):
        return words
    return [neutral(text).replace('"', '""') for text in words]


def _marked(texts: list[str], marks: str = _MARKS) -> bool:
    every = "".join(texts)
    return any(mark in every for mark in marks)
