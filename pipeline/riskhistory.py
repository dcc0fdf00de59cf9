"""The risk of each client over time, in the history: a point where it changed, in whole percents.

A client's risk holds from one of its points to the next, however many rankings lie between.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.database import History
from pipeline.files import utc_now


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
    risks: Sequence[ClientRisk],
    replaced: str | None = None,
) -> None:
    """Record the risks that are others than the last ones on record, and the ranking they are of.

    `clients` is how many the ranking has, `replaced` which file it is to take the place of. Where
    all are on record already, as after a run that was killed before it wrote its ranking, nothing
    is added.
    """
    if not risks:
        return
    with history.transaction():
        ranking = history.insert(
            "rankings", at=utc_now(), release=release, clients=clients, replaced=replaced
        )
        history.many(
            "INSERT INTO ranked_clients (client) VALUES (?) ON CONFLICT (client) DO NOTHING",
            ((client,) for client, risk in risks if risk is not None),
        )
        history.many(
            "INSERT INTO client_risk (client_id, ranking_id, risk)"
            " SELECT known.id, ?, ? FROM ranked_clients AS known WHERE client = ?"
            # no risk is below 0: so null differs from each, and is equal to null
            " AND coalesce(?, -1) <> coalesce((SELECT risk FROM client_risk"
            " WHERE client_id = known.id ORDER BY ranking_id DESC LIMIT 1), -1)",
            ((ranking, risk, client, risk) for client, risk in risks),
        )
        _forget_unless_referred_to(history, [ranking])


def ranked_clients(history: History) -> list[str]:
    """Every client that is on record, those included that are not ranked any more."""
    return [client for (client,) in history.tuples("SELECT client FROM ranked_clients")]


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
