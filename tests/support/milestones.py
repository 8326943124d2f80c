"""Executions held at the moments that production code names, so that a test decides the order of a race."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque

from engine.dispatch.milestones import Milestone


class Hold:
    """One execution held at a milestone, from the moment at which it is reached until :meth:`release`."""

    def __init__(self) -> None:
        self._reached: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._released = asyncio.Event()

    async def reached(self) -> str:
        """The id of the execution, once it has come there."""
        async with asyncio.timeout(20):
            return await asyncio.shield(self._reached)

    def release(self) -> None:
        """It goes on."""
        self._released.set()

    async def stop(self, execution_id: str) -> None:
        """Called at the milestone: stay there."""
        self._reached.set_result(execution_id)
        await self._released.wait()


class HeldMilestones:
    """Implements :class:`~engine.dispatch.milestones.Milestones`: counts what is reached, stops where a test says."""

    def __init__(self) -> None:
        self._counts: defaultdict[Milestone, int] = defaultdict(int)
        self._counted = asyncio.Condition()
        self._holds: defaultdict[Milestone, deque[Hold]] = defaultdict(deque)

    def hold(self, milestone: Milestone) -> Hold:
        """Stop the next execution that reaches the milestone; several holds stop one after the other."""
        hold = Hold()
        self._holds[milestone].append(hold)
        return hold

    async def come_to(self, milestone: Milestone, *, times: int = 1) -> None:
        """Return when the milestone has been reached so often."""
        async with asyncio.timeout(20), self._counted:
            await self._counted.wait_for(lambda: self._counts[milestone] >= times)

    async def reached(self, milestone: Milestone, execution_id: str) -> None:
        """An execution is there."""
        async with self._counted:
            self._counts[milestone] += 1
            self._counted.notify_all()
        if self._holds[milestone]:
            await self._holds[milestone].popleft().stop(execution_id)
