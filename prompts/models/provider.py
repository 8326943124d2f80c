"""What a provider is asked and what it gives back: one question, one model, one try."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from prompts.models import failures
from prompts.models.failures import ProviderError
from prompts.wholeness import is_too_deep, whole_text, whole_value
from workflow.chat import Message, ToolCall, ToolSpec
from workflow.items import JsonObject

OnText = Callable[[str], None]


class Price(NamedTuple):
    """Dollars for a million tokens, which are micro-dollars for one."""

    input: float
    output: float


@dataclass(slots=True, frozen=True, kw_only=True)
class ProviderConfig:
    """One provider, ready for use. ``models`` are the only ones that may be named, where there are any.

    ``native_schema`` says that it takes a JSON Schema itself. ``output_limit`` is its name for the bound of an answer.
    ``prices`` are by model; ``""`` is for all others. ``alternating_roles`` says that it refuses two messages of one
    role in a row, and system messages anywhere but at the head.
    """

    name: str
    kind: Literal["openai", "anthropic"]
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    models: tuple[str, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)
    native_schema: bool = True
    output_limit: str = "max_tokens"
    headers: Mapping[str, str] = field(default_factory=dict)
    alternating_roles: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class ProviderRequest:
    """What one model is asked. ``schema`` is there only for a provider that takes it itself."""

    model: str
    messages: Sequence[Message]
    timeout_seconds: float
    tools: Sequence[ToolSpec] = ()
    schema: JsonObject | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class Reply:
    """What the model said. Tokens are ``None`` where the provider has not counted, the cost where it has not said.

    ``is_cut`` says that it reached the bound of its answer before it was done.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_micros: int | None = None
    is_cut: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.text.strip() and not self.tool_calls


class Vectors(NamedTuple):
    """Embeddings, in the order of the texts, and the tokens of those."""

    vectors: Sequence[Sequence[float]]
    input_tokens: int | None


class Provider(Protocol):
    """One provider, in its own words."""

    config: ProviderConfig

    async def ask(self, question: ProviderRequest, *, on_text: OnText | None) -> Reply:
        """The model's answer; ``on_text`` gets its pieces as they come.

        Raises:
            ProviderError: there is no usable one.
        """
        ...

    async def embed(self, model: str, texts: Sequence[str], *, timeout_seconds: float) -> Vectors:
        """A vector for each text.

        Raises:
            ProviderError: there are none.
        """
        ...


def tool_calls(wanted: Iterable[tuple[str, str, Any]], *, is_cut: bool) -> tuple[ToolCall, ...]:
    """A model's wishes, each an id, a name and arguments as the model gave them: text, or an object.

    Arguments that are no JSON object are ``None``. Where the answer was cut off, so are empty ones of the last call:
    more would have come.

    Raises:
        ValueError: a call names no tool.
    """
    calls = [_tool_call(call_id or f"call_{place}", name, given) for place, (call_id, name, given) in enumerate(wanted)]
    if is_cut and calls and not calls[-1].arguments:
        calls[-1] = replace(calls[-1], arguments=None)
    return tuple(calls)


def is_json(headers: Mapping[str, str]) -> bool:
    """Whether an answer is one JSON value: not every server streams that was asked to."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def is_object_text(text: str) -> bool:
    """Whether a text is a JSON object, and so arguments that are complete."""
    return text.rstrip().endswith("}") and isinstance(read_json(text), dict)


def _tool_call(call_id: str, name: str, given: Any) -> ToolCall:
    if not isinstance(name, str) or not name:
        raise ValueError("a call without a name")
    raw = given if isinstance(given, str) else "" if given is None else json.dumps(given)
    arguments = read_json(raw) if raw.strip() else {}
    if isinstance(arguments, str):  # written as JSON twice
        arguments = read_json(arguments)
    is_usable = isinstance(arguments, dict) and not is_too_deep(arguments)
    return ToolCall(
        id=whole_text(str(call_id)),
        name=whole_text(name),
        arguments=arguments if is_usable else None,
        raw_arguments=whole_text(raw),
    )


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text, with whole texts in it; ``None`` where it is none."""
    try:
        return orjson.loads(whole_text(text) if isinstance(text, str) else text)
    except orjson.JSONDecodeError:
        pass
    try:  # escaped halves of surrogate pairs, which orjson refuses
        return whole_value(json.loads(text, parse_constant=_refuse))
    except (ValueError, RecursionError):
        return None


def vectors_of(listed: Any, count: int) -> list[list[float]]:
    """The vectors in an answer about ``count`` texts, in the order of the texts.

    Raises:
        ProviderError: they are not as many, not in order, not of one length, or not of finite numbers.
    """
    entries = [each for each in listed or () if isinstance(each, dict)]
    if len(entries) != count:
        raise _unreadable(f"{len(entries)} vectors came for {count} texts")
    places = [each.get("index") for each in entries]
    if len(set(places)) > 1:  # servers that give no place, or 0 to each, keep the order
        if sorted(place for place in places if isinstance(place, int)) != list(range(count)):
            raise _unreadable("the places of the vectors are not those of the texts")
        entries.sort(key=lambda each: int(each["index"]))
    vectors = [_vector(place, each.get("embedding")) for place, each in enumerate(entries)]
    if len(set(map(len, vectors))) > 1:
        raise _unreadable(f"the vectors have different lengths: {sorted(set(map(len, vectors)))[:5]}")
    return vectors


def _vector(place: int, value: Any) -> list[float]:
    if not isinstance(value, list) or not value:
        raise _unreadable(f"vector {place} is not a list of numbers")
    for at, each in enumerate(value):
        if isinstance(each, bool) or not isinstance(each, int | float) or not abs(each) <= sys.float_info.max:
            raise _unreadable(f"vector {place} has {each!r:.40} at place {at}, which is no finite number")
    return [float(each) for each in value]


def _unreadable(what: str) -> ProviderError:
    return ProviderError(failures.UNAVAILABLE, what)


def _refuse(name: str) -> Any:
    raise ValueError(name)
