"""One question to several models in order: the next one where :mod:`prompts.models.failures` says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from prompts.models import failures, structured
from prompts.models.availability import Availability
from prompts.models.catalogue import Target
from prompts.models.failures import ProviderError
from prompts.models.provider import OnText, ProviderRequest, Reply
from prompts.models.turns import alternating
from prompts.models.usage import NOTHING, added, usage_of
from workflow.chat import AgentAnswersError, ChatAnswer, ChatAttempt, ChatRequest, ModelError, Usage
from workflow.exchanges import OK
from workflow.items import JsonObject

CUT_OFF, EMPTY = "cut_off", "empty"
"""Outcomes of attempts that are answers: it reached the bound of its length, or there is nothing in it. Nodes know them
too (engine.nodes.ai.model_calls)."""
ANSWERED = (failures.INVALID_ANSWER, failures.CUT_OFF)
"""Failures of what was counted as an answer already."""
LONG_CHARACTERS = 20_000
"""A longer answer is read in a thread: it takes longer than others may wait."""


@dataclass(slots=True)
class Course:
    """How one request has gone so far: which models were asked, what that used, and when each can be asked."""

    attempts: list[ChatAttempt] = field(default_factory=list)
    usage: Usage = NOTHING
    errors: list[tuple[str, ProviderError]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    has_begun: bool = False


class Fallback:
    """Asks models in order. ``monotonic`` gives seconds that never go back."""

    def __init__(self, *, availability: Availability, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._availability = availability
        self._monotonic = monotonic

    async def chat(
        self, request: ChatRequest, order: list[Target | None], course: Course, *, on_text: OnText | None
    ) -> ChatAnswer:
        """The first usable answer. ``None`` in the order is the calling agent; ``course`` is filled in on the way.

        Raises:
            AgentAnswersError: the calling agent is next.
            ModelError: no model gave a usable answer.
        """
        for target in order:
            if target is None:
                raise AgentAnswersError(request, tuple(course.attempts))
            started = self._monotonic()
            left_alone = self._availability.before(target.name)
            if left_alone is not None:
                course.attempts.append(ChatAttempt(model=target.name, outcome=left_alone.outcome, latency_ms=0.0))
                course.waits.append(left_alone.seconds)
                course.errors.append((target.name, _skipped(left_alone.outcome, left_alone.seconds)))
                continue
            try:
                reply, value = await self._of_one(target, request, course, on_text=on_text)
            except asyncio.CancelledError:
                self._availability.broken_off(target.name)
                raise
            except ProviderError as error:
                self._failed(target, error, course, started)
                if course.has_begun or not error.failure.falls_back:
                    break
                continue
            latency_ms = (self._monotonic() - started) * 1000
            outcome = CUT_OFF if reply.is_cut else EMPTY if reply.is_empty else OK
            course.attempts.append(ChatAttempt(model=target.name, outcome=outcome, latency_ms=latency_ms, status=200))
            return ChatAnswer(
                model=target.name,
                text=reply.text,
                usage=course.usage,
                latency_ms=latency_ms,
                data=value,
                tool_calls=reply.tool_calls,
                attempts=tuple(course.attempts),
            )
        raise _all_failed(course)

    async def _of_one(
        self, target: Target, request: ChatRequest, course: Course, *, on_text: OnText | None
    ) -> tuple[Reply, Any]:
        """One model's answer and, with a schema, the value in it, repaired where that is needed.

        Raises:
            ProviderError: the model has no usable answer.
        """
        question = question_for(target, request)
        if request.schema is None:

            def pass_on(text: str) -> None:
                course.has_begun = True
                if on_text is not None:
                    on_text(text)

            return await self._asked(target, question, course, on_text=pass_on if on_text is not None else None), None
        for repairs in range(structured.MOST_REPAIRS + 1):
            reply = await self._asked(target, question, course, on_text=None)
            if reply.tool_calls:
                return reply, None
            if reply.is_cut:  # what is there can look whole and not be: 12 of 123, two of ten rows
                message = "its answer was cut off at the bound of its length, so the data in it is not whole"
                raise ProviderError(failures.CUT_OFF, message, status=200)
            try:
                return reply, await _read(reply.text, request.schema)
            except structured.UnfitAnswerError as unfit:
                if repairs == structured.MOST_REPAIRS:
                    why = str(unfit).rstrip(".")
                    message = f"it was asked {repairs + 1} times, and its answer does not fit the schema: {why}"
                    raise ProviderError(failures.INVALID_ANSWER, message, status=200) from unfit
                question = replace(question, messages=[*question.messages, *structured.repair(reply.text, unfit)])
        raise AssertionError("the last round returns or raises")

    async def _asked(
        self, target: Target, question: ProviderRequest, course: Course, *, on_text: OnText | None
    ) -> Reply:
        try:
            async with asyncio.timeout(question.timeout_seconds):
                reply = await target.provider.ask(question, on_text=on_text)
        except TimeoutError:
            message = f"it did not answer within {question.timeout_seconds:g} s"
            raise ProviderError(failures.TIMEOUT, message) from None
        self._availability.answered(target.name)
        course.usage = added(course.usage, usage_of(target, question, reply))
        return reply

    def _failed(self, target: Target, error: ProviderError, course: Course, started: float) -> None:
        if error.failure not in ANSWERED:
            self._availability.failed(target.name, error)
        course.errors.append((target.name, error))
        if error.failure.transient and error.retry_after_seconds is not None:
            course.waits.append(error.retry_after_seconds)
        course.attempts.append(
            ChatAttempt(
                model=target.name,
                outcome=error.failure.code,
                latency_ms=(self._monotonic() - started) * 1000,
                status=error.status,
            )
        )


def question_for(target: Target, request: ChatRequest) -> ProviderRequest:
    """The request as one question to a model, with its schema where the provider takes it, else in words."""
    messages, schema = list(request.messages), request.schema
    if schema is not None and not (target.provider.config.native_schema and schema.get("type") == "object"):
        # Behind the leading system messages, where every provider's form has a place for it.
        place = next((at for at, each in enumerate(messages) if each.role != "system"), len(messages))
        messages.insert(place, structured.instruction(schema))
        schema = None
    if target.provider.config.alternating_roles:
        messages = alternating(messages)
    return ProviderRequest(
        model=target.model,
        messages=messages,
        timeout_seconds=request.timeout_seconds,
        tools=request.tools,
        schema=schema,
        temperature=request.temperature,
        max_output_tokens=request.max_output_tokens,
    )


async def _read(text: str, schema: JsonObject) -> Any:
    if len(text) <= LONG_CHARACTERS:
        return structured.read(text, schema)
    return await asyncio.to_thread(structured.read, text, schema)


def _skipped(outcome: str, seconds: float) -> ProviderError:
    why = "it asked to be left alone" if outcome == failures.RATE_LIMITED.code else "it has failed too often"
    row = failures.RATE_LIMITED if outcome == failures.RATE_LIMITED.code else failures.UNAVAILABLE
    return ProviderError(row, f"{why}, and is not asked for another {seconds:.0f} s")


def _all_failed(course: Course) -> ModelError:
    """One error for all that happened.

    A fallback that is set up wrongly does not make an execution fail that would have been tried later without it; what
    a fallback answered as a model (a refusal, an unfit answer) is final.
    """
    last = course.errors[-1][1]
    decisive = last
    if not last.failure.transient and last.failure.code in (failures.REJECTED.code, failures.OUT_OF_QUOTA.code):
        decisive = next((error for _, error in course.errors if error.failure.transient), last)
    reasons = "; ".join(f"{name}: {error.message}" for name, error in course.errors)
    if course.has_begun:
        reasons += " (a part of the answer was passed on already, so no other model was asked)"
    return ModelError(
        f"No model gave a usable answer. {reasons}.",
        code=decisive.failure.code,
        transient=decisive.failure.transient,
        fix=decisive.failure.fix,
        retry_after_seconds=min(course.waits) if decisive.failure.transient and course.waits else None,
        attempts=tuple(course.attempts),
    )
