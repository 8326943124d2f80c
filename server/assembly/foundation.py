"""What everything else stands on: the data folder, the clock, the database, the audit log, the event bus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from engine.announcements import CHANGES, DETAILS
from prompts.conversations import CONVERSATION_DELETED
from server.assembly.grace import Grace
from server.settings.secret_key import FILE_NAME as SECRET_FILE
from server.settings.secret_key import load_secret_key
from server.settings.settings import BadSettingsError, Settings
from server.settings.vault_keys import LOCK_FILE
from storage.clock import SystemClock
from storage.database.database import Database
from storage.events.in_process import InProcessEventBus
from storage.ids import UuidFactory
from storage.migrations.runner import migrate
from storage.people.audit import SqlAuditLog
from storage.private_files import PRIVATE_FILE, make_private, make_private_folder
from storage.secrets.key_sources import OWN_FILE
from workflow.errors import StorageError
from workflow.ports import Clock, EventBus, NewId

if TYPE_CHECKING:
    from storage.redis.events import RedisEventBus

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
"""How soon the log says that the database's file is gone."""
ASK_TIME_SECONDS = 10.0
"""How often the database is asked what time it is: two quartz clocks part by less than a millisecond meanwhile."""
BLOBS_FOLDER = "blobs"
"""Where large values are, in the data folder."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Foundation:
    """The parts. ``secret`` is what the server's own keys are derived from, ``grace`` the time in which all ends."""

    clock: Clock
    new_id: NewId
    database: Database
    secret: bytes
    audit: SqlAuditLog
    bus: EventBus
    grace: Grace


@asynccontextmanager
async def running_foundation(settings: Settings) -> AsyncIterator[Foundation]:
    """The parts over a migrated database, until the context is left.

    Raises:
        BadSettingsError: another process uses the data folder, or the folder cannot be used.
        StorageError: the database cannot be used.
    """
    async with AsyncExitStack() as stack:
        _claim(settings, stack)
        clock = SystemClock()
        new_id = UuidFactory(clock=clock)
        database = await stack.enter_async_context(
            Database(settings.effective_database_url, connections=settings.database_connections)
        )
        await migrate(database)
        await stack.enter_async_context(_asked_for_the_time(database))
        if database.file is not None:
            _close_to_others(settings, database.file)
            await stack.enter_async_context(_watched(database))
        secret = load_secret_key(settings)
        audit = await stack.enter_async_context(SqlAuditLog(database, clock=clock, new_id=new_id))
        bus: EventBus = InProcessEventBus()
        if settings.redis_url is not None:
            bus = await stack.enter_async_context(_redis_bus(settings, settings.redis_url.get_secret_value()))
        yield Foundation(
            clock=clock,
            new_id=new_id,
            database=database,
            secret=secret,
            audit=audit,
            bus=bus,
            grace=Grace(settings.shutdown_grace_seconds),
        )


def _redis_bus(settings: Settings, url: str) -> RedisEventBus:
    from storage.redis.events import RedisEventBus

    return RedisEventBus(url, changes=CHANGES | {CONVERSATION_DELETED}, details=DETAILS, prefix=settings.redis_prefix)


@asynccontextmanager
async def _asked_for_the_time(database: Database) -> AsyncIterator[None]:
    """Set the clock that leases go by, and keep it right. One process alone, on SQLite, needs none."""
    if database.is_sqlite:
        yield
        return
    await database.ask_time()

    async def keep_right() -> None:
        while True:
            await asyncio.sleep(ASK_TIME_SECONDS)
            try:
                await database.ask_time()
            except StorageError as error:  # it goes on by itself
                logger.info("the database did not say what time it is: %s", error.message)

    task = asyncio.create_task(keep_right(), name="database-clock")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _close_to_others(settings: Settings, database: Path) -> None:
    """Close to other users what earlier versions left open to them. The folder of large values hides what is in it."""
    beside = [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm")]
    for path in (*beside, *(settings.data_dir / name for name in (SECRET_FILE, OWN_FILE, LOCK_FILE, BLOBS_FOLDER))):
        make_private(path)


@asynccontextmanager
async def _watched(database: Database) -> AsyncIterator[None]:
    """Watch the database's file, so that the log says when it goes and when it is back. What uses the database checks
    the file by itself."""
    task = asyncio.create_task(_watch(database), name="database-file")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(database: Database) -> None:
    was_there = True
    while True:
        try:
            database.check_file()
        except StorageError as error:
            if was_there:
                logger.error("%s: %s %s", database.file, error.message, error.fix)  # noqa: TRY400 - where it was noticed says nothing
            was_there = False
        else:
            if not was_there:
                logger.warning("%s: the file of the database is back", database.file)
            was_there = True
        await asyncio.sleep(WATCH_SECONDS)


def _claim(settings: Settings, stack: AsyncExitStack) -> None:
    """Keep other processes away from the data folder, where the database is in it: each would take the other's
    executions for abandoned."""
    try:
        make_private_folder(settings.data_dir)
        if not settings.effective_database_url.startswith("sqlite"):
            return
        stack.enter_context(FileLock(settings.data_dir / LOCK_FILE, timeout=0, mode=PRIVATE_FILE))
    except Timeout:
        raise BadSettingsError(
            f"Another Jobsprint process uses the folder {settings.data_dir}.",
            fix="Connect your client to that one over HTTP, or set JOBSPRINT_DATA_DIR to another folder.",
        ) from None
    except OSError as error:
        raise BadSettingsError(
            f"The data folder {settings.data_dir} cannot be used: {error.strerror}.",
            fix="Set JOBSPRINT_DATA_DIR to a folder that can be written.",
        ) from error
