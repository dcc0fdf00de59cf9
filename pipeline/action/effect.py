"""Did contacting help: who left of those proposed and of the control group, and what it keeps.

Groups are compared as they were drawn, contacted or not (intention to treat), each campaign by
itself where the share of the control group differs. Methods and their sources:

- the interval of the difference: Newcombe's hybrid of two score intervals (Statistics in Medicine
  17, 1998, method 10), in the general form of Zou and Donner (27, 2008), which takes that the same
  client may be in both groups; each score interval with the effective number of clients of a
  weighted sample by clusters (Korn and Graubard, Survey Methodology 24, 1998). Without weights and
  clusters it is Newcombe's;
- the save rate: Bloom's correction (Evaluation Review 8, 1984) for those proposed who were not
  contacted; where control clients were contacted, the complier's of Angrist, Imbens and Rubin (JASA
  91, 1996). What would have become of those contacted is what became of the control group less what
  became of those not contacted (Imbens and Rubin, Review of Economic Studies 64, 1997), so that it
  does not matter who is picked. Its interval is Fieller's (JRSS B 16, 1954);
- how many clients it takes: Fleiss, Tytun and Ury (Biometrics 36, 1980), without the correction.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.action.followup import Evidence, follow_up, traits
from pipeline.core.policy import ASSUMED_SAVE_RATE
from pipeline.data.outcomes import NO_DAY
from pipeline.monitoring.bootstrap import Difference
from pipeline.observations.master import Master
from pipeline.storage.contacts import assignments, contacts
from pipeline.storage.database import History
from pipeline.storage.ledger import file_days

# Leavers to be expected in each group if contacts changed nothing. Of fewer the intervals hold the
# truth too seldom. It goes by the share of both groups together: asking for so many leavers in the
# control group would pick those in which by chance many left.
MIN_EXPECTED = 10
LEVEL, POWER = 0.95, 0.8
USUAL_SHARE = 0.1  # of a control group, where there is none yet
_Z, _Z_POWER = NormalDist().inv_cdf((1 + LEVEL) / 2), NormalDist().inv_cdf(POWER)


@dataclass(frozen=True)
class Group:
    """Clients who were to be contacted, or left alone: of each campaign, each client once."""

    clients: int  # whose outcome is known
    left: int
    contacted: int  # of these
    waiting: int  # whose outcomes cannot all be known yet
    unknown: int  # of whom no row tells


_NOBODY = Group(0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Compared:
    """Both groups, of all clients or of a part; None is what cannot be said yet.

    `share_left` and `share_left_control` are weighted by campaign. `difference` is how much less is
    left of the proposed; `save_rate` the share of leavers whom a contact keeps.
    """

    column: str  # `band`, or a column of the clients; empty: all clients
    value: str
    proposed: Group
    control: Group
    share_left: float | None = None
    share_left_control: float | None = None
    difference: Difference | None = None
    save_rate: Difference | None = None


@dataclass(frozen=True)
class Effect:
    """What all campaigns show, if there are any; without a horizon leaving until now counts.

    `needed` is how many clients it takes, of both groups, to see a save rate of `assumed_rate` in
    four of five cases, `more` how many still have to be drawn; None where no risk says so.
    """

    campaigns: int
    since: str | None
    until: str | None  # the newest day of which rows tell
    horizon_days: int | None
    overall: Compared
    bands: tuple[Compared, ...]
    segments: tuple[Compared, ...]
    assumed_rate: float
    needed: int | None
    more: int | None


def measure_effect(
    history: History, rows: Master, assumed_rate: float | None = None, *, in_parts: bool = True
) -> Effect:
    """What the campaigns on record show.

    `assumed_rate` is the save rate that is to be seen. Without `in_parts`, only of all clients.
    """
    assigned = assignments(history)
    if rows.drawn_from:  # of a sample of clients
        there = {*rows.frame[rows.schema.client]}
        assigned = [one for one in assigned if one.client in there]
    horizon, rate = rows.schema.horizon_days, assumed_rate or ASSUMED_SAVE_RATE
    if not assigned:
        nobody = Compared("", "", _NOBODY, _NOBODY)
        return Effect(0, None, None, horizon or None, nobody, (), (), rate, None, None)
    files = file_days(history)
    evidence = Evidence.of(rows, files)
    found = follow_up(assigned, contacts(history), evidence, horizon)
    overall = compare(found)
    bands: tuple[Compared, ...] = ()
    segments: tuple[Compared, ...] = ()
    if in_parts:
        bands = tuple(_parts(found, found[["band"]]))
        segments = tuple(_parts(found, traits(rows, files, found)))
    needed = clients_needed(found, rate)
    known = sum(one.clients + one.waiting for one in (overall.proposed, overall.control))
    newest = None
    if evidence.newest != NO_DAY:
        newest = (date(1970, 1, 1) + timedelta(evidence.newest)).isoformat()
    return Effect(
        campaigns=found["campaign"].nunique(),
        since=min(found["day"]),
        until=newest,
        horizon_days=horizon or None,
        overall=overall,
        bands=bands,
        segments=segments,
        assumed_rate=rate,
        needed=needed,
        more=None if needed is None else max(0, needed - known),
    )


def _parts(found: pd.DataFrame, by: pd.DataFrame) -> Iterator[Compared]:
    """The parts of the clients, by each column, of which there are enough."""
    for column in by:
        for value, part in found.groupby(by[column].astype("str"), sort=True):
            one = compare(part, str(column), str(value))
            if value and one.save_rate:
                yield one


def compare(found: pd.DataFrame, column: str = "", value: str = "") -> Compared:
    """Both groups of some assignments, as `follow_up` gives them."""
    control = found["control"].to_numpy(np.bool_)
    groups = _group(found[~control]), _group(found[control])
    counted = found[found["ripe"] & found["left"].notna()]
    # what was drawn with one share; of what has one group only, nothing can be compared
    drawn = counted.groupby(["campaign", "share"], sort=False)["control"]
    counted = counted[drawn.transform("nunique") == 2]
    if counted.empty:
        return Compared(column, value, *groups)
    sample = _Sample.of(counted)
    proposed, left_alone = sample.shares[0, 0], sample.shares[1, 0]
    return Compared(
        column,
        value,
        *groups,
        share_left=float(proposed),
        share_left_control=float(left_alone),
        difference=sample.difference(),
        save_rate=sample.save_rate() if sample.enough else None,
    )


def _group(found: pd.DataFrame) -> Group:
    known = found["ripe"] & found["left"].notna()
    return Group(
        clients=int(known.sum()),
        left=int(found.loc[known, "left"].sum()),
        contacted=int(found.loc[known, "contacted"].sum()),
        waiting=int((~found["ripe"]).sum()),
        unknown=int((found["ripe"] & ~known).sum()),
    )


@dataclass(frozen=True, eq=False)
class _Sample:
    """Of both groups, the proposed first, who left, and who left without a contact.

    `shares` has the weighted shares of these two, by group; `covariance` that of both of one group
    with both of another: shapes (2, 2) and (2, 2, 2, 2), each index a group, then which.
    """

    shares: NDArray[np.float64]
    covariance: NDArray[np.float64]
    sizes: NDArray[np.float64]  # effective numbers of clients, if all were alike: (2,)
    enough: bool

    @classmethod
    def of(cls, found: pd.DataFrame) -> "_Sample":
        group = found["control"].to_numpy(np.int64)
        left = found["left"].to_numpy(np.float64)
        values = np.stack([left, left * ~found["contacted"].to_numpy(np.bool_)])
        clients = pd.factorize(found["client"])[0]
        # a campaign weighs as much in each group as it has clients in both
        drawn = found.groupby(["campaign", "share"]).ngroup().to_numpy()
        counts = np.zeros((drawn.max() + 1, 2))
        np.add.at(counts, (drawn, group), 1)
        weights = counts.sum(1)[drawn] / counts[drawn, group] / len(found)
        shares, errors, sizes = np.zeros((2, 2)), [], np.zeros(2)
        for which in (0, 1):
            own = np.where(group == which, weights, 0.0)
            shares[which] = values @ own
            error = (values - shares[which][:, None]) * own
            errors.append([np.bincount(clients, one) for one in error])
            sizes[which] = 1 / (np.bincount(clients, own) ** 2).sum()
        expected = counts.sum(0) * left.mean()
        return cls(
            shares,
            np.einsum("iac,jbc->iajb", errors, errors),
            sizes,
            bool((expected >= MIN_EXPECTED).all()),
        )

    def difference(self) -> Difference:
        """How much less is left of the proposed than of the control group."""
        bounds = []
        for which in (0, 1):
            share, variance = self.shares[which, 0], self.covariance[which, 0, which, 0]
            size = share * (1 - share) / variance if variance > 0 else self.sizes[which]
            bounds.append(_score_interval(float(share), float(size)))
        (low, high), (low_control, high_control) = bounds
        proposed, control = self.shares[:, 0].tolist()
        spread = math.sqrt(self.covariance[0, 0, 0, 0] * self.covariance[1, 0, 1, 0])
        correlation = self.covariance[0, 0, 1, 0] / spread if spread else 0.0

        def reach(one: float, other: float) -> float:
            return math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))

        value = control - proposed
        return Difference(
            value,
            value - reach(control - low_control, high - proposed),
            value + reach(high_control - control, proposed - low),
        )

    def save_rate(self) -> Difference | None:
        """The share of leavers whom a contact keeps; None where that could be anything."""
        # of those who left, and of those who left without a contact, how many more in the control
        # group: the first are who was kept, the second whom contacts could have kept
        sign = np.array([-1.0, 1.0])
        kept, reached = sign @ self.shares
        covariance = np.einsum("i,iajb,j->ab", sign, self.covariance, sign)
        a = reached**2 - _Z**2 * covariance[1, 1]
        if reached <= 0 or a <= 0:
            return None
        b = kept * reached - _Z**2 * covariance[0, 1]
        c = kept**2 - _Z**2 * covariance[0, 0]
        root = math.sqrt(max(0.0, b * b - a * c))
        return Difference(float(kept / reached), float((b - root) / a), float((b + root) / a))


def _score_interval(share: float, size: float) -> tuple[float, float]:
    """Wilson's interval of a share of so many clients."""
    z2 = _Z**2 / size
    middle = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return middle - half, middle + half


