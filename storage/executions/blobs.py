"""Large values as files, named by what is in them; the database holds only the name.

A row of a megabyte makes every page of its table slow to read and every backup large.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

LARGEST_ROW_BYTES = 256 << 10
"""Values beyond this go to a file (issue "durable engine": outputs over 256 KiB)."""

_MARK = b'{"blob":"'


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
        folder = self._folder / execution_id
        path = folder / name
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        return _MARK + name.encode() + b'"}'

    def get(self, execution_id: str, stored: bytes) -> bytes:
        """What :meth:`put` was given.

        Raises:
            OSError: the file is gone.
        """
        if not stored.startswith(_MARK):
            return stored
        name = stored[len(_MARK) : -2].decode()
        return (self._folder / execution_id / name).read_bytes()

    def delete(self, execution_ids: Iterable[str]) -> None:
        """Forget everything of these executions."""
        for execution_id in execution_ids:
            shutil.rmtree(self._folder / execution_id, ignore_errors=True)
