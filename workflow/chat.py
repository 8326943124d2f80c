"""What is said to a model and what it answers, and the port by which nodes reach models.

A model is named ``provider/model``, for example ``openai/gpt-5-mini``; ``agent`` is the assistant that is connected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from workflow.errors import ErrorKind, JobsprintError
from workflow.items import JsonObject

ChatRole = Literal["system", "user", "assistant", "tool"]

AGENT = "agent"
"""The model that is the calling assistant itself: the execution waits until it has answered."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ToolSpec:
    """A tool that a model may ask for; ``parameters`` is a JSON Schema."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(slots=True, frozen=True, kw_only=True)
class ToolCall:
    """A model's wish. ``arguments`` is what it wrote; ``None`` where that was not a JSON object."""

    id: str
    name: str
    arguments: JsonObject | None
    raw_arguments: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class Attachment:
    """Something that goes with a message by reference: the address and media type of a file or picture."""

    url: str
    media_type: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Message:
    """One turn. ``tool_call_id`` is there in a tool's answer. ``is_from_outside`` marks text that nobody in the
    workspace wrote: it is data, whatever it says."""

    role: ChatRole
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    is_from_outside: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class Usage:
    """Tokens of one exchange, and what it cost in micro-dollars where the price is known.

    ``is_estimate`` says that the provider did not count, and we did.
    """

    input_tokens: int
    output_tokens: int
    is_estimate: bool = False
    cost_micros: int | None = None


class Asker(NamedTuple):
    """For whom an exchange is: whose limits it counts against, and where its history belongs."""

    owner: str
    user_id: str
    workflow_id: str | None = None
    execution_id: str | None = None
    node: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ChatRequest:
    """What to ask. ``models`` are tried in their order; none means the configured ones.

    With ``schema`` (JSON Schema) the answer's ``data`` fits it. ``may_cache`` lets the same question be answered from
    memory. ``timeout_seconds`` bounds each question to each model.
    """

    asker: Asker
    messages: Sequence[Message]
    models: Sequence[str] = ()
    tools: Sequence[ToolSpec] = ()
    schema: JsonObject | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    timeout_seconds: float = 60.0
    may_cache: bool = False
    conversation_id: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ChatAttempt:
    """One model that was asked: how it ended (``ok``, or an error's code) and after how long."""

    model: str
    outcome: str
    latency_ms: float
    status: int | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ChatAnswer:
    """What a model said: text, or ``data`` by the request's schema, or wishes for tools.

    ``model`` is the one that answered, ``attempts`` every one that was asked, the last one included.
    """

    model: str
    text: str
    usage: Usage
    latency_ms: float
    data: Any = None
    tool_calls: tuple[ToolCall, ...] = ()
    attempts: Sequence[ChatAttempt] = ()
    is_from_cache: bool = False


class ModelError(JobsprintError):
    """No model gave a usable answer.

    Attributes:
        model_code: ``model_timeout``, ``model_unavailable``, ``model_rate_limited``, ``model_rejected``,
            ``model_refused``, ``model_answer_invalid``, ``model_quota_exceeded``, ``model_limit_reached``,
            ``no_model``.
        transient: whether trying again later may help (docs/contract.md, "Failure").
        retry_after_seconds: when the first of the models can be asked again, where one has said so.
        attempts: every model that was asked.
    """

    code = "model_failed"
    kind = ErrorKind.UNAVAILABLE

    def __init__(
        self,
        message: str,
        *,
        code: str,
        transient: bool,
        fix: str,
        retry_after_seconds: float | None = None,
        attempts: Sequence[ChatAttempt] = (),
    ) -> None:
        super().__init__(message, fix=fix)
        self.model_code = code
        self.transient = transient
        self.retry_after_seconds = retry_after_seconds
        self.attempts = attempts


class AgentAnswersError(Exception):
    """It is the connected assistant's turn to answer: raised in place of an answer where the next model in the order is
    :data:`AGENT`. No failure. ``attempts`` are the models that were asked before."""

    def __init__(self, request: ChatRequest, attempts: Sequence[ChatAttempt] = ()) -> None:
        super().__init__("the calling agent answers")
        self.request = request
        self.attempts = attempts


class Models(Protocol):
    """How models are reached: in order, with fallback, limits, cache and history."""

    async def chat(self, request: ChatRequest, *, on_text: Callable[[str], None] | None = None) -> ChatAnswer:
        """The answer of the first model that gives one; ``on_text`` gets pieces of it as they come.

        Once a piece was passed on no other model is asked any more. With a schema there are no pieces: half a value is
        of no use, and the whole may have to be repaired.

        Raises:
            AgentAnswersError: the calling agent is the next to be asked.
            ModelError: no model gave a usable answer.
        """
        ...

    def order(self, models: Sequence[str]) -> Sequence[str]:
        """The names of the models that would be asked, in their order; where ``models`` is empty, the settings' models.

        Raises:
            ModelError: one is not known.
        """
        ...

    async def answered(self, request: ChatRequest, text: str, *, model: str = AGENT) -> ChatAnswer:
        """What somebody else answered to the request, checked against its schema and kept in the history.

        Raises:
            ModelError: it does not fit, code ``model_answer_invalid``; its message says where.
        """
        ...

    async def embed(self, asker: Asker, texts: Sequence[str], *, model: str | None = None) -> Sequence[Sequence[float]]:
        """A vector for each text.

        Raises:
            ModelError: no model gave them.
        """
        ...
