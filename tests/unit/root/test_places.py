"""Folders before any work: of one config each, and left to whom they belong."""

import json
import os
import shutil
import stat

import pytest
from sandbox import Sandbox, client_rows

NOBODY = 65534
MADE = ("output_folder_path", "output_model_path", "prod_deployment_path", "history_path")


@pytest.mark.parametrize("key", ["output_model_path", "prod_deployment_path"])
@pytest.mark.parametrize("stage", ["fullprocess", "ingestion"])
def test_a_folder_that_another_config_writes_into_is_refused(
    settled: Sandbox, key: str, stage: str
) -> None:
    given = json.loads((settled.root / "config.json").read_text())
    own = {name: f"other/{given[name]}" for name in given if name.endswith("_path")}
    own |= {name: given[name] for name in ("input_folder_path", "test_data_path", key)}
    other = Sandbox(settled.root, settled.capsys)
    second = settled.root / "second.json"
    second.write_text(json.dumps({**given, **own, "history_path": "other/history.db"}))
    before = settled.files()

    result = other.run(stage, "--config", str(second))

    folder = settled.root / given[key]
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"error: {folder} belongs to another history, ../history.db (from there), not to"
        f' {settled.root}/other/history.db: give each config a "{key}" of its own; if only this one'
        f" is left, delete {folder}/.history\n"
    )
    after = settled.files()
    assert {name: after[name] for name in before} == before
    settled.write("sourcedata/c.csv", client_rows(300, 60))
    assert settled.run("fullprocess").code == 0


def test_a_project_may_be_moved(settled: Sandbox) -> None:
    moved = Sandbox(settled.root.with_name("moved"), settled.capsys)
    settled.root.rename(moved.root)
    moved.write("sourcedata/c.csv", client_rows(300, 60))

    assert moved.run("fullprocess").code == 0


@pytest.mark.parametrize("key", ["output_model_path", "prod_deployment_path"])
def test_a_folder_that_another_config_reaches_by_a_link_is_refused(
    settled: Sandbox, tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    other = Sandbox(tmp_path_factory.mktemp("other"), settled.capsys)
    for name in ("sourcedata", "testdata"):
        shutil.copytree(settled.root / name, other.root / name)
    shutil.copy(settled.root / "config.json", other.root)
    folder = json.loads((settled.root / "config.json").read_text())[key]
    (other.root / folder).symlink_to(settled.root / folder)
    before = settled.files()

    result = other.run("fullprocess")

    assert (result.code, "belongs to another history" in result.err) == (1, True)
    assert settled.files() == before


def test_a_history_that_is_a_link_has_the_lock_of_the_one_it_leads_to(
    settled: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Sandbox(tmp_path_factory.mktemp("other"), settled.capsys)
    shutil.copy(settled.root / "config.json", other.root)
    (other.root / "history.db").symlink_to(settled.root / "history.db")

    assert other.config.lock_path == settled.config.lock_path


def made(world: Sandbox) -> list[os.stat_result]:
    """What runs have made, but for links, which have no rights of their own."""
    folders = ("ingesteddata", "models", "production_deployment", "history.db", "history.db.run")
    return [
        path.stat()
        for path in world.root.rglob("*")
        if path.relative_to(world.root).parts[0] in folders and not path.is_symlink()
    ]


@pytest.mark.parametrize("mode", [0o775, 0o750])
def test_files_have_the_rights_of_the_folder_whatever_the_umask(source: Sandbox, mode: int) -> None:
    source.root.chmod(mode)
    before = os.umask(0o077)
    try:
        assert source.run("fullprocess").code == 0
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)

    found = {(stat.S_ISDIR(one.st_mode), stat.S_IMODE(one.st_mode)) for one in made(source)}
    assert found == {(True, mode), (False, mode & 0o666)}


def test_in_a_folder_that_is_read_only_what_runs_make_is_not(source: Sandbox) -> None:
    source.configure(**{key: f"state/{key}" for key in MADE})
    (source.root / "state").mkdir()
    source.root.chmod(0o555)

    assert source.run("fullprocess").code == 0

    state = source.root / "state"
    assert [path for path in state.rglob("*") if not path.stat().st_mode & stat.S_IWUSR] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_what_root_makes_by_hand_belongs_to_the_owner_of_the_folder(source: Sandbox) -> None:
    for path in (source.root, *source.root.rglob("*")):
        shutil.chown(path, NOBODY, NOBODY)

    assert source.run("fullprocess").code == 0
    assert source.run("fullprocess", "--backup", str(source.root / "b.zip")).code == 0

    assert {(one.st_uid, one.st_gid) for one in made(source)} == {(NOBODY, NOBODY)}
    links = [path.lstat() for path in source.root.rglob("*") if path.is_symlink()]
    assert {one.st_uid for one in links} == {NOBODY}
