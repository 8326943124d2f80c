"""Executions from the outside: submit one, wait for it, look at it, end it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.announcements import Announcements
from engine.node_type import WebhookResponse
from engine.plan import Plan
from engine.run import Run
from workflow.errors import IllegalTransitionError, InvalidArgumentsError, QueueFullError
from workflow.executions import Execution, NodeRun, Trigger
from workflow.items import Item, Items
from workflow.messages import Event, Job
from workflow.ports import Clock, ExecutionFilter, ExecutionRepository, JobQueue, NewId, Page
from workflow.states import FINISHED, ExecutionEvent, ExecutionState, next_state


@dataclass(slots=True, eq=False)
class LiveExecution:
    """An execution that this process has accepted and that has not ended.

    ``finished`` is set when its end is stored. ``answered`` has the webhook's answer, or is cancelled when the
    execution ends without one.
    """

    execution: Execution
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Future[WebhookResponse] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    run: Run | None = None
    task: asyncio.Task[None] | None = None
    is_cancelled_by_caller: bool = False

    def answer(self, response: WebhookResponse) -> None:
        """Hand the answer to whoever waits for it."""
        if not self.answered.done():
            self.answered.set_result(response)

    def end(self) -> None:
        """The end is stored: wake everyone who waits."""
        self.answered.cancel()
        self.finished.set()


@dataclass(slots=True, frozen=True)
class Inspection:
    """An execution and its node runs; ``running`` names the nodes that run now."""

    execution: Execution
    node_runs: Sequence[NodeRun]
    running: Sequence[str] = ()


class ExecutionService:
    """Accepts executions and tells of them. A worker runs them; nothing here lives inside a caller's request."""

    def __init__(
        self,
        *,
        executions: ExecutionRepository,
        queue: JobQueue,
        announcements: Announcements,
        clock: Clock,
        new_id: NewId,
        capacity: int,
    ) -> None:
        self.executions = executions
        self.announcements = announcements
        self._queue = queue
        self._clock = clock
        self._new_id = new_id
        self._capacity = capacity
        self._live: dict[str, LiveExecution] = {}

    async def submit(
        self, plan: Plan, *, trigger: Trigger, start_node: str | None = None, data: Any = None
    ) -> LiveExecution:
        """Accept an execution: when this returns it is stored and queued.

        ``data`` is the input: nothing, an object, or a list of objects.

        Raises:
            InvalidArgumentsError: ``data`` is not of that form.
            NodeNotFoundError: there is no such trigger.
            QueueFullError: as many executions as the server takes are under way; nothing was stored.
        """
        input_items(data)
        execution = Execution(
            id=self._new_id(),
            workflow_id=plan.workflow_id,
            workflow_name=plan.definition.name,
            workflow_version=plan.version,
            state=ExecutionState.QUEUED,
            trigger=trigger,
            start_node=plan.trigger(node=start_node, type_name=trigger).name,
            input=data,
            created_at=self._clock.now(),
        )
        if len(self._live) >= self._capacity:
            raise QueueFullError(self._capacity)
        live = self._live[execution.id] = LiveExecution(execution)
        try:
            await self.executions.add(execution)
            await self._enqueue(execution, timeout_seconds=plan.definition.settings.timeout_seconds)
        except BaseException:
            self.retire(live)
            raise
        self.announcements.state_changed(execution)
        return live

    async def readmit(self, execution: Execution, *, timeout_seconds: float) -> LiveExecution:
        """Queue an execution that is stored as queued already, after a restart."""
        live = self._live[execution.id] = LiveExecution(execution)
        await self._enqueue(execution, timeout_seconds=timeout_seconds)
        return live

    async def _enqueue(self, execution: Execution, *, timeout_seconds: float) -> None:
        await self._queue.publish(
            Job(
                message_id=self._new_id(),
                timestamp=self._clock.now(),
                workflow_id=execution.workflow_id,
                execution_id=execution.id,
                trigger=execution.trigger,
                input=execution.input,
                timeout_ms=int(timeout_seconds * 1000),
            )
        )

    def live(self, execution_id: str) -> LiveExecution | None:
        """The execution, if this process has it and it has not ended."""
        return self._live.get(execution_id)

    def retire(self, live: LiveExecution) -> None:
        """Forget an execution that has ended, and wake whoever waits for it."""
        self._live.pop(live.execution.id, None)
        live.end()

    async def wait(self, execution_id: str, *, timeout_seconds: float) -> None:
        """Return when the execution has ended, or when the time is over. Never cancels it."""
        live = self._live.get(execution_id)
        if live is None or timeout_seconds <= 0:
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                await live.finished.wait()
        except TimeoutError:
            return

    async def get(self, execution_id: str) -> Execution:
        """The execution as it is now.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        live = self._live.get(execution_id)
        return live.execution if live is not None else await self.executions.get(execution_id)

    async def inspect(self, execution_id: str, *, node: str | None = None) -> Inspection:
        """The execution and its node runs so far, of one node or all.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        live = self._live.get(execution_id)
        if live is not None:
            run = live.run
            runs = [] if run is None else run.order if node is None else run.runs.get(node, [])
            return Inspection(live.execution, list(runs), tuple(run.running) if run is not None else ())
        execution = await self.executions.get(execution_id)
        return Inspection(execution, await self.executions.node_runs(execution_id, node=node))

    async def page(self, where: ExecutionFilter, *, limit: int, cursor: str | None) -> Page[Execution]:
        """Executions, newest first; see the repository."""
        return await self.executions.page(where, limit=limit, cursor=cursor)

    async def cancel(self, execution_id: str) -> Execution:
        """End an execution; returns when its end is stored.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it has ended already.
        """
        execution = await self.get(execution_id)
        next_state(execution.state, ExecutionEvent.CANCEL)
        live = self._live.get(execution_id)
        if live is not None:
            live.is_cancelled_by_caller = True
        if live is not None and live.task is not None:
            live.task.cancel()
            await live.finished.wait()
        else:
            await self.end(execution, ExecutionState.CANCELLED, live=live)
        ended = await self.executions.get(execution_id)
        if ended.state is not ExecutionState.CANCELLED:
            raise IllegalTransitionError(
                f"The execution {ended.state} before it could be cancelled.", fix="Look at it with inspect_execution."
            )
        return ended

    async def end(
        self, execution: Execution, state: ExecutionState, *, live: LiveExecution | None, run: Run | None = None
    ) -> Execution:
        """Store an end and tell everyone.

        Raises:
            IllegalTransitionError: it had ended already.
        """
        now = self._clock.now()
        ended = replace(
            execution,
            state=state,
            finished_at=now,
            output=run.output() if run is not None and state is ExecutionState.SUCCEEDED else None,
            error=run.error if run is not None else execution.error,
        )
        await self.executions.finish(
            execution.id,
            state=state,
            output=ended.output,
            error=ended.error,
            node_runs=run.order if run is not None else [],
            now=now,
        )
        if live is not None:
            live.execution = ended
            self.retire(live)
        self.announcements.state_changed(ended)
        return ended

    async def follow(self, execution_id: str, *, timeout_seconds: float) -> AsyncIterator[Event]:
        """Events of one execution until it ends or the time is over."""
        live = self._live.get(execution_id)
        if live is None:
            return
        async with self.announcements.listen(live.execution.workflow_id) as events:
            try:
                async with asyncio.timeout(timeout_seconds):
                    while not live.finished.is_set():
                        event = await anext(events)
                        if event.data.get("executionId") == execution_id:
                            yield event
                            if event.data.get("status") in FINISHED:
                                return
            except TimeoutError:
                return


def input_items(data: Any) -> Items:
    """An execution's input as items: nothing is one empty item, an object one item, a list one item each.

    Raises:
        InvalidArgumentsError: it is something else.
    """
    if data is None:
        return [Item({})]
    if isinstance(data, dict):
        return [Item(data)]
    if isinstance(data, list) and all(isinstance(each, dict) for each in data):
        return [Item(each) for each in data]
    raise InvalidArgumentsError(
        "The input is neither an object nor a list of objects.",
        pointer="/input",
        fix='Wrap it, for example {"value": …}.',
    )
