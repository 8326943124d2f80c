"""Answers in the words of OpenAI's chat interface, whole or in the pieces of a stream, as very different servers write
them. Both are read by the same function, so that the same answer gives the same calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prompts.models import failures
from prompts.models.failures import ProviderError
from prompts.models.provider import OnText, Reply, is_object_text, tool_calls
from prompts.wholeness import HalfHeld, whole_text

Shown = Callable[[str], str]
"""Makes a provider's message fit to be shown; see :func:`prompts.models.failures.shown`."""

CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"})
"""Reasons why an answer ended that say that it reached a bound: OpenAI's, and others' names for it."""
BROKEN = frozenset({"error", "abort", "failed", "network_error", "insufficient_system_resource"})
"""Those that say that the server failed: OpenRouter, vLLM and SGLang, Zhipu, DeepSeek."""
MALFORMED = frozenset({"malformed_function_call", "unexpected_tool_call"})
"""Google's for a call of a tool that its server could not read."""


@dataclass(slots=True)
class _Call:
    """A wish for a tool, as far as it has come."""

    index: int | None
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def is_another(self, call_id: str, name: str, arguments: str) -> bool:
        """Whether a piece that would belong here begins another call instead."""
        if call_id and self.id and call_id != self.id:
            return True
        if not name:
            return False
        if self.name and name != self.name and not call_id:
            return True
        return bool(arguments) and is_object_text("".join(self.arguments))


class StreamedAnswer:
    """What has come of a stream so far."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._text: list[str] = []
        self._half = HalfHeld()
        self._refusal: list[str] = []
        self._calls: list[_Call] = []
        self._finish: str | None = None
        self._usage: Any = None

    def take(self, chunk: Any, on_text: OnText) -> None:
        """Add an event.

        Raises:
            ProviderError: it says that the answer failed.
        """
        _raise_error(chunk, self._shown)
        self._usage = chunk.get("usage") or self._usage
        for choice in (chunk.get("choices") or ())[:1]:
            _raise_error(choice, self._shown)
            delta = choice.get("delta") or {}
            if delta.get("refusal"):
                self._refusal.append(delta["refusal"])
            for call in _calls_in(delta):
                self._take_call(call)
            self._finish = choice.get("finish_reason") or self._finish
            text = self._half.joined(_text_of(delta.get("content")))
            if text:
                self._text.append(text)
                on_text(text)

    def whole(self) -> dict[str, Any]:
        """All of it, as an answer that did not come in pieces.

        Raises:
            ProviderError: the stream ended before the model did.
        """
        if self._finish is None:
            raise ProviderError(failures.UNAVAILABLE, "the stream ended before the answer did")
        calls = self._calls
        if all(call.index is not None for call in calls):
            calls = sorted(calls, key=lambda call: call.index or 0)
        written = [
            {"id": call.id, "function": {"name": call.name, "arguments": "".join(call.arguments)}} for call in calls
        ]
        message = {"content": "".join(self._text), "refusal": "".join(self._refusal) or None, "tool_calls": written}
        return {"choices": [{"message": message, "finish_reason": self._finish}], "usage": self._usage}

    def _take_call(self, piece: Any) -> None:
        function = piece.get("function") or {}
        call_id, name = piece.get("id") or "", function.get("name") or ""
        given = function.get("arguments")
        arguments = given if isinstance(given, str) else "" if given is None else json.dumps(given)
        call = self._call_of(piece.get("index"), call_id, name, arguments)
        call.id, call.name = call_id or call.id, name or call.name
        call.arguments.append(arguments)

    def _call_of(self, index: int | None, call_id: str, name: str, arguments: str) -> _Call:
        """The call that a piece belongs to, a new one where it begins one.

        A piece belongs to the call at its index, and without an index to the latest. Servers also send every call at
        index 0, or none at all: then another id begins another call; without ids another name does, or arguments behind
        those that are complete. An id that is there already goes on with its call.
        """
        there = [call for call in self._calls if index is None or call.index == index]
        known = next((call for call in reversed(there) if call_id and call.id == call_id), None)
        found = known or (there[-1] if there else None)
        if found is None and not name and self._calls:  # an index that counts pieces, not calls
            same_id = (call for call in reversed(self._calls) if call.id == call_id)
            found = next(same_id, None) if call_id else self._calls[-1]
        if found is None or found.is_another(call_id, name, arguments):
            found = _Call(index=index)
            self._calls.append(found)
        return found


def reply_of(answer: dict[str, Any], shown: Shown) -> Reply:
    """The answer in our words.

    Raises:
        ProviderError: there is none in it, it failed, or the model refuses.
        ValueError: a call names no tool.
    """
    _raise_error(answer, shown)
    choices: list[Any] = answer.get("choices") or []
    choice = choices[0] if choices else {}
    _raise_error(choice, shown)
    if not choices and answer.get("object") == "error":  # vLLM, in place of an answer
        raise failures.told(answer, shown)
    message = choice.get("message")
    finish = str(choice.get("finish_reason") or "").lower()
    if finish in BROKEN or finish in MALFORMED:
        raise ProviderError(failures.UNAVAILABLE, f"its answer failed (finish_reason {finish})")
    is_cut = finish in CUT
    calls = tool_calls(_wanted(message or {}), is_cut=is_cut)
    if message and message.get("refusal"):
        raise ProviderError(failures.REFUSED, f"it refuses: {failures.shown(message['refusal'], secret=None)}")
    if finish in failures.FILTERED and not calls:
        raise ProviderError(failures.REFUSED, "the provider's filter has taken the answer away")
    if not message:
        raise ProviderError(failures.UNAVAILABLE, "there was no answer in what came")
    usage = answer.get("usage") or {}
    cost = usage.get("cost")  # OpenRouter gives it, in dollars
    return Reply(
        text=whole_text(_text_of(message.get("content"))),
        tool_calls=calls,
        input_tokens=whole_number(usage.get("prompt_tokens")),
        output_tokens=whole_number(usage.get("completion_tokens")),
        cost_micros=round(cost * 1_000_000) if isinstance(cost, int | float) else None,
        is_cut=is_cut,
    )


def whole_number(value: Any) -> int | None:
    """The whole number that a value is, or spells."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return int(value) if str(value).isdecimal() else None


def _raise_error(part: Any, shown: Shown) -> None:
    """Raise the failure that stands in an answer, or in a choice of it, whatever else stands there."""
    if failures.is_error(part.get("error")):
        raise failures.told(part["error"], shown)


def _calls_in(message: Any) -> list[Any]:
    """The calls in a message or a piece of one; the older form has one."""
    old = message.get("function_call")
    return list(message.get("tool_calls") or ([{"function": old}] if old else []))


def _wanted(message: Any) -> Iterator[tuple[str, str, Any]]:
    for each in _calls_in(message):
        function = each.get("function") or {}
        yield each.get("id") or "", function.get("name") or "", function.get("arguments")


def _text_of(content: Any) -> str:
    if isinstance(content, list):  # some servers answer in parts
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
