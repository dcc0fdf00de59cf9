"""500 ticks of whatever may come: nothing is lost, nothing is left, nothing grows but the data.

Each round drops, changes, spoils, touches or deletes client files, or does nothing; sometimes
somebody runs a stage by hand, rolls back or rebuilds; then the chain runs. What must come of it is
worked out again from the texts of all the files, by the plain model in `tests/support/truth.py`.
"""

import csv
import gc
import gzip
import io
import os
import random
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from sandbox import Sandbox
from truth import START, File, Truth, file_of

from pipeline.core.files import MARK
from pipeline.core.schema import csv_line
from pipeline.registry.releases import live_id, release_ids

TICKS = 500
WARM_UP = 60  # ticks, after which memory should no longer grow
MARGIN = 48 * 2**20  # bytes of memory that may be in use beyond what was then
CLIENTS = 1_500
KEPT_RELEASES = 3

COLUMNS = ["corporation", "lastmonth_activity", "lastyear_activity", "number_of_employees"]
COLUMNS += ["exited"]
MISSING = ["", "NA", "NaN", "null", "none", "n/a"]
OUTCOMES = {"0": "0", "no": "0", "false": "0", "0.0": "0", "1": "1", "yes": "1", "true": "1"}
ODD_NAMES = [
    'Kerezis, "Mills" AB',
    "=cmd|' /C calc'!A0",
    "-Minus Ltd",
    "Ünïcode & Søn",
    "'=a",
    "<N&A>",
]

Rows = list[list[str]]


# --- what somebody may drop ---


@dataclass
class Person:
    """Who drops client files, of one seed."""

    dice: random.Random
    sent: Rows = field(default_factory=list)

    def name_of(self, client: int) -> str:
        return ODD_NAMES[client] if client < len(ODD_NAMES) else f"client{client:05d}"

    def number(self, value: int) -> str:
        """A number as somebody may write it, or one that is missing."""
        if self.dice.random() < 0.03:
            return self.dice.choice(MISSING)
        forms = [str(value), str(value), f" {value} ", f"{value}.0", f"0{value}", f"{value}.5"]
        return self.dice.choice(forms)

    def outcome(self, leaves: bool) -> str:
        return self.dice.choice(["1", "1", "yes", "true"] if leaves else ["0", "0", "no", "0.0"])

    def rows(self, *, flipped: bool = False, labelled: bool = True) -> Rows:
        """Clients with under 50 employees leave, but for some; flipped, the others do.

        Among them are a few that were sent before.
        """
        made = self.dice.sample(self.sent, min(len(self.sent), self.dice.randint(0, 5)))
        for _ in range(self.dice.randint(20, 50)):
            employees = self.dice.randint(1, 100)
            leaves = (employees < 50) ^ flipped ^ (self.dice.random() < 0.05)
            activity = self.dice.randint(1, 50), self.dice.randint(100, 600)
            numbers = [self.number(value) for value in (*activity, employees)]
            outcome = self.outcome(leaves) if labelled else self.dice.choice(MISSING)
            made.append([self.name_of(self.dice.randrange(CLIENTS)), *numbers, outcome])
        self.sent += made
        return made

    def text(self, rows: Rows) -> bytes:
        """A CSV file of these rows, its columns in any order, perhaps with one too many."""
        frame = pd.DataFrame(rows, columns=COLUMNS)
        if self.dice.random() < 0.2:
            frame["remark"] = "a, b"
        frame = frame[self.dice.sample(list(frame.columns), len(frame.columns))]
        end = self.dice.choice(["\n", "\n", "\r\n"])
        encoding = self.dice.choice(["utf-8", "utf-8", "utf-8-sig"])
        return frame.to_csv(index=False, lineterminator=end).encode(encoding)

    def spoiled(self, rows: Rows, share: float) -> Rows:
        """The rows, of which this share (at least one) has one fault each."""
        spoiled = [list(row) for row in rows]
        for row in self.dice.sample(spoiled, max(1, int(share * len(rows)))):
            place, fault = self.dice.choice([(0, " "), (1, "many"), (2, "1e400"), (4, "2")])
            row[place] = fault
        return spoiled

    def bad_file(self, rows: Rows) -> bytes:
        """A file that cannot go in as a whole, though these rows are good."""
        good = self.text(rows)
        frame = pd.DataFrame(rows, columns=COLUMNS)
        kinds: list[Callable[[], bytes]] = [
            lambda: self.text(self.spoiled(rows, 0.3)),
            lambda: frame.to_csv(index=False, header=False).encode(),
            lambda: frame.drop(columns="number_of_employees").to_csv(index=False).encode(),
            lambda: frame.to_csv(index=False).encode("utf-16") + b"\n",
            lambda: gzip.compress(good, mtime=0)[:-6] + b"\n",
            lambda: frame.head(0).to_csv(index=False).encode(),
            lambda: good + "Köln,1,2,3,0\n".encode() + b"K\xf6ln,1,2,3,0\n",
            lambda: good.replace(b"\n", b"\n\0", 1),
            lambda: b"\n",
        ]
        return self.dice.choice(kinds)()


