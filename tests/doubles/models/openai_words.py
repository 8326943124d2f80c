"""Answers in OpenAI's words: whole, and as the pieces of a stream."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Iterator
from typing import Any

import orjson

from tests.doubles.models.answers import Answer

DIMENSIONS = 64
_PIECE = re.compile(r"\S+\s*|\s+")


def pieces_of(text: str) -> list[str]:
    """The text word by word."""
    return _PIECE.findall(text)


def arguments_of(value: Any) -> str:
    """The arguments of a tool call as text."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def usage_of(answer: Answer, body: Any) -> tuple[int, int]:
    """What the answer says it has used: words, where the script does not say."""
    if answer.usage is not None:
        return answer.usage
    input_tokens = sum(len(str(message.get("content") or "").split()) for message in body.get("messages", ()))
    output_tokens = len(answer.text.split()) + sum(len(arguments_of(each).split()) for _, each in answer.tool_calls)
    return input_tokens, output_tokens


def completion(answer: Answer, body: Any) -> Any:
    """The whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": answer.refusal}
    if answer.tool_calls:
        message["tool_calls"] = [
            {**_id(answer, place), "type": "function", "function": {"name": name, "arguments": _given(answer, value)}}
            for place, (name, value) in enumerate(answer.tool_calls)
        ]
    choice = {"index": 0, "message": message, "finish_reason": _finish(answer), "logprobs": None}
    if answer.choice_error is not None:
        choice["error"] = answer.choice_error
    return {
        **_head(body, "chat.completion"),
        "choices": [choice] if answer.has_choices else [],
        **({"usage": _usage(answer, body)} if answer.has_usage else {}),
        **({"error": answer.error} if answer.error is not None else {}),
    }


def chunks(answer: Answer, body: Any) -> Iterator[Any]:
    """The answer as the events of a stream; the first one has no text yet, as with OpenAI."""
    head = _head(body, "chat.completion.chunk")

    def chunk(delta: Any, finish: str | None = None) -> Any:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    if answer.has_choices:
        yield chunk({"role": "assistant", "content": ""})
        for piece in pieces_of(answer.text):
            yield chunk({"content": piece})
        if answer.refusal is not None:
            yield chunk({"refusal": answer.refusal})
        for place, (name, value) in enumerate(answer.tool_calls):
            index = _index(answer, place)
            arguments = _given(answer, value)
            middle = len(arguments) if answer.calls_at_once or not isinstance(arguments, str) else len(arguments) // 2
            first = arguments if not isinstance(arguments, str) else arguments[:middle]
            function = {"name": name, "arguments": first}
            yield chunk({"tool_calls": [{**index, **_id(answer, place), "type": "function", "function": function}]})
            if middle < len(arguments):
                yield chunk({"tool_calls": [{**index, "function": {"arguments": arguments[middle:]}}]})
        if answer.error is not None:
            yield {**head, "choices": [], "error": answer.error}
        last = chunk({}, _finish(answer))
        if answer.choice_error is not None:
            last["choices"][0]["error"] = answer.choice_error
        yield last
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    if answer.has_usage and wants_usage:
        yield {**head, "choices": [], "usage": _usage(answer, body)}


def embeddings(answer: Answer, body: Any) -> Any:
    """Vectors that are near each other where texts share words, or those of the script."""
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    if answer.vectors is not None:
        scripted = [{"object": "embedding", "index": at, "embedding": each} for at, each in enumerate(answer.vectors)]
        return {"object": "list", "model": body.get("model"), "data": scripted}
    as_base64 = body.get("encoding_format") == "base64"
    listed = []
    for index, text in enumerate(texts):
        vector = _vector(text)
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        listed.append({"object": "embedding", "index": index, "embedding": packed if as_base64 else vector})
    words = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "model": body.get("model"),
        "data": listed,
        "usage": {"prompt_tokens": words, "total_tokens": words},
    }


def _vector(text: str) -> list[float]:
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % DIMENSIONS] += 1.0
    length = math.sqrt(sum(part * part for part in vector)) or 1.0
    return [part / length for part in vector]


def _id(answer: Answer, place: int) -> dict[str, Any]:
    call_id = f"call_{place}" if answer.call_ids is None else answer.call_ids[place]
    return {} if call_id is None else {"id": call_id}


def _index(answer: Answer, place: int) -> dict[str, Any]:
    index = place if answer.call_indexes is None else answer.call_indexes[place]
    return {} if index is None else {"index": index}


def _given(answer: Answer, value: Any) -> Any:
    return value if answer.arguments_as_objects else arguments_of(value)


def _head(body: Any, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 1_700_000_000, "model": body.get("model")}


def _finish(answer: Answer) -> str:
    return answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")


def _usage(answer: Answer, body: Any) -> dict[str, int]:
    input_tokens, output_tokens = usage_of(answer, body)
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }
