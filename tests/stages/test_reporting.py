"""Reports: a picture that can be read, and what the stage says and leaves alone."""

import pickle
import struct
from pathlib import Path
from typing import Any

import pandas as pd
from sandbox import Sandbox, client_rows
from stagecalls import report

import reporting
from pipeline.registry.releases import Release, live_release

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]


def live(world: Sandbox) -> Release:
    return live_release(world.config.prod_deployment_path)


def model_of(world: Sandbox) -> Any:
    return pickle.loads((world.root / "production_deployment/trainedmodel.pkl").read_bytes())


def ranked(world: Sandbox) -> pd.DataFrame:
    return pd.read_csv(
        world.root / "models/clientrisk.csv", dtype={"client": "str"}, keep_default_na=False
    )


# --- the confusion matrix ---


def test_the_matrix_is_a_png_large_enough_to_print(deployed: Sandbox) -> None:
    content = (deployed.root / "models/confusionmatrix.png").read_bytes()

    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (960, 840)
    assert 10_000 < len(content) < 500_000


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


def test_the_same_state_gives_the_same_bytes_and_all_else_is_left_alone(deployed: Sandbox) -> None:
    stamps = deployed.stamps()
    names = ("models/clientrisk.csv", "models/movers.csv", "models/confusionmatrix.png")
    before = [(deployed.root / name).read_bytes() for name in names]

    assert deployed.run("reporting").code == 0

    assert [(deployed.root / name).read_bytes() for name in names] == before
    after = deployed.stamps()
    changed = {name for name in after if after[name] != stamps.get(name)}
    assert changed == {"history.db", "models/clientrisk.csv"}


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
