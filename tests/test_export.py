"""All rows as one file: the same bytes wherever they are kept, and nobody's file overwritten."""

import json

import needsengine  # noqa: F401
import pyarrow as pa
import pyarrow.csv
import pytest
import rankworlds
from conftest import Sandbox, client_rows
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import canonicallines, sortedmerge
from pipeline.bucketledger import counted_buckets
from pipeline.canonicallines import canonical_lines
from pipeline.errors import HistoryError
from pipeline.export import export_rows
from pipeline.history import History
from pipeline.ledger import begin_rebuild
from pipeline.schema import Schema, canonical_number

NAMES = [
    '"=1+1"',
    '"The ""Best"", Ltd"',
    '","',
    "株式会社",
    "a\u2028b",
    '"two\nlines"',
    "\u00e9",
    "'x",
]
NUMBERS = [
    *("0", "-0.0", "1", "01", "1.50", "0.1", "1e-7", "123456.789", "-5", "", "NA", "1e16", "1e20"),
    *("9007199254740992", "9007199254740993", "123456789012345678", "1e99", "5e-324", ".3", "2."),
    *("0.30000000000000004", "1234567890123456.7", "-9007199254740993", "99999999999999999999"),
]
HOSTILE = [
    f"{NAMES[i % len(NAMES)]},{number},{NUMBERS[(i * 5) % len(NUMBERS)]},{i % 3},{'01'[i % 2]}"
    for i, number in enumerate(NUMBERS)
]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sortedmerge, "MOST", 3)
    monkeypatch.setattr(sortedmerge, "LEAST", 2)


def exported(world: Sandbox, *, name: str = "all.csv") -> bytes:
    with History(world.config.history_path) as history:
        export_rows(world.config, history, world.root / name)
    return (world.root / name).read_bytes()


@pytest.fixture(params=[1, 3, 16])
def twins(
    source: Sandbox, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Sandbox, Sandbox]:
    """The same rows in a file and in buckets: of three ingestions, some of them more than once."""
    source.write("sourcedata/c.csv", [*HOSTILE, *client_rows(40, 40), *HOSTILE[:5]])
    assert source.run("ingestion").code == 0
    place = tmp_path_factory.mktemp("twin") / "world"
    twin = rankworlds.in_buckets(source, place, request.param)
    for name, rows in (("0.csv", client_rows(100, 60)), ("d.csv", [*HOSTILE[::-1], *HOSTILE])):
        for world in (source, twin):
            world.write(f"sourcedata/{name}", rows)
        assert source.run("ingestion").code == 0
        rankworlds.take_in(twin)
    return source, twin


def test_rows_in_buckets_come_out_as_the_file_has_them(twins: tuple[Sandbox, Sandbox]) -> None:
    file, buckets = twins

    found = exported(buckets)

    assert found == (file.root / "ingesteddata/finaldata.csv").read_bytes()
    assert found.count(b"9007199254740993") >= 2
    assert [path.name for path in (buckets.root / "ingesteddata").glob(".*")] == []


def test_rows_in_a_file_are_copied_as_far_as_they_count(source: Sandbox) -> None:
    assert source.run("ingestion").code == 0
    path = source.root / "ingesteddata/finaldata.csv"
    counted = path.read_bytes()
    with path.open("ab") as file:
        file.write(b"torn,1,2")

    assert exported(source) == counted


@pytest.mark.parametrize("twins", [3], indirect=True)
def test_the_stage_tells_where_they_are(twins: tuple[Sandbox, Sandbox]) -> None:
    for world in twins:
        path = world.root / "out/of here/all.csv"
        shown = "out/of here/all.csv"
        count = exported(world).count(b"\n") - 1

        assert world.run("ingestion", "--export", str(path)).out == f"{shown}: {count:,} rows\n"
        told = world.run("ingestion", "--export", str(path), "--json").out
        assert json.loads(told) == {"path": shown, "rows": count}
        assert path.read_bytes() == exported(world)


@pytest.mark.parametrize("twins", [3], indirect=True)
def test_what_is_new_is_not_taken_in(twins: tuple[Sandbox, Sandbox]) -> None:
    for world in twins:
        before = exported(world)
        world.write("sourcedata/new.csv", client_rows(500, 20))

        assert world.run("ingestion", "--export", str(world.root / "all.csv")).code == 0

        assert (world.root / "all.csv").read_bytes() == before


def test_to_export_and_to_rebuild_is_wrong_usage(source: Sandbox) -> None:
    with pytest.raises(SystemExit, match="2"):
        source.run("ingestion", "--rebuild", "--export", "x.csv")


@pytest.mark.parametrize("twins", [3], indirect=True)
def test_what_a_killed_export_left_is_not_read_and_is_gone(twins: tuple[Sandbox, Sandbox]) -> None:
    file, buckets = twins
    buckets.write("ingesteddata/.export/00000.lines", "half a ru")
    buckets.write("ingesteddata/.export/0123/00000.lines", "half a ru")

    assert exported(buckets) == exported(file)
    assert [path.name for path in (buckets.root / "ingesteddata").glob(".*")] == []


