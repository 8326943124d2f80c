"""The job queue of a single process: in memory, since the store holds every accepted execution anyway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from storage.queue.waiting import Waiting
from workflow.errors import QueueFullError
from workflow.messages import Job
from workflow.retry import JOB_RETRY_SECONDS


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

    async def retry(self) -> bool:
        """Put the job in again when its step of the ladder is over."""
        return self.queue.put_later(self.job)


class EmbeddedQueue:
    """Implements :class:`workflow.sharing.JobQueue` for one event loop.

    ``capacity`` bounds the jobs that wait; those delivered no longer count, nor those that will be tried again. There
    is no queue of dead letters: the store has the executions that are dead.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: Waiting[Job] = Waiting()

    def __len__(self) -> int:
        return len(self._waiting)

    async def publish(self, job: Job) -> None:
        """Take a job.

        Raises:
            QueueFullError: ``capacity`` jobs wait already.
        """
        if len(self) >= self._capacity:
            raise QueueFullError(self._capacity)
        self._waiting.put(job.priority, job)

    def put_back(self, job: Job) -> None:
        """Take a job that was delivered and not done; it is the next of its priority."""
        self._waiting.put_back(job.priority, job)

    def put_later(self, job: Job) -> bool:
        """Take a job again after its step of the ladder; ``False`` where there is none left."""
        if job.retry_count >= len(JOB_RETRY_SECONDS):
            return False
        again = replace(job, retry_count=job.retry_count + 1)
        loop = asyncio.get_running_loop()
        loop.call_later(JOB_RETRY_SECONDS[job.retry_count], self._waiting.put, again.priority, again)
        return True

    async def consume(self) -> AsyncIterator[EmbeddedDelivery]:
        """Jobs as they come, until the queue closes."""
        async for job in self._waiting.taken():
            yield EmbeddedDelivery(self, job)

    async def stop(self) -> None:
        """End every consumer; jobs that still wait stay in the store as queued."""
        self._waiting.close()