# --- what must come of it ---


@dataclass
class Expected:
    """What the folder has seen, and what must come of it."""

    place: Path
    folder: dict[str, tuple[bytes, bool]] = field(default_factory=dict)  # content, whether good
    seen: dict[str, bytes] = field(default_factory=dict)  # as it was taken in last
    truth: Truth = field(default_factory=Truth)

    def new(self) -> list[str]:
        return sorted(n for n, (content, _) in self.folder.items() if self.seen.get(n) != content)

    def code(self) -> int:
        """With which an ingestion has to end: 1 if all that is new is bad."""
        new = self.new()
        return int(bool(new) and not any(self.folder[name][1] for name in new))

    def ingest(self) -> None:
        new = self.new()
        self.truth.take({name: self._file(name) for name in new if self.folder[name][1]})
        self.seen |= {name: self.folder[name][0] for name in new}

    def rebuild(self) -> None:
        """Only what good files hold now counts."""
        self.ingest()
        self.truth.rebuild([name for name, (_, good) in self.folder.items() if good])
        self.seen = {name: content for name, (content, _) in self.folder.items()}

    def _file(self, name: str) -> File:
        rows = canonical(self.folder[name][0]).itertuples(index=False, name=None)
        hours = ((self.place / name).stat().st_mtime - START) / 3600
        return file_of(hours, map(csv_line, rows))

    def ranked(self) -> set[str]:
        """The clients of the ranking, as a spreadsheet may see them."""
        names = [row[0] for row in csv.reader(self.truth.ranked().values())]
        return {f"'{name}" if re.match(r"'*[=+\-@]", name) else name for name in names}


def canonical(text: bytes) -> pd.DataFrame:
    """The good rows of one file, each value in its shortest form."""
    frame = pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False, encoding="utf-8-sig")
    frame = frame[COLUMNS].apply(lambda column: column.str.strip())
    good = frame["corporation"] != ""
    missing = frame.apply(lambda column: column.str.lower().isin([m.lower() for m in MISSING]))
    for column in COLUMNS[1:4]:
        numbers = pd.to_numeric(frame[column].where(~missing[column]), errors="coerce")
        good &= missing[column] | (numbers.notna() & (numbers.abs() < float("inf")))
        frame[column] = [shortest(number) for number in numbers]
    outcomes = frame["exited"].map(OUTCOMES)
    good &= missing["exited"] | outcomes.notna()
    frame["exited"] = outcomes.fillna("")
    rows: pd.DataFrame = frame[good]
    return rows


def shortest(number: float) -> str:
    if pd.isna(number) or number in (float("inf"), float("-inf")):
        return ""
    return str(int(number)) if number == int(number) else repr(float(number))


# --- the rounds ---


