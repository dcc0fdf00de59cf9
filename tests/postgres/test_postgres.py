"""The history on a PostgreSQL server: the whole system on it, and what goes wrong."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import postgres
import pytest
from flask.testing import FlaskClient
from postgres import CAREFUL, PASSWORD, Server, opened
from sandbox import PROJECT, Sandbox, client_rows
from servers import free_port, wait_until

from app import create_app
from pipeline.action.current_ranking import history_stamp
from pipeline.core.errors import HistoryError
from pipeline.registry.releases import live_id
from pipeline.storage.migrations import MIGRATIONS
from pipeline.storage.records import record_timing

if (lacking := postgres.missing()) and not postgres.REQUIRED:
    pytest.skip(lacking, allow_module_level=True)

TABLES = (
    *("files", "rejected_rows", "master", "runs", "scores", "decisions", "score_drift"),
    "expected_scores",
    *("input_drift", "deployments", "timings", "missing", "rankings", "told"),
    # by name: a client's number may leave a gap on a server
    "(SELECT client, ranking_id, risk FROM client_risk JOIN ranked_clients ON id = client_id) AS r",
)


# --- the whole system, beside the same on SQLite ---


@pytest.fixture
def twins(
    source: Sandbox,
    database: str,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> tuple[Sandbox, Sandbox]:
    """The same project twice: its history in a file, and on the server."""
    other = Sandbox(tmp_path_factory.mktemp("twin"), capsys)
    shutil.copytree(source.root, other.root, dirs_exist_ok=True)
    other.configure(history_path=database)
    return source, other


def alike(text: str) -> str:
    """A text without what two runs of the same differ in: times, and seconds taken."""
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:[\d.]+Z?)?( UTC)?", "TIME", text)
    text = re.sub(r"(\d{6})-\d{8}T\d{6}Z", r"\1", text)
    text = re.sub(r"\"(seconds|ingestion|training|\w*age_seconds)\": ?[\d.e-]+", r"\1", text)
    text = re.sub(r"(clientrisk_\w*seconds\S*) [\d.e+-]+", r"\1", text)
    return re.sub(r"\d+(\.\d+)? seconds|in \d+\.\d\d s\b", "SECONDS", text)


def history_of(world: Sandbox) -> dict[str, list[str]]:
    """Every table of the history, but for when things happened and how long they took."""
    passed_over = {"seconds", "rowid", "mtime_ns", "ctime_ns"}
    passed_over |= {"log_file", "log_mtime_ns", "log_digest"}  # of a seed of their own
    with opened(world.config.history_path) as history:
        return {
            table: sorted(
                alike(json.dumps({k: v for k, v in dict(row).items() if k not in passed_over}))
                for row in history.query(f"SELECT * FROM {table}")
            )
            for table in TABLES
        }


def life(world: Sandbox) -> Iterator[tuple[str, ...]]:
    """All that a project goes through, one command after another."""
    yield ("fullprocess", "--status")
    yield ("fullprocess", "--json")
    yield ("fullprocess",)  # nothing new
    world.write("sourcedata/c.csv", [*client_rows(300, 60), "Bad Ltd,many,300,50,0"])
    world.write("sourcedata/refused.csv", "who,what\nAcme,1\n")
    yield ("fullprocess", "--json")  # no drift
    world.write("sourcedata/d.csv", client_rows(400, 400, flipped=True))
    yield ("fullprocess",)  # drift
    yield ("deployment", "--list")
    yield ("deployment", "--rollback")
    (world.root / "sourcedata/b.csv").unlink()
    world.write("sourcedata/a.csv", client_rows(900, 10))
    yield ("ingestion", "--rebuild", "--yes", "--json")
    for stage in ("training", "scoring", "deployment"):
        yield (stage, "--json")
    yield ("fullprocess", "--json")
    yield ("diagnostics", "--history", "--json")
    yield ("fullprocess", "--status", "--json")


ASKED = (
    *("/health", "/ready", "/diagnostics", "/history", "/summarystats", "/scoring", "/risk"),
    *("/movers", "/metrics", "/risk/client00301", "/clients", "/client?name=client00301"),
    *("/", "/model?client=client00301", "/operations"),
    *("/client?name=nobody", "/client?name=%00", "/client?name=%ff"),
)


class Lived(NamedTuple):
    """What a project has gone through: its words, its history, all its rows."""

    said: list[str]
    history: dict[str, list[str]]
    rows: bytes


def lived(world: Sandbox) -> Lived:
    """A project's life, in which all goes well."""
    results = [(command, world.run(*command)) for command in life(world)]
    assert [(c, r.code, r.err) for c, r in results if r.code] == []
    said, history = [alike(result.out) for _, result in results], history_of(world)
    return Lived(said, history, world.config.finaldata_path.read_bytes())


