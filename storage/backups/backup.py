"""Makes backups of the embedded store while it runs, and restores them into an empty place."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage.backups.archive import BLOBS, DATABASE, KEYS, ArchiveReader, ArchiveWriter, Manifest
from storage.backups.errors import BackupError
from storage.backups.snapshot import Blob, Contents, blobs_in, contents_of, copy_database, forget, remaining
from storage.executions.blobs import UNFINISHED
from storage.migrations.runner import known_revisions
from storage.private_files import make_private_folder, private_opener, synced


@dataclass(slots=True, frozen=True, kw_only=True)
class Places:
    """Where an embedded store is: the database's file, the folder of large values, and files of keys by name."""

    database: Path
    blobs: Path
    keys: dict[str, Path]


@dataclass(slots=True, frozen=True, kw_only=True)
class Report:
    """What is in a backup. ``keys`` names the files of keys in it; ``lost`` the large values that were missing."""

    contents: Contents
    blobs: int
    bytes: int
    keys: Sequence[str]
    lost: Sequence[str]
    made_at: str


def make_backup(places: Places, target: Path, *, with_keys: bool, version: str, now: datetime) -> Report:
    """Write a backup, and read it again to check it. A server may run meanwhile:

    1. Large values are written before the rows that refer to them, and deleted after those. So what is there before
       the database is copied, and what is there afterwards, has all that the copy refers to.
    2. Retention may delete an execution while this goes on, whose files are gone then though the copy has it: it is
       taken out of the copy.
    3. A file that is missing though its execution is still there was lost before; the report names it.

    Raises:
        BackupError: it cannot be made; there is no file then.
    """
    if not places.database.exists():
        raise BackupError(f"There is no database {places.database}.", fix="Check JOBSPRINT_DATA_DIR.")
    if target.exists():
        raise BackupError(f"{target} is there already.", fix="Choose another name: no backup is overwritten.")
    unfinished = target.with_name(f"{target.name}.part")
    with _failures_named(target), _scratch_folder(target.parent) as scratch:
        try:
            with open(unfinished, "xb", opener=private_opener) as file:
                archive = ArchiveWriter(file)
                manifest = _write(places, archive, scratch / DATABASE, with_keys=with_keys, version=version, now=now)
                archive.close(manifest)
            ArchiveReader(unfinished).checked()
            os.link(unfinished, target)  # which fails where somebody else has made the file meanwhile
            synced(target.parent)
        finally:
            with contextlib.suppress(FileNotFoundError):
                unfinished.unlink()
        contents = contents_of(scratch / DATABASE)
    return _report(manifest, contents)


def _write(
    places: Places, archive: ArchiveWriter, copy: Path, *, with_keys: bool, version: str, now: datetime
) -> Manifest:
    def add(blob: Blob) -> bool:
        with contextlib.suppress(FileNotFoundError):
            archive.add(_name_of(blob), places.blobs / blob.execution_id / blob.name)
            return True
        return False

    added = {blob for blob in _blobs_under(places.blobs) if add(blob)}
    copy_database(places.database, copy)
    contents = contents_of(copy)
    missing = {blob for blob in blobs_in(copy) - added if not add(blob)}
    there = remaining(places.database, {blob.execution_id for blob in missing})
    forget(copy, {blob.execution_id for blob in missing} - there)
    archive.add(DATABASE, copy)
    for name, path in places.keys.items() if with_keys else ():
        if path.exists():
            archive.add(KEYS + name, path)
    lost = sorted(_name_of(blob) for blob in missing if blob.execution_id in there)
    return Manifest(version=version, revision=contents.revision, made_at=now.isoformat(timespec="seconds"), lost=lost)


