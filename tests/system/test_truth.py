"""Observations and sightings: the stage beside a plain model of the rules, over random histories
of files and a year of a company; and the model beside values worked out by hand."""

import os
import shutil
import tempfile
from copy import deepcopy
from pathlib import Path

import histories
import pytest
from histories import Folder, History
from hypothesis import given, settings
from sandbox import Sandbox
from truth import HEADER, Truth, file_of, natural
from year import year

from pipeline.core.schema import csv_line
from pipeline.observations.master import open_master
from pipeline.storage.history import open_history

START = 1_700_000_000  # seconds; the files' times of change are hours after it


def model(runs: str, **mtimes: int) -> Truth:
    """What comes of runs, a slash between them: each file a name and its lines, a semicolon
    between files; those not named are unchanged or gone.
    """
    truth = Truth()
    for run in runs.split(" / "):
        files = [file.split() for file in run.split("; ")]
        truth.take({name: file_of(mtimes.get(name, 0), lines) for name, *lines in files})
    return truth


# --- the model, by hand ---

# runs; the lines of finaldata.csv; who is ranked, by which balance; who has left
BY_HAND = {
    "back to a state": ("1 a,5000,0 / 2 a,50,0 / 3 a,5000,0", "a,5000,0 a,50,0", "a,5000", ""),
    "left": ("1 a,5,0 b,1,0 / 2 a,5,1", "a,5,1 b,1,0", "b,1", "a"),
    "left and back": ("1 a,5,0 / 2 a,5,1 / 3 a,5,0", "a,5,0", "a,5", ""),
    "back, unknown, which overrides nothing": ("1 a,5,1 / 2 a,5,", "a,5,1", "a,5", ""),
    "stayed, known late": ("1 a,5, / 2 a,6, / 3 a,5,0", "a,5,0 a,6,", "a,6", ""),
    "left, known late": ("1 a,5, / 2 a,6, / 3 a,5,1", "a,5,1 a,6,", "", "a"),
    "reported as before": ("1 a,5, / 2 a,5,1 / 3 a,6, / 4 a,5,1", "a,5,1 a,6,", "a,6", ""),
    "a report taken back": ("1 a,5, / 2 a,5,1 / 3 a,5,0", "a,5,0", "a,5", ""),
    "one of two taken back": ("1 a,5, a,6, / 2 a,6,1 a,5,1 / 3 a,5,0", "a,5,0 a,6,1", "", "a"),
    "a corrected file": ("1 a,5,1 b,6,1 / 1 a,5,0 b,6,1", "a,5,0 b,6,1", "a,5", "b"),
    "a grown file": ("1 a,5,0 / 2 a,6,0 / 1 b,1,0 a,5,0", "a,5,0 a,6,0 b,1,0", "a,6 b,1", ""),
    "a line once more": ("1 a,5,0 / 2 a,6,0 / 1 a,5,0 a,5,0", "a,5,0 a,6,0", "a,5", ""),
    "a line that was not there": ("1 a,5,0 / 1 a,6,0 / 1 a,5,0", "a,5,0 a,6,0", "a,5", ""),
    "a file that was gone": ("1 a,5,0 / 2 a,6,0 / 1 a,5,0", "a,5,0 a,6,0", "a,6", ""),
    "natural order": ("c_10 a,10,0; c_9 a,9,0", "a,9,0 a,10,0", "a,10", ""),
    "line by line": ("1 a,5, a,6, a,5,1 a,6,", "a,5,1 a,6,", "a,6", ""),
}


@pytest.mark.parametrize(("runs", "rows", "ranked", "left"), BY_HAND.values(), ids=BY_HAND)
def test_the_model_by_hand(runs: str, rows: str, ranked: str, left: str) -> None:
    truth = model(runs)
    assert truth.finaldata() == file_of(0, rows.split()).text
    assert truth.rows == len(rows.split())
    assert truth.ranked() == {key[0]: key for key in ranked.split()}
    assert truth.left() == set(left)


def test_the_model_goes_by_time_before_names() -> None:
    truth = model("f_1 a,5,0; f_2 a,6,0", f_1=2, f_2=1)
    assert truth.ranked() == {"a": "a,5"}
    names = ["f_10", "f_9", "f_9b", "f_09", "9", "10", "f"]
    assert sorted(names, key=natural) == ["9", "10", "f", "f_09", "f_9", "f_9b", "f_10"]


