"""`--json`: one object on standard output, of the same facts that the lines for a person tell."""

import importlib
import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sandbox import PROJECT, Result, Sandbox, client_rows
from servers import serving

from pipeline import cli
from pipeline.registry.releases import live_release
from pipeline.stages.diagnostics import Predicted
from pipeline.storage.database import History

INGESTED = ["files", "added", "total_rows", "path", "rejected_rows"]
MANIFEST = ["sha256", "trained_at", "rows", "last_file", "schema", "versions", "self_check"]
MANIFEST += ["recipe", "usual", "left", "data_until", "warnings", "drawn_from", "contacts"]
SCORES = ["path", "rows", "f1", "accuracy", "precision", "recall", "roc_auc"]
SCORES += ["average_precision", "log_loss", "brier"]
RELEASE = ["path", "id", "deployed_at", "f1", "previous", "files", "model", "challenge"]
REPORT = ["release", "confusion_matrix", "client_risk", "clients", "movers", "moved", "documents"]
REPORT += ["horizon_days"]
DIAGNOSTICS = ["release", "predictions", "summary", "missing_percent", "drift", "seconds"]
TICK = ["outcome", *INGESTED, "decision", "reports"]
STATUS = [
    "release",
    "last_run",
    "last_active",
    "new",
    "pending",
    "rejected",
    "held",
    "last_verdict",
    "held_challenger",
    "alerts_waiting",
]

# every call of a script that has a result, and the keys of its object
KEYS = {
    "ingestion": INGESTED,
    "ingestion --rebuild": INGESTED,
    "training": ["path", *MANIFEST],
    "scoring": SCORES,
    "deployment": RELEASE,
    "deployment --list": ["live", "releases"],
    "deployment --rollback": RELEASE,
    "diagnostics": [*DIAGNOSTICS, "packages"],
    "diagnostics --history": ["checks", "deployments", "missing", "timings", "refused", "expected"],
    "reporting": REPORT,
    "apicalls": ["path", "answers"],
    "fullprocess": TICK,
    "fullprocess --status": [*STATUS, "errors"],
}
SERVERS = {"app", "wsgi"}  # which have no result

REJECTED = "corporation,lastmonth_activity\nAcme,1\n"
WHY_REJECTED = (
    "lacks the column lastyear_activity, number_of_employees;"
    " it has corporation, lastmonth_activity; python ingestion.py --check FILE proposes a schema"
)


def no_number(text: str) -> NoReturn:
    pytest.fail(f"{text} is no JSON")


def parsed(result: Result, code: int = 0) -> dict[str, Any]:
    """The one object that is all of standard output."""
    assert result.code == code, result.err
    assert (result.out.count("\n"), result.out[-1]) == (1, "\n")
    found: dict[str, Any] = json.loads(result.out, parse_constant=no_number)
    return found


def json_of(world: Sandbox, call: str) -> dict[str, Any]:
    stage, *args = call.split()
    return parsed(world.run(stage, *args, "--json"))


def digest(world: Sandbox, name: str) -> str:
    return sha256((world.root / name).read_bytes()).hexdigest()


def decision_on_record(world: Sandbox) -> dict[str, Any]:
    """The last decision, as the history has it."""
    with History(world.config.history_path) as history:
        (row,) = history.query("SELECT * FROM decisions ORDER BY id DESC LIMIT 1")
    found = dict(row)
    del found["id"], found["at"]
    return found | {key: json.loads(found[key]) for key in ("files", "compared")}


# --- all of them ---


def test_every_script_is_either_a_server_or_in_the_list() -> None:
    scripts = {path.stem for path in PROJECT.glob("*.py")}

    assert {call.split()[0] for call in KEYS} == scripts - SERVERS


def test_every_result_is_one_object_and_nothing_else(deployed: Sandbox) -> None:
    for _ in range(2):
        assert deployed.run("deployment").code == 0  # so that there is one to go back to
    with serving(deployed.config) as url:
        deployed.configure(api_url=url)
        found = {call: list(json_of(deployed, call)) for call in KEYS}

    assert found == KEYS


def test_a_server_has_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--config", str(tmp_path / "nowhere.json"), "--json"]  # never one to serve by

    with pytest.raises(SystemExit) as stopped:
        importlib.import_module("app").main(given)

    assert stopped.value.code == 2
    assert capsys.readouterr().err.endswith("error: unrecognized arguments: --json\n")


@pytest.mark.parametrize("call", [call for call in KEYS if call != "apicalls"])
def test_a_failure_leaves_standard_output_empty(sandbox: Sandbox, call: str) -> None:
    sandbox.write("history.db", "no database\n" * 100)
    (sandbox.root / "production_deployment").mkdir()
    (sandbox.root / "production_deployment/current").write_text("no link")
    stage, *args = call.split()

    result, as_lines = sandbox.run(stage, *args, "--json"), sandbox.run(stage, *args)

    assert (result.code, result.out) == (1, "")
    assert (result.err, result.err[:7]) == (as_lines.err, "error: ")


