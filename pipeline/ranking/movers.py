"""Who moved: the clients whose risk rose or fell most since the ranking before; `movers.csv`."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.core.files import write_if_changed
from pipeline.core.formatting import escape_formula, pluralize
from pipeline.core.schema import csv_line
from pipeline.ranking.rank import RISK_DECIMALS, Ranking
from pipeline.storage.database import History
from pipeline.storage.risk_history import LastChanges, last_changes, record_risks

MAX_MOVERS = 50  # that rose, and as many that fell
COLUMNS = ("client", "before", "risk", "change", "release_before", "release")


class Mover(NamedTuple):
    """A client whose risk changed; all numbers to two decimals."""

    client: str
    before: float
    risk: float
    change: float


@dataclass(frozen=True)
class Movers:
    """Who moved most since the ranking before, largest change first, and how many moved at all."""

    release_before: str | None  # None: there is no ranking before
    release: str
    rose: tuple[Mover, ...] = ()
    fell: tuple[Mover, ...] = ()
    all_rose: int = 0
    all_fell: int = 0


def update_movers(
    history: History, path: Path, ranking: Ranking, release: str
) -> tuple[Movers, str]:
    """Record the risks that a ranking changed and write who moved; returns both, the last in words.

    To be called before the ranking is written: a run that is killed in between then records
    nothing twice, and finds the same movers again. Where no risk changed, the movers stay.
    """
    clients, percents = np.array(ranking.clients, object), whole_percents(ranking.risk)
    if (by_name := ranking.by_name) is not None:  # a database takes them sooner in order
        clients, percents = clients[by_name], percents[by_name]
    values, which = np.unique(percents, return_inverse=True)  # each of which is kept once
    risks = dict(zip(clients.tolist(), values.astype(object)[which].tolist(), strict=True))
    changed = record_risks(history, release, risks)
    movers = movers_on_record(history) or Movers(None, release)
    return movers, write_movers(path, movers, changed=changed)


def write_movers(path: Path, movers: Movers, *, changed: bool) -> str:
    """Write who moved, if the ranking has `changed` any risk; returns a summary."""
    text = _csv(movers)
    if not changed and path.is_file() and path.read_bytes() == text.encode():
        return "as before, no risk has changed"
    write_if_changed(path, text)
    return _summary(movers)


def whole_percents(risk: np.ndarray) -> np.ndarray:
    """Risks to two decimals, halves up.

    They are rounded to the decimals of the file first: who rounds the file gets the same.
    """
    unit = 10 ** (RISK_DECIMALS - 2)  # of a percent, in those of the file
    rounded: np.ndarray = np.floor((np.rint(risk * 100 * unit) + unit // 2) / unit) / 100
    return rounded


def movers_on_record(history: History) -> Movers | None:
    """The movers of the last ranking on record, None before the first."""
    changes = last_changes(history)
    return movers_of(changes) if changes else None


def movers_of(changes: LastChanges) -> Movers:
    """The movers among what a ranking changed: clients in one of both rankings only are none."""
    moved = [
        Mover(client, before, risk, round(risk - before, 2))
        for client, before, risk in changes.risks
        if before is not None and risk is not None
    ]
    rose, fell = ([m for m in moved if m.change > 0], [m for m in moved if m.change < 0])
    releases = changes.release_before, changes.release
    return Movers(*releases, largest(rose), largest(fell), len(rose), len(fell))


def largest(movers: list[Mover]) -> tuple[Mover, ...]:
    """Those who moved most, of equal ones the first by name."""
    return tuple(sorted(movers, key=lambda m: (-abs(m.change), m.client))[:MAX_MOVERS])


def _summary(movers: Movers) -> str:
    if movers.release_before is None:
        return "no ranking before to compare with"
    rose = pluralize(movers.all_rose, "client")
    return f"{rose} rose, {movers.all_fell:,} fell by 0.01 or more"


def _csv(movers: Movers) -> str:
    """Who rose, then who fell; no text is a formula."""
    releases = csv_line((escape_formula(movers.release_before or ""), movers.release))
    lines = [
        f"{csv_line((escape_formula(client),))},{before:.2f},{risk:.2f},{change:.2f},{releases}"
        for client, before, risk, change in (*movers.rose, *movers.fell)
    ]
    return "\n".join([",".join(COLUMNS), *lines]) + "\n"
