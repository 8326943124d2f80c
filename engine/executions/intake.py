"""How executions come in: each one is either accepted, which means stored, or not handed out at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from engine.announcements import Announcements
from engine.definitions.compiled import CompiledWorkflow
from engine.dispatch.local import Dispatch
from engine.dispatch.local_executions import LocalExecution, LocalExecutions
from engine.executions.transitions import Transitions
from engine.runs.submission import Submission, input_items
from workflow.audit import AuditLog, acting
from workflow.errors import ErrorKind, ExecutionNotFoundError, JobsprintError, NextCall, NotAcceptedError, StorageError
from workflow.executions import Execution
from workflow.findings import Finding, listed
from workflow.idempotency import IdempotencyKeys
from workflow.ports import Clock, ExecutionStore, NewId
from workflow.schedules.schedules import SlotEntry
from workflow.states import ExecutionState

LOOKS, PAUSE_SECONDS = 10, 0.05
"""How often a process looks for the execution of another one that has the key and has not stored it yet."""


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
        slot: SlotEntry | None = None,
    ) -> LocalExecution:
        """The execution, once it is on the disk. It may have run by then. ``meanwhile`` is called while it is on its
        way there, so that what it writes goes along. ``slot`` is the schedule's slot that it is for.

        Raises:
            InvalidArgumentsError: the input is not of the form it must have.
            NodeNotFoundError: there is no such trigger.
            QueueFullError, ConcurrencyLimitError: there is no room for it; nothing was stored.
            UnstorableValueError: the input holds something that cannot be stored.
            NotAcceptedError: it cannot be stored; it is gone without a trace.
        """
        local = await self._submit(compiled, submission, slot=slot)
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
        self,
        compiled: CompiledWorkflow,
        submission: Submission,
        *,
        follows: str | None = None,
        slot: SlotEntry | None = None,
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
        if letter is not None or slot is not None or compiled.definition.settings.durability != "none":
            self._store.save(execution, submission.recorded, job=letter, is_new=True, follows=follows, slot=slot)
        await self._dispatch.add(local)
        self._announcements.state_changed(execution)
        return local


class Requested(NamedTuple):
    """The execution of a request; ``is_repeated`` says that an earlier request with the same key has started it."""

    execution_id: str
    is_repeated: bool


class IdempotencyMismatchError(JobsprintError):
    """An idempotency key was used for another request. Its findings say what differs."""

    code = "idempotency_mismatch"
    kind = ErrorKind.CONFLICT

    def __init__(self, execution_id: str, differing: Sequence[str]) -> None:
        super().__init__(
            f"This idempotency key was used within 24 h for a request with another {listed(differing)}.",
            pointer="/idempotency_key",
            fix="Take a new key for a new run, or send the first request again, unchanged, to get its run.",
            next_call=NextCall("inspect_execution", {"execution_id": execution_id}),
        )
        self.findings = tuple(
            Finding(
                code="idempotency_mismatch",
                pointer=f"/{part}",
                message=f"The {part} is not that of the first request with this key.",
                fix="Send it as it was, or take a new key.",
            )
            for part in differing
        )


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
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def execute(self, compiled: CompiledWorkflow, submission: Submission, *, key: str | None = None) -> str:
        """The id of the execution, accepted and noted; see :meth:`request`.

        Raises:
            JobsprintError: see :meth:`request`.
        """
        return (await self.request(compiled, submission, key=key)).execution_id

    async def request(self, compiled: CompiledWorkflow, submission: Submission, *, key: str | None = None) -> Requested:
        """The execution, accepted and noted. With a ``key`` that was used for the workflow within a day it is the one
        that was accepted then, however that ended; a request that was refused leaves its key free.

        1. Two requests with one key in this process take turns, so the second one finds the first one's execution.
        2. Two in two processes get one execution id from the store. The second waits a moment for the first one's
           execution; where none comes the first process is gone, and the second accepts the execution under that id.

        Raises:
            IdempotencyMismatchError: the key was used for another version, input or way to run it.
            JobsprintError: see :meth:`Intake.accept`.
        """
        if key is None:
            return Requested(await self._start(compiled, submission), is_repeated=False)
        turn = self._turns.setdefault((compiled.workflow_id, key), asyncio.Lock())
        async with turn:
            return await self._once(compiled, submission, key)

    async def _once(self, compiled: CompiledWorkflow, submission: Submission, key: str) -> Requested:
        wanted, asked = self._new_id(), _digests(compiled, submission)
        bound = await self._keys.bind(compiled.workflow_id, key, wanted, request=asked, now=self._clock.now())
        if bound.request is not None and bound.request != asked:
            differing = [part for part in asked if bound.request.get(part) != asked[part]]
            raise IdempotencyMismatchError(bound.execution_id, differing)
        is_first = bound.execution_id == wanted
        if not is_first and await self._is_there(compiled.owner, bound.execution_id, looks=LOOKS):
            return Requested(bound.execution_id, is_repeated=True)
        try:
            started = await self._start(compiled, replace(submission, execution_id=bound.execution_id))
        except JobsprintError:
            # 1. Another process has stored it just now: that one's counts.
            # 2. It is accepted, and only the note of it could not be written: the key stays.
            # 3. It was refused. Where the store cannot say so the key stays, for the same request.
            with suppress(StorageError):
                if not await self._is_there(compiled.owner, bound.execution_id, looks=1):
                    await self._keys.free(compiled.workflow_id, key, bound.execution_id)
                elif not is_first:
                    return Requested(bound.execution_id, is_repeated=True)
            raise
        return Requested(started, is_repeated=False)

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

    async def _is_there(self, owner: str, execution_id: str, *, looks: int) -> bool:
        """Whether the execution is accepted; with several ``looks`` also where another process is about to store it."""
        for look in range(looks):
            first = self._local.of(owner, execution_id)
            if first is not None:
                await self._intake.stored(first)
                return True
            try:
                await self._store.get(owner, execution_id)
            except ExecutionNotFoundError:
                if look + 1 < looks:
                    await asyncio.sleep(PAUSE_SECONDS)
            else:
                return True
        return False


def _digests(compiled: CompiledWorkflow, submission: Submission) -> dict[str, str]:
    """A digest of each part of a request that says what is run."""
    parts = {
        "version": compiled.version,
        "input": submission.data,
        "trigger": submission.start_node,
        "mode": submission.mode,
        "pins": submission.pins,
    }
    return {part: _digest(value) for part, value in parts.items()}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
