"""Asks models for nodes. An answer that must not be paid for twice goes to the journal; a question to the connected
assistant suspends the item."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import SuspendError
from engine.node_api.ports import Step
from engine.nodes.ai.model_parameters import PAUSES_SECONDS, ModelParameters, PromptParameters
from workflow.agent_questions import question_details, read_answer, request_in
from workflow.chat import (
    AGENT,
    AgentAnswersError,
    ChatAnswer,
    ChatAttempt,
    ChatRequest,
    Message,
    ModelError,
    ToolCall,
    Usage,
)
from workflow.conversations import Window
from workflow.errors import NodeError
from workflow.executions import Suspension
from workflow.items import JsonObject

CUT_OFF = "cut_off"
"""The outcome of an attempt whose answer reached the bound of its length (prompts.models.fallback)."""


@dataclass(slots=True, frozen=True)
class ModelRequest:
    """An item's request. ``window`` is the part of its conversation in it, ``upcoming`` the messages that are new."""

    request: ChatRequest
    upcoming: Sequence[Message]
    window: Window | None = None


def request_of(
    call: NodeCall[Any], parameters: ModelParameters, messages: Sequence[Message], **members: Any
) -> ChatRequest:
    """The request with these messages and the parameters' settings."""
    return ChatRequest(
        asker=call.asker,
        messages=messages,
        models=parameters.models,
        temperature=parameters.temperature,
        max_output_tokens=parameters.max_output_tokens,
        timeout_seconds=parameters.model_timeout_seconds,
        may_cache=parameters.may_cache,
        **members,
    )


async def question_of(
    call: NodeCall[Any], parameters: PromptParameters, opening: Sequence[Message], **members: Any
) -> ModelRequest:
    """The question, with as much of its conversation as fits into the budget.

    Raises:
        JobsprintError: the question alone does not fit.
    """
    memory = parameters.memory
    if memory is None:
        return ModelRequest(request_of(call, parameters, opening, **members), opening)
    request = request_of(call, parameters, opening, conversation_id=memory.key, **members)
    window = await call.ai.conversations.window(
        call.owner,
        memory.key,
        budget_tokens=memory.budget_tokens,
        upcoming=opening,
        asker=call.asker,
        reserved_tokens=_tokens_beside(request),
    )
    system = [each for each in opening if each.role == "system"]
    upcoming = [each for each in opening if each.role != "system"]
    return ModelRequest(replace(request, messages=[*system, *window.messages, *upcoming]), upcoming, window)


async def remember(
    call: NodeCall[Any], index: int, parameters: PromptParameters, question: ModelRequest, answer: ChatAnswer
) -> None:
    """Add the question and the answer to the conversation, once. Of an empty answer there is nothing to add."""
    if parameters.memory is None:
        return
    said = [] if is_empty(answer) else [Message(role="assistant", content=_said(answer))]
    counted = not answer.usage.is_estimate
    output_tokens = answer.usage.output_tokens if counted else None
    await call.ai.conversations.note(
        call.owner,
        parameters.memory.key,
        [*question.upcoming, *said],
        tokens=[*(None for _ in question.upcoming), *(output_tokens for _ in said)],
        effect=call.effect_key(index),
        window=question.window,
        input_tokens=answer.usage.input_tokens if counted and question.window is not None else None,
    )


def is_empty(answer: ChatAnswer) -> bool:
    """Whether there is nothing in an answer."""
    return not answer.text.strip() and answer.data is None and not answer.tool_calls


def _said(answer: ChatAnswer) -> str:
    return answer.text if answer.text.strip() else json.dumps(answer.data, ensure_ascii=False)


async def ask(call: NodeCall[Any], index: int, request: ChatRequest, *, part: str, is_kept: bool) -> ChatAnswer:
    """Ask a model. ``part`` names the question among those of the item; with ``is_kept`` the answer is on the disk
    before this returns, so that a repetition does not ask again.

    Raises:
        NodeError: no model gave a usable answer.
        SuspendError: the item waits for the connected assistant.
    """

    async def answer() -> JsonObject:
        return answer_to_json(await _answer(call, index, request, part))

    if not is_kept:
        return await _answer(call, index, request, part)
    return answer_from_json(await call.once(index, Step(name=part, kind="model"), answer))


async def _answer(call: NodeCall[Any], index: int, request: ChatRequest, part: str) -> ChatAnswer:
    waits = call.suspension(index)
    if waits is not None and waits.kind == "model" and waits.details["part"] == part:
        return await _given(call, index, waits)
    try:
        return await call.ai.models.chat(request, on_text=_text_reporter(call))
    except AgentAnswersError as turn:
        raise SuspendError("model", details=question_details(turn.request, turn.attempts, part=part)) from None
    except ModelError as error:
        raise failed(error) from error


