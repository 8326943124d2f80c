"""Sessions and invitations that were over long ago are forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from storage.people.invitations import SqlInvitations
from workflow.errors import StorageError
from workflow.ports import Clock
from workflow.sessions import SessionStore

logger = logging.getLogger(__name__)

SESSIONS_KEPT = timedelta(days=1)
INVITATIONS_KEPT = timedelta(days=30)
"""So long after its time somebody may want to see why an invitation did not count."""
CHUNK = 500
INTERVAL_SECONDS = 3_600


@dataclass(slots=True, frozen=True, kw_only=True)
class Leftovers:
    """What is left of sessions and invitations."""

    sessions: SessionStore
    invitations: SqlInvitations
    clock: Clock

    async def forget(self) -> int:
        """Forget what is due; how many rows that was."""
        now, total = self.clock.now(), 0
        while gone := await self.sessions.prune(over_before=now - SESSIONS_KEPT):
            total += gone
        while gone := await self.invitations.prune(expired_before=now - INVITATIONS_KEPT, limit=CHUNK):
            total += gone
        return total

    @asynccontextmanager
    async def forgetting(self) -> AsyncIterator[None]:
        """Forget now and every hour until the context is left."""
        task = asyncio.create_task(self._forever(), name="leftovers")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _forever(self) -> None:
        while True:
            try:
                await self.forget()
            except StorageError as error:
                logger.warning("old sessions and invitations could not be forgotten: %s", error.message)
            await asyncio.sleep(INTERVAL_SECONDS)
