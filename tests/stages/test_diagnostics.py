"""Diagnostics: equal to what pandas says, timed without touching anything live, never failing."""

import pickle
import re
import tempfile
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from sandbox import Sandbox, client_rows
from stagecalls import dataframe_summary, missing_data, model_predictions

from pipeline.core.errors import HistoryError, ModelError
from pipeline.monitoring.packages import Package, known_packages
from pipeline.registry.releases import live_release
from pipeline.stages.diagnostics import execution_time, outdated_packages

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
REQUIRED = ["pandas", "numpy", "xxhash", "tqdm", "scikit-learn"]
REQUIRED += [
    "python-calamine",
    "scipy",
    "threadpoolctl",
    "flask",
    "jinja2",
    "msgspec",
    "prometheus_client",
    "requests",
    "apprise",
    "matplotlib",
]
REQUIRED += ["seaborn", "fpdf2", "pytest", "gunicorn"]


def finaldata(world: Sandbox) -> pd.DataFrame:
    return pd.read_csv(world.root / "ingesteddata/finaldata.csv")


@pytest.fixture
def gaps(sandbox: Sandbox) -> Sandbox:
    """A project with missing cells of every kind: of 8 rows, 1, 2, 0 and 4 lack something."""
    rows = ["A,1,10,100,0", "B,2,20,200,1", "C,3,,300,", "D,4,,400,", "E,5,50,500,"]
    rows += ["F,,60,600,", "G,7,70,700,0", "H,8,80,800,1"]
    sandbox.write("sourcedata/a.csv", rows)
    assert sandbox.run("ingestion").code == 0
    return sandbox


# --- predictions ---


def test_predictions_are_those_of_the_deployed_model(deployed: Sandbox) -> None:
    frame = pd.read_csv(deployed.root / "testdata/testdata.csv")
    model = pickle.loads((deployed.root / "production_deployment/trainedmodel.pkl").read_bytes())

    said = model_predictions(deployed.config, frame)

    assert said == model.predict(frame[FEATURES]).tolist()
    assert {type(value) for value in said} == {int}


def test_rows_that_lack_a_feature_are_a_clear_error(deployed: Sandbox) -> None:
    frame = pd.read_csv(deployed.root / "testdata/testdata.csv")
    for lacking in (frame.drop(columns=FEATURES[1]), frame[:0].drop(columns=FEATURES[1])):
        with pytest.raises(ModelError) as caught:
            model_predictions(deployed.config, lacking)
        assert str(caught.value) == (
            f"the rows have no {FEATURES[1]}: the model needs {', '.join(FEATURES)}"
        )


# --- statistics and missing data ---


def test_the_summary_is_that_of_pandas(deployed: Sandbox) -> None:
    frame = finaldata(deployed)[FEATURES]
    expected = pd.DataFrame({"mean": frame.mean(), "median": frame.median(), "std": frame.std()})

    pd.testing.assert_frame_equal(dataframe_summary(deployed.config), expected)


def test_missing_numbers_are_left_out_of_the_summary(gaps: Sandbox) -> None:
    summary = dataframe_summary(gaps.config)

    assert summary["mean"].to_dict() == {
        "lastmonth_activity": pytest.approx(30 / 7),
        "lastyear_activity": pytest.approx(290 / 6),
        "number_of_employees": 450.0,
    }
    assert summary.loc["lastyear_activity", "median"] == 55.0


def test_the_percent_missing_is_reported_of_every_column(gaps: Sandbox) -> None:
    assert missing_data(gaps.config) == {
        "corporation": 0.0,
        "lastmonth_activity": 12.5,
        "lastyear_activity": 25.0,
        "number_of_employees": 0.0,
        "exited": 50.0,
    }


def test_an_empty_category_is_missing(sandbox: Sandbox) -> None:
    schema = {"client": "id", "outcome": "left", "numeric": [], "categorical": ["place"]}
    sandbox.configure(schema=schema)
    sandbox.write("sourcedata/a.csv", ["1,north,0", "2,,1", "3, ,0", "4,NA,1"], "id,place,left")
    assert sandbox.run("ingestion").code == 0

    assert missing_data(sandbox.config) == {"id": 0.0, "place": 75.0, "left": 0.0}
    assert dataframe_summary(sandbox.config).empty


@pytest.mark.parametrize("of", [dataframe_summary, missing_data])
def test_without_data_there_is_nothing_to_diagnose(source: Sandbox, of: object) -> None:
    assert callable(of)
    with pytest.raises(HistoryError, match=r"has no rows yet: run `python ingestion\.py`$"):
        of(source.config)


# --- timings ---


def test_timings_are_of_a_real_ingestion_and_a_real_training(deployed: Sandbox) -> None:
    timings = execution_time(deployed.config)

    assert 0 < timings.ingestion < 30
    assert 0 < timings.training < 30


