"""A copy of a SQLite database as it is at one moment, while others read and write it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from storage.backups.errors import BackupError
from storage.executions.blobs import LONGEST_MARK, MARK, name_in
from storage.private_files import private_opener
from workflow.states import FINISHED

BUSY_SECONDS = 30.0
_ENDED = ", ".join(f"'{state.value}'" for state in sorted(FINISHED))
_WITH_FILES = f"""
    SELECT id, data FROM executions WHERE length(data) <= {LONGEST_MARK} AND substr(data, 1, {len(MARK)}) = :mark
    UNION ALL
    SELECT execution_id, data FROM journal
    WHERE length(data) <= {LONGEST_MARK} AND substr(data, 1, {len(MARK)}) = :mark
"""  # noqa: S608 - the numbers are our own


class Blob(NamedTuple):
    """A large value: whose it is, and the name of its file."""

    execution_id: str
    name: str


class Contents(NamedTuple):
    """What a database has: the revision of its schema, how many executions, and how many of them have not ended."""

    revision: str
    executions: int
    unended: int


def copy_database(source: Path, target: Path) -> None:
    """Copy a database. It is read in one transaction, so nothing that is committed meanwhile is in the copy in part.

    Raises:
        BackupError: it cannot be read.
    """
    with open(target, "xb", opener=private_opener):
        pass
    with _opened(source) as found, _opened(target) as copy:
        found.backup(copy)
        # A copy has no files beside it, and wants none.
        copy.execute("PRAGMA journal_mode=DELETE")


def contents_of(path: Path) -> Contents:
    """What a database has, when every page of it was checked.

    Raises:
        BackupError: it is damaged, or no database of ours.
    """
    with _opened(path) as database:
        (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise BackupError(f"The database is damaged: {verdict}.", fix="Take an earlier backup.")
        found = database.execute("SELECT version_num FROM alembic_version").fetchone()
        if found is None:
            raise BackupError("The database has no schema yet.", fix="Start the server once, then back it up.")
        (every,) = database.execute("SELECT count(*) FROM executions").fetchone()
        unended = f"SELECT count(*) FROM executions WHERE state NOT IN ({_ENDED}, 'dead')"  # noqa: S608 - our own words
        return Contents(found[0], every, database.execute(unended).fetchone()[0])


def blobs_in(path: Path) -> set[Blob]:
    """The large values that a database refers to."""
    found = set()
    with _opened(path) as database:
        for execution_id, stored in database.execute(_WITH_FILES, {"mark": MARK}):
            try:
                name = name_in(stored)
            except ValueError:  # a damaged row, which the server shows as such
                continue
            if name is not None:
                found.add(Blob(execution_id, name))
    return found


def remaining(path: Path, execution_ids: Iterable[str]) -> set[str]:
    """Which of these executions the database has."""
    query = "SELECT 1 FROM executions WHERE id = ?"
    with _opened(path) as database:
        return {each for each in execution_ids if database.execute(query, (each,)).fetchone() is not None}


def forget(path: Path, execution_ids: Iterable[str]) -> None:
    """Delete executions from a copy, with what belongs to them."""
    with _opened(path) as database:
        for execution_id in execution_ids:
            database.execute("DELETE FROM journal WHERE execution_id = ?", (execution_id,))
            database.execute("DELETE FROM exchanges WHERE execution_id = ?", (execution_id,))
            database.execute("DELETE FROM executions WHERE id = ?", (execution_id,))
        database.commit()


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a database that is there.

    Raises:
        BackupError: it cannot be used.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise BackupError(
            f"The database {path} cannot be read: {error}.", fix="Check the file and its disk."
        ) from error