@dataclass
class Soak:
    """One world, and what is expected of it."""

    world: Sandbox
    expected: Expected
    person: Person
    refused: dict[str, Rows] = field(default_factory=dict)  # bad files, and what they should hold
    done: Counter[str] = field(default_factory=Counter)

    def put(self, name: str, content: bytes, good: bool) -> None:
        (self.world.root / "sourcedata" / name).write_bytes(content)
        self.expected.folder[name] = (content, good)

    def some_name(self) -> str:
        """Mostly a new name, sometimes one that is there."""
        known = list(self.expected.folder)
        if known and self.person.dice.random() < 0.3:
            return self.person.dice.choice(known)
        return f"batch{self.person.dice.randrange(10**6):06d}.csv"

    def drop(self, kind: str) -> None:
        """Do something to the input folder."""
        person, known = self.person, list(self.expected.folder)
        self.done[kind] += 1
        if kind in ("touched", "deleted") and known:
            name = person.dice.choice(known)
            path = self.world.root / "sourcedata" / name
            if kind == "touched":
                os.utime(path)
            else:
                path.unlink()
                del self.expected.folder[name]
        elif kind == "bad":
            name, rows = self.some_name(), person.rows()
            self.refused[name] = rows
            self.put(name, person.bad_file(rows), good=False)
        elif kind == "mended" and self.refused:
            name, rows = self.refused.popitem()
            self.put(name, person.text(rows), good=True)
        elif kind == "bad rows":
            self.put(self.some_name(), person.text(person.spoiled(person.rows(), 0.08)), good=True)
        elif kind != "nothing":
            rows = person.rows(flipped=kind == "drifting", labelled=kind != "unlabelled")
            if kind == "changed" and known:
                name = person.dice.choice(known)
                self.put(name, person.text(rows), good=True)
            else:
                self.put(self.some_name(), person.text(rows), good=True)

    def by_hand(self, *stages: tuple[str, ...]) -> None:
        for stage in stages:
            code = self.expected.code() if stage == ("ingestion",) else 0
            result = self.world.run(*stage)
            assert result.code == code, (stage, result.err)
            self.done["by hand: " + " ".join(stage)] += 1

    def meddle(self, what: str) -> None:
        """Run something by hand."""
        if what == "ingestion":
            self.by_hand(("ingestion",))
            self.expected.ingest()
        elif what == "rebuild":
            self.by_hand(("ingestion", "--rebuild", "--yes"))
            self.expected.rebuild()
            self.check_finaldata()
        elif what == "deployment":
            self.by_hand(("training",), ("scoring",), ("deployment",))
        elif what == "rollback":
            ids = release_ids(self.world.config.prod_deployment_path)
            if live_id(self.world.config.prod_deployment_path) != ids[0]:
                self.by_hand(("deployment", "--rollback"))
        else:
            self.by_hand((what,))

    def check_finaldata(self) -> None:
        assert self.world.config.finaldata_path.read_text() == self.expected.truth.finaldata()

    def tick(self) -> None:
        """The chain; it must go well, and say what is so."""
        waiting = self.expected.new() or self.world.query(
            "SELECT 1 FROM files WHERE reported_at IS NULL"
        )
        code = self.expected.code()
        result = self.world.run("fullprocess")
        assert result.code == code, result.err
        nothing_new = result.out == "nothing new in sourcedata\n"
        assert nothing_new == (not waiting), (self.done["ticks"], waiting, result)
        self.expected.ingest()
        self.done["ticks"] += 1
        for verdict in ("no drift", "drift", "not enough evidence"):
            self.done[f"verdict: {verdict}"] += f"\n{verdict}: " in result.out
        self.done["verdict: drift, redeployed"] += ": deployed 0" in result.out


