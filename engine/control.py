"""What can be done to an execution: cancel it, resume it, redrive or discard it, run it again from a node."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from engine.authoring import Authoring
from engine.executions import ExecutionService, Submission
from engine.live import LiveExecution
from engine.plan import Plan
from workflow import graph
from workflow.agent_questions import read_answer
from workflow.audit import AuditLog
from workflow.errors import (
    IllegalTransitionError,
    InvalidArgumentsError,
    NextCall,
    NodeNotFoundError,
    NotWaitingError,
)
from workflow.executions import EffectKey, Execution, NodeRun, Record, Resumption, Suspension
from workflow.findings import did_you_mean, listed, nearest
from workflow.identity import Actor
from workflow.items import JsonObject
from workflow.ports import Clock
from workflow.states import ExecutionEvent, ExecutionState, next_state


class Control:
    """Moves executions on from outside their run. Every method returns when what it did is stored.

    What somebody asks for takes the actor; what follows from other executions and from time does not.
    """

    def __init__(self, *, authoring: Authoring, service: ExecutionService, audit: AuditLog, clock: Clock) -> None:
        self._authoring = authoring
        self._service = service
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
        execution = await self._service.get(actor.workspace_id, execution_id)
        _moved(execution, ExecutionEvent.CANCEL)
        live = self._service.live.get(execution_id)
        if live is not None:
            live.is_cancelled_by_caller = True
        if live is not None and live.task is not None:
            live.task.cancel()
            await live.finished.wait()
        else:
            await self._service.move(self._service.ended(execution, ExecutionState.CANCELLED, None), [], live=live)
        ended = await self._service.get(actor.workspace_id, execution_id)
        if ended.state is not ExecutionState.CANCELLED:
            raise IllegalTransitionError(
                f"The execution {ended.state} before it could be cancelled.",
                fix="Look at it.",
                next_call=_look_at(execution_id),
            )
        return ended

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
                next_call=_look_at(execution_id),
            )
        async with self._moving(execution_id):
            discarded = await self._cancel(actor, execution_id)
        await self._note(actor, "discarded", discarded)
        return discarded

    async def redrive(self, actor: Actor, execution_id: str) -> LiveExecution:
        """Queue a dead letter again: what it did before counts, the node that failed runs again.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it is not dead.
        """
        live = await self._redrive(actor, execution_id)
        await self._note(actor, "redriven", live.execution)
        return live

    async def _redrive(self, actor: Actor, execution_id: str) -> LiveExecution:
        execution = await self._service.store.get(actor.workspace_id, execution_id)
        state = _moved(execution, ExecutionEvent.REDRIVE)
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
                next_call=_look_at(execution_id),
            )
        return await self.answer(actor, execution_id, found[0], data=data, by=by)

    async def answer(self, actor: Actor, execution_id: str, waiting: Suspension, *, data: Any, by: str) -> Execution:
        """Tell one waiting item what it waits for. Of several answers the first counts.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            NotWaitingError: the item does not wait any more.
            InvalidArgumentsError: the answer does not answer what was asked; it still waits.
        """
        _check_answer(execution_id, waiting, data)
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
        live = self._service.live.get(execution_id)
        if live is not None:
            self._tell(live, [resumption])
            return live.execution
        execution = await self._service.store.get(owner, execution_id)
        queued = execution.changed(state=next_state(execution.state, ExecutionEvent.RESUME), wake_at=None)
        return (await self._requeue(queued, [resumption])).execution

    def _tell(self, live: LiveExecution, records: Sequence[Record]) -> None:
        """What was said to an execution that is in hand goes into its journal, and keeps it from waiting for it."""
        if live.run is not None:
            for record in records:
                live.run.journal.note(record)
        else:
            self._service.store.save(live.execution, records)
        live.resumes = True

    async def wake_due(self, execution: Execution) -> None:
        """Let an execution go on whose timer is over; its journal says which item."""
        async with self._moving(execution.id):
            now = await self._service.get(execution.owner, execution.id)
            if now.state is ExecutionState.WAITING and self._service.live.get(execution.id) is None:
                await self._requeue(now.changed(state=ExecutionState.QUEUED, wake_at=None), [])

    async def take_up(self, execution: Execution) -> None:
        """Queue an execution again that another process, or this one before it was killed, had in hand."""
        async with self._moving(execution.id):
            if self._service.live.get(execution.id) is None:
                await self._requeue(execution.changed(state=ExecutionState.QUEUED), [])

    async def rerun(
        self, actor: Actor, execution_id: str, *, from_node: str | None, as_it_is_now: bool = False
    ) -> LiveExecution:
        """Execute again: what ran before ``from_node`` counts as done, it and what lies behind run again.

        ``as_it_is_now`` takes the workflow's current version in place of the one that ran before.

        Raises:
            ExecutionNotFoundError: there is none.
            NodeNotFoundError: there is no such node.
        """
        live = await self._rerun(actor, execution_id, from_node=from_node, as_it_is_now=as_it_is_now)
        await self._note(actor, "rerun", live.execution, {"of": execution_id, "from": from_node})
        return live

    async def _rerun(
        self, actor: Actor, execution_id: str, *, from_node: str | None, as_it_is_now: bool
    ) -> LiveExecution:
        execution = await self._service.store.get(actor.workspace_id, execution_id)
        version = None if as_it_is_now else execution.workflow_version
        plan = self._authoring.plan(
            await self._authoring.workflows.get(execution.owner, execution.workflow_id, version)
        )
        recorded: list[Record] = []
        if from_node is not None:
            if from_node not in plan.index_by_name:
                raise _no_such_node(execution_id, from_node, plan)
            kept = _upstream(plan, from_node)
            recorded = [
                record
                for record in await self._service.store.journal(execution_id)
                if (record.node if isinstance(record, NodeRun) else record.key.node) in kept
            ]
        live = await self._service.submit(
            plan,
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
        await self._service.accepted(live)
        return live

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
                next_call=_look_at(execution_id),
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

    async def _requeue(self, execution: Execution, records: Sequence[Record]) -> LiveExecution:
        stored = await self._authoring.workflows.get(execution.owner, execution.workflow_id, execution.workflow_version)
        live = LiveExecution(execution, self._authoring.plan(stored), recorded=None)
        self._service.store.save(execution, records)
        await self._service.store.committed(execution.id)
        await self._service.live.add(live)
        self._service.announcements.state_changed(execution)
        return live


def _moved(execution: Execution, event: ExecutionEvent) -> ExecutionState:
    """The state that the event leads to.

    Raises:
        IllegalTransitionError: it cannot happen to this execution as it is.
    """
    try:
        return next_state(execution.state, event)
    except IllegalTransitionError as error:
        raise IllegalTransitionError(
            error.message, pointer="/action", fix=error.fix, next_call=_look_at(execution.id)
        ) from None


def _look_at(execution_id: str) -> NextCall:
    return NextCall("inspect_execution", {"execution_id": execution_id})


def _no_such_node(execution_id: str, name: str, plan: Plan) -> NodeNotFoundError:
    near = nearest(name, plan.index_by_name)
    again = {"execution_id": execution_id, "action": "rerun", "node": near}
    return NodeNotFoundError(
        f"The workflow has no node {name!r}.{did_you_mean(near)}",
        pointer="/node",
        fix=f"Its nodes are: {listed(plan.index_by_name)}.",
        next_call=NextCall("control_execution", again) if near else _look_at(execution_id),
    )


def _upstream(plan: Plan, from_node: str) -> set[str]:
    """The nodes that neither are ``from_node`` nor lie behind it."""
    edges = [graph.Edge(plan.nodes[edge.source].name, "", plan.nodes[edge.target].name, "") for edge in plan.edges]
    return set(plan.index_by_name) - graph.reachable([from_node], graph.successors(edges)) - {from_node}


def _check_answer(execution_id: str, waiting: Suspension, data: Any) -> None:
    if waiting.kind == "model":
        read_answer(waiting.details, data)
    choices = waiting.details.get("choices")
    if waiting.kind != "approval" or not choices:
        return
    answer = data.get("choice") if isinstance(data, dict) else data
    if answer not in choices:
        near = nearest(str(answer), choices)
        right = {"execution_id": execution_id, "action": "resume", "node": waiting.key.node, "data": {"choice": near}}
        raise InvalidArgumentsError(
            f"{answer!r:.60} is none of the choices.{did_you_mean(near)}",
            pointer="/data/choice" if isinstance(data, dict) else "/data",
            fix=f'Answer {{"choice": …}} with one of: {listed(choices)}.',
            next_call=NextCall("control_execution", right) if near else _look_at(execution_id),
        )
