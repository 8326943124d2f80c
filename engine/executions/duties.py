"""What one process at a time does for all: tidy up, send on what was left, let go of what is old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from workflow.errors import JobsprintError, StorageError
from workflow.ports import Clock
from workflow.sharing import Leadership

logger = logging.getLogger(__name__)

INTERVALS_HELD = 3.0
"""A duty is taken for so many of its intervals: one look may be late before another process takes over."""
RETRY_SECONDS = 1.0


@dataclass(slots=True, frozen=True)
class Duty:
    """Something to be done every so often. It must bear to be done twice at once. ``wait`` returns when it is to be
    done again, after ``interval_seconds`` at the latest."""

    name: str
    interval_seconds: float
    step: Callable[[], Awaitable[None]]
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep


class Sole:
    """Implements :class:`workflow.sharing.Leadership` for a process that is alone."""

    async def hold(self, duty: str, *, now: datetime, seconds: float) -> bool:
        """Nobody else could."""
        return True

    async def resign(self, duty: str) -> None:
        """Nobody else could."""


class Duties:
    """Does those duties that this process holds."""

    def __init__(self, *, leadership: Leadership, clock: Clock, duties: Sequence[Duty]) -> None:
        self._leadership = leadership
        self._clock = clock
        self._duties = duties

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Do them until the context is left, then give them up."""
        tasks = [asyncio.create_task(self._forever(duty), name=f"duty-{duty.name}") for duty in self._duties]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for duty in self._duties:
                try:
                    await self._leadership.resign(duty.name)
                except StorageError as error:  # then its time runs out
                    logger.info("the duty %s was not given up: %s", duty.name, error.message)

    async def _forever(self, duty: Duty) -> None:
        while True:
            try:
                seconds = duty.interval_seconds * INTERVALS_HELD
                if await self._leadership.hold(duty.name, now=self._clock.now(), seconds=seconds):
                    await duty.step()
            except JobsprintError as error:
                logger.warning("the duty %s was not done: %s", duty.name, error.message)
                await asyncio.sleep(RETRY_SECONDS)
            await duty.wait(duty.interval_seconds)
