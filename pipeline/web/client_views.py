"""What pages show of clients: the ranking, searched and paged; one client; a scored file."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from unicodedata import normalize
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from pipeline.core.config import Config
from pipeline.core.files import utc_now
from pipeline.core.formatting import escape_formula, format_horizon, format_percent, pluralize
from pipeline.core.schema import Schema, canonical_text, csv_line
from pipeline.observations.master import rows_of_client
from pipeline.observations.rows import open_rows
from pipeline.ranking.explanations import Explainer, explainer_of
from pipeline.ranking.ranking_file import (
    BANDS,
    CONTACT,
    carried_columns,
    has_losses,
    ranking_to_dicts,
    with_values,
)
from pipeline.ranking.risk_files import risk_folder, risk_points
from pipeline.registry.live_model import Live
from pipeline.registry.releases import Release
from pipeline.reporting.document import Grid, Section
from pipeline.reporting.history_charts import client_chart
from pipeline.storage.history import recorded_history
from pipeline.storage.risk_history import RiskChange, risk_over_time
from pipeline.web.request_rows import ClientRows, RequestError, rows_of_csv

PAGE = 25  # clients
CSV = "text/csv; charset=utf-8"
ORDERS = ("risk", "client", "expected_loss")
SHOWN = {  # the choices of whom to list
    "yes": "to be contacted",
    "no": "not to be contacted",
    "contacted": "contacted",
    "all": "all",
}
STATUSES = {  # why a client is to be contacted, or not
    "proposed": "to be contacted",
    "control": "left alone, to compare",
    "cooling_down": "contacted lately",
    "beyond_capacity": "beyond what can be contacted this week",
    "below_threshold": "below the threshold",
}
MIN_POINTS = 5  # in whole percents, of a change that the list shows
_MAX_TEXT = 200  # characters that are searched for
_MAX_CHOICES = 50  # values of a column to choose from
SCORED_COLUMNS = ("line", "client", "risk", "predicted", "reasons", "problem")
MAX_SCORED = 20  # rows on the page; the download has all


@dataclass(frozen=True)
class Query:
    """What part of the ranking is asked for."""

    text: str = ""
    band: str = ""
    contact: str = ""  # a key of SHOWN; empty is all
    sort: str = "risk"
    page: int = 1
    carried: tuple[tuple[str, str], ...] = ()  # columns that no model sees, and the texts asked for

    def link(self, **changed: Any) -> str:
        """The query string of this query with changes; another order or filter starts at page 1."""
        if changed.keys() - {"page"}:
            changed.setdefault("page", 1)
        asked = replace(self, **changed)
        values = {
            "q": asked.text,
            "band": asked.band,
            "contact": asked.contact,
            **dict(asked.carried),
            "sort": asked.sort if asked.sort != "risk" else "",
            "page": str(asked.page) if asked.page > 1 else "",
        }
        return "?" + urlencode({key: value for key, value in values.items() if value})


@dataclass(frozen=True)
class Listing:
    """One page of what was found."""

    query: Query
    found: int
    pages: int
    total: int  # of all in the ranking
    valued: bool  # whether the config says what clients are worth
    choices: dict[str, list[str]]  # the texts to choose from of columns that no model sees
    first: int  # the place of the first row shown, from 1
    rows: tuple[dict[str, Any], ...]  # as `ranking_to_dicts` makes them
    changes: dict[str, str]  # what the last ranking changed, by client: `new`, or `+12 points`


def query_of(asked: dict[str, str], schema: Schema, contacts: Collection[str] = CONTACT) -> Query:
    """The query that the arguments of a request make; raises `RequestError`.

    `contacts` are the choices of whom to list.
    """
    band, contact = asked.get("band", ""), asked.get("contact", "")
    sort, page = asked.get("sort", "risk"), asked.get("page", "1")
    if band not in ("", *BANDS):
        raise RequestError(400, f"band must be one of {', '.join(BANDS)}")
    if contact not in ("", *contacts):
        raise RequestError(400, f"contact must be one of {', '.join(contacts)}")
    if sort not in ORDERS:
        raise RequestError(400, f"sort must be one of {', '.join(ORDERS)}")
    if not (page.isascii() and page.isdigit() and len(page) < 8 and int(page) > 0):
        raise RequestError(400, "page must be a whole number of at least 1")
    text = " ".join(schema.asked_client(asked.get("q", "")).split())[:_MAX_TEXT]
    carried = [(name, canonical_text(asked[name])) for name in schema.carry if name in asked]
    return Query(text, band, contact, sort, int(page), tuple(carried))


def listing(
    ranking: pd.DataFrame, query: Query, changes: Mapping[str, RiskChange] = MappingProxyType({})
) -> Listing:
    """What a query finds; a page beyond the last is the last."""
    valued = has_losses(ranking)
    if query.sort == "expected_loss" and not valued:
        query = replace(query, sort="risk")
    found = find_clients(ranking, query)
    pages = max(1, -(-len(found) // PAGE))
    query = replace(query, page=min(query.page, pages))
    start = (query.page - 1) * PAGE
    rows = ranking_to_dicts(found.iloc[start : start + PAGE])
    return Listing(
        *(query, len(found), pages, len(ranking), valued),
        *(_choices(ranking, dict(query.carried)), start + 1, tuple(rows)),
        {row["client"]: change_of(changes.get(row["client"])) for row in rows},
    )


def change_of(change: RiskChange | None) -> str:
    """What the last ranking changed of a client's risk; empty if nothing much."""
    if change is None or change.risk is None:
        return ""
    if change.before is None:
        return "new"
    points = round(100 * (change.risk - change.before))
    return f"{points:+d} points" if abs(points) >= MIN_POINTS else ""


