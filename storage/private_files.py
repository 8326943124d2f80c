"""Files and folders that only their owner may read, whatever the process's umask is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""What nobody but the owner has."""


def private_opener(path: str, flags: int) -> int:
    """An ``opener`` for :func:`open`: a file that it makes is its owner's only."""
    return os.open(path, flags, PRIVATE_FILE)


def make_private_folder(folder: Path) -> None:
    """Make the folder, or close one that is there to everybody but its owner, as far as this process may.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    make_private(folder)


def make_private(path: Path) -> None:
    """Close a file or folder to everybody but its owner. Where another user owns it, it stays as it is."""
    if os.name != "posix":
        return
    try:
        mode = path.stat().st_mode
        if mode & OTHERS:
            path.chmod(stat.S_IMODE(mode) & ~OTHERS)
    except OSError:
        return


def open_to_others(folder: Path) -> Iterator[Path]:
    """The folder and what is in it, as far as somebody but the owner may do anything with it.

    A folder that is closed hides what is in it; it is looked into all the same, since backups copy modes.
    """
    return filter(is_open_to_others, (folder, *sorted(folder.rglob("*"))))


def is_open_to_others(path: Path) -> bool:
    """Whether somebody but the owner may do anything with it."""
    if os.name != "posix":
        return False
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not stat.S_ISLNK(mode) and bool(mode & OTHERS)


def synced(folder: Path) -> None:
    """Return when the names in a folder are on the disk.

    Raises:
        OSError: they cannot be written.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
