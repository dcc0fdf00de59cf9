"""The ranking's file: against one made by pandas, with reasons, and read back."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modelling import GIVEN_RISK, client_frame
from sandbox import Sandbox
from scipy.special import expit

from pipeline.core.config import RiskBands
from pipeline.core.errors import HistoryError
from pipeline.core.formatting import escape_formula
from pipeline.core.policy import Policy, Worth
from pipeline.core.schema import DEFAULT_SCHEMA, Schema, canonical_text
from pipeline.data.frames import Features, Row
from pipeline.models.scorer import Scorer
from pipeline.ranking.explanations import Explainer
from pipeline.ranking.rank import Ranking, rank_clients
from pipeline.ranking.ranking_file import (
    STATUS_COLUMNS,
    ranking_table,
    ranking_to_dicts,
    read_ranking,
    write_ranking,
)

FEATURES = list(DEFAULT_SCHEMA.features)
BANDS = RiskBands()
RELEASE = "000001-20261122T090000Z"
HEADER = "rank,client,risk,band,release,contact,reasons\n"
STATUSES = ",contact_status,contacted_on\n"
LOSS_HEADER = HEADER.replace("reasons", "reasons,expected_loss,loss_rank")
OWN = Worth("number_of_employees", contact_cost=10, save_rate=0.5)
SILENT = Explainer(GIVEN_RISK, None, ())


def ranked(world: Sandbox) -> pd.DataFrame:
    return pd.read_csv(
        world.root / "models/clientrisk.csv", dtype={"client": "str"}, keep_default_na=False
    )


# --- the file ---


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


def plain_text(frame: pd.DataFrame, bands: RiskBands, worth: Worth) -> str:
    """The ranking's file of `GIVEN_RISK`, step by step with nothing but pandas."""
    ranking = pd.DataFrame(
        {"client": frame["corporation"], "risk": frame[FEATURES[0]], "odds": frame[FEATURES[1]]}
    )
    if worth.client_value:
        ranking["loss"] = (ranking["risk"] * frame["number_of_employees"]).round(2)
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
    due = table["contact"] == "yes"
    table["contact_status"] = ["proposed" if yes else "below_threshold" for yes in due]
    table["contacted_on"] = ""
    text: str = table.to_csv(index=False, float_format="%.6f")
    return text


NAMES = st.text("ab\u00e9\u682a=+-@\uff1d\uff20;,\"' %\t\u2028", min_size=1, max_size=5).filter(
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
        st.sampled_from([0.0, math.nan]),
    ),
    max_size=30,
    unique_by=lambda client: client[0],
)


@settings(max_examples=40, deadline=None)
@given(
    clients=CLIENTS,
    bands=st.sampled_from([BANDS, RiskBands(0.5, 0.5), RiskBands(1.0, 0.0)]),
    worth=st.sampled_from([Worth(), OWN]),
)
@example(
    clients=[("=1+1", 0.5, 0, 1, 0), ('a;"=b"', 0.5, 0, 1, 0), ("a,b", 0.5, 1, 1, 0)],
    bands=BANDS,
    worth=OWN,
)
@example(
    clients=[
        (name, 0.5, 0, 1, 0)
        for name in ("M\u00fcller & S\u00f6hne", 'The "Best", Inc.', "007", "1e5", "1.#IND", "NA")
    ],
    bands=BANDS,
    worth=Worth(),
)
def test_the_file_is_byte_for_byte_what_pandas_makes_of_it(
    tmp_path_factory: pytest.TempPathFactory,
    clients: list[tuple[str, float, float, float, float]],
    bands: RiskBands,
    worth: Worth,
) -> None:
    frame = client_frame(*clients).astype({"corporation": "str"})

    path = tmp_path_factory.getbasetemp() / "clientrisk.csv"
    ranking = rank_clients(GIVEN_RISK, frame, DEFAULT_SCHEMA, Policy(worth=worth))
    table = ranking_table(ranking, SILENT, bands, RELEASE)
    write_ranking(path, table)

    assert path.read_text(encoding="utf-8") == plain_text(frame, bands, worth)
    pd.testing.assert_frame_equal(read_ranking(path), table, check_dtype=False)


