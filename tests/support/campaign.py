"""A made-up campaign whose true effect is known: who is drawn, contacted, and leaves, and when.

Two campaigns of the same clients, with control groups of different shares and other risks. The
riskier ones of those proposed are contacted within ten days, some of the control group too; who
would leave later than that is kept with the probability `save_rate`. Leaving is heard of late.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from pipeline.action.followup import Evidence
from pipeline.storage.contacts import Assignment, Contact

FIRST = date(1970, 1, 1)
BEGIN = (date(2026, 3, 2) - FIRST).days
HORIZON = 30
RISKS = np.array([0.05, 0.1, 0.45, 0.8])  # as many clients at each
CONTACTED = 0.4  # the least risk of those whom somebody calls
DELAY = 10  # days within which they are, from the day itself on
CAMPAIGNS = {0: (0.1, 1.0), 90: (0.4, 0.4)}  # begin -> share of the control group, part of the risk
DRAWN = 40  # days within which clients come into a campaign
NEWEST = 90 + 35 + HORIZON  # so that the last five days of the second are not ripe
UNKNOWN = 0.05  # of whom nothing is heard


@dataclass(frozen=True, eq=False)
class Campaign:
    """What is on record of it, and the true difference, by campaign and share."""

    assigned: list[Assignment]
    contacts: list[Contact]
    evidence: Evidence
    differences: dict[str, float]

    def difference(self, found: pd.DataFrame) -> float:
        """The true difference of these clients: of each campaign as many as there are."""
        return float(found["campaign"].map(self.differences).mean())


def day(number: int) -> str:
    return (FIRST + timedelta(number)).isoformat()


def simulated(
    random: np.random.Generator, clients: int, save_rate: float, crossover: float = 0.25
) -> Campaign:
    """Simulate it; `crossover` is the share of contacts that control clients get all the same."""
    assigned, contacts, left = [], [], []
    risk = RISKS[random.integers(len(RISKS), size=clients)]
    names = [f"c{i}" for i in range(clients)]
    silent = random.random(clients) < UNKNOWN
    differences = {}
    for begin, (share, part) in CAMPAIGNS.items():
        start = BEGIN + begin + random.integers(DRAWN, size=clients)
        control = random.random(clients) < share
        would_leave = random.random(clients) < part * risk
        leaves_on = start + random.integers(1, HORIZON + 1, clients)
        called_on = start + random.integers(DELAY + 1, size=clients)
        called = (risk >= CONTACTED) & (~control | (random.random(clients) < crossover))
        called &= ~(would_leave & (called_on > leaves_on))  # it was too late
        leaves = would_leave & ~(called & (random.random(clients) < save_rate))
        told = leaves_on + random.integers(60, size=clients)  # its row comes late
        campaign = day(BEGIN + begin)
        for i, name in enumerate(names):
            group = bool(control[i])
            at = day(int(start[i]))
            assigned.append(Assignment(name, campaign, at, group, share, "high", part * risk[i]))
            if called[i]:
                contacts.append(Contact(name, day(int(called_on[i])), "page"))
        known = leaves & ~silent
        left.append(
            pd.DataFrame({"client": names, "since": leaves_on, "told": told})[known].astype(
                {"since": "int64", "told": "int64"}
            )
        )
        in_time = np.mean([(HORIZON + 1 - max(1, on)) / HORIZON for on in range(DELAY + 1)])
        met = (RISKS * (RISKS >= CONTACTED)).mean() * part * in_time
        differences[campaign] = float(met * save_rate * (1 - crossover))
    seen = pd.Series(BEGIN + NEWEST, np.array(names)[~silent])
    found = pd.concat(left, ignore_index=True)
    evidence = Evidence(found, seen, frozenset(), BEGIN + NEWEST)
    return Campaign(assigned, contacts, evidence, differences)
