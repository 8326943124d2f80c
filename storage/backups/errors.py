"""Why a backup cannot be made or restored."""

from __future__ import annotations

from workflow.failure import JobsprintError


class BackupError(JobsprintError):
    """A backup cannot be made, or a file cannot be restored; nothing was changed."""

    code = "backup_failed"
