"""How an execution comes to a worker: through this process's own queue, or by a broker to any process."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from datetime import datetime
from typing import Protocol

from engine.definitions.compiled import CompiledWorkflow
from engine.dispatch.local_executions import LocalExecution, LocalExecutions
from workflow.errors import ConcurrencyLimitError, QueueFullError
from workflow.executions import Execution
from workflow.messages import Job
from workflow.sharing import JobQueue


class Dispatch(Protocol):
    """One way to do it."""

    @property
    def room(self) -> int:
        """How many more executions this process can hold."""
        ...

    async def check_room(self, compiled: CompiledWorkflow) -> None:
        """Whether a new execution of the workflow may come in.

        Raises:
            QueueFullError: there are as many as may be.
            ConcurrencyLimitError: the workflow has as many as it takes, and does not queue.
        """
        ...

    def letter(self, execution: Execution, compiled: CompiledWorkflow) -> Job | None:
        """The job that is stored with the execution, for the broker; ``None`` where there is none."""
        ...

    def unclaimed_before(self, now: datetime) -> datetime:
        """Queued executions whose job no worker has claimed by then have lost it."""
        ...

    async def add(self, local: LocalExecution) -> None:
        """An execution is stored as queued, or will be: bring it to a worker."""
        ...

    async def ended(self, local: LocalExecution) -> None:
        """A local execution has ended or waits: the next one of its workflow may be dispatched."""
        ...


def job_of(execution: Execution, compiled: CompiledWorkflow) -> Job:
    """The job that has an execution run."""
    return Job(
        workflow_id=execution.workflow_id,
        execution_id=execution.id,
        trigger=execution.trigger,
        input=execution.input,
        priority=execution.priority,
        timeout_ms=int(compiled.definition.settings.longest_run_seconds * 1000),
    )


class LocalDispatch:
    """The process that accepts an execution runs it, within its ``capacity`` and each workflow's concurrency limit."""

    def __init__(self, *, local: LocalExecutions, queue: JobQueue, capacity: int) -> None:
        self._live = local
        self._queue = queue
        self._capacity = capacity
        self._at_work: Counter[str] = Counter()
        self._deferred: defaultdict[str, deque[LocalExecution]] = defaultdict(deque)

    @property
    def room(self) -> int:
        """How many more executions fit."""
        return self._capacity - len(self._live)

    async def check_room(self, compiled: CompiledWorkflow) -> None:
        """Whether one more fits; see the protocol."""
        if self.room <= 0:
            raise QueueFullError(self._capacity)
        limit = compiled.definition.settings.concurrency
        if limit is not None and limit.policy == "reject" and self._at_work[compiled.workflow_id] >= limit.limit:
            raise ConcurrencyLimitError(compiled.workflow_id, limit.limit)

    def letter(self, execution: Execution, compiled: CompiledWorkflow) -> Job | None:
        """None: the store holds what is queued, and so does this process."""
        return None

    def unclaimed_before(self, now: datetime) -> datetime:
        """None is ever sent."""
        return now

    async def add(self, local: LocalExecution) -> None:
        """Queue an execution, or defer it until its workflow's limit allows it."""
        self._live.add(local)
        workflow_id, limit = local.execution.workflow_id, local.compiled.definition.settings.concurrency
        if limit is not None and self._at_work[workflow_id] >= limit.limit:
            self._deferred[workflow_id].append(local)
            return
        await self._publish(local)

    async def ended(self, local: LocalExecution) -> None:
        """Queue the next one of its workflow."""
        workflow_id = local.execution.workflow_id
        deferred = self._deferred.get(workflow_id)
        if deferred is not None and local in deferred:
            deferred.remove(local)
            return
        self._at_work[workflow_id] -= 1
        if not self._at_work[workflow_id]:
            del self._at_work[workflow_id]
        if deferred:
            await self._publish(deferred.popleft())
            if not deferred:
                del self._deferred[workflow_id]

    async def _publish(self, local: LocalExecution) -> None:
        self._at_work[local.execution.workflow_id] += 1
        await self._queue.publish(job_of(local.execution, local.compiled))
