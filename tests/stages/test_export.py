"""A copy of all rows: the bytes that count, and nobody's file overwritten."""

import json

import pytest
from sandbox import Sandbox, client_rows


def test_all_rows_are_copied_and_nothing_is_taken_in(source: Sandbox) -> None:
    assert source.run("ingestion").code == 0
    before = (source.root / "ingesteddata/finaldata.csv").read_bytes()
    source.write("sourcedata/new.csv", client_rows(500, 20))
    path = source.root / "out/of here/all.csv"
    shown = "out/of here/all.csv"
    count = before.count(b"\n") - 1

    assert source.run("ingestion", "--export", str(path)).out == f"{shown}: {count:,} rows\n"
    told = source.run("ingestion", "--export", str(path), "--json").out
    assert json.loads(told) == {"path": shown, "rows": count}
    assert path.read_bytes() == before


def test_to_export_and_to_rebuild_is_wrong_usage(source: Sandbox) -> None:
    with pytest.raises(SystemExit, match="2"):
        source.run("ingestion", "--rebuild", "--export", "x.csv")


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
