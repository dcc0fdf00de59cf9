"""What is on record of one client: its risk over time, and its rows."""

from dataclasses import dataclass

from pipeline.core.config import Config
from pipeline.core.errors import NotRecordedError
from pipeline.core.files import utc_now
from pipeline.core.formatting import pluralize
from pipeline.registry.releases import Release
from pipeline.reporting.charts.clientchart import client_chart
from pipeline.reporting.document import Grid, Section
from pipeline.storage.history import open_existing_history
from pipeline.storage.risk_history import risk_over_time
from pipeline.storage.rowsearch import client_rows


@dataclass(frozen=True)
class ClientRecord:
    """What is told of a client, and whether its latest row says that it left."""

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
        found = client_rows(config, history, client)
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
