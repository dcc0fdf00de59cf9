"""What pages show of clients: the ranking, searched and a page at a time, and one client."""

from dataclasses import dataclass, replace
from typing import Any
from unicodedata import normalize
from urllib.parse import urlencode

import pandas as pd

from pipeline.core.config import Config
from pipeline.core.errors import NotRecordedError
from pipeline.core.files import utc_now
from pipeline.core.formatting import pluralize
from pipeline.ranking.ranking_file import BANDS, has_losses, ranking_to_dicts
from pipeline.registry.releases import Release
from pipeline.reporting.charts.time_charts import client_chart
from pipeline.reporting.document import Grid, Section
from pipeline.storage.history import open_existing_history
from pipeline.storage.master import open_master
from pipeline.storage.risk_history import risk_over_time
from pipeline.web.request_rows import RequestError

PAGE = 25  # clients
ORDERS = {"risk": "rank", "client": "client", "expected_loss": "loss_rank"}
_MAX_TEXT = 200  # characters that are searched for


@dataclass(frozen=True)
class Query:
    """What part of the ranking is asked for."""

    text: str = ""
    band: str = ""
    contact: bool = False
    sort: str = "risk"
    page: int = 1

    def link(self, **changed: Any) -> str:
        """The query string of this query with changes; another order or filter starts at page 1."""
        if changed.keys() - {"page"}:
            changed.setdefault("page", 1)
        asked = replace(self, **changed)
        values = {
            "q": asked.text,
            "band": asked.band,
            "contact": "yes" if asked.contact else "",
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
    valued: bool  # whether the config says what clients are worth
    rows: tuple[dict[str, Any], ...]  # as `ranking_to_dicts` makes them

    @property
    def first(self) -> int:
        """The place of the first row shown, from 1; 0 if there is none."""
        return (self.query.page - 1) * PAGE + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """The place of the last row shown."""
        return (self.query.page - 1) * PAGE + len(self.rows)


def query_of(asked: dict[str, str]) -> Query:
    """The query that the arguments of a request make; raises `RequestError`."""
    band, sort, page = asked.get("band", ""), asked.get("sort", "risk"), asked.get("page", "1")
    if band not in ("", *BANDS):
        raise RequestError(400, f"band must be one of {', '.join(BANDS)}")
    if sort not in ORDERS:
        raise RequestError(400, f"sort must be one of {', '.join(ORDERS)}")
    if not (page.isascii() and page.isdigit() and len(page) < 8 and int(page) > 0):
        raise RequestError(400, "page must be a whole number of at least 1")
    text = " ".join(asked.get("q", "").split())[:_MAX_TEXT]
    return Query(text, band, asked.get("contact", "") == "yes", sort, int(page))


def listing(ranking: pd.DataFrame, query: Query) -> Listing:
    """What a query finds; a page beyond the last is the last."""
    valued = has_losses(ranking)
    if query.sort == "expected_loss" and not valued:
        query = replace(query, sort="risk")
    found = _found(ranking, query)
    pages = max(1, -(-len(found) // PAGE))
    query = replace(query, page=min(query.page, pages))
    if query.sort != "risk":
        found = _sorted(found, query.sort)
    start = (query.page - 1) * PAGE
    rows = ranking_to_dicts(found.iloc[start : start + PAGE])
    return Listing(query, len(found), pages, valued, tuple(rows))


def _found(ranking: pd.DataFrame, query: Query) -> pd.DataFrame:
    found = ranking
    if query.band:
        found = found[found["band"] == query.band]
    if query.contact:
        found = found[found["contact"] == "yes"]
    if query.text:
        text = _plain(query.text)
        found = found[[text in _plain(client) for client in found["client"]]]
    return found


def _sorted(found: pd.DataFrame, order: str) -> pd.DataFrame:
    if order == "client":
        names = [_plain(name) for name in found["client"]]
        return found.iloc[sorted(range(len(names)), key=names.__getitem__)]
    return found.sort_values(ORDERS[order], kind="stable")


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
    history = open_existing_history(config.history_path)
    if history is None:
        raise NotRecordedError("nothing has been recorded yet")
    with history:
        points = risk_over_time(history, client)
        rows = open_master(config.finaldata_path, config.schema, history)
    found = rows.client_rows(client)
    if not (points or found.total):
        return None
    threshold = release.model.recipe.threshold if release else None
    note = f", the last {len(found.rows):,}" if found.total > len(found.rows) else ""
    shown = Grid(
        f"{pluralize(found.total, 'row')} of this client{note}, the latest first",
        found.columns,
        tuple(reversed(found.rows)),
        numbers=tuple(range(1, 1 + len(config.schema.numeric))),
        empty="None that counts.",
    )
    outcome = found.columns.index(config.schema.outcome)
    return ClientRecord(
        Section("history", "Over time", charts=(client_chart(points, threshold, utc_now()),)),
        Section("rows", "What the client files say", grids=(shown,)),
        left=bool(found.rows) and found.rows[-1][outcome] == "1",
    )