def _text_reporter(call: NodeCall[Any]) -> Callable[[str], None] | None:
    """Reports an answer as it grows; ``None`` where no client follows, so that the answer is not streamed."""
    if not call.progress.is_followed:
        return None
    pieces: list[str] = []

    def on_text(piece: str) -> None:
        pieces.append(piece)
        call.progress.report("".join(pieces))

    return on_text


async def _given(call: NodeCall[Any], index: int, waits: Suspension) -> ChatAnswer:
    """The assistant's answer; the item waits again where there is none, or one that does not fit."""
    resumption = call.resumption(index)
    if resumption is None:
        raise SuspendError("model", details=waits.details)
    given = read_answer(waits.details, resumption.data)
    request = request_in(waits.details, call.asker)
    if given.tool_calls:
        wanted = [{"name": each.name, "arguments": each.arguments} for each in given.tool_calls]
        kept = await call.ai.models.answered(replace(request, schema=None), json.dumps({"tool_calls": wanted}))
        return replace(kept, text="", data=None, tool_calls=given.tool_calls)
    try:
        return await call.ai.models.answered(request, given.text)
    except ModelError as error:
        raise SuspendError("model", details={**waits.details, "refused": error.message}) from error


def _tokens_beside(request: ChatRequest) -> int:
    """Tokens of a request's schema and tools, estimated high: three bytes are a token."""
    beside: list[Any] = [[each.name, each.description, each.parameters] for each in request.tools]
    if request.schema is not None:
        beside.append(request.schema)
    return len(json.dumps(beside, ensure_ascii=False).encode()) // 3 if beside else 0


def failed(error: ModelError) -> NodeError:
    """The node's error for a model's error."""
    return NodeError(
        error.message,
        code=error.model_code,
        transient=error.transient,
        retry_after_seconds=error.retry_after_seconds,
        fix=error.fix,
    )


def answer_summary(answer: ChatAnswer) -> JsonObject:
    """The field ``ai`` of an item: the model, its usage, the models tried before, and whether the answer was cut off or
    is empty."""
    shown: JsonObject = {
        "model": answer.model,
        "input_tokens": answer.usage.input_tokens,
        "output_tokens": answer.usage.output_tokens,
    }
    if answer.usage.cost_micros:
        shown["cost_micros"] = answer.usage.cost_micros
    if answer.is_from_cache:
        shown["from_cache"] = True
    if answer.attempts and answer.attempts[-1].outcome == CUT_OFF:
        shown["cut_off"] = True
    if is_empty(answer):
        shown["empty"] = True
    if len(answer.attempts) > 1:
        shown["tried"] = [{"model": each.model, "outcome": each.outcome} for each in answer.attempts]
    return shown


def pauses(parameters: ModelParameters) -> Sequence[float]:
    """Seconds that an item waits before each further round of attempts."""
    return PAUSES_SECONDS if parameters.queue_when_down else ()


def target_of(parameters: ModelParameters) -> str | None:
    """The target of a question, for the audit log; ``None`` where it goes to the connected assistant only."""
    if parameters.models == [AGENT]:
        return None
    return f"models {', '.join(parameters.models)}" if parameters.models else "models of the settings"


def answer_to_json(answer: ChatAnswer) -> JsonObject:
    """An answer in the journal's form."""
    usage = answer.usage
    return {
        "model": answer.model,
        "text": answer.text,
        "data": answer.data,
        "usage": [usage.input_tokens, usage.output_tokens, usage.is_estimate, usage.cost_micros],
        "tool_calls": [[each.id, each.name, each.arguments, each.raw_arguments] for each in answer.tool_calls],
        "attempts": [[each.model, each.outcome, each.latency_ms, each.status] for each in answer.attempts],
        "from_cache": answer.is_from_cache,
    }


def answer_from_json(kept: JsonObject) -> ChatAnswer:
    """The answer from the journal's form."""
    asked, said, is_estimate, cost = kept["usage"]
    return ChatAnswer(
        model=kept["model"],
        text=kept["text"],
        data=kept["data"],
        usage=Usage(input_tokens=asked, output_tokens=said, is_estimate=is_estimate, cost_micros=cost),
        latency_ms=0.0,
        tool_calls=tuple(
            ToolCall(id=call_id, name=name, arguments=arguments, raw_arguments=raw)
            for call_id, name, arguments, raw in kept["tool_calls"]
        ),
        attempts=[
            ChatAttempt(model=model, outcome=outcome, latency_ms=latency, status=status)
            for model, outcome, latency, status in kept["attempts"]
        ],
        is_from_cache=kept["from_cache"],
    )
