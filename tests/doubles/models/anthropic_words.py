"""Answers in Anthropic's words: whole, and as the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from tests.doubles.models.answers import Answer
from tests.doubles.models.openai_words import arguments_of, pieces_of, usage_of

_STOPS = {"length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}


def message(answer: Answer, body: Any) -> Any:
    """The whole answer."""
    input_tokens, output_tokens = usage_of(answer, body)
    content: list[Any] = [{"type": "text", "text": answer.text}] if answer.text else []
    content += [
        {"type": "tool_use", "id": f"call_{place}", "name": name, "input": _input(value)}
        for place, (name, value) in enumerate(answer.tool_calls)
    ]
    whole = {**_head(body, input_tokens, output_tokens), "content": content, "stop_reason": _stop(answer)}
    return whole if answer.error is None else {**whole, "error": answer.error}


def events(answer: Answer, body: Any) -> Iterator[Any]:
    """The answer as the events of a stream."""
    input_tokens, output_tokens = usage_of(answer, body)
    yield {"type": "message_start", "message": {**_head(body, input_tokens, 0), "content": [], "stop_reason": None}}
    place = 0
    if answer.text:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        for piece in pieces_of(answer.text):
            yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        yield {"type": "content_block_stop", "index": 0}
        place = 1
    for number, (name, value) in enumerate(answer.tool_calls):
        block = {"type": "tool_use", "id": f"call_{number}", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": arguments_of(value)}
        index = place if answer.call_indexes is None else answer.call_indexes[number]
        yield {"type": "content_block_start", "index": index, "content_block": block}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
        place += 1
    if answer.error is not None:
        yield {"type": "error", "error": answer.error}
        return
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _stop(answer), "stop_sequence": None},
        "usage": {"output_tokens": output_tokens},
    }
    yield {"type": "message_stop"}


def _head(body: Any, input_tokens: int, output_tokens: int) -> dict[str, Any]:
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "stop_sequence": None,
        "usage": {"input_tokens": input_tokens, "output_tokens": output_tokens},
    }


def _input(value: Any) -> Any:
    """What a call's input is: an object, or what a gateway makes of text that is none."""
    try:
        return orjson.loads(arguments_of(value))
    except orjson.JSONDecodeError:
        return value


def _stop(answer: Answer) -> str:
    if answer.refusal is not None:
        return "refusal"
    finish = answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")
    return _STOPS.get(finish, "end_turn")
