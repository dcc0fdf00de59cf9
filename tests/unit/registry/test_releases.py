import json
from dataclasses import asdict
from pathlib import Path

import pytest

from pipeline.core.errors import ModelError, ReleaseError
from pipeline.core.schema import Schema
from pipeline.models.manifest import ModelManifest, SelfCheck, read_manifest, to_json
from pipeline.registry.releases import (
    Release,
    live_id,
    live_release,
    read_release,
    release_ids,
    release_text,
)

MODEL = ModelManifest(
    sha256="abc",
    trained_at="2026-01-01T00:00:00.000Z",
    rows=100,
    last_file=2,
    schema=Schema("id", "left", ("age",), ("land",)),
    versions={"python": "3.11.7", "scikit-learn": "1.9.1"},
    self_check=SelfCheck(rows=((40.0, "France"), (None, "")), risk=(0.1 + 0.2, 0.5)),
)


def release(production: Path, release_id: str = "000001-20260101T000000Z") -> Release:
    return Release(
        id=release_id,
        path=production / "releases" / release_id,
        deployed_at="2026-01-02T00:00:00.000Z",
        f1=0.1 + 0.2,
        previous=None,
        files={"trainedmodel.pkl": "abc"},
        model=MODEL,
    )


def put(*releases: Release) -> None:
    for made in releases:
        made.path.mkdir(parents=True)
        (made.path / "manifest.json").write_text(release_text(made))


def test_without_a_link_nothing_is_live(tmp_path: Path) -> None:
    assert live_id(tmp_path / "none") is None
    assert live_id(tmp_path) is None


def test_the_link_says_what_is_live(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("releases/000002-x")
    assert live_id(tmp_path) == "000002-x"


def test_that_nothing_is_deployed_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError) as caught:
        live_release(tmp_path)
    assert str(caught.value) == f"{tmp_path}: nothing is deployed yet"


def test_the_live_release_is_the_one_the_link_names(tmp_path: Path) -> None:
    put(release(tmp_path, "000001-x"), release(tmp_path, "000002-x"))
    (tmp_path / "current").symlink_to("releases/000001-x")
    assert live_release(tmp_path) == release(tmp_path, "000001-x")


def test_a_link_that_leads_nowhere_is_reported(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("releases/000009-x")
    with pytest.raises(ReleaseError) as caught:
        live_release(tmp_path)
    assert str(caught.value) == f"{tmp_path}: there is no release 000009-x"


def test_ids_are_reported_oldest_first(tmp_path: Path) -> None:
    put(*(release(tmp_path, i) for i in ("000010-b", "000002-c", "000001-d")))
    assert release_ids(tmp_path) == ["000001-d", "000002-c", "000010-b"]


def test_what_is_half_made_or_half_gone_is_no_release(tmp_path: Path) -> None:
    put(release(tmp_path))
    (tmp_path / "releases/.new").mkdir()
    (tmp_path / "releases/.old-000000-x").mkdir()
    (tmp_path / "releases/notes.txt").touch()
    assert release_ids(tmp_path) == ["000001-20260101T000000Z"]


def test_without_a_folder_there_are_no_releases(tmp_path: Path) -> None:
    assert release_ids(tmp_path) == []


def test_a_release_comes_back_as_it_was_written(tmp_path: Path) -> None:
    put(release(tmp_path))
    assert read_release(tmp_path, "000001-20260101T000000Z") == release(tmp_path)


def test_the_manifest_of_a_release_does_not_say_where_it_lies(tmp_path: Path) -> None:
    assert list(json.loads(release_text(release(tmp_path)))) == [
        *("id", "deployed_at", "f1", "previous", "files", "model", "challenge")
    ]


@pytest.mark.parametrize("release_id", ["000009-x", "..", "", ".", "../releases/000001-x"])
def test_an_unknown_release_is_reported(tmp_path: Path, release_id: str) -> None:
    put(release(tmp_path, "000001-x"))
    with pytest.raises(ReleaseError) as caught:
        read_release(tmp_path, release_id)
    assert str(caught.value) == f"{tmp_path}: there is no release {release_id}"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[]", b"null", b'"text"', b"\xff", b'{"deployed_at": "x"}']
)
def test_a_damaged_manifest_of_a_release_is_reported(tmp_path: Path, content: bytes) -> None:
    put(release(tmp_path, "000001-x"))
    (tmp_path / "releases/000001-x/manifest.json").write_bytes(content)
    with pytest.raises(ReleaseError, match=r"^release 000001-x is damaged: manifest\.json: "):
        read_release(tmp_path, "000001-x")


def test_a_release_without_a_manifest_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "releases/000001-x").mkdir(parents=True)
    with pytest.raises(ReleaseError, match=r"^release 000001-x is damaged: manifest\.json: "):
        read_release(tmp_path, "000001-x")


def test_the_manifest_of_a_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(to_json(asdict(MODEL)))
    assert read_manifest(tmp_path / "manifest.json") == MODEL


def test_a_missing_manifest_of_a_model_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(ModelError) as caught:
        read_manifest(path)
    assert str(caught.value) == f"{path} is missing: run `python training.py` first"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{}", b"[]", b"null", b"\xff", b'{"schema": {"numeric": [], "categorical": []}}'],
)
def test_a_damaged_manifest_of_a_model_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert str(caught.value).endswith("): run `python training.py`")
