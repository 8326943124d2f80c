"""Runs one action of a connection for one item: once, or as ``on_doubt`` says where that cannot be known.

A call that changes something writes to the journal that it begins, and how it ended. A call without an end was
interrupted by a crash: whether it happened is unknown, as after a timeout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import SuspendError
from engine.node_api.ports import Step
from workflow.actions import Action, ActionAsksError, ActionCall, ActionError, ActionProgress, ActionResult
from workflow.errors import NodeError
from workflow.items import JsonObject

OnDoubt = Literal["ask", "fail", "repeat"]
NOT_DONE, IN_DOUBT, ASKED = "not done", "in doubt", "asked"
REPEAT = "repeat"


@dataclass(slots=True, frozen=True, kw_only=True)
class Way:
    """An action to call, and its arguments. ``name`` is unique among the item's alternatives."""

    name: str
    kind: str
    connection: str
    action: str
    arguments: JsonObject
    instructions: str | None
    timeout_seconds: float
    digest: str | None
    on_doubt: OnDoubt


@dataclass(slots=True, frozen=True)
class ActionRun:
    """One action for the item at ``index``."""

    call: NodeCall[Any]
    index: int
    way: Way

    async def result(self) -> JsonObject:
        """Run the action unless it is done; the result: ``data``, ``via``, and marks such as ``possible_duplicate``.

        Raises:
            SuspendError: the item waits for a person.
            ActionError: the action was not done.
            NodeError: it may have been done, and ``on_doubt`` is to fail, or to repeat it as a retry.
        """
        done = self.call.done(self.index, self.way.name)
        if done is not None:
            return dict(done)
        action = await self.call.actions.find(self.call.owner, self.way.connection, self.way.action)
        attempt, may_be_second = await self._attempt()
        answers, state = await self._answers()
        if action.is_repeatable:
            return await self._done(action, answers, state, may_be_second=False)
        await self._note(f"begun {attempt}", {})
        try:
            return await self._done(action, answers, state, may_be_second=may_be_second)
        except ActionAsksError as asks:
            await self._note(f"ended {attempt}", {"outcome": ASKED})
            raise self._question(asks) from asks
        except ActionError as error:
            outcome = IN_DOUBT if error.may_have_happened else NOT_DONE
            await self._note(
                f"ended {attempt}", {"outcome": outcome, "message": error.message, "code": error.outbound_code}
            )
            if not error.may_have_happened:
                raise
            # The next attempt follows on_doubt: repeat, fail, or ask a person.
            if self.way.on_doubt == REPEAT:
                raise NodeError(error.message, code=error.outbound_code, transient=True, fix=error.fix) from error
            return await self.result()

    async def _done(
        self, action: Action, answers: Mapping[str, JsonObject], state: str | None, *, may_be_second: bool
    ) -> JsonObject:
        part = Step(
            name=self.way.name,
            kind=self.way.kind,
            target=f"{self.way.connection}/{self.way.action}",
        )

        async def work() -> JsonObject:
            result = await self.call.actions.run(
                ActionCall(
                    owner=self.call.owner,
                    connection=self.way.connection,
                    action=self.way.action,
                    arguments=self.way.arguments,
                    instructions=self.way.instructions,
                    timeout_seconds=self.way.timeout_seconds,
                    effect_key=f"{self.call.effect_key(self.index)}:{self.way.name.replace(' ', '-')}",
                    user_id=self.call.asker.user_id,
                    digest=self.way.digest,
                    answers=answers,
                    state=state,
                    on_progress=lambda progress: self.call.progress.report(_note_of(progress)),
                )
            )
            return _outcome(result, self.way, may_be_second=may_be_second)

        try:
            return dict(await self.call.once(self.index, part, work))
        except ActionAsksError as asks:
            if action.is_repeatable:
                raise self._question(asks) from asks
            raise

    async def _attempt(self) -> tuple[int, bool]:
        """The number of the next attempt, and whether an earlier one may have happened.

        Raises:
            SuspendError: a person is asked whether to repeat a call that may have happened.
            NodeError: a call may have happened, and ``on_doubt`` is ``fail``.
            SettledError: a person says that it has happened.
        """
        attempt, in_doubt = 1, False
        while self._noted(f"begun {attempt}") is not None:
            ended = self._noted(f"ended {attempt}")
            if ended is None or ended["outcome"] == IN_DOUBT:
                why = ended["message"] if ended is not None else "The server stopped while it was under way."
                await self._settle(attempt, why)
                in_doubt = True
            attempt += 1
        return attempt, in_doubt

    async def _settle(self, attempt: int, why: str) -> None:
        """Return if the call is to be repeated although it may have happened."""
        if self.way.on_doubt == REPEAT:
            return
        if self.way.on_doubt == "fail":
            raise NodeError(
                f"Whether {self.way.connection}/{self.way.action} was done is not known: {why}",
                code="action_in_doubt",
                fix="Look in the other system whether it has happened. With on_doubt: ask, a person is asked; with "
                "repeat, it is done again and marked.",
            )
        part = f"{self.way.name} decision {attempt}"
        decision = await self.call.once(self.index, Step(name=part, kind="decision"), lambda: self._decision(part, why))
        if "result" in decision:
            settled = {"data": decision["result"], "via": _via(self.way), "confirmed_by": decision["by"]}
            raise SettledError(await self._keep(self.way.name, "decision", settled))

    async def _decision(self, part: str, why: str) -> JsonObject:
        waits, resumption = self.call.suspension(self.index), self.call.resumption(self.index)
        if waits is None or waits.kind != "decision" or waits.details.get("part", part) != part:
            details = {
                "question": f"{self.way.connection}/{self.way.action} may have been done. {why} Do it again?",
                "part": part,
                "connection": self.way.connection,
                "action": self.way.action,
                "arguments": self.way.arguments,
            }
            raise SuspendError("decision", details=details)
        if resumption is None:
            raise SuspendError("decision", details=waits.details)
        data = resumption.data if isinstance(resumption.data, dict) else {}
        return {**({"result": data["result"]} if "result" in data else {}), "by": resumption.by}

    async def _answers(self) -> tuple[Mapping[str, JsonObject], str | None]:
        """The answers to the other system's questions so far, and the state that it wants back with them."""
        answers: dict[str, JsonObject] = {}
        state, number = None, 1
        while True:
            part = f"{self.way.name} answers {number}"
            noted = self.call.done(self.index, part)
            if noted is None:
                waits, resumption = self.call.suspension(self.index), self.call.resumption(self.index)
                is_ours = waits is not None and waits.kind == "question" and waits.details["part"] == part
                if waits is None or not is_ours:
                    return answers, state
                if resumption is None:
                    raise SuspendError("question", details=waits.details)
                given = {waits.details["key"]: _answer(resumption.data)}
                noted = await self._keep(part, "question", {"answers": given, "state": waits.details["state"]})
                left = waits.details["left"]
                if left:
                    raise SuspendError("question", details=self._details(left, f"{self.way.name} answers {number + 1}"))
            answers |= noted["answers"]
            state = noted["state"]
            number += 1

    def _question(self, asks: ActionAsksError) -> SuspendError:
        number = 1
        while self.call.done(self.index, f"{self.way.name} answers {number}") is not None:
            number += 1
        questions = [
            {"key": each.key, "message": each.message, "schema": each.schema, "url": each.url, "state": each.state}
            for each in asks.questions
        ]
        return SuspendError("question", details=self._details(questions, f"{self.way.name} answers {number}"))

    def _details(self, questions: list[JsonObject], part: str) -> JsonObject:
        """The details of the suspension for the first of the questions."""
        first = questions[0]
        source = f"{self.way.connection}/{self.way.action}"
        return {**first, "question": first["message"], "from": source, "part": part, "left": questions[1:]}

    def _noted(self, what: str) -> Any:
        return self.call.done(self.index, f"{self.way.name} {what}")

    async def _note(self, what: str, content: JsonObject) -> None:
        await self._keep(f"{self.way.name} {what}", "attempt", {"at": what, **content})

    async def _keep(self, part: str, kind: str, content: JsonObject) -> JsonObject:
        """Write ``content`` to the journal as the result of a step."""

        async def known() -> JsonObject:
            return content

        return dict(await self.call.once(self.index, Step(name=part, kind=kind), known))


class SettledError(Exception):
    """A person says that the action has happened; ``result`` is its result."""

    def __init__(self, result: JsonObject) -> None:
        super().__init__("settled")
        self.result = result


def _outcome(result: ActionResult, way: Way, *, may_be_second: bool) -> JsonObject:
    outcome: JsonObject = {"data": result.data, "via": _via(way)}
    if "content" in result.details:
        outcome["content"] = result.details["content"]
    if result.is_preview:
        outcome["is_preview"] = True
    if may_be_second:
        outcome["possible_duplicate"] = True
    return outcome


def _note_of(progress: ActionProgress) -> str:
    """The other system's progress message and count."""
    count = f"{progress.progress:g}" + (f" of {progress.total:g}" if progress.total is not None else "")
    return f"{progress.message} ({count})" if progress.message else count


def _via(way: Way) -> JsonObject:
    return {"connection": way.connection, "action": way.action}


def _answer(data: Any) -> JsonObject:
    """A person's answer in the form of an MCP elicitation's result."""
    if isinstance(data, dict) and data.get("action") in ("accept", "decline", "cancel"):
        return data
    return {"action": "accept", "content": data} if isinstance(data, dict) else {"action": "decline"}