@pytest.mark.slow
def test_all_of_it_is_as_with_a_history_in_a_file(twins: tuple[Sandbox, Sandbox]) -> None:
    on_file, on_server = map(lived, twins)

    assert on_server.said == on_file.said
    assert on_server.history == on_file.history
    assert on_server.rows == on_file.rows
    assert [name for name, rows in on_file.history.items() if not rows] == []

    first, second = (create_app(world.config).test_client() for world in twins)
    for path in ASKED:
        one, other = first.get(path), second.get(path)
        assert (path, other.status_code) == (path, one.status_code)
        assert words(other.get_data(as_text=True)) == words(one.get_data(as_text=True)), path


def words(text: str) -> str:
    """What an answer says; of a page, whose numbers the API tells too, without charts and ages."""
    text = alike(text)
    if not text.startswith("<!DOCTYPE"):
        return text
    text = re.sub(r"src=\"data:[^\"]*\"", "", text)
    text = re.sub(r"<svg.*?</svg>|\d+ (second|minute)s? ago|just now", "", text, flags=re.DOTALL)
    return re.sub(r"\b\d+(\.\d+)?\b", "NUMBER", text)


def test_a_run_that_finds_nothing_new_leaves_every_file_as_it_was(live: Sandbox) -> None:
    files, stamps = live.files(), live.stamps()

    result = live.run("fullprocess")

    assert (result.code, result.out, result.err) == (0, "nothing new in sourcedata\n", "")
    assert (live.files(), live.stamps()) == (files, stamps)
    assert not any("history.db" in name for name in files)


