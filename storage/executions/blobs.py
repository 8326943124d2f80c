"""Large values as files, named by what is in them; the database holds only the name.

A row of a megabyte makes every page of its table slow to read and every backup large.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from storage.private_files import PRIVATE_FOLDER, private_opener, synced

LARGEST_ROW_BYTES = 256 << 10
"""Values beyond this go to a file (issue "durable engine": outputs over 256 KiB)."""

_NAME = re.compile(r"[0-9a-f]{64}")
MARK = b'{"blob":"'
"""How what stands for a file in its row begins."""
LONGEST_MARK = 100
UNFINISHED = ".part"
"""What the name of a file ends with while it is being written."""


def name_in(stored: bytes) -> str | None:
    """The name of the file that what is in a row stands for; ``None`` where the row has all of it.

    Raises:
        ValueError: it was to be a name and is none.
    """
    if not stored.startswith(MARK):
        return None
    name = stored[len(MARK) : -2].decode()
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r:.80} is no file's name")
    return name


class BlobStore:
    """Files under ``folder``, those of one execution in one folder, so that they go when it goes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, execution_id: str, data: bytes) -> bytes:
        """``data``, or what stands for it in its row, once it is on the disk.

        Raises:
            OSError: it cannot be written.
        """
        if len(data) <= LARGEST_ROW_BYTES:
            return data
        name = hashlib.sha256(data).hexdigest()
        path = self._folder / execution_id / name
        if not path.exists():
            self._write(path, data)
        return MARK + name.encode() + b'"}'

    def get(self, execution_id: str, stored: bytes) -> bytes:
        """What :meth:`put` was given.

        Raises:
            OSError: the file is gone.
            ValueError: it has another content.
        """
        name = name_in(stored)
        if name is None:
            return stored
        data = (self._folder / execution_id / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != name:
            raise ValueError(f"the content of the file {name} has changed")
        return data

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file that is whole or not there. Its name is on the disk as well: a row will refer to it."""
        folder = path.parent
        is_new = not folder.exists()
        self._folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        unfinished = path.with_suffix(UNFINISHED)
        with open(unfinished, "wb", opener=private_opener) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        synced(folder)
        if is_new:
            synced(self._folder)

    def delete(self, execution_ids: Iterable[str]) -> None:
        """Forget everything of these executions."""
        for execution_id in execution_ids:
            shutil.rmtree(self._folder / execution_id, ignore_errors=True)
