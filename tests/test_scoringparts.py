"""Scoring by parts beside scoring in one process: the same scores, warnings and errors."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import NOISE, Sandbox, client_rows
from engines import needs_engine

from pipeline import scoringparts
from pipeline.engine import InProcess
from pipeline.estimators import fit_model
from pipeline.evaluation import score_model
from pipeline.frames import read_folder
from pipeline.models import Model
from pipeline.schema import DEFAULT_SCHEMA
from pipeline.scoringparts import scores_by_parts

EXACT = ("rows", "f1", "accuracy", "precision", "recall")
POOL = {"kind": "pool", "workers": 2}


@pytest.fixture(scope="session", params=["logistic", "boosting"])
def model(request: pytest.FixtureRequest) -> Model:
    """A model of clients of all sizes, fitted on rows that it cannot tell apart without faults."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame(
        {name: random.integers(0, 90, 500).astype("float64") for name in DEFAULT_SCHEMA.numeric}
    )
    frame["exited"] = (frame["number_of_employees"] + random.normal(0, 30, 500) < 45).astype(float)
    return fit_model(request.param, frame, DEFAULT_SCHEMA)


def messy_rows(random: np.random.Generator, count: int) -> list[str]:
    """Rows of few different values: some lack a number or the outcome, one in fifty is bad."""
    rows = []
    for i in range(count):
        numbers = random.integers(0, 12, 3) * 8
        fields = [f"client{i}", *("" if random.random() < 0.1 else str(n) for n in numbers)]
        outcome = random.choice(["0", "1", "", "0", "1"])
        rows.append(",".join([*fields, "perhaps" if i % 50 == 40 else str(outcome)]))
    return rows


@pytest.mark.parametrize("batch", [1, 700, scoringparts.BATCH])
def test_the_scores_are_those_of_one_process(
    sandbox: Sandbox, model: Model, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoringparts, "BATCH", batch)
    random = np.random.default_rng(batch)
    for name, count in (("a", 1), ("b", 123), ("c", 77), ("d", 250), ("e", 2)):
        sandbox.write(f"testdata/{name}.csv", messy_rows(random, count))
    parts = scores_by_parts(sandbox.config, InProcess(), model)
    whole = score_model(model, read_folder(sandbox.config.test_data_path, DEFAULT_SCHEMA))
    assert parts is not None
    for name in EXACT:
        assert getattr(parts, name) == getattr(whole, name), name
    assert asdict(parts) == pytest.approx(asdict(whole), rel=0, abs=1e-12)


def test_certain_risks_have_a_finite_loss(sandbox: Sandbox) -> None:
    class Certain:
        feature_names_in_ = ("number_of_employees",)

        def predict(self, frame: pd.DataFrame) -> np.ndarray:
            return (frame["number_of_employees"] < 50).to_numpy().astype("int64")

        def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
            return np.eye(2)[self.predict(frame)]

    whole = score_model(Certain(), read_folder(sandbox.config.test_data_path, DEFAULT_SCHEMA))
    parts = scores_by_parts(sandbox.config, InProcess(), Certain())
    assert parts is not None
    assert asdict(parts) == pytest.approx(asdict(whole), rel=0, abs=1e-12)
    assert 3 < parts.log_loss < 4  # one in ten is wrong, and -log(eps) is 36


def test_files_are_dealt_out_in_order_to_no_more_tasks_than_there_is_room_for(
    sandbox: Sandbox,
) -> None:
    for i in range(30):
        sandbox.write(f"testdata/{i:02d}.csv", client_rows(i, 1 + i % 3))
    files = scoringparts.tables_in(sandbox.config.test_data_path)
    for most in (1, 4, 1000):
        groups = scoringparts._groups(files, most)
        assert len(groups) <= most
        assert [path for group in groups for path in group] == [file.path for file in files]
    assert max(map(len, scoringparts._groups(files, 1000))) == 1


def test_where_risks_are_in_bins_it_says_how_wrong_the_area_may_be(
    sandbox: Sandbox,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "pipeline")
    whole = scores_by_parts(sandbox.config, InProcess(), model)
    assert caplog.messages == []
    monkeypatch.setattr("pipeline.risktable.BINS", 16)
    parts = scores_by_parts(sandbox.config, InProcess(), model)
    (line,) = caplog.messages
    assert line.startswith("ROC AUC is within 0.0")
    bound = float(line.split()[4].rstrip(":"))
    assert whole is not None
    assert parts is not None
    assert parts.f1 == whole.f1
    assert 0 < abs((parts.roc_auc or 0) - (whole.roc_auc or 0)) <= bound


# the stage


def scored_by(world: Sandbox, engine: dict[str, object] | None) -> tuple[int, str, list[str]]:
    """Exit code, output and log of scoring with an engine; the log without times, sorted."""
    world.configure(engine=engine)
    result = world.run("scoring")
    return result.code, result.out, sorted(line[21:] for line in result.err.splitlines())


def prepared_many_files(world: Sandbox) -> None:
    for i in range(7):
        world.write(f"testdata/more{i}.csv", client_rows(95_000 + 50 * i, 11 + i, noise=NOISE))


def prepared_bad_rows(world: Sandbox) -> None:
    prepared_many_files(world)
    for i in (1, 4):
        path = world.root / f"testdata/more{i}.csv"
        path.write_text(path.read_text() + "x,1,2,3,7\n")


def prepared_refused(world: Sandbox) -> None:
    prepared_many_files(world)
    world.write("testdata/more3.csv", ["x,1,2,3,7"] * 3)


def prepared_empty(world: Sandbox) -> None:
    world.write("testdata/testdata.csv", "")


def prepared_none(world: Sandbox) -> None:
    (world.root / "testdata/testdata.csv").unlink()


def prepared_unknown(world: Sandbox) -> None:
    world.write("testdata/testdata.csv", client_rows(90_000, 30, outcome=""))


def prepared_undefined(world: Sandbox) -> None:
    world.write("testdata/testdata.csv", [f"c{i},20,300,900,0" for i in range(20)])


@needs_engine
@pytest.mark.parametrize(
    "prepared",
    [
        prepared_many_files,
        prepared_bad_rows,
        prepared_refused,
        prepared_empty,
        prepared_none,
        prepared_unknown,
        prepared_undefined,
    ],
)
def test_with_workers_it_does_and_says_what_one_process_does(
    trained: Sandbox, prepared: Callable[[Sandbox], None], dask_address: str
) -> None:
    prepared(trained)
    expected = scored_by(trained, None)
    score = _score_of(trained.config.latestscore_path)
    for engine in (POOL, {"kind": "dask", "address": dask_address}):
        trained.config.latestscore_path.unlink(missing_ok=True)
        assert scored_by(trained, engine) == expected
        assert _score_of(trained.config.latestscore_path) == score


def _score_of(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


@needs_engine
def test_a_model_scored_by_workers_can_be_deployed(trained: Sandbox) -> None:
    prepared_many_files(trained)
    assert scored_by(trained, POOL)[0] == 0
    trained.configure(engine=None)
    result = trained.run("deployment")
    assert result.code == 0, result.err
