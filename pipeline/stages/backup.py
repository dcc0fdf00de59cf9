"""Backups: one archive of all that cannot be made again, and an empty place filled from one.

An archive is a ZIP file of `config.json`, `history.db`, the files of rows (`ingesteddata`), models
and reports (`models`) and the `releases`. Its last member, `manifest.json`, says which release is
live, and of each other member its size, SHA-256 and time.
"""

import hashlib
import json
import os
import shutil
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from pipeline.core.config import Config, load_config
from pipeline.core.errors import BackupError
from pipeline.core.files import MARK, atomic_writer, sha256_of, temporary_path, utc_now
from pipeline.core.formatting import format_names
from pipeline.core.json_reader import from_json
from pipeline.models.manifest import MODEL, RECORD, SCORE
from pipeline.registry.release_store import put_live
from pipeline.registry.releases import CURRENT, live_id, release_ids
from pipeline.storage.database import History
from pipeline.storage.history import (
    copy_from_file,
    copy_into_file,
    holds_anything,
    open_history,
    run_lock,
)
from pipeline.storage.migrations import MIGRATIONS

FORMAT = 1
CONFIG, HISTORY, MANIFEST = "config.json", "history.db", "manifest.json"
ROWS, MODELS, RELEASES = "ingesteddata", "models", "releases"  # folders of members
# what reading an archive raises that is damaged, or none
_DAMAGE = (BadZipFile, zlib.error, struct.error, EOFError, LookupError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Member:
    """A file of an archive, as it was in its place."""

    size: int  # bytes
    sha256: str
    mtime_ns: int


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself."""

    format: int
    migrations: int  # that its history has had
    made_at: str
    live: str | None  # the id of the live release
    files: dict[str, Member]


def back_up(config: Config, history: History, target: Path) -> Manifest:
    """Write an archive, whole or not at all, for its owner alone; to be called under the run lock.

    Raises `BackupError` where there is a file already, no folder, or one that is backed up.
    """
    target = target.parent.resolve() / target.name
    _check_target(config, target)
    with history.transaction():  # before it is written, so that none is unknown
        history.query("DELETE FROM backups WHERE path = ?", str(target))
        history.fill("backups", ("path", "at"), [(str(target), utc_now())])
    copies = _copies(target)
    shutil.rmtree(copies, ignore_errors=True)  # what a killed run left
    copies.mkdir(mode=0o700)
    try:
        copy_into_file(history, copies / HISTORY)
        files = {CONFIG: config.path, HISTORY: copies / HISTORY, **_files(config)}
        with (
            atomic_writer(target, 0o600) as file,
            ZipFile(file, "w", ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as archive,
        ):
            packed = {name: _pack(archive, name, path) for name, path in files.items()}
            live = live_id(config.prod_deployment_path)
            whole = f"{RELEASES}/{live}/{MODEL}" in packed
            now = utc_now()
            manifest = Manifest(FORMAT, len(MIGRATIONS), now, live if whole else None, packed)
            archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))
    finally:
        shutil.rmtree(copies)
    return manifest


def summary(manifest: Manifest) -> str:
    """What is in an archive, in words."""
    size = sum(member.size for member in manifest.files.values()) / 1e6
    live = f"release {manifest.live} live" if manifest.live else "nothing live"
    return f"{len(manifest.files)} files, {size:,.1f} MB, {live}, as of {manifest.made_at}"


def known_backups(history: History) -> dict[Path, str]:
    """Where backups were written and when, oldest first, whether or not they are still there."""
    rows = history.tuples("SELECT path, at FROM backups ORDER BY at, path")
    return {Path(path): at for path, at in rows}


def delete_backup(path: Path) -> bool:
    """Delete an archive, and what a killed run left of one; whether there was any of it."""
    left = [each for each in (path, temporary_path(path), _copies(path)) if os.path.lexists(each)]
    for each in left:
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    return bool(left)


def restore(source: Path, config_path: Path, *, practice: bool) -> tuple[Config, Manifest]:
    """Put what an archive holds into an empty place: where a config says that exists, or its own.

    Raises `BackupError`, and writes nothing, where the archive is damaged or none of ours, or
    something of what it would write is there already.
    """
    with source.open("rb") as file:
        try:
            archive = ZipFile(file)
            manifest = _checked(archive)
        except _DAMAGE as error:
            why = error.args[0] if error.args else type(error).__name__
            raise BackupError(f"{source} is no backup of ours, or damaged: {why}") from error
        with (
            _config(archive, config_path.absolute(), practice) as config,
            run_lock(config.lock_path),
        ):
            _check_empty(config)
            _unpack_all(archive, manifest, config)
    return config, manifest


def _folders(config: Config) -> dict[str, Path]:
    """The folders that are backed up, by those of members."""
    releases = config.prod_deployment_path / "releases"
    return {ROWS: config.output_folder_path, MODELS: config.output_model_path, RELEASES: releases}


def _files(config: Config) -> dict[str, Path]:
    """All their files, by the names of members."""
    inner = {  # any other folder there, as those of practice, is something else
        ROWS: [config.finaldata_path.name],
        MODELS: ["reports", config.clientrisk_path.with_suffix(".parquet").name],
        RELEASES: release_ids(config.prod_deployment_path),
    }
    apart = str(config.history_path), str(config.path)  # which may be among them
    found = {
        path: f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in _folders(config).items()
        for path in chain(folder.glob("*"), *((folder / each).rglob("*") for each in inner[name]))
        if path.is_file() and not path.is_symlink() and path.suffix != ".tmp" and path.name != MARK
    }
    return {name: path for path, name in found.items() if not str(path).startswith(apart)}


def _copies(target: Path) -> Path:
    """The folder of what is copied for an archive before it is packed."""
    return target.with_name(f".{target.name}.copies")


def _check_target(config: Config, target: Path) -> None:
    if os.path.lexists(target):
        raise BackupError(f"{target} is there already: name another file, or delete it")
    if not target.parent.is_dir():
        raise BackupError(f"{target.parent} is no folder: make it, or name a file in another one")
    folders = config.input_folder_path, config.test_data_path, config.contacts_path
    for folder in (*folders, config.prod_deployment_path, *_folders(config).values()):
        if folder and target.is_relative_to(folder.resolve()):
            raise BackupError(f"{target} is in {folder}: name a file outside of the data's folders")


def _pack(archive: ZipFile, name: str, path: Path) -> Member:
    archive.write(path, name)
    found = path.stat()
    return Member(found.st_size, sha256_of(path), found.st_mtime_ns)


def _checked(archive: ZipFile) -> Manifest:
    """What an archive says of itself; raises one of `_DAMAGE` unless all of it holds."""
    infos = {info.filename: info for info in archive.infolist()}
    for name, info in infos.items():
        folder, *rest = name.split("/")
        known = (ROWS, MODELS, RELEASES) if rest else (CONFIG, HISTORY, MANIFEST)
        odd = stat.S_ISLNK(info.external_attr >> 16) or info.compress_type != ZIP_DEFLATED
        if odd or folder not in known or {"", ".", ".."} & {*rest}:
            raise ValueError(f"it holds {name!r}, as no backup does")
    manifest = from_json(archive.read(MANIFEST), Manifest)
    if manifest.format != FORMAT or manifest.migrations > len(MIGRATIONS):
        raise ValueError("a newer version of this project made it")
    live = [f"{RELEASES}/{manifest.live}/{MODEL}"] * bool(manifest.live)
    needed = {CONFIG, HISTORY, *live} - {*manifest.files}
    if needed or len(archive.infolist()) != len(infos) or {*manifest.files, MANIFEST} != {*infos}:
        raise ValueError("it does not hold what it lists")
    for name, member in manifest.files.items():
        with archive.open(name) as packed:
            digest = hashlib.file_digest(cast("Any", packed), "sha256").hexdigest()
        if (infos[name].file_size, digest) != (member.size, member.sha256):
            raise ValueError(f"{name} is not what was packed")
    json.loads(archive.read(CONFIG).decode("utf-8-sig"))
    return manifest


@contextmanager
def _config(archive: ZipFile, path: Path, practice: bool) -> Iterator[Config]:
    """The config at a path, or the archive's, which is there once all else is."""
    if path.exists():
        yield load_config(path, practice=practice)
        return
    with atomic_writer(path, _mode(archive, CONFIG)) as file:
        file.write(archive.read(CONFIG))
        file.flush()
        yield replace(load_config(temporary_path(path), practice=practice), path=path)


def _mode(archive: ZipFile, name: str) -> int:
    return archive.getinfo(name).external_attr >> 16 & 0o777


def _check_empty(config: Config) -> None:
    place, current = config.history_path, config.prod_deployment_path / CURRENT
    names = [str(current)]
    if isinstance(place, Path):  # a journal that is left would be applied to another history
        names = [*(f"{place}{end}" for end in ("", "-journal", "-wal")), *names]
    there = [name for name in names if os.path.lexists(name)] + [*map(str, _files(config).values())]
    if not isinstance(place, Path):
        with open_history(place) as history:
            there += [str(place)] * holds_anything(history)
    if there:
        raise BackupError(
            f"there already: {format_names(there, 3)}; a backup is restored into an empty place:"
            " move that away, or name a config with other paths by --config"
        )


def _unpack_all(archive: ZipFile, manifest: Manifest, config: Config) -> None:
    """Write all but the config; what was written is removed again if that fails."""
    production, place = config.prod_deployment_path, config.history_path
    written = [production / name for name in (CURRENT, MODEL, SCORE, RECORD)]

    def unpack(name: str, path: Path) -> None:
        written.append(path)
        with atomic_writer(path, _mode(archive, name)) as target, archive.open(name) as packed:
            shutil.copyfileobj(packed, target, 1 << 20)
        os.utime(path, ns=(manifest.files[name].mtime_ns,) * 2)

    try:
        for name in sorted({*manifest.files} - {CONFIG, HISTORY}):  # rows come first
            folder, _, rest = name.partition("/")
            unpack(name, _folders(config)[folder] / rest)
        if manifest.live:
            put_live(production, manifest.live)
        # last, for every run refuses rows without it
        if isinstance(place, Path):
            unpack(HISTORY, place)
        else:
            with TemporaryDirectory() as scratch, open_history(place) as history:
                unpack(HISTORY, copy := Path(scratch, HISTORY))
                copy_from_file(copy, history)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