def test_timing_leaves_every_live_file_as_it_was(
    deployed: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    files, stamps = deployed.files(), deployed.stamps()

    execution_time(deployed.config)

    assert deployed.files() == files
    assert deployed.stamps() == stamps
    assert list(place.iterdir()) == []


def test_timing_takes_away_its_temporary_place_when_it_fails(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    sandbox.write("sourcedata/a.csv", client_rows(0, 20, outcome="0"))

    with pytest.raises(ModelError):
        execution_time(sandbox.config)

    assert list(place.iterdir()) == []


# --- packages ---


def test_every_package_of_the_requirements_is_reported_with_what_is_installed() -> None:
    assert outdated_packages() == [Package(name, version(name), "unknown") for name in REQUIRED]


def test_requirements_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(
        "# what we need\n\nflask[async]>=3 # the API\n-r other.txt\n"
        'PyYAML_nowhere==1.0; python_version > "3"\nscikit_learn\n'
    )

    assert outdated_packages(path) == [
        Package("flask", version("flask"), "unknown"),
        Package("PyYAML_nowhere", "not installed", "unknown"),
        Package("scikit_learn", version("scikit-learn"), "unknown"),
    ]


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false", "/bin/true", "/bin/echo"])
def test_a_pip_that_cannot_answer_is_reported_in_the_log_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, python: str
) -> None:
    monkeypatch.setattr("sys.executable", python)

    assert {package.latest for package in outdated_packages()} == {"unknown"}
    (record,) = caplog.records
    expected = "the latest versions are unknown: pip gave no answer ("
    assert record.getMessage().startswith(expected)


@pytest.mark.slow
def test_the_latest_versions_are_those_of_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH")

    packages = outdated_packages()

    if all(package.latest == "unknown" for package in packages):
        pytest.skip("no package index can be reached from here")
    assert [package.package for package in packages] == REQUIRED
    assert all(re.match(r"\d+\.\d+", package.latest) for package in packages)


# --- the record, and the command ---


def test_a_run_keeps_the_latest_versions_that_are_known() -> None:
    assert known_packages([Package("pandas", "0.1", "99")]) == [
        Package(name, version(name), "99" if name == "pandas" else "unknown") for name in REQUIRED
    ]


def test_run_by_hand_it_prints_all_five_and_changes_the_history_alone(deployed: Sandbox) -> None:
    files = deployed.files()

    result = deployed.run("diagnostics")

    frame = pd.read_csv(deployed.root / "testdata/testdata.csv")
    said = model_predictions(deployed.config, frame)
    release = live_release(deployed.config.prod_deployment_path)
    lines = result.out.splitlines()
    timings = [line for line in lines if re.fullmatch(r"  (ingestion|training) +\d+\.\d{3}", line)]
    assert result.code == 0
    assert len(timings) == 2
    assert [line for line in lines if line not in timings] == [
        f"predictions of release {release.id} on the 60 rows of test data",
        f"  {sum(said)} to leave, {60 - sum(said)} to stay",
        "",
        "summary of ingesteddata/finaldata.csv",
        "                        mean  median   std",
        "  lastmonth_activity   29.50   29.50 11.59",
        "  lastyear_activity   348.00  344.50 87.12",
        "  number_of_employees  49.50   49.50 26.26",
        "",
        "missing data, percent",
        "  corporation                     0.00",
        "  lastmonth_activity              0.00",
        "  lastyear_activity               0.00",
        "  number_of_employees             0.00",
        "  exited                          0.00",
        "",
        "execution time, seconds, in a temporary place",
        "",
        "packages of requirements.txt",
        "  package           installed     latest",
        *[f"  {name:<18}{version(name):<14}unknown" for name in REQUIRED],
    ]
    after = deployed.files()
    assert {name for name in after if after[name] != files.get(name)} == {"history.db"}
    assert deployed.query("SELECT outcome FROM runs WHERE command = 'diagnostics'") == [("done",)]


def test_run_by_hand_before_a_release_it_says_so_in_one_line(source: Sandbox) -> None:
    result = source.run("diagnostics")

    place = source.root / "production_deployment"
    assert (result.code, result.out) == (1, "")
    assert result.err == f"error: {place}: nothing is deployed yet\n"


def test_the_last_drift_check_is_shown(settled: Sandbox) -> None:
    rows = [row.replace(",50,", ",5000,") for row in client_rows(200, 60)]
    rows = [",".join([*row.split(",")[:1], "", *row.split(",")[2:]]) for row in rows]
    settled.write("sourcedata/c.csv", rows)
    assert settled.run("fullprocess").code == 0

    out = settled.run("diagnostics").out

    ((at, release),) = settled.query("SELECT at, release FROM decisions WHERE drift_test = 'raw'")
    when = at[:16].replace("T", " ")
    assert f"last drift check, {when} UTC, of release {release}\nBy score\n" in out
    assert "  raw (decides)  " in out
    table = out[out.index("By input") :].splitlines()
    assert table[2].split() == [
        "lastmonth_activity",
        *"---",
        *["100.0", "%", "0.0", "%", "-", "drift"],
        *["new,", *table[2].split()[11:]],
    ]
    assert table[5].startswith("  predicted risk")