class ByHand:
    """A model whose weights are known."""

    feature_names_in_ = ("activity", "place")

    def decision_function(self, frame: pd.DataFrame) -> np.ndarray:
        places = frame["place"].map({'=1+1,"x"': 0.5, "Smith; @b": 0.6, "a\t=b": 0.7}).fillna(0)
        return (places - (frame["activity"] - 40) / 10).to_numpy()


BY_HAND: Any = ByHand()
PLACED = Schema("client", "left", ("activity",), ("place",))


def written(path: Path, values: Sequence[tuple[float, str]], labels: tuple[str, str]) -> Path:
    """The file of clients with a number and a category each, that the model above ranks."""
    scorer = Scorer(BY_HAND, PLACED)
    rows = Features(np.array([[n] for n, _ in values]), ([text for _, text in values],))
    risk = expit(scorer.decision(rows.frame(PLACED)))
    clients = [f"c{i}" for i in range(len(values))]
    ranking = Ranking(clients, risk, risk > 0.5, rows)
    explainer = Explainer(scorer, Row([40.0], [""]), labels)
    write_ranking(path / "clientrisk.csv", ranking_table(ranking, explainer, BANDS, RELEASE))
    return path / "clientrisk.csv"


def test_reasons_are_one_cell(tmp_path: Path) -> None:
    values = [(3.0, ""), (40.0, "Smith; @b"), (90.0, "")]
    path = written(tmp_path, values, ("last month's activity", "place"))

    assert path.read_text(encoding="utf-8") == (
        f"{HEADER[:-1]}{STATUSES}"
        f'1,c0,0.975873,high,{RELEASE},yes,"last month\'s activity 3, usual 40",proposed,\n'
        f'2,c1,0.645656,high,{RELEASE},yes,"place Smith, @b, usual unknown",proposed,\n'
        f"3,c2,0.006693,low,{RELEASE},no,,below_threshold,\n"
    )


def test_no_reason_is_a_formula_and_each_is_read_back_as_it_was(tmp_path: Path) -> None:
    values = [(3.0, '=1+1,"x"'), (90.0, "a\t=b"), (3.0, "Smith; @b"), (3.0, "")]
    labels = ("=cmd|'/c calc'!A1", '@"place"')
    path = written(tmp_path, values, labels)

    cells = pd.read_csv(path, keep_default_na=False)["reasons"].tolist()
    found = [row["reasons"] for row in ranking_to_dicts(read_ranking(path))]

    number = "=cmd|'/c calc'!A1 3, usual 40"
    assert cells[0] == f'\'{number}; \'@"place" =1+1,"x", usual unknown'
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
    assert found == [
        [number, '@"place" =1+1,"x", usual unknown'],
        ['@"place" a\t=b, usual unknown'],
        [number, '@"place" Smith, @b, usual unknown'],
        [number],
    ]


def test_the_labels_and_the_client_value_of_the_config_count(deployed: Sandbox) -> None:
    deployed.configure(labels={"number_of_employees": "size"}, client_value="lastyear_activity")
    assert deployed.run("reporting").code == 0

    found = ranked(deployed)

    source = pd.read_csv(deployed.root / "ingesteddata/finaldata.csv").set_index("corporation")
    loss = found["risk"].to_numpy() * source.loc[found["client"], "lastyear_activity"].to_numpy()
    np.testing.assert_allclose(found["expected_loss"], loss, rtol=1e-5, atol=0.006)
    assert found.sort_values("loss_rank")["expected_loss"].is_monotonic_decreasing
    assert found["reasons"].str.contains("size ").any()
    assert not found["reasons"].str.contains("number of employees").any()


# --- columns that no model sees ---

CARRIED = {"Manager": ["Bo Quist", '=1+1,"x"', ""], "=E, mail": ["a@b", "@b", "-1"]}


