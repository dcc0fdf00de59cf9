"""`movers.csv`: the clients whose risk rose or fell most since the ranking before."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.core.csv_format import escape_formula
from pipeline.core.files import write_if_changed
from pipeline.core.schema import csv_line
from pipeline.ranking.previous_ranking import DECIMALS, Before
from pipeline.ranking.rank import Ranking

LEAST_CHANGE = 0.01  # of a risk
MOST_MOVERS = 50  # that rose, and as many that fell
COLUMNS = ("client", "before", "risk", "change", "release_before", "release")
_HEADER = ",".join(COLUMNS)
_SAME = 1.5 / 10**DECIMALS  # two risks that differ by less may be one, rounded in two ways


class Mover(NamedTuple):
    """A client whose risk changed."""

    client: str
    before: float
    risk: float
    change: float


class Movers(NamedTuple):
    """Those who moved most, largest change first, and how many moved at all."""

    rose: list[Mover]
    fell: list[Mover]
    all_rose: int
    all_fell: int


class Comparison(NamedTuple):
    """What became of the ranking before."""

    release: str  # it was by
    unchanged: bool  # whether the same clients have the same risks
    movers: Movers


def update_movers(path: Path, before: Before | None, ranking: Ranking, release: str) -> str:
    """`write_movers` of a ranking and the one before."""
    if before is None:
        return write_movers(path, None, release)
    movers = movers_between(before.risk, ranking)
    compared = Comparison(before.release, unchanged(before, ranking), movers)
    return write_movers(path, compared, release)


def write_movers(path: Path, compared: Comparison | None, release: str) -> str:
    """Write the movers since the ranking before, None where there is none; tells who moved.

    To be called before the new ranking is written: a run that is killed in between compares with
    the same one again. Where nothing changed since, the movers stay as they are.
    """
    if compared is None:
        write_if_changed(path, _HEADER + "\n")
        return "no ranking before to compare with"
    if compared.unchanged and compared.release == release and path.is_file():
        return "as before, no risk has changed"
    movers = compared.movers
    write_if_changed(path, movers_text(movers, compared.release, release))
    rose, fell = movers.all_rose, movers.all_fell
    return f"{rose:,} client{'s' * (rose != 1)} rose, {fell:,} fell by {LEAST_CHANGE} or more"


def unchanged(before: Before, ranking: Ranking) -> bool:
    """Whether the same clients have the same risks as before."""
    if before.gone:
        return False
    return bool((np.abs(ranking.risk - before.risk) < _SAME).all())  # not where one is new


def together(parts: Iterable[Movers]) -> Movers:
    """The movers of a ranking from those of its parts."""

    def most(movers: list[Mover]) -> list[Mover]:
        return sorted(movers, key=lambda m: (-abs(m.change), m.client))[:MOST_MOVERS]

    found = Movers([], [], 0, 0)
    for part in parts:
        found = Movers(
            most(found.rose + part.rose),
            most(found.fell + part.fell),
            found.all_rose + part.all_rose,
            found.all_fell + part.all_fell,
        )
    return found


def movers_between(before: np.ndarray, ranking: Ranking) -> Movers:
    """Who moved by `LEAST_CHANGE` or more from the risks before, shape (clients,), NaN if new.

    Clients that are in one of the rankings only did not move.
    """
    risk = np.round(ranking.risk, DECIMALS)
    change = np.round(risk - before, DECIMALS)

    def most(size: np.ndarray) -> tuple[list[Mover], int]:
        places = np.flatnonzero(size >= LEAST_CHANGE)
        if len(places) > MOST_MOVERS:  # names are compared only at the end of the list
            least = np.partition(size[places], -MOST_MOVERS)[-MOST_MOVERS]
            near = places[size[places] >= least]
        else:
            near = places
        first = sorted(near.tolist(), key=lambda i: (-size[i], ranking.clients[i]))[:MOST_MOVERS]
        return [
            Mover(ranking.clients[i], float(before[i]), float(risk[i]), float(change[i]))
            for i in first
        ], len(places)

    (rose, all_rose), (fell, all_fell) = most(change), most(-change)
    return Movers(rose, fell, all_rose, all_fell)


def movers_text(movers: Movers, release_before: str, release: str) -> str:
    """The movers as `movers.csv` holds them: who rose, then who fell; no text is a formula."""
    releases = csv_line((escape_formula(release_before), release))
    lines = [
        f"{csv_line((escape_formula(client),))},{before:.6f},{risk:.6f},{change:.6f},{releases}"
        for client, before, risk, change in (*movers.rose, *movers.fell)
    ]
    return "\n".join([_HEADER, *lines]) + "\n"
