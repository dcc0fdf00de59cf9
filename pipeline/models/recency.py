"""Which rows to learn from where the world may have changed: all of them, or the newest."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from pipeline.core.policy import Policy
from pipeline.models.cross_validation import TrainingData
from pipeline.models.estimators import risk_of
from pipeline.models.training import fit, select

RECENT_LEAVERS = 1_000  # of the newest rows, to learn from them alone
NEWEST_LEAVERS = 200  # of those newer still, which choose between both fits
CERTAIN = 2  # standard errors by which the newest must be better: all rows know more

MIN_RISK = float(np.finfo("float64").eps)  # as in log_loss

log = logging.getLogger("training")

RowNumbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Learned:
    """The numbers of the rows to learn from, whether they are not all, and why."""

    rows: RowNumbers
    recent: bool = False
    evidence: dict[str, float] = field(default_factory=dict)


def newest_holding(outcomes: NDArray[np.float64], leavers: int) -> int:
    """Where the newest rows begin that hold so many leavers, of outcomes oldest first."""
    left = np.flatnonzero(outcomes == 1)
    return int(left[-leavers]) if len(left) >= leavers else 0


def choose(
    rows: RowNumbers,
    outcomes: NDArray[np.float64],
    data_of: Callable[[RowNumbers], TrainingData],
    policy: Policy,
) -> Learned:
    """All rows or the newest, by how fits on either do on rows newer still that neither saw.

    `rows` and their `outcomes`, 0 or 1, are in order of age, the oldest first; `data_of` gives the
    rows of some numbers. The newest are those that hold `RECENT_LEAVERS`. Without at least half as
    many before them, or with one outcome only, all are learned from. Source of the rule: a window
    of the newest rows, Gama and others, A Survey on Concept Drift Adaptation, ACM Computing Surveys
    46(4), 2014, 3.1; the newest rows as its judges, Cerqueira, Torgo and Mozetič, 2020.
    """
    newest = newest_holding(outcomes, NEWEST_LEAVERS)
    recent = newest_holding(outcomes[:newest], RECENT_LEAVERS)
    if (outcomes[:recent] == 1).sum() < RECENT_LEAVERS / 2:
        return Learned(rows)
    parts = {"all": rows[:newest], "recent": rows[recent:newest]}
    if any(len(set(part)) < 2 for part in (outcomes[recent:newest], outcomes[newest:])):
        return Learned(rows)
    held_out = data_of(rows[newest:])
    odds = {}
    for name, part in parts.items():
        risk = risk_of(fit(data_of(part), policy).model, held_out.frame)
        odds[name] = logit(np.clip(risk, MIN_RISK, 1 - MIN_RISK))
    schema = held_out.schema
    clients = pd.factorize(held_out.frame[schema.client])[0]
    found = select(held_out.frame[schema.outcome].to_numpy(), clients, odds)
    better = found.losses["all"] - found.losses["recent"]
    recent_wins = better > CERTAIN * found.standard_errors["recent"]
    which = "the newest" if recent_wins else "all"
    log.info("learning from %s rows: on the newest %s, %s", which, held_out.rows, found)
    if not recent_wins:
        return Learned(rows, evidence=found.evidence)
    begin = newest_holding(outcomes, RECENT_LEAVERS + NEWEST_LEAVERS)
    return Learned(rows[begin:], recent=True, evidence=found.evidence)
