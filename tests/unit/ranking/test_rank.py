"""The ranking: in order, whom to contact, what is at stake, and its file against one by pandas."""

import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sandbox import Sandbox, client_rows

from pipeline.core.config import RiskBands
from pipeline.core.csv_format import escape_formula
from pipeline.core.errors import HistoryError
from pipeline.core.policy import Policy, Worth
from pipeline.core.schema import DEFAULT_SCHEMA, canonical_text
from pipeline.data.features import Features, Row, features_of
from pipeline.models.fast_linear import Linear
from pipeline.models.scorer import ByEstimator, ByNumbers
from pipeline.ranking import ranking_file
from pipeline.ranking.explanations import Explainer
from pipeline.ranking.rank import Ranking, rank_clients
from pipeline.ranking.ranking_file import ranking_text
from pipeline.ranking.rankingreader import ranking_to_dicts, read_ranking
from pipeline.registry.releases import Release, live_release

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
BANDS = RiskBands()
RELEASE = "000001-20261122T090000Z"
HEADER = "rank,client,risk,band,release,contact,reasons\n"
LOSS_HEADER = HEADER.replace("reasons", "reasons,expected_loss,loss_rank")


def live(world: Sandbox) -> Release:
    return live_release(world.config.prod_deployment_path)


def model_of(world: Sandbox) -> Any:
    return pickle.loads((world.root / "production_deployment/trainedmodel.pkl").read_bytes())


def scorer_of(world: Sandbox) -> ByEstimator:
    return ByEstimator(model_of(world), DEFAULT_SCHEMA)


def ranked(world: Sandbox) -> pd.DataFrame:
    return pd.read_csv(
        world.root / "models/clientrisk.csv", dtype={"client": "str"}, keep_default_na=False
    )


def rows_of(*rows: tuple[str, float, float, float, float | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["corporation", *FEATURES, "exited"])
    return frame.astype(dict.fromkeys([*FEATURES, "exited"], "float64"))


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
        *["rank", "client", "risk", "band", "release", "contact", "reasons"]
    ]
    predicted = model_of(deployed).predict(expected[FEATURES])
    assert found["contact"].tolist() == ["yes" if leaves else "no" for leaves in predicted]


def test_the_latest_row_of_each_client_counts(deployed: Sandbox) -> None:
    frame = rows_of(
        ("stays", 20, 300, 6, 0), ("came back", 20, 300, 6, 1), ("left", 20, 300, 90, 0)
    )
    latest = rows_of(("came back", 20, 300, 90, 0), ("left", 20, 300, 90, 1))
    model = model_of(deployed)

    found = rank_clients(scorer_of(deployed), pd.concat([frame, latest]), DEFAULT_SCHEMA)

    risk = model.predict_proba(rows_of(("", 20, 300, 6, 0), ("", 20, 300, 90, 0))[FEATURES])[:, 1]
    assert found.clients == ["stays", "came back"]
    assert found.risk.tolist() == pytest.approx(risk.tolist())


def test_those_who_left_are_out_and_the_unknown_are_in(deployed: Sandbox) -> None:
    frame = rows_of(
        ("left", 20, 300, 6, 1), ("stayed", 20, 300, 90, 0), ("unknown", 20, 300, 6, None)
    )

    found = rank_clients(scorer_of(deployed), frame, DEFAULT_SCHEMA)

    assert found.clients == ["unknown", "stayed"]


def test_the_highest_risk_comes_first(deployed: Sandbox) -> None:
    frame = rows_of(*[(f"c{size:02}", 20, 300, size, 0) for size in range(90, 0, -10)])

    found = rank_clients(scorer_of(deployed), frame, DEFAULT_SCHEMA)

    assert np.diff(found.risk).max() < 0
    assert found.clients == [f"c{size:02}" for size in range(10, 100, 10)]


def test_clients_of_equal_risk_stand_in_order_of_name(deployed: Sandbox) -> None:
    frame = rows_of(*[(name, 20, 300, 6, 0) for name in ("Zeta", "alpha", "Beta", "Ähre")])

    found = rank_clients(scorer_of(deployed), frame, DEFAULT_SCHEMA)

    assert found.clients == ["Beta", "Zeta", "alpha", "Ähre"]


def test_missing_numbers_are_ranked_too(deployed: Sandbox) -> None:
    frame = rows_of(("known", 20, 300, 90, 0))
    frame = pd.concat([frame, pd.DataFrame([{"corporation": "unknown", "exited": 0.0}])])

    found = rank_clients(scorer_of(deployed), frame, DEFAULT_SCHEMA)

    assert sorted(found.clients) == ["known", "unknown"]
    assert ((found.risk > 0) & (found.risk < 1)).all()


