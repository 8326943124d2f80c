"""How executions come in: each one is either accepted, which means stored, or not handed out at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.announcements import Announcements
from engine.definitions.compiled import CompiledWorkflow
from engine.dispatch.local import Dispatch
from engine.dispatch.local_executions import LocalExecution, LocalExecutions
from engine.executions.transitions import Transitions
from engine.runs.submission import Submission, input_items
from workflow.audit import AuditLog, acting
from workflow.errors import ExecutionNotFoundError, NotAcceptedError
from workflow.executions import Execution
from workflow.ports import Clock, ExecutionStore, IdempotencyKeys, NewId
from workflow.states import ExecutionState


class Intake:
    """Accepts executions. A worker runs them; nothing of them lives inside the caller's request."""

    def __init__(
        self,
        *,
        store: ExecutionStore,
        dispatch: Dispatch,
        transitions: Transitions,
        announcements: Announcements,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._store = store
        self._dispatch = dispatch
        self._transitions = transitions
        self._announcements = announcements
        self._clock = clock
        self._new_id = new_id

    async def accept(
        self,
        compiled: CompiledWorkflow,
        submission: Submission,
        *,
        meanwhile: Callable[[Execution], None] | None = None,
    ) -> LocalExecution:
        """The execution, once it is on the disk. It may have run by then. ``meanwhile`` is called while it is on its
        way there, so that what it writes goes along.

        Raises:
            InvalidArgumentsError: the input is not of the form it must have.
            NodeNotFoundError: there is no such trigger.
            QueueFullError, ConcurrencyLimitError: there is no room for it; nothing was stored.
            UnstorableValueError: the input holds something that cannot be stored.
            NotAcceptedError: it cannot be stored; it is gone without a trace.
        """
        local = await self._submit(compiled, submission)
        if meanwhile is not None:
            meanwhile(local.execution)
        await self.stored(local)
        return local

    async def accept_along(self, compiled: CompiledWorkflow, submission: Submission, *, follows: str) -> None:
        """Accept an execution together with the state of another one that the caller saved in this turn of the loop: it
        is stored if and only if that state is. It is not handed out, so nobody waits for it here; its worker drops it
        where it is not stored.

        Raises:
            JobsprintError: see :meth:`accept`.
        """
        await self._submit(compiled, submission, follows=follows)

    async def stored(self, local: LocalExecution) -> None:
        """Return when the execution, as far as it has come, is on the disk.

        Raises:
            NotAcceptedError: it cannot be stored; it is gone without a trace.
        """
        try:
            await self._store.committed(local.execution.id)
        except NotAcceptedError:
            await self._transitions.drop(local)
            raise

    async def _submit(
        self, compiled: CompiledWorkflow, submission: Submission, *, follows: str | None = None
    ) -> LocalExecution:
        input_items(submission.data)
        await self._dispatch.check_room(compiled)
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
            root=submission.root,
            depth=submission.depth,
            rerun_of=submission.rerun_of,
            answer_form=submission.answer_form,
        )
        local = LocalExecution(execution, compiled, submission.recorded)
        letter = self._dispatch.letter(execution, compiled)
        if letter is not None or compiled.definition.settings.durability != "none":
            self._store.save(execution, submission.recorded, job=letter, is_new=True, follows=follows)
        await self._dispatch.add(local)
        self._announcements.state_changed(execution)
        return local


class ExecutionRequests:
    """Accepts what callers ask for: noted in the audit log, and once per idempotency key."""

    def __init__(
        self,
        *,
        intake: Intake,
        store: ExecutionStore,
        local: LocalExecutions,
        keys: IdempotencyKeys,
        audit: AuditLog,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._intake = intake
        self._store = store
        self._local = local
        self._keys = keys
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def execute(self, compiled: CompiledWorkflow, submission: Submission, *, key: str | None = None) -> str:
        """The id of the execution, accepted and noted. With a ``key`` that was used for the workflow within a day it is
        the id of the one that was accepted then.

        Raises:
            JobsprintError: see :meth:`Intake.accept`.
        """
        if key is None:
            return await self._start(compiled, submission)
        wanted = self._new_id()
        execution_id = await self._keys.take(compiled.workflow_id, key, wanted, now=self._clock.now())
        if execution_id != wanted and await self._exists(compiled.owner, execution_id):
            first = self._local.get(execution_id)
            if first is not None:
                await self._intake.stored(first)
            return execution_id
        return await self._start(compiled, replace(submission, execution_id=execution_id))

    async def _start(self, compiled: CompiledWorkflow, submission: Submission) -> str:
        def note(execution: Execution) -> None:
            details = {
                "workflow": execution.workflow_id,
                "version": execution.workflow_version,
                "mode": execution.mode,
            }
            actor = acting(submission.initiator, execution.owner)
            self._audit.note(actor, "execution.started", f"execution:{execution.id}", details)

        local = await self._intake.accept(compiled, submission, meanwhile=note)
        await self._audit.written()
        return local.execution.id

    async def _exists(self, owner: str, execution_id: str) -> bool:
        if self._local.of(owner, execution_id) is not None:
            return True
        try:
            await self._store.get(owner, execution_id)
        except ExecutionNotFoundError:
            return False
        return True
