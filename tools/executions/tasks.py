"""Executions as tasks of the extension ``io.modelcontextprotocol/tasks`` (SEP-2663).

A task is an execution that a tool's call started, and its id is the execution's. Nothing else is kept of it, so it
outlives restarts, and any process on the database can tell of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import mcp_types as types
from mcp.shared.exceptions import MCPError

from engine.announcements import Announcements
from engine.executions.control import Control
from engine.executions.reader import ExecutionReader
from tools.executions.questions import Abilities, accepted, data_of, question_of, request_for
from tools.executions.views import how_to_answer, may_answer
from tools.protocol.tool import Answer, failure, result_of
from workflow.agent_questions import PeopleOnlyError, is_for_people
from workflow.errors import ExecutionNotFoundError, IllegalTransitionError, JobsprintError, NotWaitingError
from workflow.executions import Execution, Suspension
from workflow.identity import READS_EXECUTIONS, RUNS, Actor, Scopes
from workflow.items import JsonObject
from workflow.messages import utc_text
from workflow.ports import Clock
from workflow.states import ExecutionState

EXTENSION = "io.modelcontextprotocol/tasks"
STATUS: Final[Mapping[ExecutionState, str]] = MappingProxyType(
    {
        ExecutionState.QUEUED: "working",
        ExecutionState.RUNNING: "working",
        # "input_required" where it waits for an answer that the client can get.
        ExecutionState.WAITING: "working",
        ExecutionState.SUCCEEDED: "completed",
        # The tool's result says how it failed; "failed" is only for calls that come to a JSON-RPC error.
        ExecutionState.FAILED: "completed",
        ExecutionState.DEAD: "completed",
        ExecutionState.CANCELLED: "cancelled",
    }
)
WIRE: Final[dict[str, Any]] = {"by_alias": True, "mode": "json", "exclude_none": True}
DAY_MS = 24 * 3600 * 1000
POLL_SHARE = 0.1
"""Of a task's age: who looks again after a tenth of it learns of the end that little too late, at little cost."""
POLL_MIN_MS, POLL_MAX_MS = 200, 5_000


def tasks_needed() -> MCPError:
    """For callers that have not declared the extension and ask for what cannot be had without it."""
    needed = types.ClientCapabilities(extensions={EXTENSION: {}})
    data = types.MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
    return MCPError(
        types.MISSING_REQUIRED_CLIENT_CAPABILITY,
        f"The client has not declared the extension {EXTENSION}.",
        data.model_dump(**WIRE),
    )