def test_where_everybody_left_the_ranking_is_empty(deployed: Sandbox) -> None:
    frame = rows_of(("left", 20, 300, 6, 1))

    found = rank_clients(scorer_of(deployed), frame, DEFAULT_SCHEMA)

    assert (found.clients, found.risk.tolist()) == ([], [])
    assert "".join(ranking_text(found, SILENT, BANDS, RELEASE)) == HEADER


@pytest.mark.parametrize(
    ("risk", "band"),
    [(1.0, "high"), (0.6, "high"), (0.59, "medium"), (0.3, "medium"), (0.29, "low"), (0.0, "low")],
)
def test_a_band_begins_at_its_limit(risk: float, band: str) -> None:
    assert BANDS.band(risk) == band


@pytest.mark.parametrize(
    "limits", [None, {"high": 0.9, "medium": 0.5}, {"high": 0.01, "medium": 0.01}]
)
def test_bands_go_by_the_limits_of_the_config(
    deployed: Sandbox, limits: dict[str, float] | None
) -> None:
    deployed.configure(risk_bands=limits)

    assert deployed.run("reporting").code == 0

    high, medium = (limits or {"high": 0.6, "medium": 0.3}).values()
    found = ranked(deployed)
    expected = (
        pd.cut(found["risk"], [-1, medium, high, 2], right=False, labels=["low", "medium", "high"])
        if medium < high
        else pd.Series("high", index=found.index).where(found["risk"] >= high, "low")
    )
    assert found["band"].tolist() == expected.astype("str").tolist()


def test_names_of_all_kinds_come_through_the_file(sandbox: Sandbox) -> None:
    names = ["Müller & Söhne", 'The "Best", Inc.', "007", "NA", "株式会社", "a;b", "1e5", "nan"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    sandbox.write(
        "sourcedata/a.csv",
        [*client_rows(0, 60, outcome="1"), *[f"{n},20,300,{i},0" for i, n in enumerate(quoted)]],
    )
    for stage in ("ingestion", "training", "scoring", "deployment", "reporting"):
        assert sandbox.run(stage).code == 0

    assert sorted(ranked(sandbox)["client"]) == sorted(names)


class Told:
    """A model that gives each row the risk and the log-odds in its first two numbers."""

    feature_names_in_ = FEATURES

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        return np.column_stack([1 - frame[FEATURES[0]], frame[FEATURES[0]]])

    def decision_function(self, frame: pd.DataFrame) -> np.ndarray:
        return frame[FEATURES[1]].to_numpy()

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return self.predict_proba(frame)[:, 1].round()


TOLD = ByEstimator(Told(), DEFAULT_SCHEMA)
SILENT = Explainer(TOLD, None, ())


def test_clients_of_equal_risk_stand_in_order_of_log_odds_then_of_name() -> None:
    frame = rows_of(
        *[("c", 0.5, 1, 0, 0), ("a", 0.5, 1, 0, 0), ("b", 0.5, 2, 0, 0), ("d", 0.9, -9, 0, 0)],
        *[("e", 0.1, 99, 0, 0), ("f", 0.5, -3, 0, 0)],
    )

    assert rank_clients(TOLD, frame, DEFAULT_SCHEMA).clients == ["d", "b", "a", "c", "f", "e"]


# --- whom to contact ---


def told(policy: Policy, *rows: tuple[float, float]) -> Ranking:
    """The ranking of clients with these risks and values, by a model that says so."""
    frame = rows_of(*[(f"c{i}", risk, 0, value, 0) for i, (risk, value) in enumerate(rows)])
    return rank_clients(TOLD, frame, DEFAULT_SCHEMA, policy)


OWN = Worth("number_of_employees", contact_cost=10, save_rate=0.5)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(threshold="f1", worth=OWN),
        Policy(threshold=0.2, worth=OWN),
        Policy(threshold="value", worth=OWN._replace(client_value=1000.0)),
    ],
)
def test_those_are_contacted_whom_the_model_predicts_to_leave(policy: Policy) -> None:
    found = told(policy, (0.9, 0), (0.51, 1000), (0.49, 1000), (0.1, 1000))

    assert found.contact.tolist() == [True, True, False, False]


def test_by_their_own_value_those_are_contacted_with_whom_it_pays() -> None:
    policy = Policy(threshold="value", worth=OWN)

    found = told(policy, (0.9, 20), (0.5, 40), (0.49, 41), (0.25, 1000), (0.2, -1000))

    # 0.9 * 0.5 * 20 = 9; 0.5 * 0.5 * 40 = 10, no more than the cost; 10.045; 125; -100
    assert found.contact.tolist() == [False, False, True, True, False]


