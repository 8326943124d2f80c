"""The executions that this process has in hand: queued or running, and who waits for them."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.node_type import WebhookResponse
from engine.plan import Plan
from engine.run import Run
from workflow.errors import ConcurrencyLimitError, QueueFullError
from workflow.executions import Execution, Record
from workflow.messages import Job
from workflow.ports import JobQueue


@dataclass(slots=True, eq=False)
class LiveExecution:
    """An execution in hand.

    ``finished`` is set when it is out of hand again: ended or waiting, and that is stored. ``answered`` has the
    webhook's answer, or is cancelled when there is none to come. ``recorded`` is the journal of what it did before;
    ``None`` where the store has it. ``resumes`` says that something it waits for happened while it still ran.
    """

    execution: Execution
    plan: Plan
    recorded: Sequence[Record] | None = ()
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Future[WebhookResponse] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    run: Run | None = None
    task: asyncio.Task[None] | None = None
    is_cancelled_by_caller: bool = False
    resumes: bool = False

    def answer(self, response: WebhookResponse) -> None:
        """Hand the answer to whoever waits for it."""
        if not self.answered.done():
            self.answered.set_result(response)


class LiveExecutions:
    """All of them, within the process's capacity and each workflow's own limit."""

    def __init__(self, *, queue: JobQueue, capacity: int) -> None:
        self._queue = queue
        self._capacity = capacity
        self._by_id: dict[str, LiveExecution] = {}
        self._at_work: Counter[str] = Counter()
        self._held: defaultdict[str, deque[LiveExecution]] = defaultdict(deque)

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def room(self) -> int:
        """How many more executions fit."""
        return self._capacity - len(self._by_id)

    def get(self, execution_id: str) -> LiveExecution | None:
        """The execution, if this process has it in hand."""
        return self._by_id.get(execution_id)

    def check_room(self, plan: Plan) -> None:
        """Whether a new execution of the workflow may come in.

        Raises:
            QueueFullError: the process has as many as it takes.
            ConcurrencyLimitError: the workflow has as many as it takes, and does not queue.
        """
        if len(self._by_id) >= self._capacity:
            raise QueueFullError(self._capacity)
        limit = plan.definition.settings.concurrency
        if limit is not None and limit.policy == "reject" and self._at_work[plan.workflow_id] >= limit.limit:
            raise ConcurrencyLimitError(plan.workflow_id, limit.limit)

    async def add(self, live: LiveExecution) -> None:
        """Take an execution in hand and queue it, or hold it back until its workflow's limit allows it."""
        self._by_id[live.execution.id] = live
        workflow_id, limit = live.execution.workflow_id, live.plan.definition.settings.concurrency
        if limit is not None and self._at_work[workflow_id] >= limit.limit:
            self._held[workflow_id].append(live)
            return
        await self._publish(live)

    async def retire(self, live: LiveExecution) -> None:
        """Let go of an execution that has ended or waits, wake whoever waits for it, and let the next one in."""
        if self._by_id.pop(live.execution.id, None) is None:
            return
        live.answered.cancel()
        live.finished.set()
        workflow_id = live.execution.workflow_id
        held = self._held.get(workflow_id)
        if held is not None and live in held:
            held.remove(live)
            return
        self._at_work[workflow_id] -= 1
        if not self._at_work[workflow_id]:
            del self._at_work[workflow_id]
        if held:
            await self._publish(held.popleft())
            if not held:
                del self._held[workflow_id]

    async def _publish(self, live: LiveExecution) -> None:
        execution = live.execution
        self._at_work[execution.workflow_id] += 1
        await self._queue.publish(
            Job(
                workflow_id=execution.workflow_id,
                execution_id=execution.id,
                trigger=execution.trigger,
                input=execution.input,
                priority=execution.priority,
                timeout_ms=int(live.plan.definition.settings.timeout_seconds * 1000),
            )
        )
