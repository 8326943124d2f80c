"""The worker loop: get a job, have its execution run as far as it goes, acknowledge the job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from engine.dispatch.local_executions import LocalExecution
from engine.executions.local_runs import LocalRuns
from engine.runs.journal import STORE_RETRY_SECONDS
from workflow.errors import StorageError
from workflow.messages import Job
from workflow.sharing import Delivery, JobQueue

logger = logging.getLogger(__name__)

Claim = Callable[[Job], Awaitable[LocalExecution | None]]
"""Claims the execution of a job; ``None`` where it need not run any more."""


class Worker:
    """Gets jobs and has their executions run, at most ``concurrency`` at once. ``grace_seconds`` says, when it stops,
    how long executions may still run."""

    def __init__(
        self, *, queue: JobQueue, claim: Claim, runs: LocalRuns, concurrency: int, grace_seconds: Callable[[], float]
    ) -> None:
        self._queue = queue
        self._claim = claim
        self._runs = runs
        self._concurrency = concurrency
        self._grace_seconds = grace_seconds
        self._busy: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work until the context is left; executions that run then have the grace time, and other processes go on with
        those that need longer."""
        consumers = [asyncio.create_task(self._consume(), name=f"worker-{n}") for n in range(self._concurrency)]
        try:
            yield
        finally:
            await self._queue.stop()
            for task in consumers:
                if task not in self._busy:
                    task.cancel()
            if self._busy:
                await asyncio.wait(set(self._busy), timeout=self._grace_seconds())
            for task in consumers:
                task.cancel()
            await asyncio.gather(*consumers, return_exceptions=True)

    async def _consume(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a consumer runs in a task of its own")
        async for delivery in self._queue.consume():
            self._busy.add(task)
            try:
                await self._work(delivery, task)
            finally:
                self._busy.discard(task)
            # A caller cancelled the execution and the server stopped in the same turn of the loop: both cancelled this
            # task, and one of the two cancellations was taken for the execution's.
            if task.cancelling():
                return

    async def _work(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        local = await self._claimed(delivery)
        if local is None:
            return
        # 1. Acknowledged after the end is stored: a process that is killed in between gets the job again, claims
        #    nothing (the execution is not queued any more), and acknowledges it then.
        # 2. Handed back where the lease was lost: the new holder usually has its own job; where it has none, this one
        #    brings the execution to a worker.
        if await self._runs.run(local, task):
            await delivery.acknowledge()
        else:
            await delivery.hand_back()

    async def _claimed(self, delivery: Delivery) -> LocalExecution | None:
        """The execution of a job, claimed; ``None`` where there is nothing to do for the job (any more)."""
        while True:
            try:
                local = await self._claim(delivery.job)
            except StorageError as error:
                logger.warning("a job waits for the store: %s", error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)
            except Exception:
                logger.exception("execution %s could not be begun", delivery.job.execution_id)
                if not await delivery.retry():
                    logger.warning("execution %s is a dead letter of the queue", delivery.job.execution_id)
                return None
            else:
                if local is None:
                    await delivery.acknowledge()
                return local
