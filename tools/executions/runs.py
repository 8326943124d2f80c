"""Executions that callers wait for: with progress, with questions to the person behind them, or as a task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

from engine.executions.control import Control
from engine.executions.intake import Requested
from engine.executions.reader import ExecutionReader, NodeProgress
from tools.executions.questions import data_of, question_of
from tools.executions.views import TIMERS, may_answer
from tools.protocol.caller import Caller, Elicitation
from tools.protocol.tool import Answer, Pending
from workflow.errors import InvalidArgumentsError, JobsprintError, NotWaitingError
from workflow.executions import Execution, Suspension
from workflow.identity import RUNS, Actor
from workflow.items import JsonObject
from workflow.ports import Clock
from workflow.states import ExecutionState

logger = logging.getLogger(__name__)

EXECUTION_FORM = "execution"
"""The form in which execute_workflow answers; what no other is known for is answered so."""

RESULT_FORM = "result"
"""The form in which tools that are workflows answer: with the result alone."""

Form = Callable[[Execution], Awaitable[Answer]]
"""How a tool's answer is made of its execution. It may raise a JobsprintError, for a result that is an error, or an
MCPError, for a call that has failed as such."""

A_LITTLE = 0.001
"""By how much progress rises with each note of a node at work."""
LOOKED_AT_ONCE = 5_000
"""Items that wait and are looked at before other requests get their turn: some milliseconds."""
QUESTIONS_AT_ONCE = 10
"""More than a person can keep in view; the rest is asked when these are settled."""


class _Progress:
    """Reports of one call: MCP wants each to be more than the one before, also while a single node is at work."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._shown = 0.0

    async def report(self, step: NodeProgress) -> None:
        """Pass a step on, unless it was passed on before the execution waited."""
        if step.note is None and step.finished <= self._shown:
            return
        self._shown = max(float(step.finished), self._shown + A_LITTLE)
        note = f": {step.note}" if step.note is not None else ""
        of = f" of {step.total}" if step.total is not None else ""
        message = f"{step.node} ({step.finished}{of}){note}"
        await self._caller.report_progress(self._shown if note else step.finished, step.total, message)


