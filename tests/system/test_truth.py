"""Observations and sightings: the stage beside a plain model of the rules, over random histories
of files and a year of a company; and the model beside values worked out by hand."""

import os
import re
import shutil
import tempfile
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import histories
import pandas as pd
import pytest
from histories import Folder, History
from hypothesis import given, settings
from learned import LEFT_OUT, learned
from sandbox import Sandbox
from truth import START, Truth, file_of, natural
from year import SCHEMAS, newest, year

from pipeline.core.schema import DEFAULT_SCHEMA, Schema, csv_line
from pipeline.observations.master import open_master
from pipeline.storage.history import open_history

BALANCE = Schema("client", "outcome", ("balance",))
DATED = replace(BALANCE, date="date")
CARRIED = replace(BALANCE, carry=("manager",))
ENDED = replace(BALANCE, left_on="left_on")
ONLY_ENDED = replace(ENDED, outcome="has_left", has_outcome=False)
LISTS = replace(BALANCE, snapshots=True)
DATED_LISTS = replace(DATED, snapshots=True)


def model(runs: str, schema: Schema = BALANCE, **mtimes: int) -> Truth:
    """What comes of runs, a slash between them: each file a name and its lines, a semicolon
    between files; those not named are unchanged or gone. `1~3:client,outcome` is the file 1 of
    the day 3 with columns of its own; `@4` is a date.
    """
    truth = Truth(schema)
    for run in _dated(runs).split(" / "):
        folder = {}
        for file in run.split("; "):
            head, *lines = file.split()
            name, _, header = head.partition(":")
            name, _, day = name.partition("~")
            mtime = 24 * int(day) if day else mtimes.get(name, 0)
            folder[name] = file_of(mtime, lines, header or _header(schema))
        truth.take(folder)
    return truth


def _dated(text: str) -> str:
    return re.sub("@([0-9])", r"2023-03-0\1", text)


def _header(schema: Schema) -> str:
    left_out = [] if schema.has_outcome else [schema.outcome]
    return ",".join(column for column in schema.columns if column not in left_out)


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
    assert truth.finaldata() == file_of(0, rows.split(), BALANCE.header).text
    assert truth.rows == len(rows.split())
    assert truth.ranked() == {key[0]: key for key in ranked.split()}
    assert truth.left() == set(left)


# schema; runs; the lines of finaldata.csv; who is ranked, by which row
MORE_BY_HAND = {
    "newest first": (DATED, "1 a,@3,50,0 a,@2,5,0", "a,@3,50,0 a,@2,5,0", "a,@3,50"),
    "left on the newest": (DATED, "1 a,@3,5,1 a,@2,5,0", "a,@3,5,1 a,@2,5,0", ""),
    "left before": (DATED, "1 a,@2,5,0 / 2 a,@1,5,1", "a,@2,5,0 a,@1,5,1", "a,@2,5"),
    "back on the same date": (DATED, "1 a,@2,5,1 a,@2,6,", "a,@2,5,1 a,@2,6,", "a,@2,6"),
    "an old row again": (DATED, "1 a,@2,5,1 / 2 a,@1,5,0", "a,@2,5,1 a,@1,5,0", ""),
    "carried": (CARRIED, "1 a,5,0,x a,6,0,x / 2 a,5,0,y", "a,5,0,y a,6,0,x", "a,5"),
    "carried, in its place": (CARRIED, "1 a,5,0,x a,6,0,x / 1 a,5,0,y a,6,0,x",
                              "a,5,0,y a,6,0,x", "a,5"),
    "carried, a late outcome": (CARRIED, "1 a,5,,x / 2 a,5,0,y", "a,5,0,x", "a,5"),
    "left on": (ENDED, "1 a,5,,@3 b,5,0,", "a,5,,@3 b,5,0,", "b,5"),
    "left on, taken back": (ENDED, "1 a,5,, / 2 a,5,,@3 / 3 a,5,0,", "a,5,0,", "a,5"),
    "left on, then unknown": (ENDED, "1 a,5,1,@3 / 2 a,5,,", "a,5,1,", "a,5"),
    "told, of a date": (DATED, "1 a,@1,5, a,@2,5, / 2:client,date,outcome a,@1,1",
                        "a,@1,5,1 a,@2,5,", "a,@2,5"),
    "told, of no date": (DATED, "1 a,@1,5, a,@2,5, / 2:client,outcome a,1",
                         "a,@1,5, a,@2,5,1", ""),
    "told, of a date without a row": (DATED, "1 a,@1,5, a,@3,5, / 2:client,date,outcome a,@2,1",
                                      "a,@1,5, a,@3,5,1", ""),
    "told, of two rows": (DATED, "1 a,@1,5, a,@1,6, / 2 a,@1,5, / 3:client,date,outcome a,@1,0",
                          "a,@1,5,0 a,@1,6,", "a,@1,5"),
    "told, of who came known": (BALANCE, "1 a,5,0 / 2:client,outcome a,1", "a,5,1", ""),
    "told, and sighted again": (BALANCE, "1 a,5,0 / 2:client,outcome a,1 / 3 a,5,0",
                                "a,5,0", "a,5"),
    "told once more": (BALANCE, "1 a,5, / 2:client,outcome a,1 / 3 a,5, / 4:client,outcome a,1",
                       "a,5,1", "a,5"),
    "told nothing": (BALANCE, "1 a,5,1 / 2:client,outcome a, b,1", "a,5,1", ""),
    "told, and grown": (BALANCE, "1 a,5, / 2:client,outcome a,0 / 1 a,5, a,6, "
                        "/ 2:client,outcome a,0 b,0", "a,5,0 a,6,", "a,6"),
    "told without outcomes": (ONLY_ENDED, "1 a,5,@1 b,5, / 2:client,left_on a, b,@2",
                              "a,5,0, b,5,,@2", "a,5"),
    "off the list": (LISTS, "1~1 a,5, b,5, / 2~2 b,5,", "a,5, b,5,", "b,5"),
    "one list in two files": (LISTS, "1~1 a,5, b,5, / 2~1 c,5,", "a,5, b,5, c,5,", "a,5 b,5 c,5"),
    "overwritten": (LISTS, "1~1 a,5, b,5,; 2~1 c,5, / 1~1 a,6,", "a,5, b,5, c,5, a,6,", "a,6 c,5"),
    "told is no list": (LISTS, "1~1 a,5, b,5, / 2~2:client,outcome b,1", "a,5, b,5,1", "a,5"),
    "not believed": (LISTS, "1~1 a,5, b,5, c,5, / 2~2 a,6,", "a,5, b,5, c,5, a,6,", "a,6 b,5 c,5"),
    "believed at last": (LISTS, "1~1 a,5, b,5, c,5, / 2~2 a,5, / 3~3 a,5, d,5,",
                         "a,5, b,5, c,5, d,5,", "a,5 d,5"),
    "another one": (LISTS, "1~1 a,5, b,5, c,5, / 2~2 a,5, / 3~3 b,5,",
                    "a,5, b,5, c,5,", "a,5 b,5 c,5"),
    "one between": (LISTS, "1~1 a,5, b,5, c,5, / 2~2 a,5, / 3~3 a,5, b,5, c,5, / 4~4 a,5,",
                    "a,5, b,5, c,5,", "a,5 b,5 c,5"),
    "lists by date": (DATED_LISTS, "1 a,@2,5, b,@1,5, a,@1,5,", "a,@2,5, b,@1,5, a,@1,5,",
                      "a,@2,5"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "runs", "rows", "ranked"), MORE_BY_HAND.values(), ids=MORE_BY_HAND
)
def test_the_model_by_hand_with_more(schema: Schema, runs: str, rows: str, ranked: str) -> None:
    truth = model(runs, schema)
    assert truth.finaldata() == file_of(0, _dated(rows).split(), schema.header).text
    assert truth.ranked() == {key[0]: key for key in _dated(ranked).split()}


# schema; runs; the outcomes to learn: 0, 1, ? where it is not known, - where it is left out
SOON = replace(DATED, horizon_days=2)
SOON_ENDED = replace(ENDED, date="date", horizon_days=2)
ABSENT = replace(LISTS, absent_left=True)
LEARNED_BY_HAND = {
    "as told": (BALANCE, "1 a,5, b,5,0 c,5,1 / 2 b,5,1", "? 1 1"),
    "left on": (ENDED, "1 a,5,, b,5,0,@1 c,5,1,", "0 1 1"),
    "off the next list": (ABSENT, "1~1 a,5, b,5, c,5,1 d,5,0 / 2~2 b,5, c,5,1 d,6,0",
                          "1 0 1 0 0"),
    "back on a list": (ABSENT, "1~1 a,5, b,5, / 2~2 b,5, / 3~3 a,5, b,5, / 4~4 a,6, b,5,",
                       "0 0 ?"),
    "newest first": (SOON, "1 a,@5,5,0 b,@5,5,1 a,@3,5,0 b,@3,5,0 a,@1,5,0 b,@1,5,0",
                     "? - 0 1 0 0"),
    "left, and back": (SOON, "1 a,@1,5, a,@2,5,1 a,@3,5,1 a,@4,5, b,@8,5,", "1 - - ? ?"),
    "left on a day ahead": (SOON_ENDED, "1 a,@1,5,,@3 a,@2,5,,@5 a,@5,5,,@5", "0 0 -"),
    "still there": (SOON_ENDED, "1 a,@1,5,, b,@4,5,, b,@1,5,,@2", "0 ? 1"),
    "known to have left before": (SOON_ENDED, "1 a,@3,5,, a,@4,5,,@2 b,@6,5,,", "- - ?"),
    "off a list": (replace(DATED_LISTS, horizon_days=2, absent_left=True),
                   "1 a,@1,5, b,@1,5, a,@2,5, b,@2,5, b,@4,5, b,@7,5,", "0 0 1 0 0 ?"),
    "off a list by time": (replace(ABSENT, horizon_days=2),
                           "1~1 a,5, b,5, / 2~2 a,6, b,5, / 3~4 b,5, / 4~7 b,5,", "0 0 1"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "runs", "answers"), LEARNED_BY_HAND.values(), ids=LEARNED_BY_HAND
)
def test_what_the_model_learns_by_hand(schema: Schema, runs: str, answers: str) -> None:
    told = {None: "?", LEFT_OUT: "-", 0: "0", 1: "1"}
    truth = model(runs, schema)
    assert " ".join(told[answer] for answer in learned(truth).values()) == answers


