"""What other processes tell of the executions that this one has in hand: answers have come, somebody cancels."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.announcements import Announcements
from engine.dispatch.local_executions import LocalExecutions
from workflow.errors import StorageError
from workflow.sharing import Leases

logger = logging.getLogger(__name__)


class SignalListener:
    """The store says what was told; events only say that it is time to look. ``holder`` is this process's name."""

    def __init__(self, *, local: LocalExecutions, leases: Leases, announcements: Announcements, holder: str) -> None:
        self._live = local
        self._leases = leases
        self._announcements = announcements
        self._holder = holder

    async def process_pending(self) -> None:
        """Do what was told since the last time.

        Raises:
            StorageError: the store cannot be asked.
        """
        if not len(self._live):
            return
        for signal in await self._leases.signals():
            local = self._live.get(signal.execution_id)
            if local is None or local.storing.locked() or signal.times <= local.signals_seen:
                continue
            local.signals_seen, local.was_resumed = signal.times, True
            if signal.is_cancelled:
                local.cancel()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Look whenever somebody says so, until the context is left."""
        task = asyncio.create_task(self._listen(), name="hearing")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self) -> None:
        async with self._announcements.listen_to_holder(self._holder) as events:
            async for _ in events:
                try:
                    await self.process_pending()
                except StorageError as error:  # the next renewal of the leases looks again
                    logger.info("what others have told is not known: %s", error.message)
