"""The check of an engine: what is told where all fits together, and where something does not."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROJECT, Sandbox
from engines import Cluster, dask_cluster, needs_engine

from pipeline import enginecheck
from pipeline.enginelines import Line, clock_lines, folder_lines, shown_lines
from pipeline.engineprobe import Answer, Place, Question, answer


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with dask_cluster(1) as started:
        yield started


def checked(world: Sandbox) -> tuple[int, list[str], str]:
    """Exit code, lines and log of the check."""
    world.capsys.readouterr()
    code = enginecheck.main(["--check", "--config", str(world.root / "config.json")])
    told = world.capsys.readouterr()
    return code, told.out.splitlines(), told.err


def facts(lines: list[str]) -> list[tuple[str, ...]]:
    """State, subject and text of each line."""
    return [tuple(word.strip() for word in line.split("  ") if word.strip()) for line in lines]


def said_of(worker: str, lines: list[str]) -> list[str]:
    return [line for line in lines if worker in line]


def address_of(cluster: Cluster, number: int) -> str:
    """The address of a worker."""
    return cluster.workers[number].await_log(r"Start worker at:\s+(\S+)")[1]


def test_of_files_there_is_nothing_to_check(sandbox: Sandbox) -> None:
    line = "ok       engine  files: this process does all the work, there is nothing to check"
    assert checked(sandbox) == (0, [line], "")


def test_it_is_asked_for_by_name(sandbox: Sandbox) -> None:
    with pytest.raises(SystemExit) as caught:
        enginecheck.main([])
    assert caught.value.code == 2
    assert "the following arguments are required: --check" in sandbox.capsys.readouterr().err


@needs_engine
def test_of_a_pool_it_tells_workers_and_memory(sandbox: Sandbox) -> None:
    sandbox.configure(engine={"kind": "pool", "workers": 2})
    code, lines, err = checked(sandbox)
    assert (code, err) == (0, "")
    assert lines[0] == "ok       engine       pool: 2 processes that start"
    assert lines[1].endswith(" GiB of memory")


@needs_engine
@pytest.mark.slow
def test_where_all_fits_each_line_says_so_and_nothing_stays(
    sandbox: Sandbox, cluster: Cluster
) -> None:
    sandbox.configure(engine={"kind": "dask", "address": cluster.address})
    before = sandbox.files()
    code, lines, err = checked(sandbox)
    assert (code, err) == (0, "")
    found = facts(lines)
    worker = address_of(cluster, 0)
    assert {state for state, *_ in found} == {"ok"}
    assert [subject for _, subject, _ in found] == [
        *("engine", "scheduler", worker, "versions", "code", "clocks"),
        *("sourcedata", str(sandbox.root), "testdata"),
    ]
    assert found[2][2] == "1 thread, 1.0 GiB of memory each"
    assert found[7][2] == "is the same place for all, who can write and read there"
    assert len({line.index(text) for line, (_, _, text) in zip(lines, found, strict=True)}) == 1
    assert sandbox.files() == before


@needs_engine
@pytest.mark.slow
def test_as_a_program_it_makes_no_noise(sandbox: Sandbox, cluster: Cluster) -> None:
    sandbox.configure(engine={"kind": "dask", "address": cluster.address})
    config = str(sandbox.root / "config.json")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pipeline.engine", "--check", "--config", config],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok       engine ")


@needs_engine
@pytest.mark.slow
def test_without_workers_it_says_how_to_start_one(sandbox: Sandbox) -> None:
    with dask_cluster(0) as cluster:
        sandbox.configure(engine={"kind": "dask", "address": cluster.address})
        code, lines, err = checked(sandbox)
    assert (code, err) == (1, "error: the engine has 1 problem, told above\n")
    assert lines[-1] == (
        "problem  workers    there is none: in this project's folder, start"
        f" `PYTHONPATH=$PWD python -m dask worker {cluster.address} --nthreads 1`"
    )


@needs_engine
@pytest.mark.slow
def test_all_that_does_not_fit_is_told_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "nowhere").mkdir()
    other = tmp_path / "other"
    shutil.copytree(PROJECT / "pipeline", other / "pipeline")
    with (other / "pipeline/errors.py").open("a") as file:
        file.write("# of another version\n")
    (other / "pandas-1.0.dist-info").mkdir()
    told = "Metadata-Version: 2.1\nName: pandas\nVersion: 1.0\n"
    (other / "pandas-1.0.dist-info/METADATA").write_text(told)
    with dask_cluster(1) as cluster:
        cluster.start_worker(cwd=tmp_path / "nowhere", env={"PYTHONPATH": ""})
        cluster.start_worker(cwd=other, env={"PYTHONPATH": str(other)}, threads=2, memory="600MiB")
        workers = [address_of(cluster, number) for number in range(3)]
        sandbox.configure(engine={"kind": "dask", "address": cluster.address})
        code, lines, err = checked(sandbox)
    assert (code, err.splitlines()[-1]) == (1, "error: the engine has 3 problems, told above")
    assert {line.split()[0] for line in said_of(workers[0], lines)} == {"ok"}
    assert said_of(workers[1], lines)[-1].startswith("problem")
    assert "  cannot import pipeline: in this project's folder, start" in lines[-7]
    texts = [text for _, _, text in facts(said_of(workers[2], lines))]
    assert texts[0] == "2 threads share one lock of Python: as many workers of one do more"
    assert texts[1].startswith("2 threads, 0.3 GiB of memory each: parts may not fit")
    assert texts[2].startswith("has pandas 1.0; here it is ")
    assert texts[3] == "has other code of this project than there is here"


@needs_engine
@pytest.mark.slow
def test_a_worker_from_before_a_change_of_code_is_to_be_started_again(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(PROJECT / "pipeline", own / "pipeline")
    with dask_cluster(0) as cluster:
        cluster.start_worker(cwd=own, env={"PYTHONPATH": str(own)})
        os.utime(own / "pipeline/errors.py")
        sandbox.configure(engine={"kind": "dask", "address": cluster.address})
        code, lines, _ = checked(sandbox)
    assert code == 1
    assert any(line.endswith("project's code changed: start it again") for line in lines)


@needs_engine
@pytest.mark.slow
def test_a_worker_that_is_hung_is_named_and_holds_up_nobody(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cluster.ANSWER_SECONDS", 5)
    with dask_cluster(2) as cluster:
        hung, well = (address_of(cluster, number) for number in range(2))
        sandbox.configure(engine={"kind": "dask", "address": cluster.address})
        os.kill(cluster.workers[0].process.pid, signal.SIGSTOP)
        try:
            code, lines, err = checked(sandbox)
        finally:
            os.kill(cluster.workers[0].process.pid, signal.SIGCONT)
    assert (code, err) == (1, "error: the engine has 1 problem, told above\n")
    told = "is hung, or its machine is: it has said nothing for 5 seconds"
    assert [line.split(maxsplit=2)[2] for line in said_of(hung, lines) if "problem" in line] == [
        told
    ]
    assert {line.split()[0] for line in said_of(well, lines)} == {"ok"}
    assert any("this project is the same everywhere" in line for line in lines)


# folders and clocks, as workers elsewhere would see them


def of_another_machine(question: Question, **changes: object) -> Answer:
    """The answer of a process here, with what would be different there."""
    return Answer(**{**vars(answer(question)), **changes})


@pytest.fixture
def asked(sandbox: Sandbox) -> Iterator[Question]:
    with enginecheck._asked(sandbox.config) as (question, unwritten):
        assert unwritten == []
        yield question


@needs_engine
def test_a_folder_that_is_another_there_is_told(sandbox: Sandbox, asked: Question) -> None:
    there = Question(asked.name, "another token", asked.places)
    assert set(answer(there).problems.values()) == {"is another place there"}
    (sandbox.root / "testdata" / asked.name).unlink()
    found = folder_lines(sandbox.config, asked, {"tcp://w": answer(asked)})
    assert [line for line in found if line.state == "problem"] == [
        ("problem", "tcp://w", "testdata is another place there")
    ]


@needs_engine
def test_what_is_written_there_must_show_here(sandbox: Sandbox, asked: Question) -> None:
    there = answer(asked)
    ((folder, path),) = there.left.items()
    assert folder == sandbox.root  # where the output folder will be made
    assert path.read_text() == asked.token
    path.unlink()
    found = folder_lines(sandbox.config, asked, {"tcp://w": there})
    (line,) = (line for line in found if line.state == "problem")
    assert line.text == f"{sandbox.root} does not show here what is written there ({path})"


@needs_engine
def test_a_folder_that_workers_cannot_use_is_told(sandbox: Sandbox, asked: Question) -> None:
    place = sandbox.root / "testdata" / asked.name
    place.unlink()
    place.mkdir()  # not even root reads that as a file
    problems = answer(asked).problems
    assert problems == {sandbox.root / "testdata": "is of no use there: Is a directory"}
    place.rmdir()


@needs_engine
@pytest.mark.parametrize(
    ("by", "text"), [(-30, "30 s slow"), (30, "30 s fast"), (1, None), (-1, None)]
)
def test_a_clock_that_is_wrong_is_told(asked: Question, by: float, text: str | None) -> None:
    now = time.time()
    there = of_another_machine(asked, now=now + by)
    (line,) = clock_lines(now, now + 0.01, {"tcp://w": there})
    if text:
        assert line == ("problem", "tcp://w", f"has a clock that is {text}")
    else:
        assert line == ("ok", "clocks", "within 2 s")


@needs_engine
def test_nothing_stays_of_what_was_asked(sandbox: Sandbox) -> None:
    before = sandbox.files()
    with enginecheck._asked(sandbox.config) as (question, _):
        assert answer(question).problems == {}
        assert sandbox.files() != before
    assert sandbox.files() == before


def test_each_folder_is_asked_about_once(sandbox: Sandbox) -> None:
    with enginecheck._asked(sandbox.config) as (question, _):
        assert question.places == (
            Place(sandbox.root / "sourcedata", False),
            Place(sandbox.root, True),
            Place(sandbox.root / "testdata", False),
        )


def test_lines_stand_in_columns() -> None:
    lines = [Line("ok", "a", "b c"), Line("problem", "longer", "d")]
    assert shown_lines(lines) == ["ok       a       b c", "problem  longer  d"]
