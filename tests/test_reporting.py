"""Reports: a picture that can be read, and a ranking equal to one computed by other means."""

import math
import pickle
import struct
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import Sandbox, client_rows
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score

from pipeline.config import RiskBands
from pipeline.frames import read_folder
from pipeline.models import load_release
from pipeline.releases import ModelManifest, Release, SelfCheck, live_release
from pipeline.schema import DEFAULT_SCHEMA, canonical_text
from pipeline.scorers import ByEstimator
from pipeline.spreadsheet import neutral
from reporting import draw_confusion_matrix, rank_clients, ranking_text, report

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
BANDS = RiskBands()
MADE_OF = ModelManifest("", "", 0, 0, DEFAULT_SCHEMA, {}, SelfCheck((), ()))


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


# --- the ranking ---


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
    assert found.columns.tolist() == ["rank", "client", "risk", "band", "release"]


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
    assert ranking_text(found, BANDS, live(deployed)) == "rank,client,risk,band,release\n"


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
    """A model that gives each row the risk that stands in its first number."""

    feature_names_in_ = FEATURES

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        return np.column_stack([1 - frame[FEATURES[0]], frame[FEATURES[0]]])

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return self.predict_proba(frame)[:, 1].round()


def plain_text(frame: pd.DataFrame, bands: RiskBands, release: str) -> str:
    """The ranking's file of `Told`, step by step with nothing but pandas."""
    latest = frame.drop_duplicates("corporation", keep="last")
    here = latest[latest["exited"] != 1]
    ranking = pd.DataFrame({"client": here["corporation"], "risk": here[FEATURES[0]]})
    ranking = ranking.sort_values(["risk", "client"], ascending=[False, True])
    ranking.insert(0, "rank", range(1, len(ranking) + 1))
    ranking["band"] = [bands.band(risk) for risk in ranking["risk"]]
    ranking["client"] = [neutral(client) for client in ranking["client"]]
    text: str = ranking.assign(release=release).to_csv(index=False, float_format="%.6f")
    return text


NAMES = st.text("ab\u00e9\u682a=+-@;,\"' \t\u2028", min_size=1, max_size=5).filter(
    lambda name: canonical_text(name) == name
)
RISKS = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 0.3, 0.6, 1.0, 5e-7, 0.0000005, 0.1234565, 0.9999995])
)
CLIENTS = st.lists(st.tuples(NAMES, RISKS, st.sampled_from([0.0, 1.0, math.nan])), max_size=30)


@given(CLIENTS, st.sampled_from([BANDS, RiskBands(0.5, 0.5), RiskBands(1.0, 0.0)]))
@example([("=1+1", 0.5, 0.0), ('a;"=b"', 0.5, 0.0), ("a,b", 0.5, math.nan)], BANDS)
def test_the_file_is_byte_for_byte_what_pandas_makes_of_it(
    clients: list[tuple[str, float, float]], bands: RiskBands
) -> None:
    frame = rows_of(*[(name, risk, 1, 1, exited) for name, risk, exited in clients])
    frame = frame.astype({"corporation": "str"})
    release = Release("000001-20261122T090000Z", Path(), "", 0.5, None, {}, MADE_OF)
    found = ranking_text(
        rank_clients(ByEstimator(Told(), DEFAULT_SCHEMA), frame, DEFAULT_SCHEMA), bands, release
    )
    assert found == plain_text(frame, bands, release.id)


# --- the confusion matrix ---


def drawn(world: Sandbox, frame: pd.DataFrame) -> Any:
    release = live(world)
    model = load_release(release, world.config.schema)
    return draw_confusion_matrix(model, release, frame, world.config.schema).axes[0]


def test_the_matrix_is_a_png_large_enough_to_print(deployed: Sandbox) -> None:
    content = (deployed.root / "models/confusionmatrix.png").read_bytes()

    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (960, 840)
    assert 10_000 < len(content) < 500_000


def test_the_matrix_shows_counts_and_row_percentages(deployed: Sandbox) -> None:
    frame = pd.read_csv(deployed.root / "testdata/testdata.csv")
    counts = confusion_matrix(frame["exited"], model_of(deployed).predict(frame[FEATURES]))

    axes = drawn(deployed, read_folder(deployed.config.test_data_path, DEFAULT_SCHEMA))

    expected = [f"{n}\n{100 * n / row.sum():.1f} %" for row in counts for n in row]
    assert [text.get_text() for text in axes.texts] == expected
    assert counts.sum() == 60


