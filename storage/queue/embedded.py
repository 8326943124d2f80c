"""The job queue of a single process: in memory, since the store holds every accepted execution anyway."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from workflow.errors import QueueFullError
from workflow.executions import Priority
from workflow.messages import Job

PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")


@dataclass(slots=True, frozen=True)
class EmbeddedDelivery:
    """A job that a consumer holds."""

    queue: EmbeddedQueue
    job: Job

    async def acknowledge(self) -> None:
        """Nothing is kept of a delivered job, so there is nothing to forget."""

    async def hand_back(self) -> None:
        """Put the job in front of those of its priority; the bound does not hold for what was in already."""
        self.queue.put_back(self.job)


class EmbeddedQueue:
    """Implements :class:`workflow.ports.JobQueue` for one event loop.

    ``capacity`` bounds the jobs that wait; those delivered no longer count.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: dict[Priority, deque[Job]] = {priority: deque() for priority in PRIORITIES}
        self._consumers: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def publish(self, job: Job) -> None:
        """Take a job.

        Raises:
            QueueFullError: ``capacity`` jobs wait already.
        """
        if len(self) >= self._capacity:
            raise QueueFullError(self._capacity)
        self._waiting[job.priority].append(job)
        self._wake_one()

    def put_back(self, job: Job) -> None:
        """Take a job that was delivered and not done; it is the next of its priority."""
        self._waiting[job.priority].appendleft(job)
        self._wake_one()

    async def consume(self) -> AsyncIterator[EmbeddedDelivery]:
        """Jobs as they come, until the queue closes."""
        while not self._is_closed:
            job = self._take()
            if job is not None:
                yield EmbeddedDelivery(self, job)
                continue
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

    def close(self) -> None:
        """End every consumer; jobs that still wait stay in the store as queued."""
        self._is_closed = True
        while self._consumers:
            self._wake_one()

    def _take(self) -> Job | None:
        for waiting in self._waiting.values():
            if waiting:
                return waiting.popleft()
        return None

    def _wake_one(self) -> None:
        while self._consumers:
            consumer = self._consumers.popleft()
            if not consumer.done():
                consumer.set_result(None)
                return
