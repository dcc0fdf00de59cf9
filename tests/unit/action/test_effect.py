"""The statistics of campaigns: published examples, and simulated ones whose effect is known."""

import campaign
import numpy as np
import pandas as pd
import pytest
from modelling import GIVEN_RISK
from scipy.stats import binom

from pipeline.action.effect import Compared, clients_needed, compare, needed_to_see
from pipeline.action.followup import follow_up
from pipeline.core.policy import Policy, Worth
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.ranking.rank import rank_clients


def assignments(
    proposed: tuple[int, int], control: tuple[int, int], *, share: float = 0.1, name: str = "c"
) -> pd.DataFrame:
    """So many leavers of so many clients of each group, all known, all proposed contacted."""
    parts = []
    for group, (left, clients) in enumerate((proposed, control)):
        part = pd.DataFrame({"left": (np.arange(clients) < left).astype("float64")})
        part["control"], part["contacted"] = bool(group), not group
        part["client"] = [f"{name}{group}-{i}" for i in range(clients)]
        parts.append(part)
    both = pd.concat(parts, ignore_index=True)
    return both.assign(campaign=name, share=share, ripe=True, risk=0.3, start=0, day="2026-03-01")


def bounds(found: Compared) -> tuple[float, float]:
    assert found.difference
    return found.difference.low, found.difference.high


@pytest.mark.parametrize(
    ("control", "proposed", "expected"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 10), (-0.2775, 0.2775)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
    ],
)
def test_the_interval_of_a_difference_is_newcombe_s(
    control: tuple[int, int], proposed: tuple[int, int], expected: tuple[float, float]
) -> None:
    """The table of his article, by method 10."""
    assert bounds(compare(assignments(proposed, control))) == pytest.approx(expected, abs=6e-5)


def test_a_client_in_two_campaigns_is_no_more_evidence_than_one() -> None:
    once = assignments((30, 200), (40, 100))
    twice = pd.concat([once, once.assign(campaign="second")])
    others = pd.concat([once, once.assign(campaign="second", client=once["client"] + "!")])
    assert bounds(compare(twice)) == pytest.approx(bounds(compare(once)))
    low, high = bounds(compare(others))
    assert bounds(compare(once))[0] < low < high < bounds(compare(once))[1]


def test_campaigns_of_different_shares_are_compared_each_by_itself() -> None:
    # half as many leave in both groups of the second, of which more is left alone: no effect
    first = assignments((360, 900), (40, 100), share=0.1, name="a")
    second = assignments((100, 500), (100, 500), share=0.5, name="b")
    found = compare(pd.concat([first, second]))
    assert (found.share_left, found.share_left_control) == (pytest.approx(0.3), pytest.approx(0.3))


def test_what_was_drawn_without_a_control_group_is_left_out() -> None:
    first = assignments((300, 1000), (0, 0), share=0.0, name="a")
    second = assignments((10, 100), (30, 100), share=0.5, name="b")
    found = compare(pd.concat([first, second]))
    assert (found.share_left, found.proposed.clients) == (pytest.approx(0.1), 1100)
    assert compare(first).difference is None


def test_who_is_not_ripe_or_not_known_does_not_count() -> None:
    known = assignments((30, 100), (40, 100))
    more = pd.concat(
        [
            known,
            assignments((50, 50), (3, 30), name="early").assign(ripe=False, campaign="c"),
            assignments((0, 20), (0, 10), name="silent").assign(left=np.nan, campaign="c"),
        ]
    )
    found = compare(more)
    assert bounds(found) == bounds(compare(known))
    counts = [
        (one.clients, one.left, one.waiting, one.unknown) for one in (found.proposed, found.control)
    ]
    assert counts == [(100, 30, 50, 20), (100, 40, 30, 10)]


def test_the_save_rate_is_of_those_who_could_be_reached() -> None:
    # of 100 leavers in each thousand, 60 are contacted in time, of whom 15 stay
    found = assignments((85, 1000), (100, 1000), share=0.5)
    found.loc[(found["left"] == 1) & ~found["control"], "contacted"] = [True] * 45 + [False] * 40
    rate = compare(found).save_rate
    assert rate
    assert rate.value == pytest.approx(15 / 60)
    assert rate.low < 0 < rate.value < rate.high


