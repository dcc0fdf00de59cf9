"""The ranking: who is in it, in which order, whom to contact, what is at stake."""

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelling import GIVEN_RISK, client_frame
from sandbox import Sandbox, client_rows

from pipeline.core.policy import Policy, Worth
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.models.scorer import Scorer
from pipeline.ranking.rank import Ranking, rank_clients
from pipeline.registry.releases import Release, live_release

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]


def live(world: Sandbox) -> Release:
    return live_release(world.config.prod_deployment_path)


def model_of(world: Sandbox) -> Any:
    return pickle.loads((world.root / "production_deployment/trainedmodel.pkl").read_bytes())


def scorer_of(world: Sandbox) -> Scorer:
    return Scorer(model_of(world), DEFAULT_SCHEMA)


def ranked(world: Sandbox) -> pd.DataFrame:
    return pd.read_csv(
        world.root / "models/clientrisk.csv", dtype={"client": "str"}, keep_default_na=False
    )


# --- who is in it, in which order ---


def test_the_ranking_equals_one_computed_by_pandas_and_pickle(deployed: Sandbox) -> None:
    changed = ["client00003,11,222,7,", "client00004,12,223,66,0", "client00005,13,224,8,1"]
    deployed.write("sourcedata/c.csv", [*client_rows(300, 20, outcome=""), *changed])
    assert deployed.run("ingestion").code == 0

    assert deployed.run("reporting").code == 0

    expected = pd.read_csv(deployed.root / "ingesteddata/finaldata.csv")
    expected = expected.groupby("corporation", sort=False).tail(1)
    expected = expected[expected["exited"].isna() | (expected["exited"] == 0)]
    expected["risk"] = model_of(deployed).predict_proba(expected[FEATURES])[:, 1]
    expected = expected.sort_values("corporation").sort_values(
        "risk", ascending=False, kind="stable"
    )
    found = ranked(deployed)
    assert found["client"].tolist() == expected["corporation"].tolist()
    assert found["risk"].tolist() == expected["risk"].round(6).tolist()
    assert found["rank"].tolist() == list(range(1, len(expected) + 1))
    assert set(found["release"]) == {live(deployed).id}
    assert found.columns.tolist() == [
        *["rank", "client", "risk", "band", "release", "contact", "reasons"],
        *["contact_status", "contacted_on"],
    ]
    predicted = model_of(deployed).predict(expected[FEATURES])
    assert found["contact"].tolist() == ["yes" if leaves else "no" for leaves in predicted]


def test_missing_numbers_are_ranked_too(deployed: Sandbox) -> None:
    frame = client_frame(("known", 20, 300, 90, 0))
    frame = pd.concat([frame, pd.DataFrame([{"corporation": "unknown", "exited": 0.0}])])

    found = rank_clients(scorer_of(deployed), frame, DEFAULT_SCHEMA)

    assert sorted(found.clients) == ["known", "unknown"]
    assert ((found.risk > 0) & (found.risk < 1)).all()


def test_without_any_client_the_ranking_is_empty(deployed: Sandbox) -> None:
    frame = client_frame(("left", 20, 300, 6, 1))[:0]

    found = rank_clients(scorer_of(deployed), frame, DEFAULT_SCHEMA)

    assert (found.clients, found.risk.tolist()) == ([], [])


def test_clients_of_equal_risk_stand_in_order_of_log_odds_then_of_name() -> None:
    frame = client_frame(
        *[("c", 0.5, 1, 0, 0), ("a", 0.5, 1, 0, 0), ("b", 0.5, 2, 0, 0), ("d", 0.9, -9, 0, 0)],
        *[("e", 0.1, 99, 0, 0), ("f", 0.5, -3, 0, 0)],
    )

    assert rank_clients(GIVEN_RISK, frame, DEFAULT_SCHEMA).clients == ["d", "b", "a", "c", "f", "e"]


def test_columns_that_no_model_sees_travel_with_their_clients_and_order_none() -> None:
    schema = replace(DEFAULT_SCHEMA, carry=("manager",))
    frame = client_frame(("c", 0.5, 1, 0, 0), ("a", 0.5, 1, 0, 0), ("b", 0.9, 1, 0, 0))
    frame["manager"] = ["Ada", "Bo", "Cy"]

    found = rank_clients(GIVEN_RISK, frame, schema)

    assert (found.clients, found.carried) == (["b", "a", "c"], {"manager": ["Cy", "Bo", "Ada"]})


# --- whom to contact ---


def ranking_of(policy: Policy, *rows: tuple[float, float]) -> Ranking:
    """The ranking of clients with these risks and values, by a model that says so."""
    frame = client_frame(*[(f"c{i}", risk, 0, value, 0) for i, (risk, value) in enumerate(rows)])
    return rank_clients(GIVEN_RISK, frame, DEFAULT_SCHEMA, policy)


OWN = Worth("number_of_employees", contact_cost=10, save_rate=0.5)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(threshold="f1", worth=OWN),
        Policy(threshold=0.2, worth=OWN),
        Policy(threshold="value", worth=replace(OWN, client_value=1000.0)),
    ],
)
def test_those_are_contacted_whom_the_model_predicts_to_leave(policy: Policy) -> None:
    found = ranking_of(policy, (0.9, 0), (0.51, 1000), (0.49, 1000), (0.1, 1000))

    assert found.contact.tolist() == [True, True, False, False]


def test_by_their_own_value_those_are_contacted_with_whom_it_pays() -> None:
    policy = Policy(threshold="value", worth=OWN)

    found = ranking_of(policy, (0.9, 20), (0.5, 40), (0.49, 41), (0.25, 1000), (0.2, -1000))

    # 0.9 * 0.5 * 20 = 9; 0.5 * 0.5 * 40 = 10, no more than the cost; 10.045; 125; -100
    assert found.contact.tolist() == [False, False, True, True, False]


def test_a_client_of_unknown_value_is_contacted_if_predicted_to_leave() -> None:
    found = ranking_of(Policy(threshold="value", worth=OWN), (0.9, math.nan), (0.4, math.nan))

    assert found.contact.tolist() == [True, False]


# --- what is at stake ---


def test_without_a_client_value_nothing_is_said_of_losses() -> None:
    found = ranking_of(Policy(), (0.9, 20))

    assert (found.loss, found.loss_rank.tolist()) == (None, [])


def test_the_expected_loss_is_the_risk_times_the_value() -> None:
    sum_of_all = ranking_of(Policy(worth=Worth(200.0)), (0.9, 0), (0.123456, 0))
    of_each = ranking_of(Policy(worth=OWN), (0.9, 20), (0.5, 1000.5), (0.4, math.nan), (0.0, -5))

    assert (sum_of_all.loss is not None, of_each.loss is not None) == (True, True)
    np.testing.assert_array_equal(sum_of_all.loss, [180.0, 24.69])
    np.testing.assert_array_equal(of_each.loss, [18.0, 500.25, math.nan, 0.0])
    assert not np.signbit(of_each.loss).any()  # a file that says -0.00 puzzles people


def test_clients_are_ranked_by_loss_too_those_of_unknown_value_not() -> None:
    found = ranking_of(
        Policy(worth=OWN), (0.9, 10), (0.8, math.nan), (0.5, 100), (0.3, 30), (0.1, 500), (0, 0)
    )

    assert found.loss_rank.tolist() == [3, 0, 1, 4, 2, 5]
