"""The time that a process has from the signal to stop until it is gone."""

from __future__ import annotations

import asyncio


class Grace:
    """One time for all that has to end: what one part has used of it, the next has not."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends_at: float | None = None
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """The time begins now, unless it has begun."""
        if self._ends_at is None:
            self._ends_at = asyncio.get_running_loop().time() + self._seconds
            self._begun.set()

    async def begun(self) -> None:
        """Return when it has begun."""
        await self._begun.wait()

    def left(self) -> float:
        """How many seconds are left; it begins now where it has not."""
        self.begin()
        ends_at = self._ends_at or 0.0
        return max(0.0, ends_at - asyncio.get_running_loop().time())
