"""The risk of each client over time, in the history: a point where it changed, in whole percents.

A client's risk holds from one of its points to the next, however many rankings lie between.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from pipeline.core.files import utc_now
from pipeline.storage.database import History

CHUNK = 10_000  # clients that are recorded at a time
TOGETHER = 10  # chunks that are committed at a time

T = TypeVar("T")


class ClientRisk(NamedTuple):
    """The risk of a client in a ranking: two decimals, None where it is in it no more."""

    client: str
    risk: float | None


class RiskPoint(NamedTuple):
    """From when on a client had a risk, and by which release; None: it was not ranked any more."""

    at: str
    release: str
    risk: float | None


def record_risks(
    history: History,
    release: str,
    clients: int,
    risks: Iterable[ClientRisk],
    replaced: str | None = None,
) -> None:
    """Record the risks that are others than the last ones on record, and the ranking they are of.

    `clients` is how many the ranking has, `replaced` which file it is to take the place of. Where
    all are on record already, as after a run that was killed before it wrote its ranking, nothing
    is added. It is quickest where clients come in order of name.

    Of very many clients not all are committed together, for whoever reads waits meanwhile: what a
    killed run has recorded of a ranking is right, and the next one adds the rest.
    """
    parts = _chunks(_chunks(risks, CHUNK), TOGETHER)
    part, ranking = next(parts, None), None
    while part:
        following = next(parts, None)  # whatever that takes, nobody waits for it
        with history.transaction():
            ranking = ranking or history.insert(
                "rankings", at=utc_now(), release=release, clients=clients, replaced=replaced
            )
            for chunk in part:
                _record_chunk(history, ranking, chunk)
            if not following:
                _forget_unless_referred_to(history, [ranking])
        part = following


def _chunks(things: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(things)
    while chunk := list(islice(left, size)):
        yield chunk


def _record_chunk(history: History, ranking: int, risks: Sequence[ClientRisk]) -> None:
    """Through a table of their own: to run the statements client by client takes twice as long."""
    names = [risk.client for risk in risks]
    history.query("CREATE TEMP TABLE told (client TEXT NOT NULL, risk DOUBLE PRECISION)")
    history.fill("told", ClientRisk._fields, risks)
    history.query(
        "INSERT INTO ranked_clients (client) SELECT client FROM told WHERE risk IS NOT NULL"
        " ON CONFLICT (client) DO NOTHING"
    )
    history.query(
        "INSERT INTO client_risk (client_id, ranking_id, risk)"
        " SELECT known.id, ?, told.risk"
        " FROM told CROSS JOIN ranked_clients AS known"  # in this order
        " WHERE known.client = told.client"
        # a server would else go through all clients for each chunk
        " AND known.client BETWEEN ? AND ?"
        # no risk is below 0: so null differs from each, and is equal to null
        " AND coalesce(told.risk, -1) <> coalesce((SELECT risk FROM client_risk"
        " WHERE client_id = known.id ORDER BY ranking_id DESC LIMIT 1), -1)",
        *(ranking, min(names), max(names)),
    )
    history.query("DROP TABLE told")  # where it is only emptied, a server keeps what it held


def ranked_clients(history: History) -> list[str]:
    """Every client that is on record, those included that are not ranked any more."""
    return [client for block in ranked_blocks(history, CHUNK) for client in block]


def ranked_blocks(history: History, clients: int) -> Iterator[list[str]]:
    """The same, so many at a time."""
    for block in history.blocks("SELECT client FROM ranked_clients", clients):
        yield [client for (client,) in block]


def risk_over_time(history: History, client: str) -> tuple[RiskPoint, ...]:
    """The points of a client, oldest first; none where it was never ranked."""
    found = history.tuples(
        "SELECT at, release, risk FROM client_risk JOIN rankings ON rankings.id = ranking_id"
        " WHERE client_id = (SELECT id FROM ranked_clients WHERE client = ?) ORDER BY ranking_id",
        client,
    )
    return tuple(RiskPoint(*point) for point in found)


def forget_risks(history: History, before: str) -> None:
    """Delete each point that another one of its client took the place of before that time.

    So the last point of a client before then stays, which held until the next. Each ranking is
    looked at once, when it has become old. To be called in a transaction.
    """
    gone = history.tuples(
        "SELECT earlier.client_id, earlier.ranking_id FROM"
        " (SELECT client_id, max(ranking_id) AS last FROM client_risk WHERE ranking_id IN"
        " (SELECT id FROM rankings WHERE old = 0 AND at < ?) GROUP BY client_id) AS became_old"
        " JOIN client_risk AS earlier ON earlier.client_id = became_old.client_id"
        " AND earlier.ranking_id < last",
        before,
    )
    history.query("UPDATE rankings SET old = 1 WHERE old = 0 AND at < ?", before)
    history.many("DELETE FROM client_risk WHERE client_id = ? AND ranking_id = ?", gone)
    _forget_unless_referred_to(history, sorted({ranking for _, ranking in gone}))


def _forget_unless_referred_to(history: History, rankings: Sequence[int]) -> None:
    history.many(
        "DELETE FROM rankings WHERE id = ?"
        " AND NOT EXISTS (SELECT 1 FROM client_risk WHERE ranking_id = rankings.id)",
        ((ranking,) for ranking in rankings),
    )
