"""The company whose year `tests/bench/bench_company_year.py` measures is as its docstring says."""

import numpy as np
import pandas as pd
import pytest
from company import MISSING, SCHEMA, TEST_CLIENTS, Events, Week, Year, year
from sklearn.metrics import roc_auc_score

from pipeline.models.estimators import fit_model, risk_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> Year:
    return year(1)


def test_two_to_five_percent_leave_and_the_season_doubles_it(world):
    shares = np.array([week.leaves[:10_000].mean() for week in world.weeks])
    assert 0.018 < shares.min() < 0.027
    assert 0.04 < shares.max() < 0.05
    assert [len(week.listed) for week in world.weeks] == [10_000] * 30 + [12_000] * 22


def test_a_model_of_before_the_change_is_no_good_after_it_and_a_new_one_as_good_as_before(world):
    before = pd.concat([world.history, *(week.reported for week in world.weeks[:20])])
    after = pd.concat([week.reported for week in world.weeks[28:36]])
    old, new = (fit_model("logistic", frame, SCHEMA) for frame in (before, after))
    judged = [world.weeks[week] for week in (12, 16, 21, 25, 32, 40)]
    ideal = [roc_auc_score(week.leaves, week.chance) for week in judged]
    assert 0.77 < np.mean(ideal) < 0.81
    assert min(_auc(old, week) for week in judged[:2]) > 0.75
    assert 0.40 < np.mean([_auc(old, week) for week in judged[2:]]) < 0.50
    assert min(_auc(new, week) for week in judged[2:]) > 0.75


def _auc(model, week: Week) -> float:
    return roc_auc_score(week.leaves, risk_of(model, week.listed))


def test_each_row_comes_again_once_with_its_outcome_as_it_was_sent(world):
    columns = [SCHEMA.client, *SCHEMA.features]
    lists = [week.sent[week.sent["left"].isna()] for week in world.weeks]
    sent = pd.concat([rows[columns].assign(week=i) for i, rows in enumerate(lists)])
    reports = [week.reported.assign(known=week.number) for week in world.weeks]
    again = pd.concat(reports).merge(sent, on=columns)  # NaN equals NaN here
    assert len(again) == sum(map(len, reports))
    assert not again.duplicated(["client", "week"]).any()
    assert (again["known"] - again["week"]).between(4, 8).all()
    # those of the first 44 weeks are all known by now, but for nobody
    assert (again["week"] <= 43).sum() == sum(len(rows) for rows in lists[:44])


def test_feeds_break_and_clients_do_not(world):
    events = Events()
    for number in events.broken:
        week = world.weeks[number]
        sent = week.sent[: len(week.listed)]
        changed = [name for name in SCHEMA.numeric if not sent[name].equals(week.listed[name])]
        assert changed == (["spend"] if number in events.zeros else ["logins"])
    assert (world.weeks[events.zeros[0]].sent["spend"][:12_000] == 0).all()
    assert world.weeks[0].listed[list(MISSING)].replace("", np.nan).isna().any().all()
    assert world.test["client"].nunique() == TEST_CLIENTS
    sent = pd.concat([world.history, *(week.sent for week in world.weeks)])["client"]
    assert not world.test["client"].isin(sent).any()