def test_a_number_that_json_does_not_have_is_a_bug(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        cli.print_json(sandbox.config, {"f1": float("nan")})

    assert sandbox.capsys.readouterr().out == ""


def test_standard_output_may_be_closed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    main = importlib.import_module("fullprocess").main
    assert main(["--config", str(sandbox.root / "config.json"), "--status", "--json"]) == 0


def test_paths_are_as_messages_show_them_and_names_as_they_are(sandbox: Sandbox) -> None:
    within, beyond = sandbox.config.finaldata_path, Path("/elsewhere/ü.csv")

    cli.print_json(sandbox.config, {"at": Predicted(3, 1, 2), "paths": (within, beyond)})

    assert sandbox.capsys.readouterr().out == (
        '{"at": {"rows": 3, "leave": 1, "stay": 2},'
        ' "paths": ["ingesteddata/finaldata.csv", "/elsewhere/ü.csv"]}\n'
    )


# --- stage by stage ---


def test_an_ingestion_tells_what_became_of_each_file(sandbox: Sandbox) -> None:
    rows = client_rows(0, 20)
    sandbox.write("sourcedata/a.csv", [*rows, "Bad Ltd,many,300,50,0", rows[0]])
    sandbox.write("sourcedata/ü.csv", REJECTED)

    assert json_of(sandbox, "ingestion") == {
        "files": [
            {
                "name": "a.csv",
                "reason": None,
                "rows": 22,
                "added": 20,
                "duplicates": 1,
                "set_aside": 1,
                "outcomes_changed": 0,
                "missing": 0,
                "outcomes_alone": False,
                "unknown_clients": 0,
                "sha256": digest(sandbox, "sourcedata/a.csv"),
            },
            {
                "name": "ü.csv",
                "reason": WHY_REJECTED,
                "rows": 0,
                "added": 0,
                "duplicates": 0,
                "set_aside": 0,
                "outcomes_changed": 0,
                "missing": 0,
                "outcomes_alone": False,
                "unknown_clients": 0,
                "sha256": digest(sandbox, "sourcedata/ü.csv"),
            },
        ],
        "added": 20,
        "total_rows": 20,
        "path": "ingesteddata/finaldata.csv",
        "rejected_rows": "ingesteddata/rejectedrows.csv",
    }


def test_what_there_are_no_numbers_to_tell_of_is_null(settled: Sandbox) -> None:
    rows = [",".join([*row.split(",")[:3], "", row[-1]]) for row in client_rows(0, 60)]
    settled.write("sourcedata/a.csv", rows)
    (settled.root / "sourcedata/b.csv").unlink()
    assert settled.run("ingestion", "--rebuild", "--yes").code == 0

    found = json_of(settled, "diagnostics")

    assert found["summary"]["number_of_employees"] == {"mean": None, "median": None, "std": None}
    assert found["missing_percent"]["number_of_employees"] == 100


# --- the chain ---


def test_a_tick_that_finds_nothing_new_says_so(settled: Sandbox) -> None:
    result = settled.run("fullprocess", "--json")

    assert result.err == ""
    assert parsed(result) == {
        "outcome": "nothing new",
        "files": [],
        "added": 0,
        "total_rows": 120,
        "path": "ingesteddata/finaldata.csv",
        "rejected_rows": None,
        "decision": None,
        "reports": None,
    }


def test_the_first_tick_tells_files_decision_and_reports(source: Sandbox) -> None:
    found = json_of(source, "fullprocess")

    release = live_release(source.config.prod_deployment_path)
    assert found["outcome"] == "done"
    assert [(file["name"], file["added"]) for file in found["files"]] == [
        ("a.csv", 60),
        ("b.csv", 60),
    ]
    assert found["total_rows"] == 120
    assert found["decision"] == decision_on_record(source)
    assert (found["decision"]["verdict"], found["decision"]["files"]) == (
        "nothing deployed",
        ["a.csv", "b.csv"],
    )
    assert found["reports"] == {
        "release": release.id,
        "confusion_matrix": "models/confusionmatrix2.png",
        "client_risk": "models/clientrisk.csv",
        "clients": 64,
        "movers": "models/movers.csv",
        "moved": "no ranking before to compare with",
        "documents": [],
        "horizon_days": None,
        "f1": release.f1,
        "model": "production_deployment/trainedmodel.pkl",
        "api_returns": "models/apireturns2.txt",
    }


# --- the state ---


def test_the_status_tells_what_the_screen_tells(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", REJECTED)
    assert settled.run("fullprocess").code == 1
    settled.write("sourcedata/d.csv", client_rows(300, 60))
    assert settled.run("ingestion").code == 0
    settled.write("sourcedata/e.csv", client_rows(400, 60))

    found = json_of(settled, "fullprocess --status")

    live = live_release(settled.config.prod_deployment_path)
    (started, ended) = settled.query("SELECT started_at, ended_at FROM runs ORDER BY id")[-1]
    (at, reason) = settled.query("SELECT at, reason FROM decisions")[0]
    last_active = found.pop("last_active")
    assert found == {
        "release": {
            "id": live.id,
            "deployed_at": live.deployed_at,
            "f1": live.f1,
            "horizon_days": None,
        },
        "last_run": {
            "command": "ingestion",
            "started_at": started,
            "ended_at": ended,
            "outcome": "done",
        },
        "new": ["e.csv"],
        "pending": ["d.csv"],
        "rejected": [{"name": "c.csv", "reason": WHY_REJECTED}],
        "held": [],
        "held_challenger": None,
        "alerts_waiting": 0,
        "last_verdict": {
            "at": at,
            "verdict": "nothing deployed",
            "reason": reason,
            "challenge": None,
        },
        "errors": {},
    }
    assert f"last active    {last_active}\n" in settled.run("fullprocess", "--status").out
