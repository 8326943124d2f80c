"""What can be done to an execution: cancel it, resume it, redrive or discard it, run it again from a node."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any
from weakref import WeakValueDictionary

from engine.definitions.authoring import Authoring
from engine.dispatch.local_executions import LocalExecution
from engine.executions.claims import ExecutionClaims
from engine.executions.control_checks import check_answer, look_at, moved, no_such_node, upstream
from engine.executions.service import ExecutionService
from engine.runs.submission import Submission
from workflow.audit import AuditLog
from workflow.errors import (
    IllegalTransitionError,
    InvalidArgumentsError,
    NotWaitingError,
    WorkflowNotFoundError,
)
from workflow.executions import EffectKey, Execution, NodeRun, Record, Resumption, Suspension
from workflow.identity import Actor
from workflow.items import JsonObject
from workflow.ports import Clock
from workflow.sharing import Leases
from workflow.states import ExecutionEvent, ExecutionState

CANCEL_SECONDS = 30.0
"""How long another process is waited for that is told to stop an execution."""
SEIZE_AGAIN_SECONDS = 0.02
UNENDED = (ExecutionState.QUEUED, ExecutionState.WAITING, ExecutionState.DEAD)
GOING_ON = (ExecutionState.QUEUED, ExecutionState.WAITING)
"""States in which nobody need have an execution in hand; in the second ones it goes on when it is told something."""


class Control:
    """Moves executions on from outside their run. Every method returns when what it did is stored.

    What somebody asks for takes the actor; what follows from other executions and from time does not.
    """

    def __init__(
        self,
        *,
        authoring: Authoring,
        service: ExecutionService,
        claims: ExecutionClaims,
        leases: Leases,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._authoring = authoring
        self._service = service
        self._taking = claims
        self._leases = leases
        self._audit = audit
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def cancel(self, actor: Actor, execution_id: str) -> Execution:
        """End an execution that has not ended.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it has ended already.
        """
        async with self._moving(execution_id):
            cancelled = await self._cancel(actor, execution_id)
        await self._note(actor, "cancelled", cancelled)
        return cancelled

    async def _cancel(self, actor: Actor, execution_id: str) -> Execution:
        owner = actor.workspace_id
        execution = await self._service.get(owner, execution_id)
        moved(execution, ExecutionEvent.CANCEL)
        local = await self._in_hand(execution_id)
        if local is not None and local.task is not None:
            local.cancel()
            await local.finished.wait()
        elif local is not None:
            local.is_cancelled_by_caller = True
            await self._service.move(
                self._service.ended(local.execution, ExecutionState.CANCELLED, None), [], local=local
            )
        elif (seized := await self._seized(owner, execution_id, UNENDED, is_cancelled=True)) is not None:
            await self._service.move(self._service.ended(seized, ExecutionState.CANCELLED, None), [], local=None)
        else:
            await self._service.wait(owner, execution_id, timeout_seconds=CANCEL_SECONDS)
        ended = await self._service.get(owner, execution_id)
        if ended.state is not ExecutionState.CANCELLED:
            raise IllegalTransitionError(
                "It has been told to stop, and has not yet."
                if ended.is_active
                else f"The execution {ended.state} before it could be cancelled.",
                fix="Look at it.",
                next_call=look_at(execution_id),
            )
        return ended

    async def _seized(
        self,
        owner: str,
        execution_id: str,
        states: Collection[ExecutionState],
        records: Sequence[Record] = (),
        *,
        is_cancelled: bool = False,
    ) -> Execution | None:
        """Take in hand what nobody has in hand; ``None`` where another process has it, and is told instead.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            IllegalTransitionError: it is in none of the ``states``, and nobody has it.
        """
        while True:
            seized = await self._leases.claim_idle(owner, execution_id, states, now=self._clock.now())
            if seized is not None:
                return seized
            execution = await self._service.store.get(owner, execution_id)
            if not execution.is_active and execution.state not in states:
                raise IllegalTransitionError(
                    f"The execution is {execution.state} by now.", fix="Look at it.", next_call=look_at(execution_id)
                )
            holder = await self._leases.signal(execution_id, records, is_cancelled=is_cancelled)
            if holder is not None:
                self._service.announcements.told(holder, execution)
                return None
            await asyncio.sleep(SEIZE_AGAIN_SECONDS)  # it is just passing from one hand into another

    async def discard(self, actor: Actor, execution_id: str) -> Execution:
        """Give a dead letter up.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it is not dead.
        """
        execution = await self._service.get(actor.workspace_id, execution_id)
        if execution.state is not ExecutionState.DEAD:
            raise IllegalTransitionError(
                f"An execution that is {execution.state} cannot be discarded; only a dead one can.",
                pointer="/action",
                fix="Look at it; if it has not ended and should not go on, cancel it.",
                next_call=look_at(execution_id),
            )
        async with self._moving(execution_id):
            discarded = await self._cancel(actor, execution_id)
        await self._note(actor, "discarded", discarded)
        return discarded

    async def redrive(self, actor: Actor, execution_id: str) -> LocalExecution:
        """Queue a dead letter again: what it did before counts, the node that failed runs again.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it is not dead.
        """
        local = await self._redrive(actor, execution_id)
        await self._note(actor, "redriven", local.execution)
        return local

    async def _redrive(self, actor: Actor, execution_id: str) -> LocalExecution:
        moved(await self._service.store.get(actor.workspace_id, execution_id), ExecutionEvent.REDRIVE)
        execution = await self._leases.claim_idle(
            actor.workspace_id, execution_id, [ExecutionState.DEAD], now=self._clock.now()
        )
        if execution is None:
            raise IllegalTransitionError(
                "Somebody has queued it again just now.", fix="Look at it.", next_call=look_at(execution_id)
            )
        state = moved(execution, ExecutionEvent.REDRIVE)
        queued = execution.changed(state=state, finished_at=None, error=None, notified_at=None)
        return await self._requeue(queued, [])

    async def resume(
        self,
        actor: Actor,
        execution_id: str,
        *,
        node: str | None = None,
        item: int | None = None,
        data: Any = None,
        by: str,
        kinds: Sequence[str] = (),
    ) -> Execution:
        """Tell a waiting execution what it waits for. ``node`` and ``item`` say which of several that wait is meant.

        Raises:
            ExecutionNotFoundError: there is none.
            NotWaitingError: nothing (of these ``kinds``) waits there.
            InvalidArgumentsError: several do, or the answer does not answer what was asked.
        """
        waiting = await self._service.waiting(actor.workspace_id, execution_id)
        found = [
            each
            for each in waiting
            if node in (None, each.key.node)
            and item in (None, each.key.item_index)
            and (not kinds or each.kind in kinds)
        ]
        if not found:
            execution = await self._service.get(actor.workspace_id, execution_id)
            raise NotWaitingError(execution_id, execution.state)
        if len(found) > 1:
            places = ", ".join(f"{each.key.node}[{each.key.item_index}]" for each in found[:20])
            raise InvalidArgumentsError(
                f"{len(found)} items wait: {places}.",
                pointer="/node" if node is None else "/item",
                fix="Name the node that you mean, and the number of the item.",
                next_call=look_at(execution_id),
            )
        return await self.answer(actor, execution_id, found[0], data=data, by=by)

    async def answer(self, actor: Actor, execution_id: str, waiting: Suspension, *, data: Any, by: str) -> Execution:
        """Tell one waiting item what it waits for. Of several answers the first counts.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            NotWaitingError: the item does not wait any more.
            InvalidArgumentsError: the answer does not answer what was asked; it still waits.
        """
        check_answer(execution_id, waiting, data)
        async with self._moving(execution_id):
            if waiting not in await self._service.waiting(actor.workspace_id, execution_id):
                execution = await self._service.get(actor.workspace_id, execution_id)
                raise NotWaitingError(execution_id, execution.state)
            resumed = await self._wake(actor.workspace_id, execution_id, waiting.key, data=data, by=by)
        await self._note(actor, "resumed", resumed, {"node": waiting.key.node, "item": waiting.key.item_index})
        return resumed

    async def wake(self, owner: str, execution_id: str, key: EffectKey, *, data: Any, by: str) -> Execution:
        """Let one waiting item go on.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            IllegalTransitionError: it has ended.
        """
        async with self._moving(execution_id):
            return await self._wake(owner, execution_id, key, data=data, by=by)

    async def _wake(self, owner: str, execution_id: str, key: EffectKey, *, data: Any, by: str) -> Execution:
        resumption = Resumption(key=key, at=self._clock.now(), by=by, data=data)
        local = await self._in_hand(execution_id, to_deliver=True)
        if local is not None:
            await self._deliver(local, resumption)
            return local.execution
        execution = await self._seized(owner, execution_id, GOING_ON, [resumption])
        if execution is None:
            return await self._service.get(owner, execution_id)
        queued = execution.changed(state=ExecutionState.QUEUED, wake_at=None)
        return (await self._requeue(queued, [resumption])).execution

    async def _in_hand(self, execution_id: str, *, to_deliver: bool = False) -> LocalExecution | None:
        """The execution, if this process has it in hand. One that is being stored is waited for: then nobody has; but
        one that begins to wait can still be told something, where no other process could take it meanwhile."""
        while (local := self._service.local.get(execution_id)) is not None and local.storing.locked():
            if to_deliver and self._service.is_alone and local.execution.state is ExecutionState.WAITING:
                break
            async with local.storing:
                continue
        return local

    async def _deliver(self, local: LocalExecution, resumption: Resumption) -> None:
        """What was said to an execution that is in hand goes into its journal, and keeps it from waiting for it."""
        records: Sequence[Record] = [resumption]
        if local.run is not None:
            local.run.journal.note(resumption)
            records = local.run.journal.flush()
        local.was_resumed = True
        self._service.store.save(local.execution, records)
        await self._service.store.committed(local.execution.id)

    async def wake_due(self, execution: Execution) -> None:
        """Let an execution go on whose timer is over; its journal says which item."""
        async with self._moving(execution.id):
            now = await self._service.get(execution.owner, execution.id)
            if now.state is ExecutionState.WAITING and self._service.local.get(execution.id) is None:
                await self._requeue(now.changed(state=ExecutionState.QUEUED, wake_at=None), [])

    async def wake_signalled(self, execution: Execution) -> None:
        """Let an execution go on that another process has told something while it was being stored as waiting.

        Raises:
            IllegalTransitionError: it has ended meanwhile.
        """
        async with self._moving(execution.id):
            seized = await self._seized(execution.owner, execution.id, GOING_ON)
            if seized is not None:
                await self._requeue(seized.changed(state=ExecutionState.QUEUED, wake_at=None), [])

    async def requeue_claimed(self, execution: Execution) -> None:
        """Queue an execution again that another process, or this one before it was killed, had in hand."""
        async with self._moving(execution.id):
            if self._service.local.get(execution.id) is None:
                await self._requeue(execution.changed(state=ExecutionState.QUEUED), [])

    async def rerun(
        self, actor: Actor, execution_id: str, *, from_node: str | None, as_it_is_now: bool = False
    ) -> LocalExecution:
        """Execute again: what ran before ``from_node`` counts as done, it and what lies behind run again.

        ``as_it_is_now`` takes the workflow's current version in place of the one that ran before.

        Raises:
            ExecutionNotFoundError: there is none.
            NodeNotFoundError: there is no such node.
        """
        local = await self._rerun(actor, execution_id, from_node=from_node, as_it_is_now=as_it_is_now)
        await self._note(actor, "rerun", local.execution, {"of": execution_id, "from": from_node})
        return local

    async def _rerun(
        self, actor: Actor, execution_id: str, *, from_node: str | None, as_it_is_now: bool
    ) -> LocalExecution:
        execution = await self._service.store.get(actor.workspace_id, execution_id)
        version = None if as_it_is_now else execution.workflow_version
        compiled = self._authoring.compiled(
            await self._authoring.workflows.get(execution.owner, execution.workflow_id, version)
        )
        recorded: list[Record] = []
        if from_node is not None:
            if from_node not in compiled.index_by_name:
                raise no_such_node(execution_id, from_node, compiled)
            kept = upstream(compiled, from_node)
            recorded = [
                record
                for record in await self._service.store.journal(execution_id)
                if (record.node if isinstance(record, NodeRun) else record.key.node) in kept
            ]
        local = await self._service.submit(
            compiled,
            Submission(
                trigger=execution.trigger,
                initiator=actor.initiator,
                start_node=execution.start_node,
                data=execution.input,
                mode=execution.mode,
                pins=execution.pins,
                priority=execution.priority,
                rerun_of=execution.id,
                recorded=recorded,
            ),
        )
        await self._service.accepted(local)
        return local

    async def retry(self, actor: Actor, execution_id: str) -> Execution:
        """Try again what failed: a dead letter is queued again, of a failed execution there is a new one that starts
        where it failed.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it has not failed.
        """
        execution = await self._service.get(actor.workspace_id, execution_id)
        if execution.state is ExecutionState.DEAD:
            tried_again = (await self._redrive(actor, execution_id)).execution
            await self._note(actor, "retried", tried_again)
            return tried_again
        if execution.state is not ExecutionState.FAILED:
            raise IllegalTransitionError(
                f"An execution that is {execution.state} cannot be retried; only one that failed can.",
                fix="Run it again from a node, or as a whole, with the action rerun.",
                next_call=look_at(execution_id),
            )
        failed = execution.error.node if execution.error is not None else None
        tried_again = (await self._rerun(actor, execution_id, from_node=failed, as_it_is_now=False)).execution
        await self._note(actor, "retried", tried_again, {"of": execution_id, "from": failed})
        return tried_again

    async def _note(self, actor: Actor, what: str, execution: Execution, details: JsonObject | None = None) -> None:
        """What somebody did to an execution is in the audit log, on the disk."""
        noted = {"workflow": execution.workflow_id, **(details or {})}
        self._audit.note(actor, f"execution.{what}", f"execution:{execution.id}", noted)
        await self._audit.written()

    def _moving(self, execution_id: str) -> asyncio.Lock:
        """Held by whoever moves it on: two at once would both find it waiting, and both take it in hand."""
        return self._locks.setdefault(execution_id, asyncio.Lock())

    async def _requeue(self, execution: Execution, records: Sequence[Record]) -> LocalExecution:
        try:
            local = await self._taking.in_hand(execution)
        except WorkflowNotFoundError as error:
            await self._taking.fail_orphan(execution, error)
            raise
        self._service.store.save(execution, records, job=self._service.dispatch.letter(execution, local.compiled))
        await self._service.store.committed(execution.id)
        await self._service.dispatch.add(local)
        self._service.announcements.state_changed(execution)
        return local