def with_carried(path: Path, *, valued: bool) -> pd.DataFrame:
    """A ranking with two such columns, which is written to a file."""
    risk, loss = np.array([0.9, 0.5, 0.1]), np.array([9.0, math.nan, 1.0])
    rows = Features(np.empty((3, 0)), ())
    ranking = Ranking(
        *(["c0", "c1", "c2"], risk, risk > 0.5, rows),
        loss=loss if valued else None,
        carried=CARRIED,
    )
    table = ranking_table(ranking, SILENT, BANDS, RELEASE)
    write_ranking(path, table)
    return table


def test_they_are_the_last_of_the_file_and_no_text_of_them_is_a_formula(tmp_path: Path) -> None:
    with_carried(tmp_path / "clientrisk.csv", valued=True)

    header = LOSS_HEADER.replace(
        "loss_rank", 'loss_rank,Manager,"\'=E, mail",contact_status,contacted_on'
    )
    assert (tmp_path / "clientrisk.csv").read_text() == (
        f"{header}1,c0,0.900000,high,{RELEASE},yes,,9.00,1,Bo Quist,a@b,proposed,\n"
        f'2,c1,0.500000,medium,{RELEASE},no,,,,"\'=1+1,""x""",\'@b,below_threshold,\n'
        f"3,c2,0.100000,low,{RELEASE},no,,1.00,2,,'-1,below_threshold,\n"
    )


@pytest.mark.parametrize("valued", [True, False])
def test_they_are_read_back_and_come_last_for_programs(tmp_path: Path, valued: bool) -> None:
    table = with_carried(tmp_path / "clientrisk.csv", valued=valued)

    found = read_ranking(tmp_path / "clientrisk.csv", tuple(CARRIED))

    pd.testing.assert_frame_equal(found, table, check_dtype=False)
    assert list(ranking_to_dicts(found)[1].items())[-6:] == [
        *[("expected_loss", None), ("loss_rank", None)],
        *[("Manager", '=1+1,"x"'), ("=E, mail", "@b")],
        *[("contact_status", "below_threshold"), ("contacted_on", None)],
    ]


def test_a_file_of_before_they_were_named_is_read_without_them(tmp_path: Path) -> None:
    with_carried(tmp_path / "clientrisk.csv", valued=False)

    found = read_ranking(tmp_path / "clientrisk.csv", ("Phone", "Manager"))

    assert found.columns[7:].tolist() == ["Phone", "Manager", *STATUS_COLUMNS]
    assert found["Phone"].tolist() == ["", "", ""]
    assert found["Manager"].tolist() == CARRIED["Manager"]


# --- reading it back ---


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rank,client,risk,band,release\n1,a,0.5,low,1-a\n",  # of an older version
        "rank;client;risk;band;release;contact;reasons\n1;a;0,5;low;1-a;yes;\n",
        HEADER.replace("contact", "kontakt"),
        f"{HEADER[:-1]}{STATUSES}1,a,99%,low,1-a,yes,,proposed,\n",
        f"{HEADER[:-1]}{STATUSES}1,a,1.5,low,1-a,yes,,proposed,\n",
        f"{HEADER[:-1]}{STATUSES}1,a,0.5,low,1-a,YES,,proposed,\n",
        f"{HEADER[:-1]}{STATUSES}1,a,0.5,low,1-a,yes,,maybe,\n",
        f"{HEADER}1,a,0.5,low,1-a,yes,\n",  # likewise
        f"{HEADER[:-1]}{STATUSES}1,a,0.5,low,1-a,yes,,proposed,\nnote by Ann,,,,,,,,\n",
        f'{LOSS_HEADER[:-1]}{STATUSES}1,a,0.5,low,1-a,yes,,"1,189.79",1,proposed,\n',
        f"{HEADER[:-1]}{STATUSES}x,a,0.5,low,1-a,yes,,proposed,\n",
    ],
)
def test_a_file_that_is_no_ranking_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "clientrisk.csv").write_text(text)

    with pytest.raises(HistoryError, match="is no ranking of ours"):
        read_ranking(tmp_path / "clientrisk.csv")