def test_the_model_goes_by_time_before_names() -> None:
    truth = model("f_1 a,5,0; f_2 a,6,0", f_1=2, f_2=1)
    assert truth.ranked() == {"a": "a,5"}
    names = ["f_10", "f_9", "f_9b", "f_09", "9", "10", "f"]
    assert sorted(names, key=natural) == ["9", "10", "f", "f_09", "f_9", "f_9b", "f_10"]


def test_the_model_withdraws_what_only_the_former_content_brought() -> None:
    truth = model("1 a,5, b,5,0 c,5,0 / 2 a,5,0 b,6,0 / 1 c,5,0 b,5,0")
    truth.withdraw("1", {"1", "2"})  # the first line of a is known now: a sighting
    assert truth.finaldata() == f"{BALANCE.header}\nb,5,0\nc,5,0\na,5,0\nb,6,0\n"
    assert truth.ranked() == {"a": "a,5", "b": "b,6", "c": "c,5"}
    truth.withdraw("2", {"1"})  # it is gone
    assert truth.ranked() == {"b": "b,5", "c": "c,5"}
    truth.take({"2": file_of(0, ["b,6,0"], BALANCE.header)})  # and comes again
    assert truth.ranked() == {"b": "b,6", "c": "c,5"}


@given(histories.histories() | histories.schemas().flatmap(histories.histories))
def test_the_model_rebuilt_is_as_it_was_where_every_line_is_there(history: History) -> None:
    truth = Truth(history.schema)
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


def configure(world: Sandbox, schema: Schema) -> None:
    """Set the keys of config.json that this schema comes from."""
    if schema == DEFAULT_SCHEMA:
        return
    columns = {
        "outcome": schema.outcome if schema.has_outcome else "",
        "date": schema.date,
        "left_on": schema.left_on,
    }
    world.configure(
        schema={
            "client": schema.client,
            "numeric": list(schema.numeric),
            "carry": list(schema.carry),
            **{key: column for key, column in columns.items() if column},
        },
        horizon_days=schema.horizon_days or None,
        input="snapshots" if schema.snapshots else None,
        absent="left" if schema.absent_left else None,
    )
    assert world.config.schema == schema


def check(world: Sandbox, truth: Truth) -> None:
    """The rows, who is ranked by which, and the outcomes to learn are those of the model."""
    config = world.config
    schema = config.schema
    assert config.finaldata_path.read_text(encoding="utf-8") == truth.finaldata()
    if not truth.rows:
        return
    with open_history(config.history_path) as history:
        master = open_master(config.finaldata_path, schema, history)
        current, outcomes = master.current(), master.learned[schema.outcome]
    columns = [column for column in schema.columns if column not in schema.tail]
    texts = current[columns].map(lambda cell: cell if isinstance(cell, str) else f"{cell:g}")
    keys = [csv_line(row).replace("nan", "") for row in texts.itertuples(index=False, name=None)]
    assert sorted(keys) == sorted(truth.ranked().values())
    assert [None if pd.isna(outcome) else outcome for outcome in outcomes] == [
        answer if answer in (0, 1) else None for answer in learned(truth).values()
    ]


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
    configure(world, history.schema)
    truth = Truth(history.schema)
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


HISTORIES = {
    "as by default": (histories.histories(), 12, 100),
    "with more": (histories.schemas().flatmap(histories.histories), 10, 60),
}
TIMES = [
    pytest.param(kind, examples, id=f"{kind}, {examples}", marks=[pytest.mark.slow] * slow)
    for kind, counts in HISTORIES.items()
    for slow, examples in enumerate(counts[1:])
]


@pytest.mark.parametrize(("kind", "examples"), TIMES)
def test_random_histories(sandbox: Sandbox, kind: str, examples: int) -> None:
    @settings(max_examples=examples)
    @given(HISTORIES[kind][0])
    def as_the_model(history: History) -> None:
        with tempfile.TemporaryDirectory() as place:
            world = Sandbox(Path(place, "world"), sandbox.capsys)
            shutil.copytree(sandbox.root, world.root)
            play(world, history)

    as_the_model()


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_year(sandbox: Sandbox, kind: str) -> None:
    schema = SCHEMAS[kind]
    configure(sandbox, schema)
    truth, folder = Truth(schema), Folder()
    for week in year(schema):
        folder |= week.files
        write(sandbox, week.files)
        ingest(sandbox)
        truth.take(week.files)
        ranked = truth.ranked()
        assert {client: ranked.get(client) for client in week.newest} == week.newest
        if schema.snapshots:
            assert ranked == newest(folder, schema)
        check(sandbox, truth)
        if week.number % 4 == 3:
            check_rebuilt(sandbox, truth, folder)