def newly_high(changes: Mapping[str, RiskChange], high: float) -> list[RiskChange]:
    """Who was not at high risk before the last ranking, the highest risk first."""
    found = [each for each in changes.values() if (each.before or 0) < high <= (each.risk or 0)]
    return sorted(found, key=lambda each: (-(each.risk or 0), each.client))


def _choices(ranking: pd.DataFrame, asked: Mapping[str, str]) -> dict[str, list[str]]:
    """By column its texts; where they are many, such as addresses, the one asked for."""
    choices = {}
    for name in carried_columns(ranking):
        texts = set(ranking[name])
        texts = (texts if len(texts) <= _MAX_CHOICES else set()) | {asked.get(name, "")}
        if texts := texts - {""}:
            choices[name] = sorted(texts)
    return choices


def find_clients(ranking: pd.DataFrame, query: Query) -> pd.DataFrame:
    """All clients that a query finds, in its order; by risk where there are no expected losses."""
    found = with_values(ranking, dict(query.carried))
    if query.band:
        found = found[found["band"] == query.band]
    if query.contact in CONTACT:
        found = found[found["contact"] == query.contact]
    elif query.contact == "contacted":
        found = found[found["contacted_on"] != ""]
    if query.text:
        text = _plain(query.text)
        # `loc`, as an empty list would else be one of columns
        found = found.loc[[text in _plain(client) for client in found["client"]]]
    if query.sort == "client":
        names = [_plain(name) for name in found["client"]]
        return found.iloc[sorted(range(len(names)), key=names.__getitem__)]
    if query.sort == "expected_loss" and has_losses(found):
        return found.sort_values("loss_rank", kind="stable")  # those without one come last
    return found


def _plain(name: str) -> str:
    """A name for comparison: without case, repeated spaces, or ways to encode a letter."""
    # once more after casefold, which takes apart; NFKC first, which brings capitals to light
    return normalize("NFKC", normalize("NFKC", " ".join(name.split())).casefold())


@dataclass(frozen=True)
class ClientRecord:
    """Charts and tables of a client, and whether its latest row says that it left."""

    history: Section
    rows: Section
    left: bool


def client_record(config: Config, release: Release | None, client: str) -> ClientRecord | None:
    """The client's risk over time, and its rows; None if nothing is on record of it.

    Raises `NotRecordedError` if nothing has been recorded yet.
    """
    with recorded_history(config.history_path) as history:
        rows = open_rows(config.finaldata_path, config.schema, history)
        if config.engine:
            points = risk_points(risk_folder(config.clientrisk_path), client)
        else:
            points = risk_over_time(history, client)
    found = rows_of_client(rows, client)
    if not (points or found.total):
        return None
    threshold = release.model.recipe.threshold if release else None
    note = f", the last {len(found.rows):,}" if found.total > len(found.rows) else ""
    shown = Grid(
        f"{pluralize(found.total, 'row')} of this client{note}, the latest first",
        found.columns,
        tuple(reversed(found.rows)),
        empty="None that counts.",
    )
    return ClientRecord(
        Section("history", "Over time", charts=(client_chart(points, threshold, utc_now()),)),
        Section("rows", "What the client files say", grids=(shown,)),
        left=found.left,
    )


def latest_row(config: Config, client: str) -> dict[str, str]:
    """The client's latest row, texts by column; empty if there is none that counts.

    Raises `NotRecordedError` if nothing has been recorded yet.
    """
    with recorded_history(config.history_path) as history:
        rows = open_rows(config.finaldata_path, config.schema, history)
    found = rows_of_client(rows, client)
    return dict(zip(found.columns, found.rows[-1], strict=True)) if found.rows else {}


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
    content: bytes,
    live: Live,
    schema: Schema,
    labels: Mapping[str, str],
    reasons_from: Sequence[str],
) -> list[ScoredRow]:
    """Every row of a CSV text, in order of line; raises `RequestError`.

    Rows are checked by the rules of ingestion. The column of the client may be missing, and the
    outcome is ignored. `labels` are what people call the columns, of which those of `reasons_from`
    may be reasons.
    """
    rows = rows_of_csv(content, schema, for_people=True)
    bad = [ScoredRow(row.line, "", problem=row.reason) for row in rows.bad.values()]
    good = _scored(rows, live, explainer_of(live.scorer, live.release.model, labels, reasons_from))
    return sorted([*good, *bad], key=lambda row: row.line)


def _scored(rows: ClientRows, live: Live, explainer: Explainer) -> Iterator[ScoredRow]:
    if not rows.lines:
        return
    outcomes, risk = live.scorer.scores(rows.features)
    reasons = explainer.reasons(rows.features)
    for place, (line, client) in enumerate(zip(rows.lines, rows.clients, strict=True)):
        yield ScoredRow(
            line, client, float(risk[place]), int(outcomes[place]), tuple(reasons[place])
        )


def scored_csv(rows: list[ScoredRow]) -> Iterator[str]:
    """The rows as a CSV file, line by line, in which no text is a formula."""
    yield f"{csv_line(SCORED_COLUMNS)}\n"
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
    horizon = format_horizon(live.release.horizon_days)
    return f"{scored} {leave:,} predicted to leave{horizon}.{problems} Nothing was kept."


def scored_grids(rows: list[ScoredRow]) -> list[Grid]:
    """The clients at the highest risk, and the rows that could not be read."""
    good = [row for row in rows if row.risk is not None]
    risk = np.array([row.risk for row in good])
    first = [good[i] for i in np.argsort(-risk, kind="stable")[:MAX_SCORED]]
    bad = [row for row in rows if row.risk is None][:MAX_SCORED]
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
        )
    ]
    if bad:
        problems = tuple((f"{row.line:,}", row.problem) for row in bad)
        grids.append(Grid("Rows that could not be read", ("line", "problem"), problems))
    return grids
