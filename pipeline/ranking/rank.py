"""The ranking of clients: who is in it, in which order, whom to contact, what is at stake."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.data.frames import Features, features_of
from pipeline.models.scorer import Scorer

DEFAULT_POLICY = Policy()
ROWS_AT_ONCE = 25_000  # that are scored
RISK_DECIMALS = 6  # of the risks in a ranking's file


@dataclass(frozen=True)
class Ranking:
    """Clients, highest risk first; every array has the shape (clients,)."""

    clients: list[str]
    risk: np.ndarray  # the probability of leaving
    contact: np.ndarray  # whether to contact the client
    rows: Features
    loss: np.ndarray | None = None  # risk * value, to the cent, NaN where the value is missing
    decision: np.ndarray | None = None  # the log-odds before calibration, which orders equal risks
    by_name: np.ndarray | None = None  # their places in order of name
    carried: dict[str, list[str]] = field(default_factory=dict)  # a column's text of each client

    @cached_property
    def loss_rank(self) -> np.ndarray:
        """The place of each client by expected loss, from 1, highest first; 0 where it has none.

        Equal ones are in order of rank.
        """
        loss = np.zeros(0) if self.loss is None else self.loss
        order = np.argsort(-loss, kind="stable")  # NaN come last
        places = np.empty(len(order), dtype="int64")
        places[order] = np.arange(1, len(order) + 1)
        return np.where(np.isnan(loss), 0, places)


def rank_clients(
    scorer: Scorer, frame: pd.DataFrame, schema: Schema, policy: Policy = DEFAULT_POLICY
) -> Ranking:
    """Rank the clients of a frame, one a row, by their probability of leaving, highest first.

    Clients of equal risk, of which a release of an older version may give many, are in order of the
    log-odds before calibration, then of name.
    """
    rows = features_of(frame, schema)
    scored = [
        (*scorer.scores(features_of(part, schema)), scorer.decision(part))
        for part in (frame[i : i + ROWS_AT_ONCE] for i in range(0, len(frame) or 1, ROWS_AT_ONCE))
    ]
    predicted, risk, decision = map(np.concatenate, zip(*scored, strict=True))
    clients = frame[schema.client].to_numpy(dtype=object)
    by_name = np.array(sorted(range(len(clients)), key=clients.__getitem__), np.int64)
    order = by_name[np.lexsort((-decision[by_name], -risk[by_name]))]
    rows, risk = rows.at(order), risk[order]
    values = _values(rows, schema, policy)
    return Ranking(
        clients=clients[order].tolist(),
        risk=risk,
        contact=_contact(policy, predicted[order] == 1, risk, values),
        rows=rows,
        loss=None if values is None else np.round(risk * values, 2) + 0.0,  # no -0.0
        decision=decision[order],
        by_name=np.argsort(order)[by_name],
        carried={name: frame[name].iloc[order].tolist() for name in schema.carry},
    )


def _values(rows: Features, schema: Schema, policy: Policy) -> np.ndarray | None:
    """What each client is worth: (rows,), NaN where missing; None where the config says nothing."""
    if policy.worth.client_value is None:
        return None
    if policy.worth.of_all is not None:
        return np.full(len(rows), policy.worth.of_all)
    values: np.ndarray = rows.numbers[:, schema.numeric.index(str(policy.worth.column))]
    return values


def _contact(
    policy: Policy, predicted: np.ndarray, risk: np.ndarray, values: np.ndarray | None
) -> np.ndarray:
    """Whether to contact each client: those whom the model predicts to leave.

    Where the threshold goes by a value that each client has for itself, those with whom it pays;
    of clients whose value is missing, those predicted to leave.
    """
    cost, rate = policy.worth.contact_cost, policy.worth.save_rate
    own = policy.threshold == "value" and policy.worth.column is not None
    if not own or values is None or cost is None or rate is None:
        return predicted
    return np.where(np.isnan(values), predicted, risk * rate * values > cost)
