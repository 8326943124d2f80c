"""What callers do to executions: cancel, resume, redrive or discard, retry, run again from a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.definitions.authoring import Authoring
from engine.dispatch.local_executions import LocalExecution
from engine.dispatch.milestones import Milestone, Milestones
from engine.executions.cancelling import Canceller
from engine.executions.claims import ExecutionClaims
from engine.executions.control_checks import (
    check_answer,
    check_answerer,
    look_at,
    moved,
    no_such_node,
    the_one_meant,
    upstream,
)
from engine.executions.intake import Intake
from engine.executions.reader import ExecutionReader, waiting_of
from engine.executions.wakeups import Wakeups
from engine.runs.submission import Submission
from workflow.audit import AuditLog
from workflow.errors import IllegalTransitionError, NotWaitingError
from workflow.executions import Execution, NodeRun, Record, Suspension
from workflow.identity import Actor
from workflow.items import JsonObject
from workflow.messages import utc_text
from workflow.ports import Clock
from workflow.states import ExecutionEvent, ExecutionState


class Control:
    """Moves executions for an actor. Every method returns when what it did is stored and in the audit log."""

    def __init__(
        self,
        *,
        authoring: Authoring,
        reader: ExecutionReader,
        intake: Intake,
        claims: ExecutionClaims,
        wakeups: Wakeups,
        canceller: Canceller,
        audit: AuditLog,
        clock: Clock,
        milestones: Milestones,
    ) -> None:
        self._authoring = authoring
        self._reader = reader
        self._intake = intake
        self._claims = claims
        self._wakeups = wakeups
        self._canceller = canceller
        self._audit = audit
        self._clock = clock
        self._milestones = milestones

    async def cancel(self, actor: Actor, execution_id: str) -> Execution:
        """End an execution that has not ended, and what it waits for.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it has ended already.
        """
        cancelled = await self._canceller.cancel(actor.workspace_id, execution_id)
        await self._note(actor, "cancelled", cancelled)
        return cancelled

    async def discard(self, actor: Actor, execution_id: str) -> Execution:
        """Give a dead letter up.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it is not dead.
        """
        execution = await self._reader.get(actor.workspace_id, execution_id)
        if execution.state is not ExecutionState.DEAD:
            raise IllegalTransitionError(
                f"An execution that is {execution.state} cannot be discarded; only a dead one can.",
                pointer="/action",
                fix="Look at it; if it has not ended and should not go on, cancel it.",
                next_call=look_at(execution_id),
            )
        discarded = await self._canceller.cancel(actor.workspace_id, execution_id)
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
        owner = actor.workspace_id
        async with self._wakeups.moving(execution_id):
            moved(await self._reader.get(owner, execution_id), ExecutionEvent.REDRIVE)
            execution = await self._wakeups.claim_idle(owner, execution_id, [ExecutionState.DEAD])
            if execution is None:  # another process has queued it just now, and runs it
                raise IllegalTransitionError(
                    "Somebody has queued it again just now.", fix="Look at it.", next_call=look_at(execution_id)
                )
            # Its time begins anew: settings.timeout_seconds would have run out while it was dead.
            began = {"started_at": self._clock.now()} if execution.started_at is not None else {}
            queued = moved(execution, ExecutionEvent.REDRIVE, finished_at=None, error=None, notified_at=None, **began)
            return await self._claims.requeue(queued)

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
        """Answer what a waiting execution waits for. ``node`` and ``item`` say which of several that wait is meant.

        Raises:
            ExecutionNotFoundError: there is none.
            NotWaitingError: nothing (of these ``kinds``) waits there.
            InvalidArgumentsError: several do, or the answer does not answer what was asked.
            PeopleOnlyError: a person must answer, and the actor is a program.
        """

        def meant(execution: Execution, waiting: Sequence[Suspension]) -> Suspension:
            return the_one_meant(execution, waiting, node=node, item=item, kinds=kinds)

        return await self._answer(actor, execution_id, meant, data=data, by=by)

    async def answer(self, actor: Actor, execution_id: str, waiting: Suspension, *, data: Any, by: str) -> Execution:
        """Answer one waiting item. Of several answers the first counts.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            NotWaitingError: the item does not wait any more.
            InvalidArgumentsError: the answer does not answer what was asked; it still waits.
            PeopleOnlyError: a person must answer, and the actor is a program; it still waits.
        """

        def meant(execution: Execution, all_that_wait: Sequence[Suspension]) -> Suspension:
            if waiting not in all_that_wait:
                raise NotWaitingError(execution.id, execution.state)
            return waiting

        return await self._answer(actor, execution_id, meant, data=data, by=by)

    async def _answer(
        self,
        actor: Actor,
        execution_id: str,
        meant: Callable[[Execution, Sequence[Suspension]], Suspension],
        *,
        data: Any,
        by: str,
    ) -> Execution:
        owner = actor.workspace_id
        # Under the lock no other answer can come between reading what waits and storing this one. The journal is read
        # once: it says what waits, and goes along to the worker.
        async with self._wakeups.moving(execution_id):
            execution, recorded = await self._reader.recorded(owner, execution_id)
            waiting = meant(execution, waiting_of(execution, recorded))
            check_answerer(actor, execution_id, waiting)
            check_answer(execution_id, waiting, data)
            await self._milestones.reached(Milestone.ANSWER_CHECKED, execution_id)
            resumed = await self._wakeups.resume(
                owner, execution_id, waiting.key, data=data, by=by, who=actor.initiator, recorded=recorded
            )
        asked = {"kind": waiting.kind, "asked_at": utc_text(waiting.at), "through": by}
        await self._note(actor, "resumed", resumed, {"node": waiting.key.node, "item": waiting.key.item_index, **asked})
        return resumed

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
        execution, journal = await self._reader.recorded(actor.workspace_id, execution_id)
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
                for record in journal
                if (record.node if isinstance(record, NodeRun) else record.key.node) in kept
            ]
        submission = Submission(
            trigger=execution.trigger,
            initiator=actor.initiator,
            start_node=execution.start_node,
            data=execution.input,
            mode=execution.mode,
            pins=execution.pins,
            priority=execution.priority,
            rerun_of=execution.id,
            recorded=recorded,
        )
        return await self._intake.accept(compiled, submission)

    async def retry(self, actor: Actor, execution_id: str) -> Execution:
        """Try again what failed: a dead letter is queued again; a failed execution gets a new one that starts where it
        failed.

        Raises:
            ExecutionNotFoundError: there is none.
            IllegalTransitionError: it has not failed.
        """
        execution = await self._reader.get(actor.workspace_id, execution_id)
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
        """Note in the audit log what an actor did to an execution, and wait until that is on the disk."""
        noted = {"workflow": execution.workflow_id, **(details or {})}
        self._audit.note(actor, f"execution.{what}", f"execution:{execution.id}", noted)
        await self._audit.written()
