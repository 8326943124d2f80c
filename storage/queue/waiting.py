"""Things that wait in a process for consumers: high before normal before low, first in first out within each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from workflow.executions import Priority

PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")

T = TypeVar("T")


class Waiting(Generic[T]):
    """What waits, for one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[Priority, deque[T]] = {priority: deque() for priority in PRIORITIES}
        self._consumers: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, priority: Priority, thing: T) -> None:
        """Let it wait behind those of its priority."""
        self._waiting[priority].append(thing)
        self._wake_one()

    def put_back(self, priority: Priority, thing: T) -> None:
        """Let it wait in front of those of its priority."""
        self._waiting[priority].appendleft(thing)
        self._wake_one()

    def clear(self, where: Callable[[T], bool] = lambda thing: True) -> list[T]:
        """Take out everything ``where`` this holds, in the order in which it would have been taken."""
        cleared = [thing for waiting in self._waiting.values() for thing in waiting if where(thing)]
        for priority, waiting in self._waiting.items():
            self._waiting[priority] = deque(thing for thing in waiting if not where(thing))
        return cleared

    async def taken(self) -> AsyncIterator[T]:
        """Things as they come, until it closes; competing consumers each get different ones."""
        while not self._is_closed:
            for waiting in self._waiting.values():
                if waiting:
                    yield waiting.popleft()
                    break
            else:
                await self._something()

    def close(self) -> None:
        """End every consumer; what still waits stays."""
        self._is_closed = True
        while self._consumers:
            self._wake_one()

    async def _something(self) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._consumers.append(woken)
        try:
            await woken
        except asyncio.CancelledError:
            if woken.done() and not woken.cancelled():
                self._wake_one()  # it was this consumer's turn: pass it on
            elif woken in self._consumers:
                self._consumers.remove(woken)
            raise

    def _wake_one(self) -> None:
        while self._consumers:
            consumer = self._consumers.popleft()
            if not consumer.done():
                consumer.set_result(None)
                return
