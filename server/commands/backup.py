"""``jobsprint backup`` and ``jobsprint restore``: the embedded store in one file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from server.assembly.foundation import BLOBS_FOLDER
from server.settings.secret_key import FILE_NAME as SECRET_FILE
from server.settings.settings import Settings
from server.settings.vault_keys import LOCK_FILE
from server.version import VERSION
from storage.backups.backup import Places, Report, make_backup, restore_backup
from storage.backups.errors import BackupError
from storage.database.database import Database
from storage.private_files import PRIVATE_FILE, make_private_folder
from storage.secrets.key_sources import OWN_FILE


def backed_up(settings: Settings, target: Path, *, with_keys: bool) -> list[str]:
    """Write a backup of the store that these settings name; the lines to print.

    Raises:
        BackupError: it cannot be made.
    """
    report = make_backup(_places(settings), target, with_keys=with_keys, version=VERSION, now=datetime.now(UTC))
    lines = [f"{target} has {_what(report)}. It was read again and is whole."]
    lines += [f"Missing before already, and not in it: {name}" for name in report.lost[:20]]
    if report.keys:
        lines.append(f"The keys are in it ({', '.join(report.keys)}): who has the file can read every credential.")
    elif kept := [str(path) for path in _places(settings).keys.values() if path.exists()]:
        lines.append(f"The keys are not in it. Keep them in another place: {', '.join(kept)}.")
    return lines


def restored(settings: Settings, source: Path) -> list[str]:
    """Restore a backup into the place that these settings name; the lines to print.

    Raises:
        BackupError: a server runs there, something is there already, or the backup cannot be used.
    """
    places = _places(settings)
    try:
        make_private_folder(settings.data_dir)
        with FileLock(settings.data_dir / LOCK_FILE, timeout=0, mode=PRIVATE_FILE):
            report = restore_backup(source, places)
    except Timeout:
        raise BackupError(
            f"A server uses the folder {settings.data_dir}.",
            fix="Stop it, or set JOBSPRINT_DATA_DIR to another folder.",
        ) from None
    except OSError as error:
        raise BackupError(
            f"The data folder {settings.data_dir} cannot be used: {error.strerror}.",
            fix="Set JOBSPRINT_DATA_DIR to a folder that can be written.",
        ) from error
    lines = [f"Restored into {settings.data_dir}: {_what(report)}, as of {report.made_at}."]
    if report.contents.unended:
        lines.append(
            f"{report.contents.unended} executions had not ended then, and go on when the server starts: effects that "
            "they have had since the backup happen again."
        )
    for name, path in places.keys.items():
        if not path.exists():
            lines.append(f"{path} is not there. Put yours there before the start, or {_without(name)}.")
    return lines


def _without(name: str) -> str:
    if name == OWN_FILE:
        return "set JOBSPRINT_VAULT_KEYS; with other keys no credential can be read"
    return "set JOBSPRINT_SECRET_KEY; with another one people log in again and open links end"


def _what(report: Report) -> str:
    return f"{report.contents.executions:,} executions and {report.blobs:,} large values ({report.bytes:,} bytes)"


def _places(settings: Settings) -> Places:
    """Where the embedded store is.

    Raises:
        BackupError: it is not embedded.
    """
    file = Database(settings.effective_database_url).file
    if file is None:
        raise BackupError(
            "The store is a PostgreSQL database, which has backups of its own.",
            fix="Use pg_dump, or what your provider has; docs/operations/backup.md says what else belongs to it.",
        )
    keys = {name: settings.data_dir / name for name in (OWN_FILE, SECRET_FILE)}
    return Places(database=file, blobs=settings.data_dir / BLOBS_FOLDER, keys=keys)
