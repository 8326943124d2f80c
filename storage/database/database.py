"""One database: its engine, what holds for every connection, and its errors in our words."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import asyncpg
import orjson
from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from storage.database.server_clock import ServerClock
from storage.private_files import PRIVATE_FOLDER, private_opener
from workflow.errors import StorageError, UnstorableValueError

_LAST_USE = "jobsprint_last_use"
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
BUSY_TIMEOUT_MS = 5_000
"""How long SQLite waits for another process's lock before it gives up."""

CONNECTIONS = 12
"""To a database server, at most, from one process."""
STATEMENT_TIMEOUT_MS = 30_000
"""What takes longer is stuck, and holds others up; migrations set it aside."""
POOL_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS = 30.0, 10.0
TRUSTED_SECONDS = 5.0
"""A connection that was used so lately is still there, unless we have seen it close; one that idled longer is asked."""

STORABLE = "Send numbers as large as that as text, and text without half surrogate pairs."
"""What to do about a value that no store keeps."""


class Database:
    """Connections to one database; an async context manager that closes them.

    ``url`` is ``sqlite:///path`` or ``postgresql://user@host/name``; ``connections`` are kept to a server at most.
    """

    def __init__(self, url: str, *, schema: str | None = None, connections: int = CONNECTIONS) -> None:
        self._url = _with_driver(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._schema = schema
        self._connections = connections
        self._engine: AsyncEngine | None = None
        self._autocommitting: AsyncEngine | None = None
        self._turn = asyncio.Lock()
        self._opened: tuple[int, int] | None = None
        self.clock = ServerClock()

    @property
    def file(self) -> Path | None:
        """The file that SQLite has it in; ``None`` for a server's, or one in memory."""
        named = self.is_sqlite and self._url.database not in (None, "", ":memory:")
        return Path(str(self._url.database)) if named else None

    @property
    def engine(self) -> AsyncEngine:
        """The engine; there is one while the context is open."""
        if self._engine is None:
            raise RuntimeError("the database is not open")
        return self._engine

    async def __aenter__(self) -> Self:
        if self.is_sqlite:
            if self.file is not None:
                self._opened = self._make_file(self.file)
            self._engine = create_async_engine(self._url)
            event.listen(self._engine.sync_engine, "connect", self._prepare_sqlite)
        else:
            server = {
                "application_name": "jobsprint",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_MS),
            }
            if self._schema is not None:
                server["search_path"] = self._schema
            self._engine = create_async_engine(
                self._url,
                pool_size=self._connections,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT_SECONDS,
                connect_args={"server_settings": server, "timeout": CONNECT_TIMEOUT_SECONDS},
            )
            event.listen(self._engine.sync_engine, "checkout", _make_sure_of)
            event.listen(self._engine.sync_engine, "checkin", _note_use)
            self._autocommitting = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        return self

    @staticmethod
    def _make_file(path: Path) -> tuple[int, int]:
        """Make the file where there is none, for its owner only; SQLite gives the files beside it the same mode."""
        try:
            path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            with suppress(FileExistsError), open(path, "xb", opener=private_opener):
                pass  # to open one that is there would, on closing it, end the locks that SQLite has on it
            found = path.stat()
        except OSError as error:
            raise StorageError(
                f"The database {path} cannot be made or opened: {error.strerror}.",
                fix="Choose a folder that can be written.",
            ) from error
        return found.st_dev, found.st_ino

    def check_file(self) -> None:
        """Return where the file that was opened is still there under its name.

        SQLite itself goes on to write to a file that was deleted or replaced, and all of that would be lost.

        Raises:
            StorageError: it is not.
        """
        if self._opened is None:
            return
        try:
            found = os.stat(str(self._url.database))
        except OSError as error:
            raise _gone("is not there any more") from error
        if (found.st_dev, found.st_ino) != self._opened:
            raise _gone("was replaced by another one")

    async def __aexit__(self, *_: object) -> None:
        await self.engine.dispose()
        self._engine = self._autocommitting = None

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection]:
        """One transaction: committed at the end, rolled back on any error.

        Raises:
            StorageError: the database failed.
        """
        self.check_file()
        with self.translated_errors():
            async with self.engine.begin() as connection:
                yield connection
                self.check_file()

    @asynccontextmanager
    async def statement(self) -> AsyncGenerator[AsyncConnection]:
        """For one statement alone, which is its own transaction: a server is asked once then, not three times.

        Raises:
            StorageError: the database failed.
        """
        if self._autocommitting is None:
            async with self.transaction() as connection:
                yield connection
            return
        with self.translated_errors():
            async with self._autocommitting.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        """Held by those who write batch after batch, around each of them.

        SQLite has one writer at a time; a second one sleeps and asks again, for longer each time. Taking turns costs
        less. On other databases all write at once.
        """
        if not self.is_sqlite:
            yield
            return
        async with self._turn:
            yield

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Failures of the driver, in our words.

        Raises:
            StorageError: the database failed.
            UnstorableValueError: a value is such that no database keeps it.
        """
        try:
            yield
        except DBAPIError as error:
            cause = error.orig.__cause__ if error.orig is not None else None
            if isinstance(cause, asyncpg.DataError):
                raise _unstorable(cause) from error
            raise _translated(error.orig) from error
        except sqlite3.Error as error:
            raise _translated(error) from error
        except StatementError as error:
            raise _unstorable(error.orig) from error
        except (orjson.JSONEncodeError, OverflowError, UnicodeEncodeError) as error:
            raise _unstorable(error) from error
        except PoolTimeoutError as error:
            raise StorageError(
                f"All {self._connections} connections to the database are in use, and none came free in time.",
                fix="Raise JOBSPRINT_DATABASE_CONNECTIONS, or look for what holds them up.",
            ) from error
        except OSError as error:
            raise StorageError(f"The database cannot be reached: {error}.", fix="Check that it runs.") from error

    def open_for_thread(self) -> Engine:
        """Another engine on the SQLite file, of one connection, for one thread that opens its own transactions.

        The caller disposes of it.
        """
        arguments = {"check_same_thread": False, "isolation_level": None}
        engine = create_engine(self._url.set(drivername="sqlite"), poolclass=StaticPool, connect_args=arguments)
        event.listen(engine, "connect", self._prepare_sqlite)
        return engine

    def _prepare_sqlite(self, connection: Any, _: object) -> None:
        """WAL lets readers go on beside the one writer; FULL makes a commit survive a power cut."""
        try:
            self.check_file()
        except StorageError:
            connection.close()
            raise
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    async def ask_time(self) -> None:
        """Set :attr:`clock` by the server's. SQLite has none of its own.

        Raises:
            StorageError: the database failed.
        """
        if self.is_sqlite:
            return
        async with self.statement() as connection:
            began = self.clock.began
            seconds = await connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
            self.clock.answered(float(seconds), began=began)

    async def ping(self) -> None:
        """Return when the database has answered.

        Raises:
            StorageError: it does not.
        """
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))


def _with_driver(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StorageError(
            f"{url.partition('@')[2] or url!r} is not a database URL.",
            fix="Write sqlite:///path/to/file.db or postgresql://user:password@host:5432/name.",
        ) from error
    backend = parsed.drivername.partition("+")[0]
    if backend not in _DRIVERS:
        raise StorageError(
            f"Jobsprint does not know the database {backend!r}.", fix="Use sqlite:///… or postgresql://…"
        )
    return parsed.set(drivername=_DRIVERS[backend])


def _make_sure_of(connection: Any, record: Any, _: object) -> None:
    """Replace a connection that is gone before it is given out, so that no caller has to try twice."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("it was closed")
    used = record.info.get(_LAST_USE)
    if used is not None and time.monotonic() - used > TRUSTED_SECONDS:
        try:
            connection.ping()
        except connection.dbapi.Error as error:
            raise DisconnectionError("it does not answer") from error


def _note_use(_: Any, record: Any) -> None:
    record.info[_LAST_USE] = time.monotonic()


def _unstorable(error: BaseException | None) -> UnstorableValueError:
    return UnstorableValueError(f"A value cannot be stored, or looked for: {error}.", fix=STORABLE)


def _gone(what: str) -> StorageError:
    return StorageError(
        f"The file of the database {what}; nothing is stored.",
        fix="Stop the server, put the file back or restore a backup (docs/operations/backup.md), and start it again.",
    )


def _translated(error: BaseException | None) -> StorageError:
    """A driver's error in our words."""
    cause = str(error or "")
    if "locked" in cause:
        return StorageError("The database is locked by another process.", fix="Try again when it is done.")
    if "disk is full" in cause or "disk I/O" in cause:
        return StorageError(f"The database cannot write: {cause}.", fix="Make room on its disk.")
    return StorageError(
        f"The database failed: {cause.splitlines()[0] if cause else type(error).__name__}.",
        fix="See the server's log, and what the database itself says.",
    )