def test_a_client_of_unknown_value_is_contacted_if_predicted_to_leave() -> None:
    found = told(Policy(threshold="value", worth=OWN), (0.9, math.nan), (0.4, math.nan))

    assert found.contact.tolist() == [True, False]


# --- what is at stake ---


def test_without_a_client_value_nothing_is_said_of_losses() -> None:
    found = told(Policy(), (0.9, 20))

    assert (found.loss, found.loss_rank.tolist()) == (None, [])


def test_the_expected_loss_is_the_risk_times_the_value() -> None:
    sum_of_all = told(Policy(worth=Worth(200.0)), (0.9, 0), (0.123456, 0))
    of_each = told(Policy(worth=OWN), (0.9, 20), (0.5, 1000.5), (0.4, math.nan), (0.0, -5))

    assert (sum_of_all.loss is not None, of_each.loss is not None) == (True, True)
    np.testing.assert_array_equal(sum_of_all.loss, [180.0, 24.69])
    np.testing.assert_array_equal(of_each.loss, [18.0, 500.25, math.nan, 0.0])
    assert not np.signbit(of_each.loss).any()  # a file that says -0.00 puzzles people


def test_clients_are_ranked_by_loss_too_those_of_unknown_value_not() -> None:
    found = told(
        Policy(worth=OWN), (0.9, 10), (0.8, math.nan), (0.5, 100), (0.3, 30), (0.1, 500), (0, 0)
    )

    assert found.loss_rank.tolist() == [3, 0, 1, 4, 2, 5]


# --- the file ---


def plain_text(frame: pd.DataFrame, bands: RiskBands, worth: Worth) -> str:
    """The ranking's file of `Told`, step by step with nothing but pandas."""
    latest = frame.drop_duplicates("corporation", keep="last")
    here = latest[latest["exited"] != 1]
    ranking = pd.DataFrame(
        {"client": here["corporation"], "risk": here[FEATURES[0]], "odds": here[FEATURES[1]]}
    )
    if worth.client_value:
        ranking["loss"] = (ranking["risk"] * here["number_of_employees"]).round(2)
    ranking = ranking.sort_values(["risk", "odds", "client"], ascending=[False, False, True])
    table = ranking[["client", "risk"]].copy()
    table.insert(0, "rank", range(1, len(ranking) + 1))
    table["band"] = [bands.band(risk) for risk in ranking["risk"]]
    table["client"] = [escape_formula(client) for client in ranking["client"]]
    table["release"] = RELEASE
    table["contact"] = ["yes" if round(risk) else "no" for risk in ranking["risk"]]
    table["reasons"] = ""
    if worth.client_value:
        places = ranking["loss"].rank(ascending=False, method="first")
        table["expected_loss"] = ["" if pd.isna(v) else f"{v + 0:.2f}" for v in ranking["loss"]]
        table["loss_rank"] = ["" if pd.isna(place) else f"{place:.0f}" for place in places]
    text: str = table.to_csv(index=False, float_format="%.6f")
    return text


