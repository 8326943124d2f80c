"""How calls ended, counted in memory and added to the store every few seconds: no call waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workflow.connections import ActionFigures, ConnectionStore
from workflow.errors import JobsprintError
from workflow.ports import Clock

INTERVAL_SECONDS = 5.0

logger = logging.getLogger(__name__)


class FiguresKeeper:
    """Counts. What was counted since the last write is lost when the process is killed."""

    def __init__(self, *, store: ConnectionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counted: dict[tuple[str, str, str, str], ActionFigures] = {}

    def add(self, owner: str, figures: ActionFigures) -> None:
        """Count something of an action."""
        key = (owner, figures.connection, figures.action, figures.day)
        before = self._counted.get(key)
        self._counted[key] = figures if before is None else before.plus(figures)

    def today(self) -> str:
        """The day that figures belong to now."""
        return self._clock.now().date().isoformat()

    async def write(self) -> None:
        """Add what was counted to the store.

        Raises:
            StorageError: it could not be written; what was not stays counted.
        """
        counted, self._counted = self._counted, {}
        owners = list(dict.fromkeys(owner for owner, *_ in counted))
        try:
            while owners:
                await self._store.add_figures(owners[0], [each for key, each in counted.items() if key[0] == owners[0]])
                del owners[0]
        finally:
            for (owner, *_), figures in counted.items():
                if owner in owners:
                    self.add(owner, figures)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write every few seconds until the context is left, and then once more."""
        task = asyncio.create_task(self._write_on(), name="action-figures")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self._try_to_write()

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self._try_to_write()

    async def _try_to_write(self) -> None:
        try:
            await self.write()
        except JobsprintError:
            logger.warning("The figures of actions could not be written; they are kept for the next time")
