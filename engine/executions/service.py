"""Executions from the outside: submit one, wait for it, look at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import NamedTuple

from engine.announcements import Announcements
from engine.definitions.compiled import CompiledWorkflow
from engine.dispatch.local import Dispatch
from engine.dispatch.local_executions import LocalExecution, LocalExecutions
from engine.dispatch.remote import RemoteExecutions
from engine.runs.journal import node_runs_in, waiting_in
from engine.runs.run import Run
from engine.runs.submission import Submission, input_items
from workflow.audit import AuditLog, acting
from workflow.errors import ExecutionNotFoundError, NotAcceptedError
from workflow.executions import Execution, NodeRun, Record, Suspension
from workflow.ports import Clock, ExecutionFilter, ExecutionStore, IdempotencyKeys, NewId, Page
from workflow.states import ACTIVE_STATES, FINISHED, ExecutionState


class NodeProgress(NamedTuple):
    """A node run has ended: the ``finished``-th of ``total`` as far as is known, which ``None`` is not at all. With a
    ``note`` the node is at work, and tells how far it has come."""

    node: str
    finished: int
    total: int | None
    note: str | None = None


@dataclass(slots=True, frozen=True)
class Inspection:
    """An execution and its node runs; ``running`` names nodes at work, ``retrying`` why, ``waiting`` what
    waits, also while other parts run or are queued."""

    execution: Execution
    node_runs: Sequence[NodeRun]
    running: Sequence[str] = ()
    retrying: Sequence[tuple[str, str]] = ()
    waiting: Sequence[Suspension] = ()


class ExecutionService:
    """Accepts executions and tells of them. A worker runs them; nothing here lives inside a caller's request.

    An execution belongs to the workspace of its workflow. What reads takes the workspace that asks (``owner``); what
    belongs to another one is not there for it. ``elsewhere`` follows what other processes run; ``None`` where there are
    none.
    """

    def __init__(
        self,
        *,
        store: ExecutionStore,
        local: LocalExecutions,
        dispatch: Dispatch,
        remote: RemoteExecutions | None,
        announcements: Announcements,
        keys: IdempotencyKeys,
        audit: AuditLog,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.store = store
        self.announcements = announcements
        self.local = local
        self.dispatch = dispatch
        self._elsewhere = remote
        self._keys = keys
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    @property
    def is_alone(self) -> bool:
        """Whether no other process can have an execution in hand."""
        return self._elsewhere is None

    async def submit(self, compiled: CompiledWorkflow, submission: Submission) -> LocalExecution:
        """Take an execution in hand. It counts as accepted only when :meth:`accepted` has returned.

        Raises:
            InvalidArgumentsError: the input is not of the form it must have.
            NodeNotFoundError: there is no such trigger.
            QueueFullError, ConcurrencyLimitError: there is no room for it; nothing was stored.
            UnstorableValueError: the input holds something that cannot be stored.
        """
        input_items(submission.data)
        await self.dispatch.check_room(compiled)
        execution = Execution(
            id=submission.execution_id or self._new_id(),
            owner=compiled.owner,
            workflow_id=compiled.workflow_id,
            workflow_name=compiled.definition.name,
            workflow_version=compiled.version,
            state=ExecutionState.QUEUED,
            trigger=submission.trigger,
            start_node=compiled.trigger(node=submission.start_node, type_name=submission.trigger).name,
            input=submission.data,
            created_at=self._clock.now(),
            initiator=submission.initiator,
            mode=submission.mode,
            pins=submission.pins,
            priority=submission.priority or compiled.definition.settings.priority,
            parent=submission.parent,
            rerun_of=submission.rerun_of,
            answer_form=submission.answer_form,
        )
        local = LocalExecution(execution, compiled, submission.recorded)
        letter = self.dispatch.letter(execution, compiled)
        if letter is not None or compiled.definition.settings.durability != "none":
            self.store.save(execution, submission.recorded, job=letter)
        await self.dispatch.add(local)
        self.announcements.state_changed(execution)
        return local

    async def execute(self, compiled: CompiledWorkflow, submission: Submission, *, key: str | None = None) -> str:
        """Submit what a caller asked for, once per ``key`` where there is one; its id when it is accepted and noted.

        Raises:
            JobsprintError: see :meth:`submit` and :meth:`accepted`.
        """
        if key is not None:
            return await self.submit_once(compiled, submission, key=key)
        return await self._start(compiled, submission)

    async def submit_once(self, compiled: CompiledWorkflow, submission: Submission, *, key: str) -> str:
        """Submit unless this key was used for the workflow within a day; the execution's id either way.

        Raises:
            JobsprintError: see :meth:`submit` and :meth:`accepted`.
        """
        now = self._clock.now()
        wanted = self._new_id()
        execution_id = await self._keys.take(compiled.workflow_id, key, wanted, now=now)
        if execution_id != wanted and await self._exists(compiled.owner, execution_id):
            first = self.local.get(execution_id)
            if first is not None:
                await self.accepted(first)
            return execution_id
        return await self._start(compiled, replace(submission, execution_id=execution_id))

    async def _start(self, compiled: CompiledWorkflow, submission: Submission) -> str:
        local = await self.submit(compiled, submission)
        # Noted before it is accepted, so that both are on their way to the disk at the same time.
        execution = local.execution
        details = {"workflow": execution.workflow_id, "version": execution.workflow_version, "mode": execution.mode}
        actor = acting(submission.initiator, execution.owner)
        self._audit.note(actor, "execution.started", f"execution:{execution.id}", details)
        await self.accepted(local)
        await self._audit.written()
        return execution.id

    async def accepted(self, local: LocalExecution) -> None:
        """Return when the execution, as far as it has come, is on the disk.

        Raises:
            NotAcceptedError: it cannot be stored; it is gone without a trace.
        """
        try:
            await self.store.committed(local.execution.id)
        except NotAcceptedError:
            await self.drop(local)
            raise

    async def drop(self, local: LocalExecution) -> None:
        """Forget an execution that was never stored, and stop it where it runs."""
        if local.task is not None and local.task is not asyncio.current_task():
            local.task.cancel()
        await self.retire(local)

    async def retire(self, local: LocalExecution) -> None:
        """Let go of an execution that has ended or waits, wake whoever waits for it, and let the next one in."""
        if self.local.discard(local):
            await self.dispatch.ended(local)

    async def wait(self, owner: str, execution_id: str, *, timeout_seconds: float) -> None:
        """Return when the execution has ended or waits, or when the time is over. Never cancels it."""
        local = self._live(owner, execution_id)
        if timeout_seconds <= 0:
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                if local is not None:
                    await local.finished.wait()
                elif self._elsewhere is not None:
                    async with aclosing(self._elsewhere.steps(owner, execution_id, has_details=False)) as steps:
                        async for _ in steps:
                            continue
        except (TimeoutError, ExecutionNotFoundError):
            return

    async def get(self, owner: str, execution_id: str) -> Execution:
        """The execution as it is now.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        local = self._live(owner, execution_id)
        return local.execution if local is not None else await self.store.get(owner, execution_id)

    async def inspect(self, owner: str, execution_id: str) -> Inspection:
        """The execution and its node runs so far.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        local = self._live(owner, execution_id)
        if local is not None and local.run is not None:
            run = local.run
            return Inspection(
                local.execution,
                list(run.order),
                tuple(run.running),
                tuple(run.retrying.items()),
                run.journal.waiting(),
            )
        if local is not None:
            execution, records = local.execution, await self.store.journal(execution_id)
        else:
            execution, records = await self.store.recorded(owner, execution_id)
        has_ended = execution.state in FINISHED or execution.state is ExecutionState.DEAD
        return Inspection(execution, node_runs_in(records), waiting=() if has_ended else waiting_in(records))

    async def owner_of(self, execution_id: str) -> str:
        """Whose the execution is, for those who were given a link to it.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        local = self.local.get(execution_id)
        return local.execution.owner if local is not None else await self.store.owner_of(execution_id)

    def progress(self, owner: str, execution_id: str) -> NodeProgress | None:
        """How far an execution is that this process runs: its latest node run."""
        local = self._live(owner, execution_id)
        if local is None or local.run is None or not local.run.order:
            return None
        finished = len(local.run.order)
        return NodeProgress(local.run.order[-1].node, finished, max(finished, len(local.compiled.nodes)))

    async def waiting(self, owner: str, execution_id: str) -> Sequence[Suspension]:
        """What waits in the execution now, also while other parts of it run.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        return (await self.inspect(owner, execution_id)).waiting

    async def woken(self, owner: str, execution_id: str, *, timeout_seconds: float) -> None:
        """Return when an execution that waits goes on, or when the time is over.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        execution = await self.get(owner, execution_id)
        async with self.announcements.listen(execution.workflow_id) as events:
            if (await self.get(owner, execution_id)).state is not ExecutionState.WAITING:
                return
            try:
                async with asyncio.timeout(timeout_seconds):
                    while (await anext(events)).data.get("executionId") != execution_id:
                        continue
            except TimeoutError:
                return

    async def page(self, where: ExecutionFilter, *, limit: int, cursor: str | None) -> Page[Execution]:
        """Executions, newest first; see the store."""
        return await self.store.page(where, limit=limit, cursor=cursor)

    async def move(self, execution: Execution, records: Sequence[Record], *, local: LocalExecution | None) -> None:
        """Store a new state, wait until it is on the disk, and tell everyone.

        Raises:
            StorageError: it could not be stored (yet).
        """
        if local is not None:
            local.execution = execution
        self.store.save(execution, records)
        await self.store.committed(execution.id)
        if local is not None and not execution.is_active:
            await self.retire(local)
        self.announcements.state_changed(execution)

    def ended(self, execution: Execution, state: ExecutionState, run: Run | None) -> Execution:
        """The execution with its end."""
        now = self._clock.now()
        return execution.changed(
            state=state,
            finished_at=now,
            wake_at=None,
            output=run.output() if run is not None and state is ExecutionState.SUCCEEDED else None,
            error=run.error if run is not None else execution.error,
            notified_at=now if state in (ExecutionState.FAILED, ExecutionState.DEAD) else None,
        )

    async def follow(self, owner: str, execution_id: str, *, timeout_seconds: float) -> AsyncIterator[NodeProgress]:
        """Each node run as it ends, those that have ended first, and what nodes at work tell meanwhile, until the
        execution ends or waits or time is over."""
        local = self._live(owner, execution_id)
        if local is None:
            if self._elsewhere is not None:
                async with aclosing(self._follow_elsewhere(owner, execution_id, timeout_seconds)) as steps:
                    async for step in steps:
                        yield step
            return
        total = len(local.compiled.nodes)
        async with self.announcements.listen(local.execution.workflow_id) as events:
            done = list(local.run.order) if local.run is not None else []
            finished = len(done)
            for count, node_run in enumerate(done, 1):
                yield NodeProgress(node_run.node, count, max(count, total))
            try:
                async with asyncio.timeout(timeout_seconds):
                    while not local.finished.is_set():
                        data = (await anext(events)).data
                        if data.get("executionId") != execution_id:
                            continue
                        if "note" in data:
                            yield NodeProgress(data["node"], finished, max(finished, total), data["note"])
                        elif "node" in data:
                            finished = data["finished"]
                            yield NodeProgress(data["node"], data["finished"], data["total"])
                        elif data["status"] not in ACTIVE_STATES:
                            return
            except TimeoutError:
                return

    async def _follow_elsewhere(
        self, owner: str, execution_id: str, timeout_seconds: float
    ) -> AsyncGenerator[NodeProgress]:
        finished, total = 0, None
        steps = self._elsewhere.steps(owner, execution_id) if self._elsewhere is not None else None
        if steps is None or timeout_seconds <= 0:
            return
        try:
            async with asyncio.timeout(timeout_seconds), aclosing(steps):
                async for data in steps:
                    if "note" in data:
                        yield NodeProgress(data["node"], finished, total, data["note"])
                    elif "node" in data and data["finished"] > finished:
                        finished, total = data["finished"], data.get("total")
                        yield NodeProgress(data["node"], finished, total)
        except (TimeoutError, ExecutionNotFoundError):
            return

    def _live(self, owner: str, execution_id: str) -> LocalExecution | None:
        """The execution, if it is the owner's and this process has it in hand."""
        local = self.local.get(execution_id)
        return local if local is not None and local.execution.owner == owner else None

    async def _exists(self, owner: str, execution_id: str) -> bool:
        try:
            await self.get(owner, execution_id)
        except ExecutionNotFoundError:
            return False
        return True
