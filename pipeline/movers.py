"""`movers.csv`: the clients whose risk rose or fell most since the ranking before."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.files import write_atomic
from pipeline.ranking import Ranking
from pipeline.schema import csv_line
from pipeline.spreadsheet import neutral, original

log = logging.getLogger(__name__)

LEAST_CHANGE = 0.01  # of a risk
MOST_MOVERS = 50  # that rose, and as many that fell
COLUMNS = ("client", "before", "risk", "change", "release_before", "release")
_HEADER = ",".join(COLUMNS)
_DECIMALS = 6  # of the risks in a ranking
_SAME = 1.5 / 10**_DECIMALS  # two risks that differ by less may be one, rounded in two ways


class Earlier(NamedTuple):
    """An earlier ranking: the risk of each client, shape (clients,), and the release it is by."""

    clients: list[str]
    risk: np.ndarray
    release: str


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


def update_movers(path: Path, ranking_path: Path, ranking: Ranking, release: str) -> str:
    """Write the movers since the ranking that still lies at `ranking_path`; tells who moved.

    To be called before the new ranking is written: a run that is killed in between compares with
    the same one again. Where nothing changed since, the movers stay as they are.
    """
    earlier = earlier_ranking(ranking_path)
    if earlier is None:
        write_atomic(path, _HEADER + "\n")
        return "no ranking before to compare with"
    before = risk_before(earlier, ranking.clients)
    if _unchanged(earlier, before, ranking, release) and path.is_file():
        return "as before, no risk has changed"
    movers = movers_between(before, ranking)
    write_atomic(path, movers_text(movers, earlier.release, release))
    rose, fell = movers.all_rose, movers.all_fell
    return f"{rose:,} client{'s' * (rose != 1)} rose, {fell:,} fell by {LEAST_CHANGE} or more"


def earlier_ranking(path: Path) -> Earlier | None:
    """The ranking at a path; None where there is none, or people made another of it."""
    try:
        table = pd.read_csv(
            path,
            usecols=["client", "risk", "release"],
            dtype={"client": "object", "risk": "float64", "release": "object"},
            na_filter=False,
        )
        if table.empty:  # everybody had left
            return None
        releases = set(table["release"].tolist())
        if len(releases) != 1 or not table["risk"].between(0, 1).all():
            raise ValueError("it is not of one release with risks from 0 to 1")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s is no ranking of ours, nothing to compare with: %s", path, error)
        return None
    clients = table["client"].tolist()
    if "'" in "".join(clients):
        clients = [original(client) for client in clients]
    return Earlier(clients, table["risk"].to_numpy(), releases.pop())


def risk_before(earlier: Earlier, clients: list[str]) -> np.ndarray:
    """The earlier risk of each of these clients: shape (clients,), NaN where it had none."""
    known = dict(zip(earlier.clients, earlier.risk.tolist(), strict=True))
    return np.array([known.get(client, np.nan) for client in clients], dtype="float64")


def _unchanged(earlier: Earlier, before: np.ndarray, ranking: Ranking, release: str) -> bool:
    if earlier.release != release or len(earlier.clients) != len(ranking.clients):
        return False
    return bool((np.abs(ranking.risk - before) < _SAME).all())  # not where one is new


def movers_between(before: np.ndarray, ranking: Ranking) -> Movers:
    """Who moved by `LEAST_CHANGE` or more from the risks before, shape (clients,), NaN if new.

    Clients that are in one of the rankings only did not move.
    """
    risk = np.round(ranking.risk, _DECIMALS)
    change = np.round(risk - before, _DECIMALS)

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
    releases = csv_line((neutral(release_before), release))
    lines = [
        f"{csv_line((neutral(client),))},{before:.6f},{risk:.6f},{change:.6f},{releases}"
        for client, before, risk, change in (*movers.rose, *movers.fell)
    ]
    return "\n".join([_HEADER, *lines]) + "\n"
