"""What those hear who ask whether something is on the disk, however late they ask."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from storage.executions.group_commit import GroupCommit, Note
from workflow.errors import NotAcceptedError, StorageError


class Disk:
    """Takes what it is given, unless it is broken."""

    is_broken = False

    async def write(self, batch: Collection[tuple[str, Note]]) -> Collection[str]:
        """One batch."""
        if self.is_broken:
            raise StorageError("The disk is gone.", fix="Bring it back.")
        return ()


async def test_a_new_execution_that_could_not_be_stored_is_refused_to_early_and_late_waiters() -> None:
    disk = Disk()
    async with GroupCommit(disk.write) as commits:
        disk.is_broken = True
        commits.note("new", Note((b"",)))
        for _ in range(2):
            with pytest.raises(NotAcceptedError, match="The disk is gone"):
                await commits.committed("new")
        disk.is_broken = False
        commits.note("another", Note((b"",)))
        await commits.committed("another")
        await commits.committed("another")
