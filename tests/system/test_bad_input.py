"""Other people's files: none crashes or blocks a run, or touches a good row beside it."""

import contextlib
import csv
import gzip
import io
import itertools
import json
import logging
import os
import resource
import socket
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from malformed import malformed
from sandbox import HEADER, Result, Sandbox, client_rows, within
from stagecalls import ingest
from tables import RowTable

from app import create_app
from pipeline.core.config import PATH_KEYS, Config, load_config
from pipeline.core.errors import DataError
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.data.frames import frame_of
from pipeline.data.input_files import FoundFile, list_input
from pipeline.data.loader import take_in
from pipeline.stages.ingestion import ingestion_lines
from pipeline.storage.database import History
from pipeline.storage.ledger import new_files
from pipeline.storage.master_writer import MasterWriter

FIRST, LAST = client_rows(0, 20), client_rows(50, 20)  # the good files beside the bad one
ROWS = client_rows(1000, 20)
PLAIN = "\n".join([HEADER, *ROWS]) + "\n"
COLUMNS = HEADER.replace(",", ", ")
NO_HEADER = f"has no header line: expected {COLUMNS}; found "
SPECIAL = "is a link or a special file; expected the file itself"
NOBODY = 65534
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no disk to wait for


@pytest.fixture
def world(sandbox: Sandbox) -> Iterator[Sandbox]:
    """A project with two good files, between which bad ones sort; each test has its time limit."""
    sandbox.write("sourcedata/a.csv", FIRST)
    sandbox.write("sourcedata/z.csv", LAST)
    with within(600):
        yield sandbox


def aged(path: Path, seconds: float = 120) -> Path:
    """Let a file's last change be so long ago that it cannot still be being copied."""
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def put(world: Sandbox, content: bytes | str, name: str = "m.csv") -> Path:
    path = world.root / "sourcedata" / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return aged(path)


def finaldata(world: Sandbox) -> list[str]:
    lines = world.config.finaldata_path.read_bytes().decode().split("\n")
    assert (lines[0], lines[-1]) == (HEADER, "")
    return lines[1:-1]


