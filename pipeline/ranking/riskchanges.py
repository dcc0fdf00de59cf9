"""Whose risk a new ranking changed, in the whole percents that people read."""

from operator import itemgetter

import numpy as np

from pipeline.ranking.previous_ranking import DECIMALS, Before
from pipeline.ranking.rank import Ranking
from pipeline.storage.database import History
from pipeline.storage.risk_history import ClientRisk, ranked_clients, record_risks


def record_changes(history: History, release: str, ranking: Ranking, before: Before | None) -> None:
    """Record the risk of each client for whom it changed since the ranking before.

    To be called before the new ranking is written. Where the ranking before is not what the record
    tells of, every client is compared with the record: where there is none of ours, where nothing
    is on record, and where it still lies there because a run was killed that had recorded its own.
    """
    stamp = None if before is None else before.stamp
    if before is None or not on_record(history, before.stamp):
        gone = list(set(ranked_clients(history)).difference(ranking.clients))
        before = unknown_before(len(ranking.clients), gone)
    changed = sorted(changed_risks(ranking, before), key=itemgetter(0))
    record_risks(history, release, len(ranking.clients), changed, stamp)


def on_record(history: History, stamp: str) -> bool:
    """Whether the ranking of this stamp, which lies there, is the one that the record tells of."""
    last = history.one("SELECT replaced FROM rankings ORDER BY id DESC LIMIT 1")
    return last is not None and last["replaced"] != stamp


def unknown_before(clients: int, gone: list[str]) -> Before:
    """What stands for the ranking before of so many clients where only the record can tell."""
    return Before(np.full(clients, np.nan), gone, "", "")


def changed_risks(ranking: Ranking, before: Before) -> list[ClientRisk]:
    """The clients whose risk in percents is another one, or who are new or gone."""
    percents = _percents(ranking.risk)
    places = np.flatnonzero(percents != _percents(before.risk))  # nothing equals NaN
    return [
        *(ClientRisk(ranking.clients[i], float(percents[i]) / 100) for i in places.tolist()),
        *(ClientRisk(client, None) for client in before.gone),
    ]


def _percents(risk: np.ndarray) -> np.ndarray:
    """Risks in whole percents, halves up; NaN stays NaN.

    They are rounded to the decimals of the file first, so that the same risk is the same percent
    whether it was computed or read.
    """
    unit = 10 ** (DECIMALS - 2)  # of a percent, in those of the file
    percents: np.ndarray = np.floor((np.rint(risk * 100 * unit) + unit // 2) / unit)
    return percents