def test_the_model_withdraws_what_only_the_former_content_brought() -> None:
    truth = model("1 a,5, b,5,0 c,5,0 / 2 a,5,0 b,6,0 / 1 c,5,0 b,5,0")
    truth.withdraw("1", {"1", "2"})  # the first line of a is known now: a sighting
    assert truth.finaldata() == f"{HEADER}\nb,5,0\nc,5,0\na,5,0\nb,6,0\n"
    assert truth.ranked() == {"a": "a,5", "b": "b,6", "c": "c,5"}
    truth.withdraw("2", {"1"})  # it is gone
    assert truth.ranked() == {"b": "b,5", "c": "c,5"}
    truth.take({"2": file_of(0, ["b,6,0"])})  # and comes again
    assert truth.ranked() == {"b": "b,6", "c": "c,5"}


@given(histories.histories())
def test_the_model_rebuilt_is_as_it_was_where_every_line_is_there(history: History) -> None:
    truth = Truth()
    for step in history.steps:
        truth.take(step.folder)
        if step.withdrawn:
            truth.withdraw(step.withdrawn, step.folder)
        if step.rebuilt:
            truth.rebuild(step.folder)
    rebuilt = deepcopy(truth)
    rebuilt.rebuild(step.folder)
    assert (rebuilt.lines == truth.lines) == history.complete


# --- the stage beside the model ---


def ingest(world: Sandbox, *args: str) -> None:
    result = world.run("ingestion", *args)
    assert result.code == 0, result.err


def write(world: Sandbox, files: Folder) -> None:
    """Write client files with their times of change."""
    for name, file in files.items():
        path = world.write(f"sourcedata/{name}", file.text)
        os.utime(path, (START + file.mtime * 3600,) * 2)


def check(world: Sandbox, truth: Truth) -> None:
    """The rows and who is ranked by which are those of the model."""
    config = world.config
    assert config.finaldata_path.read_text(encoding="utf-8") == truth.finaldata()
    with open_history(config.history_path) as history:
        current = open_master(config.finaldata_path, config.schema, history).current()
    columns = [config.schema.client, *config.schema.features]
    texts = current[columns].map(lambda cell: cell if isinstance(cell, str) else f"{cell:g}")
    keys = [csv_line(row).replace("nan", "") for row in texts.itertuples(index=False, name=None)]
    assert sorted(keys) == sorted(truth.ranked().values())


def check_rebuilt(world: Sandbox, truth: Truth, folder: Folder) -> None:
    """A copy of the world, rebuilt, is as the model rebuilt."""
    rebuilt = deepcopy(truth)
    rebuilt.rebuild(folder)
    with tempfile.TemporaryDirectory() as place:
        copy = Sandbox(Path(place, "copy"), world.capsys)
        shutil.copytree(world.root, copy.root, symlinks=True)
        ingest(copy, "--rebuild", "--yes")
        check(copy, rebuilt)


def play(world: Sandbox, history: History) -> None:
    """Let a history happen; the world is as the model says after each step."""
    truth = Truth()
    before: Folder = {}
    for step in history.steps:
        write(world, dict(step.folder.items() - before.items()))
        for name in before.keys() - step.folder.keys():
            (world.root / "sourcedata" / name).unlink()
        before = step.folder
        ingest(world)
        truth.take(step.folder)
        check(world, truth)
        if step.withdrawn:
            ingest(world, "--withdraw", step.withdrawn, "--yes")
            truth.withdraw(step.withdrawn, step.folder)
        if step.rebuilt:
            ingest(world, "--rebuild", "--yes")
            truth.rebuild(step.folder)
        check(world, truth)
    check_rebuilt(world, truth, step.folder)


@pytest.mark.parametrize("examples", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_random_histories(sandbox: Sandbox, examples: int) -> None:
    @settings(max_examples=examples)
    @given(histories.histories())
    def as_the_model(history: History) -> None:
        with tempfile.TemporaryDirectory() as place:
            world = Sandbox(Path(place, "world"), sandbox.capsys)
            shutil.copytree(sandbox.root, world.root)
            play(world, history)

    as_the_model()


@pytest.mark.slow
def test_a_year(sandbox: Sandbox) -> None:
    truth, folder = Truth(), Folder()
    for week in year():
        folder |= week.files
        write(sandbox, week.files)
        ingest(sandbox)
        truth.take(week.files)
        ranked = truth.ranked()
        assert {client: ranked.get(client) for client in week.newest} == week.newest
        check(sandbox, truth)
        if week.number % 4 == 3:
            check_rebuilt(sandbox, truth, folder)