def test_every_run_says_when_it_was_there(live: Sandbox, postgresql: Server) -> None:
    postgresql.execute("bared", "UPDATE server_state SET last_active = '2001-01-01T00:00:00Z'")
    client = create_app(live.config).test_client()
    assert "last active    2001-01-01T00:00:00Z" in live.run("fullprocess", "--status").out
    assert client.get("/health").json["last_active"] == "2001-01-01T00:00:00Z"
    assert "othing has run for" in client.get("/").text

    assert live.run("fullprocess").code == 0

    result = json.loads(live.run("fullprocess", "--status", "--json").out)["last_active"]
    assert re.fullmatch(r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", result)
    assert client.get("/health").json["last_active"] == result
    assert "othing has run for" not in client.get("/").text


def test_practice_does_not_touch_the_server(live: Sandbox) -> None:
    live.write("practicedata/p.csv", client_rows(0, 60))
    before = history_of(live)

    result = live.run("fullprocess", "--practice")

    assert result.code == 0, result.err
    assert (live.root / "practicemodels/history.db").is_file()
    assert history_of(live) == before


def test_a_client_is_erased(live: Sandbox) -> None:
    clients = live.query("SELECT client FROM ranked_clients ORDER BY client")
    erased = live.run("ingestion", "--erase", clients[0][0], "--keep-out")
    assert erased.code == 0, erased.err
    assert live.query("SELECT client FROM ranked_clients ORDER BY client") == clients[1:]
    assert live.query("SELECT count(*) FROM client_risk") == [(len(clients) - 1,)]
    assert live.query("SELECT (SELECT count(*) FROM erasures), count(*) FROM kept_out") == [(1, 1)]
    assert clients[0][0] not in live.config.finaldata_path.read_text()
    assert live.run("fullprocess").out == "nothing new in sourcedata\n"


# --- those who read ---


def test_before_the_first_run_readers_find_nothing_and_make_nothing(
    shared: Sandbox, postgresql: Server
) -> None:
    client = create_app(shared.config).test_client()

    assert shared.run("fullprocess", "--status").out.splitlines()[1:3] == [
        "last run       never",
        "last active    never",
    ]
    result = shared.run("diagnostics", "--history")
    assert (result.code, result.err) == (
        1,
        "error: nothing has been recorded yet: run `python fullprocess.py`\n",
    )
    assert (client.get("/health").json["last_run"], client.get("/").status_code) == (None, 200)
    assert [client.get(f"/{path}").status_code for path in ("history", "diagnostics")] == [503] * 2
    assert postgresql.execute("bared", "SELECT * FROM pg_tables WHERE schemaname = 'public'") == []


def test_a_reader_needs_no_right_to_write(live: Sandbox, postgresql: Server) -> None:
    postgresql.execute("bared", "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN")
    postgresql.execute(
        "bared",
        "GRANT USAGE ON SCHEMA public TO reader;"
        " GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    )
    live.configure(history_path=postgresql.url("bared", "reader"))
    client = create_app(live.config).test_client()

    answers = {path: client.get(path).status_code for path in ("/", "/history", "/metrics")}
    assert answers == dict.fromkeys(answers, 200)
    result = live.run("fullprocess")
    assert (result.code, result.err) == (
        1,
        f"error: {postgresql.url('bared', 'reader')}: permission denied for table server_state\n",
    )
    postgresql.execute("bared", "DROP OWNED BY reader; DROP ROLE reader")


def test_no_connection_is_left_open(live: Sandbox, postgresql: Server) -> None:
    client = create_app(live.config).test_client()

    for path in (*ASKED, "/client", "/risk?limit=x"):
        client.get(path)
    assert live.run("fullprocess").code == 0
    assert live.run("fullprocess", "--status").code == 0

    wait_until(lambda: postgresql.connected() == 0)


def test_the_stamp_changes_with_what_is_written_alone(live: Sandbox) -> None:
    place = live.config.history_path
    stamps = [history_stamp(place)]
    client = create_app(live.config).test_client()
    assert client.get("/").status_code == 200
    stamps.append(history_stamp(place))
    with opened(place) as history:
        history.query("UPDATE runs SET detail = 'changed'")
    stamps.append(history_stamp(place))
    with opened(place) as history, history.transaction():
        history.query("UPDATE runs SET detail = 'not yet'")
        during = history_stamp(place)
    stamps.append(history_stamp(place))

    assert stamps[0] == stamps[1]
    assert len({*stamps}) == 3
    assert during != stamps[3]


# --- records ---


def test_a_number_is_read_as_it_was_written(database: str) -> None:
    seconds = [0.1 + 0.2, 1e-300, 1e308, -0.5, 5e-324, 1 / 3]
    with opened(database) as history:
        for number in seconds:
            history.insert("timings", at="t", stage="s", seconds=number, rows=2**63 - 1)
        history.many(
            "INSERT INTO timings (at, stage, seconds, rows) VALUES ('t', 's', ?, ?)",
            [(number, -(2**63)) for number in seconds],
        )
        found = history.tuples("SELECT seconds, rows FROM timings ORDER BY id")

    assert [repr(number) for number, _ in found] == [repr(number) for number in seconds * 2]
    assert {rows for _, rows in found} == {2**63 - 1, -(2**63)}


@pytest.mark.parametrize("text", ["%s ? '\"\\", "株式 \U0001f600", "a\tb\r\nc", "$1 {x} :y"])
def test_a_text_is_read_as_it_was_written(database: str, text: str) -> None:
    with opened(database) as history:
        made = history.insert("runs", command=text, started_at="%")
        history.many("UPDATE runs SET detail = ? WHERE command = ?", [(text, text)])
        row = history.one("SELECT * FROM runs WHERE command = ? AND started_at = '%'", text)

    assert row
    assert (row["id"], row["command"], row["detail"]) == (made, text, text)


def test_texts_are_ordered_by_bytes(database: str) -> None:
    texts = ["", "-a", "10", "9", "B", "_", "a", "a b", "ab", "Ä", "ä"]
    with opened(database) as history:
        for text in reversed(texts):
            history.insert("runs", command="x", started_at=text)
        found = history.tuples("SELECT started_at FROM runs ORDER BY started_at")
        later = history.tuples("SELECT count(*) FROM runs WHERE started_at > 'B'")

    assert [text for (text,) in found] == sorted(texts, key=str.encode)
    assert later == [(6,)]


# --- the tables ---


OPEN = """
import os, sys
from pipeline.storage.history import open_history
from pipeline.core.database_url import DatabaseUrl
import pipeline.storage.postgres
while not os.path.exists(sys.argv[2]):
    pass
open_history(DatabaseUrl(sys.argv[1])).close()
"""


def test_several_processes_may_make_the_tables_at_once(database: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, database, str(tmp_path / "go")]
    children = [
        subprocess.Popen(command, cwd=PROJECT, text=True, stderr=subprocess.PIPE) for _ in range(4)
    ]
    (tmp_path / "go").touch()
    result = [(child.communicate(timeout=600)[1], child.returncode) for child in children]

    assert result == [("", 0)] * 4
    with opened(database) as history:
        assert history.tuples("SELECT version FROM server_state") == [(len(MIGRATIONS),)]
        assert history.tuples("SELECT bytes FROM master") == [(0,)]


def test_an_older_database_gets_the_steps_it_lacks(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(database) as history:
        record_timing(history, "training", 1.5, 10)
    step, steps = "ALTER TABLE timings ADD host TEXT, ADD os TEXT;\nUPDATE {} SET os = 'x'", []
    for table in ("nowhere", "timings"):  # all of a step, or nothing
        steps = [*MIGRATIONS, step.format(table)]
        monkeypatch.setattr("pipeline.storage.postgres.ServerHistory.migrations", steps)
        if table == "nowhere":
            with pytest.raises(HistoryError, match="is no history database of ours"):
                opened(database)
    with opened(database) as history:
        assert history.tuples("SELECT stage, host, os FROM timings") == [("training", None, "x")]


def test_a_newer_database_is_refused(database: str) -> None:
    with opened(database) as history:
        history.query("UPDATE server_state SET version = version + 1")

    with pytest.raises(HistoryError) as caught:
        opened(database)
    assert str(caught.value) == f"{database} was written by a newer version of this project"


def test_another_programs_database_is_refused_and_left_alone(
    database: str, postgresql: Server
) -> None:
    postgresql.execute("bared", "CREATE TABLE files (name TEXT)")

    with pytest.raises(HistoryError) as caught:
        opened(database)
    assert str(caught.value) == (
        f'{database} is no history database of ours: relation "files" already exists'
    )
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert postgresql.execute("bared", tables) == [("files",)]


def test_a_database_of_another_encoding_is_refused(postgresql: Server) -> None:
    postgresql.execute("postgres", "DROP DATABASE IF EXISTS latin")
    postgresql.execute(
        "postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    )

    with pytest.raises(HistoryError) as caught:
        opened(postgresql.url("latin"))
    assert str(caught.value) == (
        f"{postgresql.url('latin')} has the encoding LATIN1; make a database with UTF8"
    )


# --- what goes wrong ---


def one_line(err: str) -> str:
    """What a failed run says last, which it says once and without a traceback."""
    assert "Traceback" not in err
    (result,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return result


HINT = (
    "; check that the server runs, that it has this database and user, and that the password is"
    " known (PGPASSWORD, ~/.pgpass)"
)


def test_a_server_or_database_that_is_not_there_is_named(
    source: Sandbox, postgresql: Server
) -> None:
    source.configure(history_path=postgresql.url("nowhere"))
    result = one_line(source.run("fullprocess").err)
    assert result.startswith(f"error: {postgresql.url('nowhere')} cannot be opened: ")
    assert 'database "nowhere" does not exist' in result
    url = f"postgresql://risk:{PASSWORD[:1]}@127.0.0.1:{free_port()}/h"
    source.configure(history_path=url)

    for stage in ("fullprocess", "ingestion"):
        result = source.run(stage)
        assert (result.code, result.out) == (1, "")
        found = one_line(result.err)
        assert found.startswith(f"error: {source.config.history_path} cannot be opened: ")
        assert "Connection refused" in found
        assert found.endswith(HINT)


@pytest.fixture
def careful(postgresql: Server) -> Callable[[str], str]:
    """The URL with a password of the one user who is asked for it."""
    postgresql.execute(
        "bared",
        f"DROP ROLE IF EXISTS {CAREFUL}; CREATE ROLE {CAREFUL} LOGIN PASSWORD '{PASSWORD}';"
        f" GRANT USAGE, CREATE ON SCHEMA public TO {CAREFUL}",
    )

    def url(password: str) -> str:
        return postgresql.url("bared", f"{CAREFUL}:{password}" if password else CAREFUL)

    return url


def test_a_wrong_password_is_reported_and_never_shown(
    shared: Sandbox, careful: Callable[[str], str]
) -> None:
    shared.configure(history_path=careful("wr0ng"))

    for args in (("fullprocess",), ("fullprocess", "-v"), ("fullprocess", "--status")):
        result = shared.run(*args)
        assert (result.code, result.out) == (1, "")
        assert "wr0ng" not in result.err
        assert 'password authentication failed for user "careful"' in one_line(result.err)
    answer = create_app(shared.config).test_client().get("/diagnostics")
    assert (answer.status_code, answer.json) == (
        503,
        {"error": "the records cannot be read; the server's log says why"},
    )


def test_the_password_may_come_from_elsewhere(
    shared: Sandbox,
    careful: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    shared.configure(history_path=careful("p%40ss%3Aw%2Frd%20%251"))
    assert shared.run("ingestion").code == 0

    shared.configure(history_path=careful(""))
    assert "no password supplied" in one_line(shared.run("ingestion").err)
    passes = tmp_path / "pass"
    passes.write_text(f"*:*:*:{CAREFUL}:{PASSWORD}\n".replace("p@ss:", r"p@ss\:"))
    passes.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passes))
    assert shared.run("ingestion").code == 0
    monkeypatch.delenv("PGPASSFILE")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert shared.run("ingestion").code == 0


def test_a_database_that_only_reads_is_reported(live: Sandbox, postgresql: Server) -> None:
    postgresql.execute("postgres", "ALTER DATABASE bared SET default_transaction_read_only = on")
    try:
        result = one_line(live.run("fullprocess").err)
    finally:
        postgresql.execute("postgres", "ALTER DATABASE bared RESET ALL")

    assert result == (
        f"error: {live.config.history_path}: cannot execute UPDATE in a read-only transaction"
    )


def test_a_bug_keeps_its_traceback(database: str) -> None:
    from psycopg import errors

    with opened(database) as history:
        with pytest.raises(errors.UndefinedTable):
            history.query("SELECT * FROM nowhere")
        with pytest.raises(errors.CheckViolation), history.transaction():
            history.insert("runs", command="x", started_at="t", outcome="odd")
        assert history.insert("runs", command="x", started_at="t")


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that a test may stop."""
    with postgres.server() as started:
        yield started


def test_a_server_that_stops_while_work_is_done_ends_the_run(
    source: Sandbox, own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.stages import training

    source.configure(history_path=own.url("postgres"))
    fit = training.fit

    def fit_and_stop(*args: Any, **kwargs: Any) -> Any:
        own.stop()
        return fit(*args, **kwargs)

    monkeypatch.setattr(training, "fit", fit_and_stop)
    result = source.run("fullprocess")
    monkeypatch.undo()

    assert result.code == 1
    assert one_line(result.err).startswith(f"error: {source.config.history_path}")
    own.start()
    result = source.run("fullprocess")
    assert result.code == 0, result.err
    assert live_id(source.config.prod_deployment_path)


def test_an_api_outlives_its_server(live: Sandbox, own: Server) -> None:
    live.configure(history_path=own.url("postgres"))
    client: FlaskClient = create_app(live.config).test_client()
    assert client.get("/health").status_code == 200
    own.stop()
    asked = ("/health", "/ready", "/diagnostics", "/", "/prediction?filename=testdata.csv")
    assert [client.get(path).status_code for path in asked] == [503, 200, 503, 503, 200]
    own.start()
    assert client.get("/health").status_code == 200
