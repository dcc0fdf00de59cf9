"""Whom to contact: of whom the risk says so, who is not cooling down, left alone, or too many.

Who is left alone, to compare with, is drawn by a hash of name and campaign: on every machine, and
however often it is asked, the same ones.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from pipeline.core.policy import ContactRules
from pipeline.ranking.ranking_file import CONTACT, Status, has_losses, one_of, text_column
from pipeline.storage.contacts import Assignment, last_contacts
from pipeline.storage.database import History


@dataclass(frozen=True)
class ContactState:
    """What is on record of contacts and of the campaign of a day."""

    today: date
    last: Mapping[str, str]  # the day of each client's latest contact
    this_week: int  # clients contacted since Monday
    assigned: Mapping[str, bool]  # who is on record in this campaign, and whether as left alone


def campaign_of(today: date, rules: ContactRules) -> str:
    """The day on which the campaign of a day began."""
    number = today.toordinal() // rules.campaign_days
    return date.fromordinal(max(1, number * rules.campaign_days)).isoformat()


def contact_state(history: History, rules: ContactRules, today: date) -> ContactState:
    """What is on record on a day; contacts of later ones are of a clock that was ahead."""
    until = (today + timedelta(1)).isoformat()  # it may be tomorrow where it was reported
    monday = (today - timedelta(today.weekday())).isoformat()
    ((this_week,),) = history.tuples(
        "SELECT count(DISTINCT client) FROM contacts WHERE day BETWEEN ? AND ?",
        *(monday, until),
    )
    campaign = campaign_of(today, rules)
    assigned = history.tuples(
        "SELECT client, control FROM assignments WHERE campaign = ?", campaign
    )
    known = {client: bool(control) for client, control in assigned}
    return ContactState(today, last_contacts(history, until), this_week, known)


def with_contacts(ranking: pd.DataFrame, rules: ContactRules, state: ContactState) -> pd.DataFrame:
    """A ranking with what contacts and campaign make of `contact` and of the status columns.

    Whose risk does not say that a contact is due is told from the status that the ranking has.
    """
    due = (ranking["contact_status"] != Status.BELOW_THRESHOLD).to_numpy()
    words = np.array([str(Status.BELOW_THRESHOLD), str(Status.PROPOSED)], object)
    status, contacted = words[due.astype(int)], np.full(len(ranking), "", object)
    if state.last or rules.capacity or rules.control_share or state.assigned:
        clients = ranking["client"].to_numpy(object)
        contacted[:] = [state.last.get(client, "") for client in clients]
        cooling = contacted > (state.today - timedelta(rules.cool_down_days)).isoformat()
        status[due & cooling] = str(Status.COOLING_DOWN)
        free = np.flatnonzero(due & ~cooling)
        if has_losses(ranking):  # the best are those with the most at stake
            free = free[np.argsort(ranking["loss_rank"].to_numpy()[free], kind="stable")]
        names = clients[free]
        alone = np.array([_left_alone(name, rules, state) for name in names], dtype=bool)
        room = np.inf if rules.capacity is None else max(0, rules.capacity - state.this_week)
        # a client is left alone whom there would have been room for, then for the whole campaign
        before = np.cumsum(~alone) - ~alone
        known = np.array([state.assigned.get(name, False) for name in names], dtype=bool)
        status[free[alone]] = str(Status.CONTROL)
        status[free[(before >= room) & ~known]] = str(Status.BEYOND_CAPACITY)
    proposed = status == Status.PROPOSED
    columns = {
        "contact": one_of(CONTACT[::-1], proposed.astype(int)),
        "contact_status": text_column(status),
        "contacted_on": text_column(contacted),
    }
    return ranking.assign(**{name: each.set_axis(ranking.index) for name, each in columns.items()})


def _left_alone(client: str, rules: ContactRules, state: ContactState) -> bool:
    """Whether a client is left alone in a campaign; one that is on record in it stays as it is."""
    if client in state.assigned:
        return state.assigned[client]
    if not rules.control_share:
        return False
    text = f"{campaign_of(state.today, rules)}\n{client}".encode(errors="surrogatepass")
    drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
    return drawn < rules.control_share * 2**64


def new_assignments(
    ranking: pd.DataFrame, rules: ContactRules, state: ContactState
) -> list[Assignment]:
    """Who is proposed, or left alone, in this campaign for the first time.

    Without a control group there is nothing to compare, and nothing is kept.
    """
    if not rules.control_share:
        return []
    in_it = ranking["contact_status"].isin((Status.PROPOSED, Status.CONTROL))
    campaign, today = campaign_of(state.today, rules), state.today.isoformat()
    columns = ranking.loc[in_it, ["client", "contact_status", "band", "risk"]]
    return [
        Assignment(
            client, campaign, today, status == Status.CONTROL, rules.control_share, band, risk
        )
        for client, status, band, risk in columns.itertuples(index=False)
        if client not in state.assigned
    ]
