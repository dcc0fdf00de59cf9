import subprocess
import sys
from pathlib import Path

import needsengine  # noqa: F401
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bucketworlds import same_frames
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st

from pipeline import buckets
from pipeline.buckets import (
    KEYS,
    ORDER,
    OURS,
    arrow_schema,
    bucket_of,
    client_hashes,
    drawn,
    frame_of_rows,
    order_of,
    parquet_options,
    row_groups,
    stored,
)
from pipeline.frames import frame_of_text
from pipeline.schema import DEFAULT_SCHEMA, Schema

# written down once: a client whose bucket changed would be there twice
HASHES = {
    "a": 13950350942979735504,
    "Müller & Söhne": 13806161402882738517,
    "株式会社": 9102347392947943850,
    "🙂": 4639795186521829174,
    "e\u0301": 6860317513358903046,
    "x" * 1000: 3016689597487293403,
}
SALTED = """
import pyarrow as pa
from pipeline.buckets import client_hashes
print(client_hashes(pa.array(["a", "b", "株"])).tolist())
"""


def hashes_of(names: list[str]) -> np.ndarray:
    return client_hashes(pa.array(names, pa.large_string()))


def test_a_client_has_the_same_hash_for_ever() -> None:
    assert hashes_of(list(HASHES)).tolist() == list(HASHES.values())


def test_the_hash_is_not_salted() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", SALTED],
            cwd=PROJECT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{hashes_of(['a', 'b', '株']).tolist()}\n".encode()}


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_a_hash_is_its_client_s_alone(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "HASH_ROWS", rows)
    names = [*HASHES, "a", "a"]
    assert hashes_of(names).tolist() == [*HASHES.values(), HASHES["a"], HASHES["a"]]
    chunked = pa.chunked_array([names[:2], names[2:]], pa.large_string())
    assert client_hashes(chunked).tolist() == hashes_of(names).tolist()
    assert hashes_of([]).tolist() == []


def test_clients_are_spread_evenly() -> None:
    hashes = hashes_of([f"client{i:05d}" for i in range(20_000)])
    for count in (1, 2, 16, 100):
        sizes = np.bincount(bucket_of(hashes, count), minlength=count)
        assert len(sizes) == count
        assert sizes.min() > 0.7 * 20_000 / count
        assert sizes.max() < 1.3 * 20_000 / count


@given(st.lists(st.text(), unique=True))
def test_no_column_has_a_name_of_ours_or_of_another(columns: list[str]) -> None:
    names = [stored(column) for column in columns]
    assert len({*names, *OURS}) == len(columns) + len(OURS)
    assert [name.removeprefix("#") if name[:1] == "#" else name for name in names] == columns


SCHEMA = Schema("#who", "left", ("#row", "n"), ("kind",))


def table_of(count: int, schema: Schema = SCHEMA) -> pa.Table:
    random = np.random.default_rng(1)
    rows = {stored(schema.client): [f"c{i}" for i in range(count)]}
    rows |= {stored(c): random.normal(size=count).tolist() for c in schema.numeric}
    rows |= {stored(c): random.choice(["", "a", "b"], count).tolist() for c in schema.categorical}
    rows |= {stored(schema.outcome): random.choice([0, 1], count).tolist()}
    rows |= {name: list(range(count)) for name in (*ORDER, *KEYS)}
    rows |= {OURS[-1]: [None] * count}
    return pa.table(rows, arrow_schema(schema))


def test_rows_are_read_a_group_at_a_time_with_the_columns_asked_for(tmp_path: Path) -> None:
    table, path = table_of(25), tmp_path / "x.parquet"
    pq.write_table(table, path, row_group_size=10, **parquet_options(table.column_names))
    found = list(row_groups(path, ["left", "#row"], [ORDER[2]]))
    assert [len(group) for group in found] == [10, 10, 5]
    assert set(found[0].column_names) == {"left", "##row", ORDER[2]}
    assert pa.concat_tables(found).equals(table.select(found[0].column_names))


def test_keys_are_neither_compressed_nor_in_a_dictionary(tmp_path: Path) -> None:
    table, path = table_of(2000), tmp_path / "x.parquet"
    pq.write_table(table, path, **parquet_options(table.column_names))
    group = pq.read_metadata(path).row_group(0)
    told = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {told[name].compression for name in KEYS} == {"UNCOMPRESSED"}
    assert not any(told[name].has_dictionary_page for name in KEYS)
    assert told["kind"].compression == "ZSTD"
    assert told[ORDER[0]].statistics.max == 1999


def test_a_frame_of_rows_is_that_of_their_lines() -> None:
    schema = DEFAULT_SCHEMA._replace(categorical=("kind",))
    names = [stored(column) for column in schema.columns]
    rows = [
        ("nan", 1.0, None, 2.5, "", 1),
        ("b,c", None, None, None, "NULL", None),
        ("株", -0.1, 1e99, 0.0, "x y", 0),
    ]
    told = [dict(zip(names, row, strict=True)) for row in rows]
    table = pa.Table.from_pylist(told, pa.schema(list(arrow_schema(schema))[: len(names)]))
    text = 'nan,1,,2.5,,1\n"b,c",,,,NULL,\n株,-0.1,1e+99,0,x y,0\n'
    for columns in (schema.columns, schema.features, ("exited",), ("kind", "corporation")):
        expected = frame_of_text(text, schema, schema.columns)[list(columns)]
        same_frames(frame_of_rows(table, schema, columns), expected)
        same_frames(frame_of_rows(table[:0], schema, columns), expected[:0])


def test_rows_are_drawn_evenly_and_by_their_place_alone() -> None:
    place = np.arange(40_000)
    table = pa.table({ORDER[0]: place % 7, ORDER[1]: place % 11, ORDER[2]: place})
    shares = drawn(table)
    assert 0 <= shares.min() < shares.max() < 1
    assert np.abs(np.histogram(shares, 10, (0, 1))[0] / 4_000 - 1).max() < 0.1
    mixed = np.random.default_rng(1).permutation(40_000)
    assert (drawn(table.take(pa.array(mixed))) == shares[mixed]).all()
    assert (drawn(table.slice(100, 5)) == shares[100:105]).all()


def test_the_order_is_by_ingestion_then_file_then_row() -> None:
    places = [(2, 0, 0), (1, 1, 0), (1, 0, 5), (1, 0, 4), (10, 0, 1)]
    table = pa.table({name: [place[i] for place in places] for i, name in enumerate(ORDER)})
    assert order_of(table).tolist() == [3, 2, 1, 0, 4]