def test_the_matrix_names_its_axes_the_score_and_the_release(deployed: Sandbox) -> None:
    frame = pd.read_csv(deployed.root / "testdata/testdata.csv")
    f1 = f1_score(frame["exited"], model_of(deployed).predict(frame[FEATURES]))

    axes = drawn(deployed, read_folder(deployed.config.test_data_path, DEFAULT_SCHEMA))

    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "actual")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["stay (0)", "leave (1)"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["stayed (0)", "left (1)"]
    assert axes.get_title() == (
        f"F1 {f1:.3f} on 60 clients of the test data\nrelease {live(deployed).id}"
    )


def test_rows_of_unknown_outcome_are_not_in_the_matrix(deployed: Sandbox) -> None:
    frame = rows_of(("a", 20, 300, 6, 1), ("b", 20, 300, 90, 0), ("c", 20, 300, 6, None))

    axes = drawn(deployed, frame)

    counts = [text.get_text().split("\n")[0] for text in axes.texts]
    assert counts == ["1", "0", "0", "1"]
    assert axes.get_title().startswith("F1 1.000 on 2 clients of the test data\n")


def test_an_undefined_score_is_said_to_be_so(deployed: Sandbox) -> None:
    axes = drawn(deployed, rows_of(("a", 20, 300, 90, 0)))

    assert axes.get_title().startswith("F1 undefined on 1 clients of the test data\n")
    assert [text.get_text() for text in axes.texts] == ["1\n100.0 %", "0\n0.0 %"] + ["0\n0.0 %"] * 2


def test_drawing_leaves_no_figure_open(deployed: Sandbox) -> None:
    report(deployed.config)

    assert plt.get_fignums() == []


# --- the stage ---


def test_it_says_where_the_reports_lie(deployed: Sandbox) -> None:
    result = deployed.run("reporting")

    assert (result.code, result.out.splitlines()) == (
        0,
        [
            f"models/confusionmatrix.png: of release {live(deployed).id}",
            "models/clientrisk.csv: 64 clients, highest risk first",
        ],
    )


def test_the_picture_may_have_another_name(deployed: Sandbox) -> None:
    done = report(deployed.config, "confusionmatrix2.png")

    assert done.confusion_matrix == deployed.root / "models/confusionmatrix2.png"
    assert done.confusion_matrix.exists()
    assert (done.release, done.clients) == (live(deployed).id, 64)


def test_it_reports_on_the_deployed_model_not_on_the_one_trained_last(deployed: Sandbox) -> None:
    before = ranked(deployed)
    deployed.write("sourcedata/c.csv", client_rows(300, 400, flipped=True, outcome="1"))
    for stage in ("ingestion", "training", "reporting"):
        assert deployed.run(stage).code == 0

    pd.testing.assert_frame_equal(ranked(deployed), before)


def test_the_same_state_gives_the_same_bytes(deployed: Sandbox) -> None:
    names = ("models/clientrisk.csv", "models/confusionmatrix.png")
    before = [(deployed.root / name).read_bytes() for name in names]

    assert deployed.run("reporting").code == 0

    assert [(deployed.root / name).read_bytes() for name in names] == before


def test_it_leaves_data_model_and_production_alone(deployed: Sandbox) -> None:
    before = deployed.stamps()

    deployed.run("reporting")

    after = deployed.stamps()
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"history.db", "models/clientrisk.csv", "models/confusionmatrix.png"}


def test_without_a_release_it_says_so_in_one_line(source: Sandbox) -> None:
    result = source.run("reporting")

    place = source.root / "production_deployment"
    assert (result.code, result.out) == (1, "")
    assert result.err == f"error: {place}: nothing is deployed yet\n"


def test_a_damaged_release_is_not_reported_on(deployed: Sandbox) -> None:
    release = live(deployed)
    (release.path / "trainedmodel.pkl").write_bytes(b"damaged")
    files = deployed.files()

    result = deployed.run("reporting")

    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"error: release {release.id} is damaged: trainedmodel.pkl is not what was deployed\n"
    )
    assert {n for n, c in deployed.files().items() if c != files.get(n)} == {"history.db"}
