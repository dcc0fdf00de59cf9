"""The risk of each client over time, in the history: a point where it changed, in whole percents.

A client's risk holds from one of its points to the next, however many rankings lie between.
"""

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple

from pipeline.core.files import utc_now
from pipeline.storage.database import History

_BECAME_OLD = "old = 0 AND at < ? AND id < (SELECT max(id) FROM rankings)"


class RiskPoint(NamedTuple):
    """From when on a client had a risk, and by which release; None: it was not ranked any more."""

    at: str
    release: str
    risk: float | None


class RiskChange(NamedTuple):
    """A client's risk in the last ranking, and the one it had before; None where it had none."""

    client: str
    before: float | None
    risk: float | None


class LastChanges(NamedTuple):
    """What the last ranking on record changed; `release_before` is None for the first one."""

    release_before: str | None
    release: str
    risks: list[RiskChange]


def record_risks(history: History, release: str, risks: Mapping[str, float]) -> bool:
    """Record which risks of a ranking differ from the last on record; whether any did.

    `risks` has those of all clients in the ranking, to two decimals. Who is on record and not in
    it gets a point without a risk. The same ranking again, as after a killed run, adds nothing.
    """
    known = {
        client: (number, risk)
        for number, client, risk in history.tuples(
            "SELECT id, client, (SELECT risk FROM client_risk WHERE client_id = ranked_clients.id"
            " ORDER BY ranking_id DESC LIMIT 1) FROM ranked_clients"
        )
    }
    new = [client for client in risks if client not in known]
    first = 1 + max((number for number, _ in known.values()), default=0)
    changed = sorted(
        (number, risks.get(client))
        for client, (number, risk) in known.items()
        if risks.get(client) != risk
    )
    if not (new or changed):
        return False
    with history.transaction():
        ranking = history.insert("rankings", at=utc_now(), release=release, clients=len(risks))
        history.fill("ranked_clients", ("id", "client"), enumerate(new, first))
        added = enumerate(map(risks.__getitem__, new), first)
        points = ((number, ranking, risk) for number, risk in chain(changed, added))
        history.fill("client_risk", ("client_id", "ranking_id", "risk"), points)
    return True


def last_changes(history: History) -> LastChanges | None:
    """What the last ranking on record changed; None before the first one, which changed nothing."""
    releases = history.tuples("SELECT release FROM rankings ORDER BY id DESC LIMIT 2")
    if not releases:
        return None
    if len(releases) == 1:
        return LastChanges(None, releases[0][0], [])
    changes = history.tuples(
        "SELECT client, (SELECT risk FROM client_risk AS earlier"
        " WHERE earlier.client_id = latest.client_id AND earlier.ranking_id < latest.ranking_id"
        " ORDER BY ranking_id DESC LIMIT 1), risk"
        " FROM client_risk AS latest JOIN ranked_clients ON ranked_clients.id = latest.client_id"
        " WHERE ranking_id = (SELECT max(id) FROM rankings)"
    )
    return LastChanges(releases[1][0], releases[0][0], [RiskChange(*each) for each in changes])


def risk_over_time(history: History, client: str) -> tuple[RiskPoint, ...]:
    """The points of a client, oldest first; none where it was never ranked."""
    found = history.tuples(
        "SELECT at, release, risk FROM client_risk JOIN rankings ON rankings.id = ranking_id"
        " WHERE client_id = (SELECT id FROM ranked_clients WHERE client = ?) ORDER BY ranking_id",
        client,
    )
    return tuple(RiskPoint(*point) for point in found)


def forget_risks(history: History, before: str) -> None:
    """In a transaction, delete each point that another of its client replaced before that time.

    The last ranking never counts as old: who moved is found by what it replaced. Each ranking is
    looked at once, when it has become old.
    """
    gone = history.tuples(
        "SELECT earlier.client_id, earlier.ranking_id FROM"
        " (SELECT client_id, max(ranking_id) AS last FROM client_risk WHERE ranking_id IN"
        f" (SELECT id FROM rankings WHERE {_BECAME_OLD}) GROUP BY client_id) AS became_old"
        " JOIN client_risk AS earlier ON earlier.client_id = became_old.client_id"
        " AND earlier.ranking_id < last",
        before,
    )
    history.query(f"UPDATE rankings SET old = 1 WHERE {_BECAME_OLD}", before)
    history.many("DELETE FROM client_risk WHERE client_id = ? AND ranking_id = ?", gone)
    unused = "NOT EXISTS (SELECT 1 FROM client_risk WHERE ranking_id = rankings.id)"
    rankings = {(ranking,) for _, ranking in gone}
    history.many(f"DELETE FROM rankings WHERE id = ? AND {unused}", rankings)