class Runs:
    """Waits for executions that tools have started. The engine runs them: none stops because nobody waits."""

    def __init__(self, *, reader: ExecutionReader, control: Control, clock: Clock, forms: Mapping[str, Form]) -> None:
        self._reader = reader
        self._clock = clock
        self._control = control
        self._forms = forms
        self._endings: set[asyncio.Task[None]] = set()

    async def answer(self, execution: Execution) -> Answer:
        """What its tool says of the execution as it is now.

        Raises:
            JobsprintError, MCPError: see :data:`Form`.
        """
        form = self._forms.get(execution.answer_form or EXECUTION_FORM)
        return await (form or self._forms[EXECUTION_FORM])(execution)

    async def begin(
        self, start: Coroutine[Any, Any, Requested], *, caller: Caller, cancel_with_request: bool
    ) -> Requested:
        """The execution that ``start`` starts: seen through even if the caller leaves meanwhile.

        ``cancel_with_request`` ends the run if the caller does.

        Raises:
            JobsprintError: see ``start``.
        """
        starting = asyncio.create_task(start)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._see_through(self._left(starting, caller.actor if cancel_with_request else None), "left-at-the-start")
            raise

    async def outcome(
        self,
        execution_id: str,
        *,
        wait_seconds: float,
        caller: Caller,
        cancel_with_request: bool = False,
        may_be_task: bool = True,
    ) -> Answer | Pending:
        """What the tool that started the execution answers: at once that it is pending, where it ``may_be_task``, the
        caller takes tasks and has not said that it does not want to wait; else what is known after ``wait_seconds``.

        ``cancel_with_request`` ends the run if the caller leaves first.

        Raises:
            JobsprintError, MCPError: see :data:`Form`.
        """
        owner = caller.actor.workspace_id
        if may_be_task and caller.takes_tasks and wait_seconds > 0:
            return Pending(execution_id)
        try:
            await self.settle(execution_id, wait_seconds=wait_seconds, caller=caller)
        except asyncio.CancelledError:
            if cancel_with_request:
                self._end(caller.actor, execution_id)
            raise
        return await self.answer_of(owner, execution_id)

    async def answer_of(self, owner: str, execution_id: str) -> Answer:
        """What its tool says of the workspace's execution as it is now.

        Raises:
            JobsprintError, MCPError: see :data:`Form`.
        """
        return await self.answer(await self._reader.get(owner, execution_id))

    async def settle(self, execution_id: str, *, wait_seconds: float, caller: Caller) -> None:
        """Wait for the end. Where a person is waited for on the way, ask them, if they may answer; as long as they
        do, the time to wait begins anew."""
        await self.follow(execution_id, wait_seconds, caller)
        settled: set[str] = set()
        while wait_seconds > 0 and caller.actor.scopes >= RUNS:
            asked = await self._open_questions(caller.actor, execution_id, settled)
            if not asked:
                return
            replies = await caller.ask([question for question, _ in asked.values()], about=execution_id)
            settled |= replies.keys()
            answered = {key: reply for key, reply in replies.items() if reply is not None}
            if not answered:
                return
            for key, reply in answered.items():
                await self._take(caller.actor, execution_id, *asked[key], reply, wait_seconds)
            await self.follow(execution_id, wait_seconds, caller)

    async def _open_questions(
        self, actor: Actor, execution_id: str, settled: set[str]
    ) -> dict[str, tuple[Elicitation, Suspension]]:
        """What the execution cannot go on without and the actor may answer, by key; nothing while it goes on."""
        owner = actor.workspace_id
        if (await self._reader.get(owner, execution_id)).state is not ExecutionState.WAITING:
            return {}
        asked: dict[str, tuple[Elicitation, Suspension]] = {}
        for place, waiting in enumerate(await self._reader.waiting(owner, execution_id), 1):
            if len(asked) == QUESTIONS_AT_ONCE:
                break
            question = question_of(waiting) if may_answer(actor, waiting) else None
            if question is not None and question.key not in settled:
                asked[question.key] = (question, waiting)
            if place % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return asked

    async def _take(
        self,
        actor: Actor,
        execution_id: str,
        question: Elicitation,
        waiting: Suspension,
        reply: JsonObject,
        wait_seconds: float,
    ) -> None:
        """Let the item go on with the answer, or wait until somebody has answered on the page."""
        if question.url is not None and not reply:
            await self._reader.woken(actor.workspace_id, execution_id, timeout_seconds=wait_seconds)
            return
        try:
            data = data_of(waiting, reply)
            if data is not None:
                by = "agent" if waiting.kind == "model" else "person"
                await self._control.answer(actor, execution_id, waiting, data=data, by=by)
        except (InvalidArgumentsError, NotWaitingError) as error:  # the caller sees how it stands all the same
            logger.info("an answer to execution %s was not taken: %s", execution_id, error.message)

    async def follow(self, execution_id: str, wait_seconds: float, caller: Caller) -> None:
        """Wait until it has ended, waits for somebody, or waits for longer than this; each node that has run is passed
        on."""
        owner, ends = caller.actor.workspace_id, time.monotonic() + wait_seconds
        progress = _Progress(caller)
        async for step in self._reader.follow(owner, execution_id, timeout_seconds=wait_seconds):
            await progress.report(step)
        await self._reader.wait(owner, execution_id, timeout_seconds=ends - time.monotonic())
        while await self._goes_on_by_itself(owner, execution_id, ends - time.monotonic()):
            await self._reader.woken(owner, execution_id, timeout_seconds=ends - time.monotonic())
            async for step in self._reader.follow(owner, execution_id, timeout_seconds=ends - time.monotonic()):
                await progress.report(step)
            await self._reader.wait(owner, execution_id, timeout_seconds=ends - time.monotonic())

    async def _goes_on_by_itself(self, owner: str, execution_id: str, within_seconds: float) -> bool:
        """Whether it waits for nobody, and goes on within this time as far as that is known."""
        if within_seconds <= 0:
            return False
        execution = await self._reader.get(owner, execution_id)
        if execution.state is not ExecutionState.WAITING:
            return False
        kinds = {each.kind for each in await self._reader.waiting(owner, execution_id)}
        if not kinds or not kinds <= TIMERS:
            return False
        latest = self._clock.now() + timedelta(seconds=within_seconds)
        return "child" in kinds or (execution.wake_at is not None and execution.wake_at < latest)

    def _end(self, actor: Actor, execution_id: str) -> None:
        """Cancel the execution in a task of its own: the request that started it is being cancelled and cannot wait."""
        self._see_through(self._cancel(actor, execution_id), f"cancel-{execution_id}")

    def _see_through(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _left(self, starting: asyncio.Task[Requested], actor: Actor | None) -> None:
        """See a start through whose caller has left, and end what it started where there is an ``actor`` to do so."""
        try:
            execution_id = (await starting).execution_id
        except JobsprintError as error:
            logger.info("an execution whose caller has left was not started: %s", error.message)
            return
        if actor is not None:
            await self._cancel(actor, execution_id)

    async def _cancel(self, actor: Actor, execution_id: str) -> None:
        try:
            await self._control.cancel(actor, execution_id)
        except JobsprintError as error:
            logger.info("execution %s was not cancelled with its request: %s", execution_id, error.message)
