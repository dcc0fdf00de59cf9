"""Reports: a picture that can be read, and what the stage says and leaves alone."""

import pickle
import struct
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from sandbox import Sandbox, client_rows
from sklearn.metrics import confusion_matrix, f1_score
from stagecalls import report

import reporting
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.data.frames import read_folder
from pipeline.monitoring import metrics
from pipeline.registry.live_model import load_release
from pipeline.registry.releases import Release, live_release
from pipeline.reporting.charts.style import styled
from pipeline.stages.reporting import matrix_figure

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]


def live(world: Sandbox) -> Release:
    return live_release(world.config.prod_deployment_path)


def model_of(world: Sandbox) -> Any:
    return pickle.loads((world.root / "production_deployment/trainedmodel.pkl").read_bytes())


def ranked(world: Sandbox) -> pd.DataFrame:
    return pd.read_csv(
        world.root / "models/clientrisk.csv", dtype={"client": "str"}, keep_default_na=False
    )


def rows_of(*rows: tuple[str, float, float, float, float | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["corporation", *FEATURES, "exited"])
    return frame.astype(dict.fromkeys([*FEATURES, "exited"], "float64"))


# --- the confusion matrix ---


def drawn(world: Sandbox, frame: pd.DataFrame) -> Any:
    release = live(world)
    model = load_release(release, world.config.schema)
    with styled():
        return matrix_figure(metrics.tested_on(model, frame, world.config.schema), release).axes[0]


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

    assert axes.get_title().startswith("F1 undefined on 1 client of the test data\n")
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
            "models/movers.csv: as before, no risk has changed",
        ],
    )


def test_the_picture_may_have_another_name(deployed: Sandbox) -> None:
    done = report(deployed.config, "confusionmatrix2.png")

    assert done.confusion_matrix == deployed.root / "models/confusionmatrix2.png"
    assert done.confusion_matrix.exists()
    assert (done.release, done.clients) == (live(deployed).id, 64)
    assert done.movers == deployed.root / "models/movers.csv"


def test_it_reports_on_the_deployed_model_not_on_the_one_trained_last(deployed: Sandbox) -> None:
    before = ranked(deployed)
    deployed.write("sourcedata/c.csv", client_rows(300, 400, flipped=True, outcome="1"))
    for stage in ("ingestion", "training", "reporting"):
        assert deployed.run(stage).code == 0

    pd.testing.assert_frame_equal(ranked(deployed), before)


def test_the_same_state_gives_the_same_bytes(deployed: Sandbox) -> None:
    names = ("models/clientrisk.csv", "models/movers.csv", "models/confusionmatrix.png")
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


def test_its_manual_names_every_file_it_writes(deployed: Sandbox) -> None:
    deployed.configure(report_formats=None)
    before = deployed.stamps()

    assert deployed.run("reporting").code == 0

    changed = {Path(name) for name, at in deployed.stamps().items() if before.get(name) != at}
    written = {path for path in changed if path.is_relative_to("models")}
    names = {"reports/" if path.parent.name == "reports" else path.name for path in written}
    assert len(names) >= 5
    assert [name for name in names if name not in (reporting.__doc__ or "")] == []
