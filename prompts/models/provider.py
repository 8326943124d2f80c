"""What a provider is asked and what it gives back: one question, one model, one try."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import orjson

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
    ``prices`` are by model; ``""`` is for all others.
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
    """What the model said. Tokens are ``None`` where the provider has not counted, the cost where it has not said."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_micros: int | None = None


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


def tool_call(call_id: str, name: str, raw_arguments: str) -> ToolCall:
    """A model's wish as it wrote it; arguments that are no JSON object are ``None``."""
    arguments: Any = None
    try:
        arguments = orjson.loads(raw_arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    is_object = isinstance(arguments, dict)
    return ToolCall(id=call_id, name=name, arguments=arguments if is_object else None, raw_arguments=raw_arguments)
