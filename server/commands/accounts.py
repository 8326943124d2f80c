"""The accounts of a server that does not run, for ``jobsprint users``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from filelock import FileLock, Timeout

from server.auth.services import AuthServices, running_auth
from server.settings.secret_key import load_secret_key
from server.settings.settings import BadSettingsError, Settings
from server.settings.vault_keys import LOCK_FILE
from storage.clock import SystemClock
from storage.database.database import Database
from storage.ids import UuidFactory
from storage.migrations.runner import migrate
from storage.people.audit import SqlAuditLog
from storage.private_files import PRIVATE_FILE, make_private_folder


@asynccontextmanager
async def opened_accounts(settings: Settings) -> AsyncIterator[AuthServices]:
    """The accounts of the server that these settings are for, until the context is left.

    Raises:
        BadSettingsError: a server uses the data folder, or the folder cannot be used.
        StorageError: the database cannot be used.
    """
    async with AsyncExitStack() as stack:
        database = Database(settings.effective_database_url)
        if database.is_sqlite:
            _claim(settings, stack)
        await stack.enter_async_context(database)
        await migrate(database)
        clock = SystemClock()
        new_id = UuidFactory(clock=clock)
        audit = await stack.enter_async_context(SqlAuditLog(database, clock=clock, new_id=new_id))
        make_private_folder(settings.data_dir)
        yield await stack.enter_async_context(
            running_auth(settings, database, secret=load_secret_key(settings), audit=audit, clock=clock, new_id=new_id)
        )


def _claim(settings: Settings, stack: AsyncExitStack) -> None:
    """Take the lock of the data folder: a server that runs on it would not notice the changes made here."""
    try:
        make_private_folder(settings.data_dir)
        stack.enter_context(FileLock(settings.data_dir / LOCK_FILE, timeout=0, mode=PRIVATE_FILE))
    except Timeout:
        raise BadSettingsError(
            f"A server uses the folder {settings.data_dir}, and with SQLite only one process can.",
            fix="Stop it, run this again, and start it; or make accounts over HTTP with POST /auth/register.",
        ) from None
    except OSError as error:
        raise BadSettingsError(
            f"The data folder {settings.data_dir} cannot be used: {error.strerror}.",
            fix="Set JOBSPRINT_DATA_DIR to a folder that can be written.",
        ) from error
