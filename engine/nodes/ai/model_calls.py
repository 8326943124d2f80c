"""Asks models for nodes: the answer is kept where it must not be asked for twice, and the connected assistant's turn
becomes a wait for it."""

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


@dataclass(slots=True, frozen=True)
class ModelRequest:
    """A request of one item, and the window of its conversation that is part of it. ``upcoming`` is what it adds."""

    request: ChatRequest
    upcoming: Sequence[Message]
    window: Window | None = None


def request_of(
    call: NodeCall[Any], parameters: ModelParameters, messages: Sequence[Message], **members: Any
) -> ChatRequest:
    """The request for these messages, as the parameters say."""
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
    """The question with as much of its conversation as fits.

    Raises:
        JobsprintError: what is asked does not fit into the budget by itself.
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
    """Add what was asked and answered to the conversation, once."""
    if parameters.memory is None:
        return
    said = Message(role="assistant", content=answer.text or json.dumps(answer.data, ensure_ascii=False))
    counted = not answer.usage.is_estimate
    await call.ai.conversations.note(
        call.owner,
        parameters.memory.key,
        [*question.upcoming, said],
        tokens=[*(None for _ in question.upcoming), answer.usage.output_tokens if counted else None],
        effect=call.effect_key(index),
        window=question.window,
        input_tokens=answer.usage.input_tokens if counted and question.window is not None else None,
    )


async def ask(call: NodeCall[Any], index: int, request: ChatRequest, *, part: str, is_kept: bool) -> ChatAnswer:
    """A model's answer. ``part`` names the question among those of the item; ``is_kept`` has the answer on the disk
    before it is returned, so that it is not asked for again.

    Raises:
        NodeError: no model gave a usable answer.
        SuspendError: the connected assistant is to answer.
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
        return await call.ai.models.chat(request, on_text=_telling(call))
    except AgentAnswersError as turn:
        raise SuspendError("model", details=question_details(turn.request, turn.attempts, part=part)) from None
    except ModelError as error:
        raise failed(error) from error


def _telling(call: NodeCall[Any]) -> Callable[[str], None] | None:
    """What tells whoever watches of an answer as it grows; nothing where nobody does, so that it is not streamed."""
    if not call.progress.is_followed:
        return None
    pieces: list[str] = []

    def on_text(piece: str) -> None:
        pieces.append(piece)
        call.progress.report("".join(pieces))

    return on_text


async def _given(call: NodeCall[Any], index: int, waits: Suspension) -> ChatAnswer:
    """What the assistant has answered, or the same question once more."""
    resumption = call.resumption(index)
    if resumption is None:
        raise SuspendError("model", details=waits.details)
    given = read_answer(waits.details, resumption.data)
    request = request_in(waits.details, call.asker)
    if given.tool_calls:
        wishes = [{"name": each.name, "arguments": each.arguments} for each in given.tool_calls]
        kept = await call.ai.models.answered(replace(request, schema=None), json.dumps({"tool_calls": wishes}))
        return replace(kept, text="", data=None, tool_calls=given.tool_calls)
    try:
        return await call.ai.models.answered(request, given.text)
    except ModelError as error:
        raise SuspendError("model", details={**waits.details, "refused": error.message}) from error


def _tokens_beside(request: ChatRequest) -> int:
    """What the schema and the tools of a request take, estimated high: three bytes are a token."""
    beside: list[Any] = [[each.name, each.description, each.parameters] for each in request.tools]
    if request.schema is not None:
        beside.append(request.schema)
    return len(json.dumps(beside, ensure_ascii=False).encode()) // 3 if beside else 0


def failed(error: ModelError) -> NodeError:
    """A model's failure as the node's."""
    return NodeError(
        error.message,
        code=error.model_code,
        transient=error.transient,
        retry_after_seconds=error.retry_after_seconds,
        fix=error.fix,
    )


def told(answer: ChatAnswer) -> JsonObject:
    """Who answered and at what cost, as the item carries it."""
    shown: JsonObject = {
        "model": answer.model,
        "input_tokens": answer.usage.input_tokens,
        "output_tokens": answer.usage.output_tokens,
    }
    if answer.usage.cost_micros:
        shown["cost_micros"] = answer.usage.cost_micros
    if answer.is_from_cache:
        shown["from_cache"] = True
    if len(answer.attempts) > 1:
        shown["tried"] = [{"model": each.model, "outcome": each.outcome} for each in answer.attempts]
    return shown


def pauses(parameters: ModelParameters) -> Sequence[float]:
    """How long an item is queued before each further round."""
    return PAUSES_SECONDS if parameters.queue_when_down else ()


def target_of(parameters: ModelParameters) -> str | None:
    """Where a question goes, for the audit log."""
    if parameters.models == [AGENT]:
        return None
    return f"models {', '.join(parameters.models)}" if parameters.models else "models of the settings"


def answer_to_json(answer: ChatAnswer) -> JsonObject:
    """An answer as the journal keeps it."""
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
    """The answer that the journal kept."""
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