NAMES = st.text("ab\u00e9\u682a=+-@;,\"' %\t\u2028", min_size=1, max_size=5).filter(
    lambda name: canonical_text(name) == name
)
RISKS = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 0.3, 0.6, 1.0, 5e-7, 0.0000005, 0.1234565, 0.9999995])
)
CLIENTS = st.lists(
    st.tuples(
        NAMES,
        RISKS,
        st.sampled_from([0.0, 1.0]),
        st.sampled_from([math.nan, 0.0, -7.0, 10.0, 12.34, 1e9]),
        st.sampled_from([0.0, 1.0, math.nan]),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(
    CLIENTS,
    st.sampled_from([BANDS, RiskBands(0.5, 0.5), RiskBands(1.0, 0.0)]),
    st.sampled_from([Worth(), OWN]),
)
@example([("=1+1", 0.5, 0, 1, 0), ('a;"=b"', 0.5, 0, 1, 0), ("a,b", 0.5, 1, 1, 0)], BANDS, OWN)
def test_the_file_is_byte_for_byte_what_pandas_makes_of_it(
    clients: list[tuple[str, float, float, float, float]], bands: RiskBands, worth: Worth
) -> None:
    frame = rows_of(*clients).astype({"corporation": "str"})

    ranking = rank_clients(TOLD, frame, DEFAULT_SCHEMA, Policy(worth=worth))
    found = "".join(ranking_text(ranking, SILENT, bands, RELEASE))

    assert found == plain_text(frame, bands, worth)


BY_HAND = Linear(
    medians=np.array([40.0]),
    means=np.array([40.0]),
    scales=np.array([10.0]),
    weights=np.array([-1.0]),
    categories=({"": 0.0, '=1+1,"x"': 0.5, "Smith; @b": 0.6, "a\t=b": 0.7},),
    intercept=0.0,
)


def of_categories(values: Sequence[tuple[float, str]], labels: tuple[str, str]) -> str:
    """The file of clients with a number and a category each, that the model above ranks."""
    scorer = ByNumbers(BY_HAND)
    rows = Features(np.array([[n] for n, _ in values]), ([text for _, text in values],))
    risk = scorer.scores(rows).risk
    clients = [f"c{i}" for i in range(len(values))]
    ranking = Ranking(clients, risk, risk > 0.5, rows)
    explainer = Explainer(scorer, Row([40.0], [""]), labels)
    return "".join(ranking_text(ranking, explainer, BANDS, RELEASE))


def test_reasons_stand_in_the_file_as_they_are_told() -> None:
    found = of_categories(
        [(3, ""), (40, "Smith; @b"), (90, "")], ("last month's activity", "place")
    )

    assert found == (
        f'{HEADER}1,c0,0.975873,high,{RELEASE},yes,"last month\'s activity 3, usual 40"\n'
        f'2,c1,0.645656,high,{RELEASE},yes,"place Smith, @b, usual unknown"\n'
        f"3,c2,0.006693,low,{RELEASE},no,\n"
    )


def test_no_reason_is_a_formula_and_each_is_read_back_as_it_was(tmp_path: Path) -> None:
    values = [(3.0, '=1+1,"x"'), (90.0, "a\t=b"), (3.0, "Smith; @b"), (3.0, "")]
    labels = ("=cmd|'/c calc'!A1", '@"place"')
    (tmp_path / "clientrisk.csv").write_text(of_categories(values, labels))

    cells = pd.read_csv(tmp_path / "clientrisk.csv", keep_default_na=False)["reasons"].tolist()
    found = [row["reasons"] for row in ranking_to_dicts(read_ranking(tmp_path / "clientrisk.csv"))]

    number = "=cmd|'/c calc'!A1 3, usual 40"
    assert cells[0] == f'\'{number}; \'@"place" =1+1,"x", usual unknown'
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
    assert found == [
        [number, '@"place" =1+1,"x", usual unknown'],
        ['@"place" a\t=b, usual unknown'],
        [number, '@"place" Smith, @b, usual unknown'],
        [number],
    ]


def test_blocks_of_rows_give_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [(float(n), ["", "Smith; @b"][n % 2]) for n in range(50)]
    whole = of_categories(values, ("a", "b"))

    monkeypatch.setattr(ranking_file, "BLOCK", 7)

    assert of_categories(values, ("a", "b")) == whole


def test_the_labels_and_the_client_value_of_the_config_count(deployed: Sandbox) -> None:
    deployed.configure(labels={"number_of_employees": "size"}, client_value="lastyear_activity")
    assert deployed.run("reporting").code == 0

    found = ranked(deployed)

    source = pd.read_csv(deployed.root / "ingesteddata/finaldata.csv").set_index("corporation")
    values = source.loc[found["client"], "lastyear_activity"].to_numpy()
    loss = (
        scorer_of(deployed).scores(features_of(source.loc[found["client"]], DEFAULT_SCHEMA)).risk
        * values
    )
    np.testing.assert_allclose(found["expected_loss"], loss, rtol=0, atol=0.005001)
    assert found.sort_values("loss_rank")["expected_loss"].is_monotonic_decreasing
    assert found["reasons"].str.contains("size ").any()
    assert not found["reasons"].str.contains("number of employees").any()


# --- reading it back ---


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rank,client,risk,band,release\n1,a,0.5,low,1-a\n",  # of an older version
        "rank;client;risk;band;release;contact;reasons\n1;a;0,5;low;1-a;yes;\n",
        HEADER.replace("contact", "kontakt"),
        f"{HEADER}1,a,99%,low,1-a,yes,\n",
        f"{HEADER}1,a,1.5,low,1-a,yes,\n",
        f"{HEADER}1,a,0.5,low,1-a,YES,\n",
        f"{HEADER}1,a,0.5,low,1-a,yes,\nnote by Ann,,,,,,\n",
        f'{LOSS_HEADER}1,a,0.5,low,1-a,yes,,"1,189.79",1\n',
    ],
)
def test_a_file_that_is_no_ranking_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "clientrisk.csv").write_text(text)

    with pytest.raises(HistoryError, match="is no ranking of ours"):
        read_ranking(tmp_path / "clientrisk.csv")
