"""Executions that a broker brings to workers: one process accepts and stores them, any process runs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import orjson

from engine.definitions.compiled import CompiledWorkflow
from engine.dispatch.local import job_of
from engine.dispatch.local_executions import LocalExecution
from engine.dispatch.remote import RemoteExecutions
from workflow.errors import ConcurrencyLimitError, QueueFullError, QueueUnavailableError
from workflow.executions import Execution
from workflow.messages import Job
from workflow.sharing import UNCLAIMED_SECONDS, Leases

logger = logging.getLogger(__name__)

DEPTH_SECONDS = 1.0
"""How old the queue's length may be by which callers are refused."""
SURELY_LOST_SECONDS = 30.0
"""A job that is written and not claimed after so long, while the broker has none, is lost."""
LARGEST_INPUT_BYTES = 64 << 10
"""What is larger travels in the store only, where workers read it anyway."""


class BrokeredDispatch:
    """Jobs go with their executions into the outbox. ``capacity`` bounds how many wait in the broker.

    ``depth`` counts those. Callers that wait for what they submitted follow it by ``remote``.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        remote: RemoteExecutions,
        depth: Callable[[], Awaitable[int]],
        capacity: int,
    ) -> None:
        self._leases = leases
        self._remote = remote
        self._depth = depth
        self._capacity = capacity
        self._known_depth = 0

    @property
    def room(self) -> int:
        """As many as there are: an execution that this process claims goes back to the broker."""
        return self._capacity

    async def check_room(self, compiled: CompiledWorkflow) -> None:
        """Whether the broker has room; see the protocol. Exact to a second, and to what other processes let in."""
        if self._known_depth >= self._capacity:
            raise QueueFullError(self._capacity)
        limit = compiled.definition.settings.concurrency
        if limit is None or limit.policy != "reject":
            return
        if await self._leases.count(compiled.workflow_id) >= limit.limit:
            raise ConcurrencyLimitError(compiled.workflow_id, limit.limit)

    def letter(self, execution: Execution, compiled: CompiledWorkflow) -> Job | None:
        """The job, traced by the execution's own id."""
        job = job_of(execution, compiled)
        if len(orjson.dumps(job.input)) > LARGEST_INPUT_BYTES:
            job = replace(job, input=None)
        trace_id = UUID(execution.id).hex
        return replace(job, traceparent=f"00-{trace_id}-{trace_id[16:]}-01")

    def unclaimed_before(self, now: datetime) -> datetime:
        """Jobs that no worker has claimed are sent again after a while; sooner where the broker has no job left: then
        they must be lost."""
        return now if self._known_depth else now + timedelta(seconds=UNCLAIMED_SECONDS - SURELY_LOST_SECONDS)

    async def add(self, local: LocalExecution) -> None:
        """Have its answer brought here, where a webhook waits for one."""
        if local.execution.trigger == "webhook" and local.compiled.responds:
            await self._remote.bring(local)

    async def ended(self, local: LocalExecution) -> None:
        """Dispatch what its workflow's concurrency limit has deferred."""
        limit = local.compiled.definition.settings.concurrency
        if limit is not None:
            await self._leases.release_deferred(local.execution.workflow_id, limit=limit.limit)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keep count of what waits, until the context is left."""
        task = asyncio.create_task(self._watch(), name="queue-depth")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            try:
                self._known_depth = await self._depth()
            except QueueUnavailableError as error:
                logger.info("the queue's length is not known: %s", error.message)
            await asyncio.sleep(DEPTH_SECONDS)
