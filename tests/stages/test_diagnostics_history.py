import json
from dataclasses import asdict

import pytest
from sandbox import Sandbox

from app import create_app
from pipeline.storage.database import History
from pipeline.storage.trends import MAX_TRENDS, Trends, trends


def trends_of(world: Sandbox, most: int = 100) -> Trends:
    with History(world.config.history_path) as history:
        return trends(history, most)


def test_the_terminal_shows_aligned_tables(lived: Sandbox) -> None:
    result = lived.run("diagnostics", "--history")
    assert (result.code, result.err) == (0, "")
    parts = [part.splitlines() for part in result.out.rstrip().split("\n\n")]
    assert [part[0].partition(",")[0] for part in parts] == [
        "The last batches",
        "Releases that went live",
        "Missing data",
        "Timings",
        "Rejected files",
    ]
    assert parts[0][2].split()[-3:] == ["drift", "deployed", "2"]
    assert all(len(line) <= 130 for part in parts for line in part)
    assert parts[4][2].endswith("…")


def test_a_program_gets_json(lived: Sandbox) -> None:
    result = lived.run("diagnostics", "--history", "--json", "--last", "2")
    assert json.loads(result.out) == json.loads(json.dumps(asdict(trends_of(lived, 2))))


def test_without_a_history_there_is_nothing_to_show(sandbox: Sandbox) -> None:
    result = sandbox.run("diagnostics", "--history")
    assert (result.code, result.out) == (1, "")
    assert result.err == "error: nothing has been recorded yet: run `python fullprocess.py`\n"
    assert not sandbox.config.history_path.exists()


@pytest.mark.parametrize(
    "args", [["--last", "3"], ["--json", "--last", "3"], ["--history", "--last", "0"]]
)
def test_options_that_say_nothing_are_refused(sandbox: Sandbox, args: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        sandbox.run("diagnostics", *args)
    assert caught.value.code == 2


def test_the_api_tells_the_same(lived: Sandbox) -> None:
    answer = create_app(lived.config).test_client().get("/history?limit=2")
    assert answer.get_json() == json.loads(json.dumps(asdict(trends_of(lived, 2))))


@pytest.mark.parametrize("limit", ["0", "x", str(MAX_TRENDS + 1)])
def test_a_limit_of_the_api_is_checked(settled: Sandbox, limit: str) -> None:
    answer = create_app(settled.config).test_client().get(f"/history?limit={limit}")
    error = "limit must be a whole number from 1 to 10,000"
    assert (answer.status_code, answer.get_json()) == (400, {"error": error})


def test_the_api_without_a_history_is_not_there_yet(sandbox: Sandbox) -> None:
    answer = create_app(sandbox.config).test_client().get("/history")
    assert answer.status_code == 503
