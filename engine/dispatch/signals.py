"""Signals of other processes for executions that this process holds: an answer has come, somebody cancels."""

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
    """Processes signals. They are in the store; an event only says that it is time to read them, and may be lost.

    ``holder`` is this process's name.
    """

    def __init__(self, *, local: LocalExecutions, leases: Leases, announcements: Announcements, holder: str) -> None:
        self._local = local
        self._leases = leases
        self._announcements = announcements
        self._holder = holder

    async def process_pending(self) -> None:
        """Process the signals that came since the last time.

        Raises:
            StorageError: the store cannot be asked.
        """
        if not len(self._local):
            return
        for signal in await self._leases.signals():
            local = self._local.get(signal.execution_id)
            # 1. It left this process while the store was read: what left it compares the counts once more after the
            #    commit (FollowUp.after_stored), and wakes it.
            # 2. It is being stored: likewise. To cancel it now would end a task that stores.
            # 3. The signal was processed before: an event and a renewal of leases can both lead here.
            if local is None or local.storing.locked() or signal.times <= local.signals_seen:
                continue
            local.signals_seen, local.was_resumed = signal.times, True
            if signal.is_cancelled:
                local.cancel()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Process signals at each event that announces one, until the context is left."""
        task = asyncio.create_task(self._listen(), name="signals")
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
                except StorageError as error:  # the next renewal of the leases reads them
                    logger.info("signals could not be read: %s", error.message)