def test_of_too_few_no_save_rate_is_told() -> None:
    many, few = assignments((95, 900), (10, 100)), assignments((95, 900), (9, 90))
    assert compare(many).save_rate
    assert compare(few).save_rate is None  # 9.5 leavers are to be expected in the control group


def test_where_contacts_reach_nobody_no_save_rate_is_told() -> None:
    nobody = assignments((200, 1000), (200, 1000), share=0.5).assign(contacted=False)
    assert compare(nobody).save_rate is None


def test_as_many_clients_as_are_needed_see_the_effect_in_four_of_five_cases() -> None:
    control, proposed, share = 0.4, 0.33, 0.1
    needed = needed_to_see(control, proposed, share)
    assert needed == 4055
    random, size = np.random.default_rng(3), np.array([needed * 0.9, needed * 0.1]).astype(int)
    drawn = random.binomial(size, (proposed, control), (10_000, 2)) / size
    spread = np.sqrt((drawn * (1 - drawn) / size).sum(1))
    assert ((drawn[:, 1] - drawn[:, 0]) / spread > 1.96).mean() == pytest.approx(0.8, abs=0.02)
    assert needed_to_see(0.4, 0.4, 0.1) is None


def test_how_many_are_needed_goes_by_risks_and_by_who_is_contacted() -> None:
    found = assignments((0, 900), (0, 100))
    half = found.assign(contacted=found.index < 450)
    assert clients_needed(found, 0.2) == needed_to_see(0.3, 0.24, 0.1)
    assert clients_needed(half, 0.2) == needed_to_see(0.3, 0.27, 0.1)
    nobody = found.assign(contacted=False, share=0.0)  # then as if all were, of a tenth left alone
    assert clients_needed(nobody, 0.2) == needed_to_see(0.3, 0.24, 0.1)


RUNS, SAVE_RATE = 400, 0.35
HELD = binom.ppf([0.0005, 0.9995], RUNS, 0.95)  # of so many, if the intervals are right


@pytest.mark.slow
def test_intervals_hold_the_truth_of_simulated_campaigns() -> None:
    differences = rates = 0
    for seed in range(RUNS):
        world = campaign.simulated(np.random.default_rng(seed), 1_600, SAVE_RATE)
        found = follow_up(world.assigned, world.contacts, world.evidence, campaign.HORIZON)
        one = compare(found)
        counted = found[found["ripe"] & found["left"].notna()]
        assert one.difference
        assert one.save_rate
        differences += bounds(one)[0] <= world.difference(counted) <= bounds(one)[1]
        rates += one.save_rate.low <= SAVE_RATE <= one.save_rate.high
    print(f"of {RUNS} intervals hold the truth: difference {differences}, save rate {rates}")
    assert HELD[0] <= differences <= HELD[1]
    assert HELD[0] <= rates <= HELD[1]


@pytest.mark.parametrize(("true", "assumed"), [(0.15, 0.5), (0.35, 0.1)])
def test_contacts_by_the_measured_save_rate_earn_more_than_by_one_that_is_far_off(
    true: float, assumed: float
) -> None:
    random = np.random.default_rng(5)
    world = campaign.simulated(random, 30_000, true)
    found = follow_up(world.assigned, world.contacts, world.evidence, campaign.HORIZON)
    measured = compare(found).save_rate
    assert measured
    assert 0 < measured.low <= true <= measured.high
    clients = pd.DataFrame({"corporation": [f"c{i}" for i in range(5_000)]})
    clients["lastmonth_activity"] = risk = random.beta(1, 3, 5_000)  # as `GIVEN_RISK` gives it
    clients["lastyear_activity"] = 0.0
    clients["number_of_employees"] = value = random.lognormal(6, 1, 5_000)
    cost = 15.0

    def profit(save_rate: float) -> float:
        worth = Worth("number_of_employees", cost, save_rate)
        policy = Policy(threshold="value", worth=worth)
        ranked = rank_clients(GIVEN_RISK, clients, DEFAULT_SCHEMA, policy)
        chosen = clients["corporation"].isin(np.array(ranked.clients)[ranked.contact])
        return float((risk * true * value - cost)[chosen].sum())

    assert profit(true) >= profit(measured.value) > profit(assumed)
    assert profit(true) - profit(measured.value) < (profit(true) - profit(assumed)) / 5
