"""Whom to contact: cool-down, the control group, and how many fit into a week."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.action.proposals import (
    ContactState,
    campaign_of,
    contact_state,
    new_assignments,
    with_contacts,
)
from pipeline.core.policy import ContactRules
from pipeline.storage.contacts import Contact, add_contacts, record_assignments
from pipeline.storage.database import History

TODAY = date(2026, 11, 25)  # a Wednesday
NOTHING = ContactState(TODAY, {}, 0, {})


def ranking(count: int, due: int, losses: list[float] | None = None) -> pd.DataFrame:
    """Clients of which the first `due` are to be contacted, as far as the risk says."""
    table = pd.DataFrame(
        {
            "client": [f"c{i:04}" for i in range(count)],
            "risk": np.linspace(0.9, 0.1, count),
            "band": "high",
            "contact": ["yes"] * due + ["no"] * (count - due),
            "contact_status": ["proposed"] * due + ["below_threshold"] * (count - due),
            "contacted_on": "",
        }
    )
    if losses:
        order = np.argsort(-np.array(losses), kind="stable")
        table["expected_loss"] = losses
        table["loss_rank"] = np.argsort(order) + 1.0
    return table


def statuses(table: pd.DataFrame) -> list[str]:
    assert (table["contact"] == "yes").tolist() == (table["contact_status"] == "proposed").tolist()
    return table["contact_status"].tolist()


@pytest.mark.parametrize(
    ("days", "status"), [(0, "cooling_down"), (29, "cooling_down"), (30, "proposed")]
)
def test_after_the_cool_down_a_client_is_proposed_again(days: int, status: str) -> None:
    day = (TODAY - timedelta(days)).isoformat()
    state = ContactState(TODAY, {"c0000": day, "c0003": day}, 0, {})

    found = with_contacts(ranking(4, 2), ContactRules(), state)

    assert statuses(found) == [status, "proposed", "below_threshold", "below_threshold"]
    assert found["contacted_on"].tolist() == [day, "", "", day]


def test_the_best_of_a_week_are_proposed_less_those_contacted_in_it() -> None:
    state = ContactState(TODAY, {"c0000": "2026-11-24"}, 1, {})

    assert statuses(with_contacts(ranking(5, 4), ContactRules(capacity=2), state)) == [
        *("cooling_down", "proposed", "beyond_capacity", "beyond_capacity", "below_threshold")
    ]
    by_loss = ranking(4, 4, losses=[1.0, 3.0, 2.0, float("nan")])
    assert statuses(with_contacts(by_loss, ContactRules(capacity=2), NOTHING)) == [
        *("beyond_capacity", "proposed", "proposed", "beyond_capacity")
    ]


def test_a_control_group_is_the_same_everywhere_and_another_in_each_campaign() -> None:
    rules, table = ContactRules(control_share=0.1), ranking(5_000, 4_000)

    found = with_contacts(table, rules, NOTHING)
    again = with_contacts(table.sample(frac=1, random_state=0), rules, NOTHING).sort_index()
    later = ContactState(TODAY + timedelta(rules.campaign_days), {}, 0, {})
    other = with_contacts(table, rules, later)

    alone = found["contact_status"] == "control"
    assert statuses(found) == statuses(again)
    # 99.9 % limits of a binomial share
    assert abs(alone.mean() / 0.8 - 0.1) < 3.3 * (0.1 * 0.9 / 4_000) ** 0.5
    both = (alone & (other["contact_status"] == "control")).sum() / alone.sum()
    assert both < 0.2
    # drawn by name and campaign: this is what other machines draw, and later versions have to
    assert found.loc[alone, "client"].tolist()[:3] == FIRST_ALONE


FIRST_ALONE = ["c0002", "c0008", "c0021"]


def test_who_is_left_alone_or_proposed_in_a_campaign_stays_so_whatever_the_share() -> None:
    state = ContactState(TODAY, {}, 0, {"c0000": True, "c0001": False, "c0010": False})

    some = with_contacts(ranking(11, 11), ContactRules(control_share=0.1, capacity=1), state)
    none = with_contacts(ranking(11, 11), ContactRules(), state)

    full = replace(state, this_week=1)
    later = with_contacts(ranking(11, 11), ContactRules(control_share=0.1, capacity=1), full)

    assert statuses(later)[:2] == ["control", "beyond_capacity"]
    assert statuses(some)[:3] == ["control", "proposed", "beyond_capacity"]
    assert statuses(none)[0] == "control"
    assert statuses(some)[10] == "beyond_capacity"


def test_a_client_is_left_alone_only_where_there_would_have_been_room_for_it() -> None:
    found = with_contacts(ranking(40, 40), ContactRules(control_share=0.1, capacity=12), NOTHING)

    counts = found["contact_status"].value_counts()
    assert counts["proposed"] == 12
    alone = found.index[found["contact_status"] == "control"]
    last = found.index[found["contact_status"] == "proposed"].max()
    assert len(alone) > 0
    assert (alone <= last + 1).all()


def test_the_state_of_a_day_comes_from_the_history(tmp_path: Path) -> None:
    rules = ContactRules(control_share=0.5, campaign_days=10)
    with History(tmp_path / "history.db") as history:
        with history.transaction():
            # the last ones of a clock that was years ahead
            days = ("2026-11-22", "2026-11-23", "2026-11-25", "2026-11-25", *["2031-11-25"] * 2)
            names = ("before Monday", "c0000", "c0000", "c0001", "c0000", "c0002")
            found = [Contact(name, day, "page") for name, day in zip(names, days, strict=True)]
            add_contacts(history, found)
        state = contact_state(history, rules, TODAY)
        assert (state.this_week, state.last["c0000"]) == (2, "2026-11-25")
        table = with_contacts(ranking(20, 18), rules, state)
        new = new_assignments(table, rules, state)
        with history.transaction():
            record_assignments(history, new)
        state = contact_state(history, rules, TODAY)
        assert state.assigned == {each.client: each.control for each in new}
        assert {each.client for each in new} == {f"c{i:04}" for i in range(2, 18)}
        assert {each.campaign for each in new} == {campaign_of(TODAY, rules)}
        assert new_assignments(table, rules, state) == []
        assert contact_state(history, rules, TODAY + timedelta(10)).assigned == {}