def restore_backup(source: Path, places: Places) -> Report:
    """Put what a backup has where nothing is, when all of it was checked. The database comes last: where this is cut
    off before, there is none, and the same command can be run again.

    Raises:
        BackupError: something is there already, or the backup is damaged or of a later version.
    """
    reader = ArchiveReader(source)
    manifest = reader.checked()
    if manifest.revision not in known_revisions():
        raise BackupError(
            f"The backup has the schema {manifest.revision}, made by Jobsprint {manifest.version}; this version does "
            "not know it.",
            fix="Install that version or a later one, then restore.",
        )
    keys = [name.removeprefix(KEYS) for name in manifest.files if name.startswith(KEYS)]
    with _failures_named(places.database), _scratch_folder(places.database.parent) as scratch:
        _refuse_to_overwrite(places)
        reader.extract(scratch, wanted=lambda name: not name.startswith(BLOBS))
        contents = contents_of(scratch / DATABASE)
        if contents.revision != manifest.revision:
            raise BackupError(f"The backup {source} contradicts itself.", fix="Take another one.")
        referred = {_name_of(blob) for blob in blobs_in(scratch / DATABASE)}
        _restore_keys(scratch, places, keys)
        _restore_blobs(reader, places.blobs, wanted=referred.__contains__)
        (scratch / DATABASE).rename(places.database)
        synced(places.database.parent)
    return _report(manifest, contents)


def _refuse_to_overwrite(places: Places) -> None:
    beside = (places.database.with_name(places.database.name + suffix) for suffix in ("", "-wal", "-shm", "-journal"))
    for path in beside:
        if path.exists():
            raise BackupError(
                f"{path} is there already, and nothing is overwritten.",
                fix="Move it away, or restore into another folder (JOBSPRINT_DATA_DIR).",
            )


def _restore_keys(scratch: Path, places: Places, keys: Sequence[str]) -> None:
    for name in keys:
        restored, path = scratch / KEYS / name, places.keys.get(name)
        if path is None or (path.exists() and path.read_bytes() == restored.read_bytes()):
            continue
        if path.exists():
            raise BackupError(
                f"{path} is there already, with another key than the backup's.",
                fix="Move it away; or, where it has the keys that are wanted, put those of the backup into it as well.",
            )
        shutil.move(restored, path)


def _restore_blobs(reader: ArchiveReader, folder: Path, *, wanted: Callable[[str], bool]) -> None:
    """Write the large values. Those of an earlier attempt that was cut off are written anew."""
    make_private_folder(folder.parent)
    with _scratch_folder(folder.parent) as scratch:
        reader.extract(scratch, wanted=wanted)
        if not (scratch / BLOBS).exists():
            return
        make_private_folder(folder)
        for each in (scratch / BLOBS).iterdir():
            if (folder / each.name).exists():
                shutil.rmtree(folder / each.name)
            each.rename(folder / each.name)
            synced(folder / each.name)
        synced(folder)


def _blobs_under(folder: Path) -> Iterator[Blob]:
    """The large values that are there now. What is just being written has another name."""
    for execution_id in _names_in(folder):
        for name in _names_in(folder / execution_id):
            if not name.endswith(UNFINISHED):
                yield Blob(execution_id, name)


def _names_in(folder: Path) -> list[str]:
    """What is in a folder; nothing where it is gone, for retention may delete it just now."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _name_of(blob: Blob) -> str:
    return f"{BLOBS}{blob.execution_id}/{blob.name}"


def _report(manifest: Manifest, contents: Contents) -> Report:
    names = manifest.files
    return Report(
        contents=contents,
        blobs=sum(name.startswith(BLOBS) for name in names),
        bytes=sum(size for size, _ in names.values()),
        keys=[name.removeprefix(KEYS) for name in names if name.startswith(KEYS)],
        lost=manifest.lost,
        made_at=manifest.made_at,
    )


@contextmanager
def _scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder of one's own, on the disk of what is to be made."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".jobsprint-", dir=parent) as made:
        yield Path(made)


@contextmanager
def _failures_named(path: Path) -> Iterator[None]:
    """Failures of the disk, in our words."""
    try:
        yield
    except FileExistsError as error:
        raise BackupError(
            f"{error.filename2 or error.filename} is there already.", fix="Delete it, or choose another name."
        ) from error
    except OSError as error:
        raise BackupError(
            f"{path} cannot be written: {error.strerror or error}.", fix="Check its folder and the room on its disk."
        ) from error