class Tasks:
    """What clients see of executions that they hold as tasks, each in the workspace of the actor.

    ``answer`` makes the final result; ``kept_days`` is how long executions are kept, ``None`` for good.
    """

    def __init__(
        self,
        *,
        reader: ExecutionReader,
        announcements: Announcements,
        control: Control,
        answer: Callable[[Execution], Awaitable[Answer]],
        clock: Clock,
        kept_days: float | None,
    ) -> None:
        self._reader = reader
        self._announcements = announcements
        self._control = control
        self._answer = answer
        self._clock = clock
        self._ttl_ms = round(kept_days * DAY_MS) if kept_days is not None else None

    async def handle(self, execution_id: str, *, actor: Actor) -> JsonObject:
        """The ``Task`` that a call is answered with."""
        execution = await self._reader.get(actor.workspace_id, execution_id)
        return self._task(execution, STATUS[execution.state], ())

    async def get(self, task_id: str, *, actor: Actor, client: Abilities) -> JsonObject:
        """The ``DetailedTask``: with what it asks of a client with these abilities, or its result or error.

        Raises:
            ExecutionNotFoundError: the actor's workspace has no such task.
            InsufficientScopeError: the actor may not do this.
        """
        execution = await self._owned(task_id, actor, READS_EXECUTIONS)
        status = STATUS[execution.state]
        if status == "completed":
            return await self._completed(execution)
        if status != "working":
            return self._task(execution, status, ())
        waiting = await self._reader.waiting(actor.workspace_id, task_id)
        # Only those who may answer are asked: a question can carry the link to its page.
        mine = [each for each in waiting if may_answer(actor, each)]
        asked = [question for each in mine if (question := question_of(each)) is not None]
        requests = {each.key: request for each in asked if (request := request_for(each, client)) is not None}
        if not requests:
            return self._task(execution, status, waiting)
        dumped = {key: request.model_dump(**WIRE) for key, request in requests.items()}
        return {**self._task(execution, "input_required", waiting), "inputRequests": dumped}

    async def update(self, task_id: str, responses: Mapping[str, Any], *, actor: Actor) -> None:
        """Let what waits go on with the user's answers: all that fit a question, or none if one cannot be taken.

        Refusals and answers to what is not asked (any more) change nothing.

        Raises:
            ExecutionNotFoundError: the actor's workspace has no such task.
            InsufficientScopeError: the actor may not do this.
            InvalidArgumentsError: an answer is none of the choices.
        """
        await self._owned(task_id, actor, RUNS)
        answers = []
        for waiting in await self._reader.waiting(actor.workspace_id, task_id):
            question = question_of(waiting) if may_answer(actor, waiting) else None
            given = accepted(responses.get(question.key)) if question is not None else None
            data = data_of(waiting, given) if given else None
            if data is not None:
                answers.append((waiting, data))
        for waiting, data in answers:
            try:
                by = "agent" if waiting.kind == "model" else "person"
                await self._control.answer(actor, task_id, waiting, data=data, by=by)
            except NotWaitingError:  # somebody has answered it in the meantime
                continue

    async def cancel(self, task_id: str, *, actor: Actor) -> None:
        """End the task, if it has not ended.

        Raises:
            ExecutionNotFoundError: the actor's workspace has no such task.
            InsufficientScopeError: the actor may not do this.
        """
        await self._owned(task_id, actor, RUNS)
        try:
            await self._control.cancel(actor, task_id)
        except IllegalTransitionError:
            return  # it has ended, which the extension takes for as good

    async def changes(self, task_id: str, *, actor: Actor, client: Abilities) -> AsyncIterator[JsonObject]:
        """The ``DetailedTask`` now, and again whenever it has changed, until it has ended.

        Raises:
            ExecutionNotFoundError: the actor's workspace has no such task.
            InsufficientScopeError: the actor may not do this.
        """
        execution = await self._owned(task_id, actor, READS_EXECUTIONS)
        async with self._announcements.listen(execution.workflow_id) as events:
            shown: JsonObject = {}
            while True:
                seen = await self.get(task_id, actor=actor, client=client)
                if {**seen, "pollIntervalMs": None} != {**shown, "pollIntervalMs": None}:
                    shown = seen
                    yield seen
                if seen["status"] not in ("working", "input_required"):
                    return
                while (event := await anext(events)).data.get("executionId") != task_id or "node" in event.data:
                    continue

    async def is_there(self, task_id: str, *, actor: Actor) -> bool:
        """Whether there is such a task, and the actor may look at it."""
        try:
            await self._owned(task_id, actor, RUNS)
        except ExecutionNotFoundError:
            return False
        return True

    async def _owned(self, task_id: str, actor: Actor, needed: Scopes) -> Execution:
        actor.require(needed)
        execution = await self._reader.get(actor.workspace_id, task_id)
        if execution.answer_form is None:
            raise ExecutionNotFoundError(task_id)
        return execution

    def _task(self, execution: Execution, status: str, waiting: Sequence[Suspension]) -> JsonObject:
        times = [execution.created_at, execution.started_at, execution.finished_at, *(each.at for each in waiting)]
        age_ms = (self._clock.now() - execution.created_at).total_seconds() * 1000
        task: JsonObject = {
            "taskId": execution.id,
            "status": status,
            "createdAt": utc_text(execution.created_at),
            "lastUpdatedAt": utc_text(max(time for time in times if time is not None)),
            "ttlMs": self._ttl_ms,
            "pollIntervalMs": round(min(POLL_MAX_MS, max(POLL_MIN_MS, age_ms * POLL_SHARE))),
        }
        message = self._message(execution, waiting)
        return {**task, "statusMessage": message} if message is not None else task

    def _message(self, execution: Execution, waiting: Sequence[Suspension]) -> str | None:
        """In one line, what a person would like to know of it."""
        if execution.error is not None:
            return execution.error.message
        if waiting:
            first = waiting[0]
            if first.kind == "model":
                return how_to_answer(execution.id, first)
            if is_for_people(first):
                return PeopleOnlyError(execution.id, first.key.node).message
            if question_of(first) is not None:
                return f"Node {first.key.node} waits for an answer, also by control_execution with action: resume."
            until = f" until {utc_text(first.wake_at)}" if first.wake_at is not None else ""
            return f"Node {first.key.node} waits for a {first.kind}{until}."
        step = self._reader.progress(execution.owner, execution.id)
        return f"{step.node} ({step.finished} of {step.total})" if step is not None else None

    async def _completed(self, execution: Execution) -> JsonObject:
        try:
            result = result_of(await self._answer(execution))
        except JobsprintError as error:
            result = failure(error)
        except MCPError as error:
            return {**self._task(execution, "failed", ()), "error": error.error.model_dump(**WIRE)}
        return {**self._task(execution, "completed", ()), "result": result.model_dump(**WIRE)}
