"""The answers that a script can hold. One answer works for streams and for whole bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

INSUFFICIENT_QUOTA = "insufficient_quota"
"""OpenAI's code for an account without money, which comes with status 429."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Answer:
    """What happens when a model is asked.

    ``tool_calls`` are names with their arguments: an object, or a text that is sent as it is. ``usage`` is (input,
    output) tokens; ``None`` counts words, and ``has_usage`` false tells none. ``cut_after`` and ``garbage_after`` count
    pieces of a stream; in a whole body a cut sends half of it. A ``body`` is sent in place of everything else.

    ``error`` stands beside the choices, ``choice_error`` within the first; in a stream both come behind the text.
    ``call_ids`` and ``call_indexes`` are the tool calls' own, in place of ``call_0`` and 0, 1, 2; ``None`` leaves one
    out. With ``calls_at_once`` a stream sends each call in one piece; with ``arguments_as_objects`` arguments are no
    text. ``vectors`` are what embeddings answer.
    """

    text: str = ""
    tool_calls: tuple[tuple[str, Any], ...] = ()
    refusal: str | None = None
    finish_reason: str | None = None
    has_choices: bool = True
    usage: tuple[int, int] | None = None
    has_usage: bool = True
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    garbage_after: int | None = None
    delay_seconds: float = 0
    hangs: bool = False
    error: Any = None
    choice_error: Any = None
    call_ids: Sequence[str | None] | None = None
    call_indexes: Sequence[int | None] | None = None
    calls_at_once: bool = False
    arguments_as_objects: bool = False
    vectors: Sequence[Any] | None = None

    @classmethod
    def from_json(cls, value: Any) -> Answer:
        """An answer as scripts in files write it: a text, a status, or this class's members."""
        if isinstance(value, str):
            return said(value)
        if isinstance(value, int):
            return status(value)
        members = dict(value)
        if "data" in members:
            members["text"] = json.dumps(members.pop("data"))
        if "tool_calls" in members:
            members["tool_calls"] = tuple(map(tuple, members["tool_calls"]))
        if members.get("usage") is not None:
            members["usage"] = tuple(members["usage"])
        if "body" in members:
            members["body"] = members["body"].encode()
        return cls(**members)


def said(text: str, **members: Any) -> Answer:
    """A text."""
    return Answer(text=text, **members)


def data(value: Any, **members: Any) -> Answer:
    """A JSON value as text, as structured output comes."""
    return Answer(text=json.dumps(value), **members)


def calling(*tool_calls: tuple[str, Any], text: str = "", **members: Any) -> Answer:
    """Wishes for tools: names with their arguments."""
    return Answer(tool_calls=tool_calls, text=text, **members)


def refusal(text: str = "I cannot help with that.") -> Answer:
    """The model will not."""
    return Answer(refusal=text)


def cut_off(text: str, **members: Any) -> Answer:
    """An answer that reached the bound of its length."""
    return Answer(text=text, finish_reason="length", **members)


def embedded(*vectors: Any) -> Answer:
    """Vectors, whatever they are."""
    return Answer(vectors=vectors)


def filtered() -> Answer:
    """The provider's filter has taken the answer away."""
    return Answer(finish_reason="content_filter")


def status(
    code: int,
    *,
    retry_after: str | None = None,
    message: str | None = None,
    error_code: str | None = None,
    **members: Any,
) -> Answer:
    """An error with this HTTP status, as OpenAI writes errors; ``members`` are further ones of its object."""
    error = {
        "message": message or f"scripted status {code}",
        "type": error_code or "scripted",
        "param": None,
        "code": error_code,
        **members,
    }
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Answer(status=code, headers=headers, body=json.dumps({"error": error}).encode())


def slow(seconds: float, then: Answer) -> Answer:
    """The same, later."""
    return replace(then, delay_seconds=seconds)


def hanging() -> Answer:
    """Nothing, until the caller has gone or the double is closed."""
    return Answer(hangs=True)


def cut_stream(text: str = "one two three four", *, after: int = 2) -> Answer:
    """The connection breaks after so many pieces; 0 is after the headers."""
    return Answer(text=text, cut_after=after)


def cut_body() -> Answer:
    """The connection breaks in the middle of the body."""
    return Answer(text="this is cut off", cut_after=0)


def garbage_in_stream(text: str = "one two three four", *, after: int = 0) -> Answer:
    """An event that is not JSON, after so many pieces."""
    return Answer(text=text, garbage_after=after)


def malformed_json() -> Answer:
    """A body that says it is JSON and is not."""
    return Answer(body=b'{"choices": [{"message": {"content": "half', headers={"content-type": "application/json"})


def empty_choices() -> Answer:
    """An answer with nothing in it."""
    return Answer(has_choices=False)
