import contextlib
import gc
import io
import math
import random
import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sandbox import HEADER

from pipeline.core.errors import DataError
from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.data.frames import frame_of_text, read_folder, read_table

BANK = Schema("id", "left", ("age",), ("land",))
NAN = math.nan


def bank_frame(
    ids: list[str], age: list[float], land: list[str], left: list[float]
) -> pd.DataFrame:
    frame = pd.DataFrame({"id": ids, "age": age, "land": land, "left": left})
    return frame.astype({"id": "str", "age": "float64", "land": "str", "left": "float64"})


def read(content: str) -> pd.DataFrame:
    stream = io.BufferedReader(io.BytesIO(content.encode()))
    return read_table(stream, BANK, BANK.columns, "a.csv")


def test_missing_numbers_are_nan_and_missing_texts_are_empty() -> None:
    frame = frame_of_text("1,40,France,0\n2,,,\n", BANK, BANK.columns)
    assert_frame_equal(
        frame, bank_frame(["1", "2"], [40, NAN], ["France", ""], [0, NAN]), check_exact=True
    )


def test_names_that_look_like_missing_values_stay() -> None:
    frame = frame_of_text("NA,40,null,0\nNone,1,nan,1\n007,2,1e5,1\n", BANK, BANK.columns)
    assert frame["id"].tolist() == ["NA", "None", "007"]
    assert frame["land"].tolist() == ["null", "nan", "1e5"]


def test_quotes_commas_and_odd_characters_come_back() -> None:
    names = ["a, b", 'the "best"', "#1", "'x'", "line\u2028sep", "tab\there", "\x0bvt", "\x85nel"]
    lines = ['"a, b",1,x,0', '"the ""best""",1,x,0', *[f"{name},1,x,0" for name in names[2:]]]
    assert (
        frame_of_text("".join(f"{line}\n" for line in lines), BANK, BANK.columns)["id"].tolist()
        == names
    )


def test_no_lines_are_an_empty_frame() -> None:
    assert_frame_equal(frame_of_text("", BANK, BANK.columns), bank_frame([], [], [], []))


def test_numbers_come_back_to_the_last_bit() -> None:
    rng = random.Random(2)
    values = [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(5000)]
    values = [v for v in values if math.isfinite(v)]
    frame = frame_of_text("".join(f"x,{value!r},y,1\n" for value in values), BANK, BANK.columns)
    assert np.array_equal(frame["age"].to_numpy(), np.array(values))


def test_a_missing_value_of_a_single_column_is_a_row() -> None:
    assert len(frame_of_text("40\n\n50\n", BANK, ["age"])) == 3


def test_a_table_is_read_by_the_rules_of_ingestion() -> None:
    assert_frame_equal(
        read("left, land ,id,age,note\nYes, France ,1,40.0,x\n,,2,NA,y\n"),
        bank_frame(["1", "2"], [40, NAN], ["France", ""], [1, NAN]),
    )


def test_a_bad_row_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    rows = "".join(f"{i},{i},x,0\n" for i in range(10))
    frame = read(f"id,age,land,left\n{rows}10,old,x,0\n")
    assert frame["id"].tolist() == [str(i) for i in range(10)]
    assert caplog.messages == ["a.csv: line 12 is left out: age 'old' is not a number"]


def test_a_folder_is_read_file_by_file_in_order_of_name(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(f"{HEADER}\nthree,1,2,3,0\none,1,2,3,0\n")
    (tmp_path / "a.csv").write_text(f"{HEADER}\none,1,2,3,0\ntwo,1,2,3,0\n")
    (tmp_path / "notes.md").write_text("no table")
    (tmp_path / ".hidden.csv").write_text("no table")
    frame = read_folder(tmp_path, DEFAULT_SCHEMA)
    assert frame["corporation"].tolist() == ["one", "two", "three", "one"]
    assert frame.index.tolist() == [0, 1, 2, 3]


def test_a_folder_without_tables_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path, DEFAULT_SCHEMA)
    assert str(caught.value) == f"{tmp_path}: holds no table, such as a .csv file"


@pytest.mark.parametrize("text", ["corporation,x\na,1\n", f'{HEADER}\n"a"b,1,2,3,0\n'])
def test_a_file_that_is_refused_leaves_no_noise_behind(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text(text)
    noise: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    with contextlib.suppress(DataError):
        read_folder(tmp_path, DEFAULT_SCHEMA)
    gc.collect()
    assert noise == []


def test_a_bad_file_of_a_folder_is_named_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER)
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path, DEFAULT_SCHEMA)
    assert str(caught.value) == f"{tmp_path}/a.csv has a header and no rows below it"