@pytest.mark.parametrize("twins", [3], indirect=True)
def test_an_export_that_fails_leaves_the_file_before(twins: tuple[Sandbox, Sandbox]) -> None:
    _, world = twins
    before = exported(world)
    with History(world.config.history_path) as history:
        path = counted_buckets(world.config, history)[-1].path
    content = path.read_bytes()
    path.write_bytes(content[:-100] + bytes(100))

    with pytest.raises(HistoryError, match="cannot be read"):
        exported(world)

    assert (world.root / "all.csv").read_bytes() == before
    assert [path.name for path in (world.root / "ingesteddata").glob(".*")] == []


def test_before_the_first_ingestion_and_while_rows_are_made_again_there_is_nothing(
    source: Sandbox,
) -> None:
    with pytest.raises(HistoryError, match="has no rows yet"):
        exported(source)
    assert source.run("ingestion").code == 0
    with History(source.config.history_path) as history:
        begin_rebuild(history)
    with pytest.raises(HistoryError, match="is being made again"):
        exported(source)


# --- whose files are spared ---

IN_FOLDER, KEPT = "is in a folder of this system's own", "is kept by this system"


def files(world: Sandbox) -> dict[str, bytes]:
    """All but the history, which tells that a run failed."""
    return {name: text for name, text in world.files().items() if name != "history.db"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sourcedata/a.csv", IN_FOLDER),
        ("sourcedata/new.csv", IN_FOLDER),
        ("testdata/testdata.csv", IN_FOLDER),
        ("models/clientrisk.csv", IN_FOLDER),
        (
            "production_deployment/releases/x/trainedmodel.pkl",
            IN_FOLDER,
        ),
        ("ingesteddata/buckets/00001-000001.parquet", IN_FOLDER),
        ("practicemodels/history.db", IN_FOLDER),
        ("practicemodels/ingesteddata/finaldata.csv", IN_FOLDER),
        ("history.db.run/lock", IN_FOLDER),
        ("ingesteddata/finaldata.csv", KEPT),
        ("ingesteddata/.finaldata.csv.keys", KEPT),
        ("ingesteddata/ingestedfiles.txt", KEPT),
        ("ingesteddata/rejectedrows.csv", KEPT),
        ("config.json", KEPT),
        ("history.db", KEPT),
        ("history.db-journal", KEPT),
        ("ingesteddata", KEPT),
        ("a link.csv", KEPT),
        ("ingesteddata/../sourcedata/../config.json", KEPT),
    ],
)
def test_what_the_system_owns_is_not_overwritten(source: Sandbox, name: str, told: str) -> None:
    assert source.run("ingestion").code == 0
    (source.root / "a link.csv").symlink_to("ingesteddata/finaldata.csv")
    before = files(source)

    result = source.run("ingestion", "--export", str(source.root / name))

    place = source.root / name
    assert (result.code, result.out) == (1, "")
    assert result.err == f"error: {place} {told}: export to another place\n"
    assert files(source) == before


@pytest.mark.parametrize("name", ["all.csv", "ingesteddata/all.csv", "new/all.csv"])
def test_other_places_are_free_and_an_export_replaces_the_last(source: Sandbox, name: str) -> None:
    for rows in (0, 10):
        source.write("sourcedata/c.csv", client_rows(500, 1 + rows))
        assert source.run("ingestion").code == 0
        assert source.run("ingestion", "--export", str(source.root / name)).code == 0

        expected = (source.root / "ingesteddata/finaldata.csv").read_bytes()
        assert (source.root / name).read_bytes() == expected


# --- canonical lines ---


@given(st.floats(-1e100, 1e100))
@example(-0.0)
@example(1e16)
@example(float(2**53))
@example(5e-324)
def test_a_number_has_the_text_it_came_with(value: float) -> None:
    text = canonical_number(repr(value))
    options = pyarrow.csv.ConvertOptions(column_types={"n": pa.float64()})
    read = pyarrow.csv.read_csv(pa.py_buffer(f"n\n{text}\n".encode()), convert_options=options)

    assert canonicallines._numbers(read["n"].combine_chunks()).to_pylist() == [text]


def test_a_table_of_the_client_and_one_column_has_lines_too() -> None:
    schema = Schema("a", "b", (), ())
    table = pa.table(
        {
            "a": pa.array(["x,y", "z"], pa.large_string()),
            "b": pa.array([None, 1], pa.int8()),
            "#exact": pa.array([None, "z,1"], pa.large_string()),
        }
    )

    assert canonical_lines(table, schema).to_pylist() == ['"x,y",', "z,1"]
    assert canonical_lines(table.slice(1), schema).to_pylist() == ["z,1"]
