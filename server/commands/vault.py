"""``jobsprint vault``: encrypts credentials with a new key."""

from __future__ import annotations

from filelock import FileLock, Timeout

from server.settings.settings import Settings
from server.settings.vault_keys import LOCK_FILE, key_sources
from storage.clock import SystemClock
from storage.database.database import Database
from storage.ids import UuidFactory
from storage.migrations.runner import migrate
from storage.private_files import PRIVATE_FILE, make_private_folder
from storage.secrets.keys import VaultKeys
from storage.secrets.vault import SqlVault


async def rotated_vault(settings: Settings, *, make_key: bool) -> tuple[list[str], bool]:
    """Encrypt every credential with the first key, or with a new one made now.

    It does not lock the data folder: a server that runs there looks for new keys when it finds a credential with an
    unknown one. Returns the lines to print, and whether nothing is left to do.

    Raises:
        VaultKeyError: there are no keys, or no key can be made here.
        StorageError: the database failed; the credentials encrypted before that stay so.
    """
    make_private_folder(settings.data_dir)
    sources, lines = key_sources(settings), []
    if make_key:
        lines.append(f"A new key is in {sources.add_key()}.")
    clock, keys = SystemClock(), VaultKeys(sources.load)
    async with Database(settings.effective_database_url) as database:
        await _migrated_if_alone(database, settings)
        vault = SqlVault(database, keys=keys, clock=clock, new_id=UuidFactory(clock=clock))
        rotation = await vault.rotate()
        counts = await vault.count_by_key()
    lines.append(
        f"Credentials encrypted anew: {rotation.done}. With the first key now: {counts.get(keys.current_id, 0)}."
    )
    lines += [
        f"Not possible: {ref.name!r} of workspace {ref.owner!r}; its key is missing, or it was tampered with."
        for ref in rotation.failed
    ]
    for key in keys.ids[1:]:
        if key not in counts:
            lines.append(f"Key {key} is not needed any more.")
    return lines, not rotation.failed


async def _migrated_if_alone(database: Database, settings: Settings) -> None:
    """Migrate the database to the newest schema, unless a running server has done so."""
    try:
        with FileLock(settings.data_dir / LOCK_FILE, timeout=0, mode=PRIVATE_FILE):
            await migrate(database)
    except Timeout:
        return
