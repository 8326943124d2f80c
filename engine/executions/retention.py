"""Deletes what ended or was deleted long ago, by age and by number."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from workflow.audit import AuditLog
from workflow.definitions.publication import RESTORABLE
from workflow.ports import Clock, ExecutionStore, WorkflowRepository
from workflow.schedules.ports import ScheduleStore

logger = logging.getLogger(__name__)

CHUNK = 500
"""Executions or workflows deleted in one transaction: it must not hold writers up."""


class Retention:
    """Prunes ended executions: those older than ``days``, and all but the latest ``count``.

    Sub-workflows count with the execution that began their chain, and are deleted with it, when all of them have ended.
    ``None`` keeps executions whatever their age, or their number. Workflows are deleted when they cannot be restored
    any more, entries of the audit log when they are older than ``audit_days``, entries of schedules' ledgers with the
    executions of their age.
    """

    def __init__(
        self,
        *,
        store: ExecutionStore,
        workflows: WorkflowRepository,
        schedules: ScheduleStore,
        clock: Clock,
        days: float | None,
        count: int | None,
        audit: AuditLog,
        audit_days: float | None,
    ) -> None:
        self._store = store
        self._workflows = workflows
        self._schedules = schedules
        self._clock = clock
        self._days = days
        self._count = count
        self._audit = audit
        self._audit_days = audit_days

    async def prune(self) -> int:
        """Delete the executions that are due; how many that was."""
        before = self._clock.now() - timedelta(days=self._days) if self._days is not None else None
        total = 0
        while pruned := await self._store.prune(ended_before=before, keep=self._count, limit=CHUNK):
            total += pruned
            await asyncio.sleep(0)
        return total

    async def prune_ledgers(self) -> int:
        """Delete entries of schedules' ledgers that are as old as executions that are deleted; how many that was."""
        if self._days is None:
            return 0
        before = self._clock.now() - timedelta(days=self._days)
        total = 0
        while pruned := await self._schedules.prune(written_before=before, limit=CHUNK):
            total += pruned
            await asyncio.sleep(0)
        return total

    async def purge(self) -> int:
        """Delete workflows for good that were deleted too long ago to be restored; how many that was."""
        before = self._clock.now() - RESTORABLE
        total = 0
        while purged := await self._workflows.purge(deleted_before=before, limit=CHUNK):
            total += purged
            await asyncio.sleep(0)
        return total

    async def forget(self) -> int:
        """Delete entries of the audit log that are too old; how many that was."""
        if self._audit_days is None:
            return 0
        before = self._clock.now() - timedelta(days=self._audit_days)
        total = 0
        while forgotten := await self._audit.prune(before=before, limit=CHUNK):
            total += forgotten
            await asyncio.sleep(0)
        return total

    async def tidy(self) -> None:
        """Delete all that is due.

        Raises:
            StorageError: the store failed; the rest goes the next time.
        """
        if pruned := await self.prune():
            logger.info("deleted %d executions that had ended", pruned)
        if pruned := await self.prune_ledgers():
            logger.info("deleted %d entries of schedules' ledgers", pruned)
        if purged := await self.purge():
            logger.info("deleted %d workflows for good", purged)
        if forgotten := await self.forget():
            logger.info("deleted %d old entries of the audit log", forgotten)