def clients_needed(found: pd.DataFrame, save_rate: float) -> int | None:
    """How many clients it takes, of both groups, to see a save rate with a power of 80 %.

    By the risks that clients had when they were assigned; by the share of those contacted so far,
    or all, if nobody is; and by the share of the control group drawn last. None where nobody had a
    risk.
    """
    risk, control = found["risk"].to_numpy(np.float64), found["control"].to_numpy(np.bool_)
    at_risk = float(risk.mean())
    reached = at_risk
    if found["contacted"].any() and not control.all():
        met = risk * found["contacted"].to_numpy(np.bool_)
        reached = float(met[~control].mean() - (met[control].mean() if control.any() else 0))
    share = float(found["share"].to_numpy()[found["start"].argmax()]) or USUAL_SHARE
    return needed_to_see(at_risk, at_risk - save_rate * reached, share)


def needed_to_see(control: float, proposed: float, share: float) -> int | None:
    """How many clients it takes to tell these shares of leavers apart; None if they are equal.

    So large a `share` of them is the control group. Two-sided, at 5 %, with a power of 80 %.
    """
    if not 0 <= proposed < control:
        return None
    ratio = (1 - share) / share
    pooled = (control + ratio * proposed) / (1 + ratio)
    apart = ratio * control * (1 - control) + proposed * (1 - proposed)
    alike = (ratio + 1) * pooled * (1 - pooled)
    root = _Z * math.sqrt(alike) + _Z_POWER * math.sqrt(apart)
    return math.ceil(root**2 / (ratio * (control - proposed) ** 2) * (1 + ratio))