def set_aside(world: Sandbox) -> list[list[str]]:
    path = world.config.rejectedrows_path
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))[1:]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything: be somebody else for a while."""
    if os.getuid():
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def ingested(world: Sandbox, user: Callable[[], Any] = contextlib.nullcontext) -> Result:
    """Ingest twice: the first tells all, the second tells nothing and changes nothing."""
    with user():
        first = world.run("ingestion")
    assert (first.code, "Traceback" in first.err) == (0, False), first.err
    before = world.files(), world.stamps()
    with user():
        second = world.run("ingestion")
    assert (second.code, second.out, second.err) == (0, "nothing new in sourcedata\n", "")
    after = world.files(), world.stamps()
    for known in (*before, *after):
        known.pop("history.db", None)  # the second run is on record
    assert after == before
    return first


def warnings_of(result: Result) -> list[str]:
    """What is told beyond the usual, without its time."""
    lines = [line.split(" ", 1)[1] for line in result.err.splitlines()]
    return [line for line in lines if not line.startswith("INFO ")]


def assert_rejected(
    world: Sandbox, reasons: dict[str, str], user: Callable[[], Any] = contextlib.nullcontext
) -> None:
    """Some files are rejected, each for one reason and told once; the good ones go in unchanged."""
    result = ingested(world, user)
    assert result.out.splitlines() == [
        "a.csv: 20 new of 20 rows",
        *[f"{name}: rejected: it {reason}" for name, reason in reasons.items()],
        "z.csv: 20 new of 20 rows",
        "ingesteddata/finaldata.csv: 40 rows",
    ]
    assert warnings_of(result) == [
        f"WARNING pipeline.data.loader: {name} is rejected: it {reason}"
        for name, reason in reasons.items()
    ]
    assert finaldata(world) == FIRST + LAST
    assert set_aside(world) == []


# --- what is no client table ---


def zipped(text: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("clients.csv", text)
    return target.getvalue()


def without(column: str) -> str:
    lines = [HEADER, *ROWS]
    keep = [i for i, name in enumerate(HEADER.split(",")) if name != column]
    return "".join(",".join(line.split(",")[i] for i in keep) + "\n" for line in lines)


HEADERS = {
    "empty": ("", "is empty; expected a header line and rows"),
    "blank lines only": ("\n\r\n   \n", "is empty; expected a header line and rows"),
    "commas only": (",,,,\n,,,,\n", "is empty; expected a header line and rows"),
    "a byte-order mark only": ("\ufeff", "is empty; expected a header line and rows"),
    "header only": (f"{HEADER}\n", "has a header and no rows below it"),
    "header, blank rows": (f"{HEADER}\n\n,,,,\n", "has a header and no rows below it"),
    "no header": ("\n".join(ROWS), NO_HEADER + ROWS[0].replace(",", ", ")),
    "other columns": ("name,age\nacme,3\n", f"{NO_HEADER}name, age"),
    "capitals": (PLAIN.upper(), NO_HEADER + COLUMNS.upper()),
    "one column missing": (
        without("exited"),
        "lacks the column exited; it has corporation, lastmonth_activity, lastyear_activity,"
        " number_of_employees",
    ),
    "three columns missing": (
        "corporation,exited\nacme,1\n",
        "lacks the column lastmonth_activity, lastyear_activity, number_of_employees;"
        " it has corporation, exited",
    ),
    "a misspelt column": (
        PLAIN.replace("exited", "exitted"),
        "lacks the column exited; it has corporation, lastmonth_activity, lastyear_activity,"
        " number_of_employees, exitted",
    ),
    "a column twice": (f"{HEADER},exited\n", "has the column exited more than once"),
    "two columns twice": (
        f"{HEADER},exited,corporation\n",
        "has the column corporation, exited more than once",
    ),
    "two byte-order marks": (
        f"\ufeff\ufeff{PLAIN}",
        "lacks the column corporation; it has '\\ufeffcorporation', lastmonth_activity,"
        " lastyear_activity, number_of_employees, exited",
    ),
    "a header over two lines": (
        '"corp\noration",exited\nacme,1\n',
        "lacks the column corporation, lastmonth_activity, lastyear_activity,"
        " number_of_employees; it has 'corp\\noration', exited",
    ),
    "a header that forges the log": (
        '"x\n2026-01-01T00:00:00Z INFO ingestion: all is well",y\n1,2\n',
        f"{NO_HEADER}'x\\n2026-01-01T00:00:00Z INFO ingestion: a…', y",
    ),
    "semicolons": (PLAIN.replace(",", ";"), "is separated by ';'; expected commas"),
    "tabs": (PLAIN.replace(",", "\t"), "is separated by '\\t'; expected commas"),
    "bars": (PLAIN.replace(",", "|"), "is separated by '|'; expected commas"),
    "10,000 other columns": (
        ",".join(f"c{i}" for i in range(10_000)) + "\n" + ",".join("1" * 10_000) + "\n",
        f"{NO_HEADER}c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 and 9,988 more",
    ),
    "a long column": ("x" * 100_000, f"{NO_HEADER}{'x' * 40}…"),
    "a web page": ("<!DOCTYPE html>\n<html>\n", f"{NO_HEADER}<!DOCTYPE html>"),
    "json": ('{"corporation": "acme"}\n', f'{NO_HEADER}{{"corporation": "acme"}}'),
}
ENCODINGS = {
    "gzip": (
        gzip.compress(PLAIN.encode(), mtime=0),
        "is compressed with gzip; expected plain CSV text",
    ),
    "zip": (zipped(PLAIN), "is a zip archive or spreadsheet; expected plain CSV text"),
    "UTF-16 LE": (b"\xff\xfe" + PLAIN.encode("utf-16-le"), "is UTF-16; expected UTF-8"),
    "UTF-16 BE": (b"\xfe\xff" + PLAIN.encode("utf-16-be"), "is UTF-16; expected UTF-8"),
    "UTF-16 LE without a mark": (
        PLAIN.encode("utf-16-le"),
        "holds binary content in line 1; expected CSV text",
    ),
    "UTF-16 BE without a mark": (
        PLAIN.encode("utf-16-be"),
        "holds binary content in line 1; expected CSV text",
    ),
    "Latin-1": (
        f"{PLAIN}Café,1,2,3,0\n".encode("latin-1"),
        "is not UTF-8: byte 0xe9 in line 22",
    ),
    "Latin-1 far down": (
        "\n".join([HEADER, *client_rows(0, 3000), "Café,1,2,3,0\n"]).encode("latin-1"),
        "is not UTF-8: byte 0xe9 in line 3002",
    ),
    "Latin-1 with CRLF": (
        f"{PLAIN}Café,1,2,3,0\n".replace("\n", "\r\n").encode("latin-1"),
        "is not UTF-8: byte 0xe9 in line 22",
    ),
    "a letter cut in half": (
        f"{PLAIN}Café".encode()[:-1],
        "is not UTF-8: byte 0xc3 in line 22",
    ),
    "a surrogate": (
        f"{PLAIN}a".encode() + b"\xed\xa0\x80,1,2,3,0\n",
        "is not UTF-8: byte 0xed in line 22",
    ),
    "a NUL byte": (
        f"{PLAIN}a\0b,1,2,3,0\n",
        "holds binary content in line 22; expected CSV text",
    ),
    "NUL bytes only": ("\0" * 5000, "holds binary content in line 1; expected CSV text"),
    "an old spreadsheet": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500,
        "is not UTF-8: byte 0xd0 in line 1",
    ),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not UTF-8: byte 0x89 in line 1"),
}
QUOTES = {
    "a quote that never closes": (
        f'{PLAIN}"acme,1,2,3,0\n{PLAIN}',
        "has a quote in line 22 that never closes",
    ),
    "in the header": (f'"{PLAIN}', "has a quote in line 1 that never closes"),
    "at the very end": (f'{PLAIN}"', "has a quote in line 22 that never closes"),
    "a quote that never closes in a large file": (
        "\n".join([HEADER, '"acme,1,2,3,0', *client_rows(0, 20_000)]),
        "has a quote in line 2 that never closes",
    ),
    "a quote that closes lines below": (
        f'{PLAIN}"acme,1,2,3,0\n{ROWS[0]}\nb",1,2,3,0,9\n',
        "has a quote in line 22 that closes in another line",
    ),
    "text after a quote": (
        f'{PLAIN}"acme" Ltd,1,2,3,0\n',
        "has a quote in line 22 where none is allowed (',' expected after '\"')",
    ),
    "a 10 MB line": (
        f"{PLAIN}{'x' * 10_000_000},1,2,3,0\n",
        "has a row of more than 1,000,000 characters, which begins in line 22",
    ),
    "a 10 MB header": (
        "x" * 10_000_000,
        "has a row of more than 1,000,000 characters, which begins in line 1",
    ),
    "a line of 5,000,000 commas": (
        f"{PLAIN}{',' * 5_000_000}\n",
        "has a row of more than 1,000,000 characters, which begins in line 22",
    ),
    "a long field": (
        f"{PLAIN}{'x' * 200_000},1,2,3,0\n",
        "has a field of more than 131,072 characters in line 22",
    ),
    "one row of 10 MB over many lines": (
        PLAIN + '"' + '","\n' * 2_500_000,
        "has a row of more than 1,000,000 characters, which begins in line 22",
    ),
    "three bad rows in ten": (
        "\n".join([HEADER, *ROWS[:7], "a,x,2,3,0", "b,1", ",1,2,3,0"]),
        "has too many bad rows: 3 of 10, more than a tenth (line 9: lastmonth_activity 'x' is not"
        " a number; line 10: has 2 fields where the header has 5; line 11: corporation '' is"
        " empty; expected a name)",
    ),
    "a comma after each row": (
        PLAIN.replace("\n", ",\n").replace("exited,", "exited"),
        "has too many bad rows: 20 of 20, more than a tenth (line 2: has 6 fields where the header"
        " has 5; line 3: has 6 fields where the header has 5; line 4: has 6 fields where the"
        " header has 5)",
    ),
    "a bad value over lines": (
        f'{HEADER}\nacme,"1\n2026-01-01T00:00:00Z INFO all is well",2,3,0\n',
        "has too many bad rows: 1 of 1, more than a tenth (line 2: lastmonth_activity"
        " '1\\n2026-01-01T00:00:00Z INFO all is well' is not a number)",
    ),
}
FAULTS = {**HEADERS, **ENCODINGS, **QUOTES}


def test_what_is_no_client_table_is_rejected_for_one_reason(world: Sandbox) -> None:
    reasons = {}
    for i, (kind, (content, reason)) in enumerate(FAULTS.items()):
        name = f"m{i:02d} {kind}.csv"
        put(world, content, name)
        reasons[name] = reason
    assert_rejected(world, reasons)


@pytest.mark.slow
@pytest.mark.parametrize(("content", "reason"), FAULTS.values(), ids=FAULTS)
def test_each_is_rejected_on_its_own(world: Sandbox, content: bytes | str, reason: str) -> None:
    put(world, content)
    assert_rejected(world, {"m.csv": reason})


@pytest.mark.parametrize("name", ["quote", "NUL", "gzip"])
def test_a_rejected_file_goes_in_once_it_is_mended(world: Sandbox, name: str) -> None:
    broken = {
        "quote": f'{PLAIN}"',
        "NUL": f"{PLAIN}\0\n",
        "gzip": gzip.compress(PLAIN.encode(), mtime=0),
    }
    put(world, broken[name])
    ingested(world)
    put(world, PLAIN)
    assert ingested(world).out.startswith("m.csv: 20 new of 20 rows\n")
    assert finaldata(world) == FIRST + LAST + ROWS


def test_a_rejected_file_that_is_touched_is_not_told_again(world: Sandbox) -> None:
    path = put(world, b"\x1f\x8b" + os.urandom(300_000))
    ingested(world)
    aged(path, 999)
    assert world.run("ingestion").out == "nothing new in sourcedata\n"


# --- odd, and fine ---


def wide(line: str) -> str:
    """A row among 10,000 columns, its own ones far apart."""
    cells = ["x" if line is HEADER else "1"] * 10_000
    cells[:: len(cells) // 5] = line.split(",")
    return ",".join(cells)


FINE = {
    "byte-order mark": "\ufeff" + PLAIN,
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "CR": PLAIN.replace("\n", "\r"),
    "mixed line ends": PLAIN.replace("\n", "\r\n", 3).replace("0\n", "0\r", 5),
    "no last line end": PLAIN[:-1],
    "everything quoted": "".join(
        ",".join(f'"{value}"' for value in line.split(",")) + "\n" for line in [HEADER, *ROWS]
    ),
    "blank lines": PLAIN.replace("\n", "\n\n  \n"),
    "rows of nothing but commas below": PLAIN + ",,,,\n" * 500,
    "spaces around everything": PLAIN.replace(",", " ,\t ").replace("\n", "  \n"),
    "more columns": "".join(f"{line},note\n" for line in [HEADER, *ROWS]),
    "more columns, one of them twice": "".join(f"x,{line},x\n" for line in [HEADER, *ROWS]),
    "columns in another order": "".join(
        ",".join(reversed(line.split(","))) + "\n" for line in [HEADER, *ROWS]
    ),
    "10,000 columns": "".join(f"{wide(line)}\n" for line in [HEADER, *ROWS]),
    "numbers with a fraction": PLAIN.replace(",1\n", ",1.0\n").replace(",0\n", ",0.0\n"),
}


def test_a_table_that_is_odd_and_whole_goes_in(world: Sandbox) -> None:
    expected = FIRST
    for i, (kind, content) in enumerate(FINE.items(), start=20):
        put(world, content.replace("client01", f"client{i}"), f"m{i} {kind}.csv")
        expected = expected + [row.replace("client01", f"client{i}") for row in ROWS]
    result = ingested(world)
    assert warnings_of(result) == []
    assert finaldata(world) == expected + LAST


def test_columns_left_out_are_told_on_one_short_line(world: Sandbox) -> None:
    put(world, "".join(f'"{name}\n",{wide(line)}\n' for name, line in [("a", HEADER)]))
    put(world, wide(HEADER).replace("x", "a\tb", 1) + "\n" + wide(ROWS[0]) + "\n")
    (line,) = [line for line in ingested(world).err.splitlines() if "left out" in line]
    assert line.endswith(
        " INFO pipeline.data.loader: m.csv: left out columns: 'a\\tb', x, x, x, x, x, x, x, x, x,"
        " x, x and 9,983 more"
    )


# --- values ---

TOO_LARGE, NO_NUMBER = "is too large for a number", "is not a number"
NUMBERS = {
    " 12 ": "12",
    "012": "12",
    "+12": "12",
    "12.": "12",
    ".5": "0.5",
    "-0.0": "0",
    "1e3": "1000",
    "1E-3": "0.001",
    "1e-400": "0",
    "1e100": "1e+100",
    "nan": "",
    "NaN": "",
    "N/A": "",
    "null": "",
    "\u00a012": "12",
    "1e400": TOO_LARGE,
    "-1e400": TOO_LARGE,
    "1e101": TOO_LARGE,
    "9" * 5000: TOO_LARGE,
    "inf": NO_NUMBER,
    "-Infinity": NO_NUMBER,
    "1_000": NO_NUMBER,
    "0x10": NO_NUMBER,
    "0b1": NO_NUMBER,
    "1j": NO_NUMBER,
    "1e": NO_NUMBER,
    "--5": NO_NUMBER,
    "1 000": NO_NUMBER,
    "1,000": NO_NUMBER,
    "1.000,5": NO_NUMBER,
    "1.2.3": NO_NUMBER,
    "2026-01-31": NO_NUMBER,
    "31/01/2026": NO_NUMBER,
    "12:30": NO_NUMBER,
    "5%": NO_NUMBER,
    "€5": NO_NUMBER,
    "1/2": NO_NUMBER,
    "true": NO_NUMBER,
    "\u0661\u0662": NO_NUMBER,  # Arabic digits
    "\uff11\uff12": NO_NUMBER,  # full-width digits
    "\u00b2": NO_NUMBER,  # a superscript two
    "12\u200b": NO_NUMBER,  # a space without width
    "\ufeff12": NO_NUMBER,
    "=1+1": NO_NUMBER,
    "=cmd|'/c calc'!A1": NO_NUMBER,
    "@SUM(A1)": NO_NUMBER,
    "1" * 100_000 + "x": NO_NUMBER,
}


def quoted(text: str) -> str:
    return f'"{text}"' if "," in text else text


def test_a_number_is_taken_as_it_is_meant_or_its_row_set_aside(world: Sandbox) -> None:
    good = client_rows(1000, 500)
    put(world, "\n".join([HEADER, *good, *[f"odd,{quoted(n)},2,3,0" for n in NUMBERS]]) + "\n")
    ingested(world)
    taken = [n for n in NUMBERS.values() if n not in (TOO_LARGE, NO_NUMBER)]
    rows = dict.fromkeys(f"odd,{n},2,3,0" for n in taken)
    assert finaldata(world) == [*FIRST, *good, *rows, *LAST]
    assert set_aside(world) == [
        ["m.csv", str(line), f"lastmonth_activity {cut(n, 40)!r} {told}", cut(row, 1000)]
        for line, (n, told) in enumerate(NUMBERS.items(), start=502)
        if told in (TOO_LARGE, NO_NUMBER)
        for row in [f"odd,{quoted(n)},2,3,0"]
    ]


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


BAD_ROWS = {
    "a": "has 1 fields where the header has 5",
    "a,1,2,3,0,9": "has 6 fields where the header has 5",
    "a;1;2;3;0": "has 1 fields where the header has 5",
    "a,1,000,2,3,0": "has 6 fields where the header has 5",
    " ,1,2,3,0": "corporation ' ' is empty; expected a name",
    "a,1,2,3,maybe": "exited 'maybe' is not an outcome (0, 1 or empty)",
    "a,1,2,3,2026-01-31": "exited '2026-01-31' is not an outcome (0, 1 or empty)",
    "a,1,2,3,2": "exited '2' is not an outcome (0, 1 or empty)",
    "a,1,2,3,1e400": "exited '1e400' is not an outcome (0, 1 or empty)",
    "a,1,2,3,0x1": "exited '0x1' is not an outcome (0, 1 or empty)",
    HEADER: "lastmonth_activity 'lastmonth_activity' is not a number",
}


def test_a_bad_row_is_set_aside_and_the_others_go_in(world: Sandbox) -> None:
    good = client_rows(1000, 100)
    put(world, "\n".join([HEADER, *good[:7], *BAD_ROWS, *good[7:]]) + "\n")
    result = ingested(world)
    assert "m.csv: 100 new of 111 rows, 11 set aside\n" in result.out
    assert finaldata(world) == FIRST + good + LAST
    assert set_aside(world) == [
        ["m.csv", str(line), reason, row]
        for line, (row, reason) in enumerate(BAD_ROWS.items(), start=9)
    ]


NAMES = [
    "=1+1",
    "NA",
    "nan",
    "'x'",
    "#1",
    "\\N",
    "株式会社 🙂",
    "e\u0301",
    "\u202eevil",
    "x" * 100_000,
]
NAMES += [f"a{odd}b" for odd in "\t\x01\x0b\x0c\x1a\x1c\x7f\x85\u2028\ufeff"]


def test_any_name_of_a_client_is_kept_to_the_letter(world: Sandbox) -> None:
    rows = [f"{name},1,2,3,0" for name in NAMES]
    put(world, "\n".join([HEADER, *rows]) + "\n")
    ingested(world)
    assert finaldata(world) == FIRST + rows + LAST
    frame = frame_of(world.config.finaldata_path, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns)
    assert frame["corporation"].tolist()[20:-20] == NAMES


# --- memory and time, whatever a file asks for ---


class Endless(io.RawIOBase):
    """A text, then another one over and over."""

    def __init__(self, start: bytes, again: bytes) -> None:
        self._next, self._again = start, again * (1 + 8192 // len(again))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._next = self._next or self._again
        count = min(len(buffer), len(self._next))
        buffer[:count], self._next = self._next[:count], self._next[count:]
        return count


@pytest.mark.parametrize(
    ("again", "reason"),
    [
        ("x", "has a row of more than 1,000,000 characters, which begins in line 2"),
        ("x,", "has a row of more than 1,000,000 characters, which begins in line 2"),
        ('","\n', "has a row of more than 1,000,000 characters, which begins in line 2"),
        ("a\n", "has a quote in line 2 that never closes"),
    ],
)
def test_a_row_without_end_is_given_up(again: str, reason: str) -> None:
    start = f'{HEADER}\n"' if "\n" in again else f"{HEADER}\n"
    stream = io.BufferedReader(Endless(start.encode(), again.encode()))
    with within(600), pytest.raises(DataError) as caught:
        list(RowTable(stream, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns))
    assert str(caught.value) == reason


def test_bad_rows_without_end_are_given_up() -> None:
    stream = io.BufferedReader(Endless(f"{HEADER}\n".encode(), b"a,b,c,d,e\n"))
    with within(600), pytest.raises(DataError) as caught:
        list(RowTable(stream, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns))
    assert str(caught.value) == (
        "has too many bad rows: more than 100,000 (line 100002: lastmonth_activity 'b' is not a"
        " number)"
    )


def test_of_a_long_bad_row_only_the_beginning_is_kept(world: Sandbox) -> None:
    put(world, f"{PLAIN}{'long ' * 20_000},x,2,3,0\n")
    ingested(world)
    ((_, _, reason, row),) = set_aside(world)
    assert reason == "lastmonth_activity 'x' is not a number"
    assert row == "long " * 200 + "…"


def test_many_bad_rows_among_more_good_ones_are_all_set_aside(world: Sandbox) -> None:
    put(world, "\n".join([HEADER, *client_rows(1000, 18_000), *["a,x,2,3,0"] * 2000]) + "\n")
    assert "m.csv: 18,000 new of 20,000 rows, 2,000 set aside\n" in ingested(world).out
    assert len(set_aside(world)) == 2000


@pytest.mark.slow
def test_a_file_of_bad_rows_takes_little_memory(world: Sandbox) -> None:
    row = f"{'a' * 50_000},x,2,3,0\n"
    with (world.root / "sourcedata/m.csv").open("w") as file:
        file.write(f"{HEADER}\n")
        file.writelines([row] * 20_000)  # 1 GB
    aged(world.root / "sourcedata/m.csv")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with within(600):
        result = world.run("ingestion")
    assert "m.csv: rejected: it has too many bad rows: 20,000 of 20,000" in result.out
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 150_000  # KiB


@pytest.mark.parametrize("digits", [1000, 131_000])
def test_a_number_of_many_digits_takes_no_time(digits: int) -> None:
    text = "\n".join([HEADER, *[f"a,{'1' * digits}x,2,3,0"] * 5])
    stream = io.BufferedReader(io.BytesIO(text.encode()))
    with within(600):
        rows = list(RowTable(stream, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns))
    assert len(rows) == 5


# --- what is no plain file ---


def socket_at(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


STRANGE: dict[str, Callable[[Path], None]] = {
    "m link out of the folder.csv": link_to("../testdata/testdata.csv"),
    "m link to another user's file.csv": link_to("/etc/passwd"),
    "m link that leads nowhere.csv": link_to("nowhere.csv"),
    "m link to itself.csv": link_to("m link to itself.csv"),
    "m link to a folder.csv": link_to("../testdata"),
    "m link within the folder.csv": link_to("a.csv"),
    "m link to a device.csv": link_to("/dev/zero"),
    "m pipe.csv": os.mkfifo,
    "m socket.csv": socket_at,
}


def test_what_is_no_plain_file_is_rejected_once(world: Sandbox) -> None:
    for name, make in STRANGE.items():
        make(world.root / "sourcedata" / name)
    assert_rejected(world, dict.fromkeys(sorted(STRANGE), SPECIAL))


def test_a_plain_file_in_its_place_goes_in(world: Sandbox) -> None:
    for name, make in STRANGE.items():
        make(world.root / "sourcedata" / name)
    ingested(world)
    for i, name in enumerate(sorted(STRANGE), start=20):
        (world.root / "sourcedata" / name).unlink()
        put(world, PLAIN.replace("client01", f"client{i}"), name)
    assert ingested(world).out.splitlines()[:-1] == [
        f"{name}: 20 new of 20 rows" for name in sorted(STRANGE)
    ]


def test_a_pipe_that_somebody_writes_into_is_left_alone(world: Sandbox) -> None:
    path = world.root / "sourcedata/m.csv"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.write(descriptor, PLAIN.encode())
        assert_rejected(world, {"m.csv": SPECIAL})
        assert len(os.read(descriptor, 65536)) == len(PLAIN)
    finally:
        os.close(descriptor)


def test_folders_and_hidden_files_are_passed_over(world: Sandbox) -> None:
    (world.root / "sourcedata/m.csv").mkdir()
    (world.root / "sourcedata/.m.csv").write_text("no table")
    (world.root / "sourcedata/m.csv.part").write_text("no table")
    assert len(ingested(world).out.splitlines()) == 3


@pytest.fixture
def anybodys(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> Iterator[tuple[Sandbox, Callable[[], None]]]:
    """A project that root and nobody may write to, and what hands over what root wrote last."""
    with tempfile.TemporaryDirectory() as folder:
        world = Sandbox(Path(folder), capsys)
        world.write("config.json", (sandbox.root / "config.json").read_text())
        world.write("sourcedata/a.csv", FIRST)
        world.write("sourcedata/z.csv", LAST)
        sandbox.write("sourcedata/a.csv", FIRST)
        sandbox.run("ingestion")  # nobody may not be able to read the modules

        def hand_over() -> None:
            for path in [world.root, *world.root.rglob("*")]:
                if not os.getuid():
                    os.chown(path, NOBODY, -1)

        with within(600):
            yield world, hand_over


def test_a_file_without_read_permission_is_rejected_once(
    anybodys: tuple[Sandbox, Callable[[], None]],
) -> None:
    world, hand_over = anybodys
    path = put(world, PLAIN)
    path.chmod(0)
    hand_over()
    assert_rejected(world, {"m.csv": "cannot be read: this user has no permission"}, as_nobody)


def test_a_file_goes_in_once_it_may_be_read(
    anybodys: tuple[Sandbox, Callable[[], None]],
) -> None:
    world, hand_over = anybodys
    path = put(world, PLAIN)
    path.chmod(0)
    hand_over()
    ingested(world, as_nobody)
    path.chmod(0o400)
    assert ingested(world, as_nobody).out.startswith("m.csv: 20 new of 20 rows\n")
    assert finaldata(world) == FIRST + LAST + ROWS


# --- names of files ---

FILE_NAMES = {
    "not UTF-8": (b"m\xfcller.csv", "m\\xfcller.csv"),
    "a line end": (b"m\nINFO all is well.csv", "m\\u000aINFO all is well.csv"),
    "a carriage return": (b"m\r.csv", "m\\u000d.csv"),
    "an escape sequence": (b"m\x1b[2J.csv", "m\\u001b[2J.csv"),
    "another line end": ("m\u2028.csv".encode(), "m\\u2028.csv"),
    "a backslash": (b"m\\n.csv", "m\\\\n.csv"),
    "double quotes": (b'"m".csv', '"m".csv'),
    "a comma": (b"m,n.csv", "m,n.csv"),
    "a formula": (b"=cmd|'calc'!A1.csv", "=cmd|'calc'!A1.csv"),
    "an option": (b"--rebuild.csv", "--rebuild.csv"),
    "a format": (b"m%s%n.csv", "m%s%n.csv"),
    "capitals": (b"M.CSV", "M.CSV"),
    "not ASCII": ("m株式🙂.csv".encode(), "m株式🙂.csv"),
    "255 bytes": (b"m" * 251 + b".csv", "m" * 251 + ".csv"),
}


def test_a_file_of_any_name_goes_in_and_is_told_on_one_line(world: Sandbox) -> None:
    for i, (raw, _) in enumerate(FILE_NAMES.values()):
        rows = client_rows(2000 + 100 * i, 20)
        put(world, "\n".join([HEADER, *rows, f"bad{i},x,2,3,0"]) + "\n", os.fsdecode(raw))
    result = ingested(world)
    names = [name for _, name in FILE_NAMES.values()]
    for name in names:
        assert f"{name}: 20 new of 21 rows, 1 set aside" in result.out.split("\n")
        assert f"{name}: 21 rows: 20 new, 0 already known, 1 set aside\n" in result.err
    assert len(finaldata(world)) == 40 + 20 * len(names)
    told = [row[0] for row in set_aside(world)]
    assert sorted(told) == sorted(f"'{name}" if name[0] in "=-" else name for name in names)
    recorded = json.loads(world.config.ingestedfiles_path.read_text())
    assert sorted(recorded) == sorted(["a.csv", *names, "z.csv"])


def test_a_bad_file_of_any_name_is_told_once_on_one_line(world: Sandbox) -> None:
    for raw, _ in FILE_NAMES.values():
        put(world, "no table", os.fsdecode(raw))
    result = ingested(world)
    for _, name in FILE_NAMES.values():
        assert f"{name}: rejected: it {NO_HEADER}no table" in result.out.split("\n")
    assert len(warnings_of(result)) == len(FILE_NAMES)
    assert finaldata(world) == FIRST + LAST


def test_files_whose_names_look_alike_are_told_apart(world: Sandbox) -> None:
    alike = [b"m\xfc.csv", rb"m\xfc.csv", b"n\n.csv", rb"n\u000a.csv", rb"n\\u000a.csv"]
    for i, raw in enumerate(alike):
        put(world, "\n".join([HEADER, *client_rows(2000 + i, 1)]) + "\n", os.fsdecode(raw))
    ingested(world)
    assert len(finaldata(world)) == 45


def test_a_file_of_any_time_goes_in(world: Sandbox) -> None:
    for i, year in enumerate((1910, 1970, 2107, 2400), start=20):
        path = put(world, PLAIN.replace("client01", f"client{i}"), f"m{year}.csv")
        then = (year - 1970) * 31_556_952
        os.utime(path, (then, then))
    ingested(world)
    assert len(finaldata(world)) == 120


# --- files that change while they are read ---


@pytest.fixture
def master(world: Sandbox) -> Iterator[MasterWriter]:
    with MasterWriter(world.config.finaldata_path, world.config.schema) as opened:
        yield opened


def listed(world: Sandbox) -> FoundFile:
    (file,) = (file for file in list_input(world.root / "sourcedata") if file.name == "m.csv")
    return file


REPLACED = {
    "gone": (lambda _: None, "cannot be opened: No such file or directory"),
    "a pipe": (os.mkfifo, "cannot be opened: It is no longer a regular file"),
    "a folder": (Path.mkdir, "cannot be opened: It is no longer a regular file"),
    "a socket": (socket_at, "cannot be opened: No such device or address"),
    "a link": (link_to("a.csv"), "cannot be opened: Too many levels of symbolic links"),
    "a link to a device": (
        link_to("/dev/zero"),
        "cannot be opened: Too many levels of symbolic links",
    ),
    "another file": (lambda path: path.write_text(HEADER), "changed while it was read"),
}


@pytest.mark.parametrize(("replace", "why"), REPLACED.values(), ids=REPLACED)
def test_a_file_that_is_replaced_after_it_was_listed_waits(
    world: Sandbox,
    master: MasterWriter,
    caplog: pytest.LogCaptureFixture,
    replace: Callable[[Path], None],
    why: str,
) -> None:
    path = put(world, PLAIN)
    file = listed(world)
    path.unlink()
    replace(path)
    assert take_in(world.config.schema, file, master) is None
    assert caplog.messages == [f"m.csv {why}: left for the next run"]
    assert master.rows == 0


@pytest.mark.parametrize(("replace", "why"), REPLACED.values(), ids=REPLACED)
def test_a_known_file_that_is_replaced_after_it_was_listed_counts_as_new(
    world: Sandbox, replace: Callable[[Path], None], why: str
) -> None:
    path = put(world, PLAIN)
    ingested(world)
    aged(path, 999)
    file = listed(world)
    path.unlink()
    replace(path)
    with History(world.config.history_path) as history:
        assert new_files(history, [file]) == [file], why


def test_a_file_that_grows_as_fast_as_it_is_read_waits(
    world: Sandbox, master: MasterWriter, caplog: pytest.LogCaptureFixture
) -> None:
    path = put(world, PLAIN)
    file = listed(world)
    os.truncate(path, 2**40)  # more than could ever be read
    size = master.size
    assert take_in(world.config.schema, file, master) is None
    assert caplog.messages == ["m.csv changed while it was read: left for the next run"]
    assert (master.rows, master.size) == (0, size)


def test_a_file_that_a_disk_cannot_give_back_waits(
    world: Sandbox, master: MasterWriter, caplog: pytest.LogCaptureFixture
) -> None:
    broken = FoundFile(Path("/proc/self/mem"), 100, 0)  # reading its first byte is an I/O error
    assert take_in(world.config.schema, broken, master) is None
    assert caplog.messages == ["mem cannot be read: Input/output error: left for the next run"]


def test_a_full_disk_is_not_taken_for_a_fault_of_the_file(world: Sandbox) -> None:
    put(world, "\n".join([HEADER, *client_rows(1000, 30_000)]) + "\n")
    (world.root / "sourcedata/m.csv").rename(world.root / "m.csv")
    ingested(world)
    (world.root / "m.csv").rename(world.root / "sourcedata/m.csv")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        result = world.run("ingestion")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (result.code, result.out) == (1, "")
    assert "left for the next run" not in result.err
    assert "File too large" in result.err
    assert world.run("ingestion").out.startswith("m.csv: 30,000 new of 30,000 rows\n")


@pytest.mark.slow
def test_files_that_are_swapped_all_the_time_never_stop_a_run(world: Sandbox) -> None:
    folder = world.root / "sourcedata"
    done = threading.Event()

    def swap() -> None:
        makers: list[Callable[[Path], object]] = [
            os.mkfifo,
            link_to("/dev/zero"),
            lambda path: path.write_text(PLAIN),
            lambda path: path.write_text("no table"),
            lambda path: path.write_bytes(os.urandom(5000)),
            lambda path: path.write_text(PLAIN + "a,x,2,3,0\n"),
        ]
        for turn in itertools.count():
            if done.is_set():
                return
            path = folder / f"m{turn % 5}.csv"
            path.unlink(missing_ok=True)
            makers[turn % 6](path)

    swapping = threading.Thread(target=swap)
    with within(600):
        swapping.start()
        try:
            end = time.monotonic() + 10
            while time.monotonic() < end:
                assert world.run("ingestion").code == 0
        finally:
            done.set()
            swapping.join()
    lines = finaldata(world)
    assert set(FIRST + LAST) <= set(lines) <= set(FIRST + LAST + ROWS)
    assert len(lines) == len(set(lines))
    assert "m0.csv" in " ".join(name for (name,) in world.query("SELECT name FROM files"))


# --- files that are still being copied ---

HALF = "\n".join([HEADER, *ROWS[:10], ROWS[10][:7]])


def test_a_file_that_is_still_being_copied_waits_and_then_goes_in(world: Sandbox) -> None:
    path = put(world, HALF)
    aged(path, 0)
    first = world.run("ingestion")
    assert first.out.splitlines()[:2] == ["a.csv: 20 new of 20 rows", "z.csv: 20 new of 20 rows"]
    assert first.err.count("m.csv") == 1
    assert (
        "WARNING pipeline.data.loader: m.csv does not end with a line end and changed" in first.err
    )
    assert finaldata(world) == FIRST + LAST

    path.write_text(PLAIN)

    assert ingested(world).out.startswith("m.csv: 20 new of 20 rows\n")
    assert finaldata(world) == FIRST + LAST + ROWS


@pytest.mark.parametrize("content", ["", HALF, PLAIN[:-1], f'{PLAIN}"', b"\x1f\x8b\x08 cut"])
def test_a_file_without_a_last_line_end_is_judged_once_it_is_a_minute_old(
    world: Sandbox, content: str | bytes
) -> None:
    path = put(world, content)
    aged(path, 55)
    assert "m.csv" not in world.run("ingestion").out
    aged(path, 61)
    assert ingested(world).out.startswith("m.csv: ")


def test_a_file_from_the_future_does_not_wait_for_ever(world: Sandbox) -> None:
    aged(put(world, PLAIN[:-1]), -3600)
    ingested(world)
    assert finaldata(world) == FIRST + ROWS + LAST


# --- formulas ---

FORMULAS = [
    "=cmd|'/c calc'!A1",
    '=HYPERLINK("http://x","y")',
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "'=1+1",
    "''=1+1",
    "Acme;=1+1",
    'Acme;"=1+1',
    "Acme\t@SUM(A1)",
]
CELL_STARTS = ("=", "+", "-", "@", "\t", "\r")


def spreadsheet_cells(path: Path) -> Iterator[str]:
    """All cells as spreadsheets read them that take commas, semicolons or tabs for separators."""
    for delimiter in ",;\t":
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file, delimiter=delimiter):
                yield from row


def test_formulas_do_not_run_in_the_ranking_and_are_kept_in_the_data(deployed: Sandbox) -> None:
    rows = [f"{csv_cell(name)},20,300,10," for name in FORMULAS]
    deployed.write("sourcedata/m.csv", rows)
    for stage in ("ingestion", "reporting"):
        assert deployed.run(stage).code == 0

    assert finaldata(deployed)[-len(rows) :] == rows
    cells = list(spreadsheet_cells(deployed.config.clientrisk_path))
    assert [cell for cell in cells if cell.startswith(CELL_STARTS)] == []
    assert "'=cmd|'/c calc'!A1" in cells


def test_the_api_gives_the_original_names_back(deployed: Sandbox) -> None:
    deployed.write("sourcedata/m.csv", [f"{csv_cell(name)},20,300,10," for name in FORMULAS])
    for stage in ("ingestion", "reporting"):
        assert deployed.run(stage).code == 0
    client = create_app(deployed.config).test_client()

    told = client.get("/risk?limit=1000").json["clients"]
    assert set(FORMULAS) <= {row["client"] for row in told}
    answer = client.get("/risk/=cmd|'/c calc'!A1").json
    assert (answer["client"], answer["band"]) == ("=cmd|'/c calc'!A1", "high")


def test_formulas_do_not_run_among_the_rows_set_aside(world: Sandbox) -> None:
    bad = [f"{csv_cell(name)},x,300,10," for name in FORMULAS]
    put(world, "\n".join([HEADER, *client_rows(1000, 200), *bad]) + "\n", "=cmd.csv")
    ingested(world)
    cells = list(spreadsheet_cells(world.config.rejectedrows_path))
    assert [cell for cell in cells if cell.startswith(CELL_STARTS)] == []
    assert [row[0] for row in set_aside(world)] == ["'=cmd.csv"] * len(FORMULAS)
    assert set_aside(world)[0][3] == "'=cmd|'/c calc'!A1,x,300,10,"


def csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if '"' in text else text


# --- the whole chain ---


def test_the_chain_goes_on_among_bad_files(settled: Sandbox) -> None:
    for i, (content, _) in enumerate(FAULTS.values()):
        put(settled, content, f"m{i:02d}.csv")
    os.mkfifo(settled.root / "sourcedata/mfifo.csv")
    settled.write("sourcedata/c.csv", [*client_rows(300, 60), "huge,1e308,1,1,1", "a,b,c,d,e"])
    with within(600):
        result = settled.run("fullprocess")
    assert (result.code, "Traceback" in result.err) == (0, False)
    assert "c.csv: 60 new of 62 rows, 2 set aside\n" in result.out
    assert settled.run("fullprocess").out == "nothing new in sourcedata\n"


def test_test_data_that_cannot_be_read_are_an_expected_failure(deployed: Sandbox) -> None:
    deployed.root.joinpath("testdata/testdata.csv").unlink()
    os.mkfifo(deployed.root / "testdata/testdata.csv")
    with within(600):
        result = deployed.run("scoring")
    assert (result.code, result.err) == (
        1,
        f"error: {deployed.root}/testdata: holds no .csv file\n",
    )


# --- any file at all ---


@contextmanager
def heard() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    handler, messages = logging.Handler(), list[str]()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("pipeline")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def config_of(root: Path, files: dict[str, bytes]) -> Config:
    """A project with these client files, none of them still being copied."""
    folders = dict(zip(PATH_KEYS, ("sourcedata", *"otmp"), strict=True))
    (root / "config.json").write_text(json.dumps(folders))
    (root / "sourcedata").mkdir()
    for name, content in files.items():
        (root / "sourcedata" / name).write_bytes(content)
        aged(root / "sourcedata" / name)
    return load_config(root / "config.json")


def state(config: Config) -> dict[Path, tuple[bytes, int]]:
    """The files that an ingestion writes, but for the history."""
    paths = (config.finaldata_path, config.ingestedfiles_path, config.rejectedrows_path)
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths if path.exists()}


def check_any_file(content: bytes) -> bool:
    """Ingest a file between two good ones and hold every promise; whether it had any fault."""
    good = {name: "\n".join([HEADER, *rows, ""]).encode() for name, rows in BESIDE.items()}
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder, within(600), heard() as messages:
        config = config_of(Path(folder), {**good, "m.csv": content})
        first = ingest(config)
        lines = ingestion_lines(config, first)
        before = state(config)
        second = ingest(config)
        assert (second.files, state(config)) == ((), before)
        a, m, z = first.files
        assert [(f.name, f.reason, f.rows, f.added) for f in (a, z)] == [
            ("a.csv", None, 20, 20),
            ("z.csv", None, 20, 20),
        ]
        middle = finaldata_between(config)
        assert len(middle) == m.added
        assert all(len(line.splitlines()) == 1 for line in (*lines, *messages))
        rejected = list(csv.reader(rejected_text(config), strict=True))[1:]
        assert len(rejected) == len(m.bad_rows)
        assert not any(cell.startswith(CELL_STARTS) for row in rejected for cell in row)
        if m.reason is None:
            assert m.added + m.duplicates + len(m.bad_rows) == m.rows
            assert intact_rows(content) <= set(middle)
        else:
            assert (m.added, m.duplicates, m.bad_rows) == (0, 0, ())
            assert 0 < len(m.reason) < 1000
            assert sum("m.csv" in line for line in lines) == 1
    return m.reason is not None or bool(m.bad_rows)


BESIDE = {"a.csv": FIRST, "z.csv": LAST}


def finaldata_between(config: Config) -> list[str]:
    """What lies between the rows of the good files, every one of them a whole canonical row."""
    text = config.finaldata_path.read_bytes().decode()
    lines = text.split("\n")
    assert (lines[0], lines[-1]) == (HEADER, "")
    assert (lines[1:21], lines[-21:-1]) == (FIRST, LAST)
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == len(lines) - 1 == len(set(lines)) - 1
    for row in rows[1:]:
        forms = map(DEFAULT_SCHEMA.canonical, DEFAULT_SCHEMA.columns)
        assert [form(value) for form, value in zip(forms, row, strict=True)] == row
    frame = frame_of(config.finaldata_path, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns)
    assert frame.columns.tolist() == rows[0]
    assert frame["corporation"].tolist() == [row[0] for row in rows[1:]]
    return lines[21:-21]


def rejected_text(config: Config) -> io.StringIO:
    path = config.rejectedrows_path
    return io.StringIO(path.read_bytes().decode() if path.exists() else "", newline="")


def intact_rows(content: bytes) -> set[str]:
    """The rows that nothing happened to, as far as that can be told without reading quotes."""
    lines = (
        content.decode()
        .removeprefix("\ufeff")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .split("\n")
    )
    return set() if b'"' in content or lines[0] != HEADER else set(lines) & set(ROWS)


def check_any_files(count: int) -> int:
    """Check so many files; returns how many of them had a fault."""
    faulty = 0

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(malformed())
    def check(content: bytes) -> None:
        nonlocal faulty
        faulty += check_any_file(content)

    check()
    return faulty


def test_no_file_breaks_a_promise() -> None:
    assert check_any_files(60) > 40


@pytest.mark.slow
def test_none_of_a_thousand_malformed_files_breaks_a_promise() -> None:
    assert check_any_files(2000) >= 1500