KINDS = {
    "nothing": 46,
    "new": 16,
    "changed": 8,
    "unlabelled": 6,
    "drifting": 5,
    "bad": 7,
    "mended": 5,
    "bad rows": 5,
    "touched": 3,
    "deleted": 3,
}
BY_HAND = {"ingestion": 4, "rebuild": 2, "deployment": 2, "rollback": 3, "reporting": 1}


def memory() -> int:
    """The bytes of memory that this process has in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def left_behind(world: Sandbox, temporary: Path) -> list[Path]:
    """Files that a run makes on its way and must not leave."""
    lasting = (".states", ".sightings", MARK)
    hidden = [path for path in world.root.rglob(".*") if not path.name.endswith(lasting)]
    return [*hidden, *world.root.glob("history.db-*"), *temporary.iterdir()]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.slow
def test_a_soak_ends_where_it_began(source: Sandbox, temporary: Path) -> None:
    source.configure(keep_releases=KEPT_RELEASES)
    dice = random.Random(20261122)
    soak = Soak(source, Expected(source.root / "sourcedata"), Person(dice))
    for path in (source.root / "sourcedata").iterdir():
        soak.expected.folder[path.name] = (path.read_bytes(), True)
    actions = dice.choices([*KINDS], [*KINDS.values()], k=TICKS)
    warm, most_releases = (0, 0, 0), 0
    soak.tick()
    for tick in range(1, TICKS):
        soak.drop(actions[tick])
        if dice.random() < 0.08:
            soak.meddle(dice.choices([*BY_HAND], [*BY_HAND.values()])[0])
        soak.tick()
        ids = release_ids(source.config.prod_deployment_path)
        most_releases = max(most_releases, len(ids))
        if tick == WARM_UP:
            warm = memory(), open_files(), threading.active_count()
    soak.drop("new")
    soak.tick()  # the reports are of what there is at the end
    end = memory(), open_files(), threading.active_count()

    soak.done["releases made"] = int(ids[-1].split("-")[0])
    soak.done["rows"] = soak.expected.truth.rows
    print({**soak.done, "MiB after the warm-up": warm[0] >> 20, "MiB at the end": end[0] >> 20})
    assert end[1:] == warm[1:]
    assert end[0] < warm[0] + MARGIN
    assert left_behind(source, temporary) == []
    assert most_releases <= KEPT_RELEASES + 3  # the live one, the one before it and the next older
    _check_data(soak)
    _check_history(soak)


def _check_data(soak: Soak) -> None:
    expected, config = soak.expected, soak.world.config
    soak.check_finaldata()
    ranking = pd.read_csv(config.clientrisk_path, dtype={"client": str}, keep_default_na=False)
    assert sorted(ranking["client"]) == sorted(expected.ranked())
    assert ranking["rank"].tolist() == list(range(1, len(ranking) + 1))
    assert set(ranking["release"]) == {live_id(config.prod_deployment_path)}


def _check_history(soak: Soak) -> None:
    world, expected = soak.world, soak.expected
    assert world.query("PRAGMA integrity_check") == [("ok",)]
    assert world.query("PRAGMA foreign_key_check") == []
    assert (
        world.query("SELECT name FROM files WHERE judged_at IS NULL OR reported_at IS NULL") == []
    )
    assert world.query("SELECT DISTINCT outcome FROM runs") == [("done",)]
    current = world.query("SELECT name, status FROM files WHERE current = 1")
    good = {name: "ingested" if good else "rejected" for name, (_, good) in expected.folder.items()}
    assert {name: status for name, status in current if name in expected.folder} == good
    result = """
        SELECT drift_test IS NOT NULL,
               (SELECT count(*) FROM score_drift WHERE decision_id = id),
               (SELECT count(*) FROM input_drift WHERE decision_id = id)
        FROM decisions
    """  # of a check, five verdicts on scores, and one on each of three features and the risk
    assert set(world.query(result)) == {(0, 0, 0), (1, 5, 4)}
    size = world.config.finaldata_path.stat().st_size
    assert world.query("SELECT bytes, rows FROM master") == [(size, expected.truth.rows)]
