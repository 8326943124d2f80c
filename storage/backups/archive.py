"""The file of a backup: an uncompressed tar archive whose last member says what the others must be."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from storage.backups.errors import BackupError
from storage.private_files import PRIVATE_FILE, private_opener

FORMAT = 1
DATABASE, MANIFEST, KEYS, BLOBS = "jobsprint.db", "manifest.json", "keys/", "blobs/"
_NAMES = re.compile(r"jobsprint\.db|manifest\.json|keys/[a-z]+\.keys?|blobs/[A-Za-z0-9_-]{1,64}/[0-9a-f]{64}")
_CHUNK = 1 << 20
_MOST_MANIFEST_BYTES = 1 << 30


@dataclass(slots=True, kw_only=True)
class Manifest:
    """What an archive has. ``files`` has, by name, the length and the SHA-256 of each; ``lost`` names large values
    that were missing already. ``version`` is Jobsprint's, ``revision`` the schema's; ``made_at`` is UTC."""

    version: str
    revision: str
    made_at: str
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    format: int = FORMAT


class _Digest:
    """A file that is digested while it is read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data: bytes = self._file.read(size)
        self.sha256.update(data)
        self.bytes += len(data)
        return data

    @property
    def digest(self) -> tuple[int, str]:
        """What was read."""
        return self.bytes, self.sha256.hexdigest()


class ArchiveWriter:
    """Puts files into an archive that nobody but its owner can read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - close ends it
        self.files: dict[str, tuple[int, str]] = {}

    def add(self, name: str, path: Path) -> None:
        """Add a file.

        Raises:
            OSError: it cannot be read, or the archive not be written.
        """
        with path.open("rb") as file:
            self._write_member(name, file, os.fstat(file.fileno()).st_size)

    def close(self, manifest: Manifest) -> None:
        """Add the manifest, and return when everything is on the disk."""
        manifest.files = dict(self.files)
        data = orjson.dumps(asdict(manifest))
        self._write_member(MANIFEST, io.BytesIO(data), len(data))
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write_member(self, name: str, file: Any, size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, PRIVATE_FILE
        digested = _Digest(file)
        self._tar.addfile(member, digested)
        self.files[name] = digested.digest


class ArchiveReader:
    """An archive that is there; :meth:`checked` before anything of it is used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def checked(self) -> Manifest:
        """Its manifest, when every file in it is what that says.

        Raises:
            BackupError: it is no backup, or is damaged.
        """
        found: dict[str, tuple[int, str]] = {}
        kept: bytes | None = None
        with self._members() as members:
            for name, file in members:
                if name in found or kept is not None:
                    raise self._damaged(f"{name} is in it twice, or after its end")
                if name == MANIFEST:
                    kept = file.read(_MOST_MANIFEST_BYTES)
                else:
                    found[name] = _read_through(file)
        if kept is None:
            raise self._damaged("its end is missing")
        manifest = self._manifest(kept)
        for name in sorted({*found, *manifest.files}):
            if found.get(name) != manifest.files.get(name):
                raise self._damaged(f"{name} is not what it was")
        if DATABASE not in found:
            raise self._damaged("it has no database")
        return manifest

    def extract(self, folder: Path, *, wanted: Any) -> None:
        """Write the files that are ``wanted`` under a folder, for their owner only, and return when they are on the
        disk.

        Raises:
            OSError: they cannot be written.
        """
        with self._members() as members:
            for name, file in members:
                if name == MANIFEST or not wanted(name):
                    continue
                path = folder / name
                for parent in reversed(path.relative_to(folder).parents[:-1]):
                    (folder / parent).mkdir(mode=0o700, exist_ok=True)
                with open(path, "xb", opener=private_opener) as target:
                    while data := file.read(_CHUNK):
                        target.write(data)
                    target.flush()
                    os.fsync(target.fileno())

    @contextmanager
    def _members(self) -> Iterator[Iterator[tuple[str, Any]]]:
        try:
            opened = self._path.open("rb")
        except OSError as error:
            raise BackupError(f"{self._path} cannot be read: {error.strerror}.", fix="Check the name.") from error
        try:
            with opened, tarfile.open(fileobj=opened, mode="r:") as tar:
                yield self._each(tar)
        except tarfile.TarError as error:
            raise BackupError(
                f"{self._path} is no backup: {error}.", fix="Name a file that backup has made."
            ) from error

    def _each(self, tar: tarfile.TarFile) -> Iterator[tuple[str, Any]]:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is None or not _NAMES.fullmatch(member.name):
                raise BackupError(
                    f"{self._path} is no backup: {member.name[:80]!r} is not one of its files.",
                    fix="Name a file that backup has made.",
                )
            yield member.name, file

    def _manifest(self, data: bytes) -> Manifest:
        try:
            read = orjson.loads(data)
            if read["format"] != FORMAT:
                raise BackupError(
                    f"{self._path} is of format {read['format']}, which this version does not know.",
                    fix="Restore it with the version that made it, or a later one.",
                )
            files = {name: (int(size), str(digest)) for name, (size, digest) in read["files"].items()}
            return Manifest(**{**read, "files": files})
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged("what it should have cannot be read") from error

    def _damaged(self, how: str) -> BackupError:
        return BackupError(f"The backup {self._path} is damaged: {how}.", fix="Take another one; nothing was changed.")


def _read_through(file: Any) -> tuple[int, str]:
    digested = _Digest(file)
    while digested.read(_CHUNK):
        continue
    return digested.digest
