"""Anthropic's models in its own words, where its client is installed (``jobsprint[anthropic]``)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import httpx2

from prompts.models import failures
from prompts.models.failures import ProviderError
from prompts.models.provider import (
    OnText,
    ProviderConfig,
    ProviderRequest,
    Reply,
    Vectors,
    is_json,
    read_json,
    tool_calls,
)
from prompts.models.turns import BEGINNING
from prompts.wholeness import HalfHeld, whole_text
from workflow.chat import Message
from workflow.items import JsonObject

OUTPUT_TOKENS = 4_096
"""The interface insists on a bound; this one is within what every model of theirs can say."""
REFUSAL = "refusal"
CUT = frozenset({"max_tokens", "model_context_window_exceeded"})
"""Stop reasons that say that the answer reached a bound."""


class AnthropicProvider:
    """Implements :class:`prompts.models.provider.Provider` over ``http``, which brings its own bounds.

    Raises:
        ModuleNotFoundError: the client is not installed.
    """

    def __init__(self, config: ProviderConfig, *, http: httpx2.AsyncClient) -> None:
        import anthropic

        self.config = config
        self._client = anthropic.AsyncAnthropic(
            api_key=config.api_key or "none",
            base_url=config.base_url,
            http_client=http,
            default_headers=dict(config.headers),
            max_retries=0,
        )

    async def ask(self, question: ProviderRequest, *, on_text: OnText | None) -> Reply:
        """The model's answer; see the port."""
        arguments = _arguments(question)
        async with self._translated():
            if on_text is None:
                response = await self._client.messages.with_raw_response.create(**arguments)
                content = response.http_response.content
                return _reply(_object(content), self._shown)
            streamed = _StreamedAnswer()
            stream = await self._client.messages.create(**arguments, stream=True)
            async with stream:
                if is_json(stream.response.headers):
                    reply = _reply(_object(await stream.response.aread()), self._shown)
                    if reply.text:
                        on_text(reply.text)
                    return reply
                async for event in stream:
                    # Without warnings about what is not of the type that Anthropic has for it: gateways are odd.
                    streamed.take(event.model_dump(warnings=False), on_text)
            return _reply(streamed.whole(), self._shown)

    async def embed(self, model: str, texts: Sequence[str], *, timeout_seconds: float) -> Vectors:
        """Nothing: there is no such interface.

        Raises:
            ProviderError: always.
        """
        raise ProviderError(failures.UNKNOWN_MODEL, "Anthropic has no models for embeddings")

    @asynccontextmanager
    async def _translated(self) -> AsyncGenerator[None]:
        """The client's failures as rows of the table.

        Raises:
            ProviderError: in place of them.
        """
        import anthropic

        try:
            yield
        except anthropic.APITimeoutError as error:
            raise ProviderError(failures.TIMEOUT, "it did not answer in time") from error
        except anthropic.APIConnectionError as error:
            cause = self._shown(str(error.__cause__ or error) or type(error.__cause__).__name__)
            raise ProviderError(failures.UNAVAILABLE, f"the connection failed: {cause}") from error
        except anthropic.APIStatusError as error:
            # An error that came as an event of a stream has status 200; its type says what it is.
            status, kind = error.response.status_code, _error_of(error.body, "type")
            true_status = _STATUS_OF_TYPE.get(str(kind), 500) if status < 400 else status
            message = _error_of(error.body, "message") or error.response.reason_phrase
            out_of_money = "credit balance" in str(message).lower()
            code = "insufficient_quota" if out_of_money else kind
            row = failures.of_status(true_status, code, message=str(message))
            raise ProviderError(
                row,
                f"status {true_status}: {self._shown(str(message))}",
                status=true_status,
                retry_after_seconds=failures.retry_after_seconds(error.response.headers.get("retry-after")),
            ) from error
        except httpx2.TimeoutException as error:
            raise ProviderError(failures.TIMEOUT, "it did not answer in time") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            cause = self._shown(str(error) or type(error).__name__)
            raise ProviderError(failures.UNAVAILABLE, f"the answer broke off: {cause}") from error
        except (ValueError, TypeError, KeyError, AttributeError, StopIteration, anthropic.AnthropicError) as error:
            raise ProviderError(failures.UNAVAILABLE, "what came cannot be read") from error

    def _shown(self, text: str) -> str:
        return failures.shown(text, secret=self.config.api_key)


_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 408,
    "api_error": 500,
    "overloaded_error": 529,
}
"""Anthropic's documentation, "Errors"."""


class _StreamedAnswer:
    """What has come of a stream so far."""

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = []
        self._half = HalfHeld()
        self._usage: dict[str, Any] = {}
        self._stop: str | None = None

    def take(self, event: Any, on_text: OnText) -> None:
        """Add an event."""
        kind = event.get("type")
        if kind == "message_start":
            self._usage |= event["message"].get("usage") or {}
        elif kind == "content_block_start":
            self._blocks.append({**event["content_block"], "index": event.get("index"), "partial": ""})
        elif kind == "content_block_delta":
            block, delta = self._block(event.get("index")), event["delta"]
            if delta.get("text"):
                block["text"] = (block.get("text") or "") + delta["text"]
                text = self._half.joined(delta["text"])
                if text:
                    on_text(text)
            block["partial"] += delta.get("partial_json") or ""
        elif kind == "message_delta":
            self._stop = event["delta"].get("stop_reason") or self._stop
            usage = event.get("usage") or {}
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def whole(self) -> dict[str, Any]:
        """All of it, as an answer that did not come in pieces.

        Raises:
            ProviderError: the stream ended before the model did.
        """
        if self._stop is None:
            raise ProviderError(failures.UNAVAILABLE, "the stream ended before the answer did")
        return {"content": self._blocks, "stop_reason": self._stop, "usage": self._usage}

    def _block(self, index: Any) -> dict[str, Any]:
        """The latest block that began at this index: gateways send several blocks at one."""
        return next(block for block in reversed(self._blocks) if block["index"] == index)


def _object(body: bytes) -> dict[str, Any]:
    answer = read_json(body)
    if not isinstance(answer, dict):
        raise ProviderError(failures.UNAVAILABLE, "what came is not a JSON object")
    return answer


def _reply(answer: dict[str, Any], shown: Callable[[str], str]) -> Reply:
    """The answer in our words.

    Raises:
        ProviderError: there is none in it, it failed, or the model refuses.
        ValueError: a call names no tool.
    """
    if failures.is_error(answer.get("error")):  # with status 200
        raise failures.told(answer["error"], shown)
    content, stop = answer.get("content"), answer.get("stop_reason")
    if stop == REFUSAL:
        raise ProviderError(failures.REFUSED, "it refuses")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list) or (not content and stop is None):
        raise ProviderError(failures.UNAVAILABLE, "there was no answer in what came")
    usage = answer.get("usage") or {}
    inputs = [usage.get(name) for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    wanted = [
        (block.get("id") or "", block.get("name") or "", block.get("partial") or block.get("input"))
        for block in content
        if block.get("type") == "tool_use"
    ]
    return Reply(
        text=whole_text("".join(block.get("text") or "" for block in content if block.get("type") == "text")),
        tool_calls=tool_calls(wanted, is_cut=stop in CUT),
        input_tokens=None if inputs[0] is None else sum(each or 0 for each in inputs),
        output_tokens=usage.get("output_tokens"),
        is_cut=stop in CUT,
    )


def _arguments(question: ProviderRequest) -> dict[str, Any]:
    # What a system message says in the middle would be out of place at the head: only leading ones go there.
    leading = 0
    while leading < len(question.messages) and question.messages[leading].role == "system":
        leading += 1
    system = "\n\n".join(each.content for each in question.messages[:leading])
    arguments: dict[str, Any] = {
        "model": question.model,
        "messages": list(_messages(question.messages[leading:])),
        "max_tokens": question.max_output_tokens or OUTPUT_TOKENS,
        "timeout": question.timeout_seconds,
    }
    if system:
        arguments["system"] = system
    if question.tools:
        arguments["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in question.tools
        ]
    if question.temperature is not None:
        arguments["temperature"] = question.temperature
    return arguments


def _messages(messages: Sequence[Message]) -> Iterator[JsonObject]:
    """Turns of user and assistant that alternate, none of them empty and the first the user's, as the interface wants
    them."""
    said = [each for each in messages if each.content or each.attachments or each.tool_calls or each.role == "tool"]
    if said and said[0].role == "assistant":
        said.insert(0, Message(role="user", content=BEGINNING))
    for role, turns in groupby(said, key=lambda each: "assistant" if each.role == "assistant" else "user"):
        yield {"role": role, "content": [block for turn in turns for block in _blocks(turn)]}


def _blocks(message: Message) -> Iterator[JsonObject]:
    if message.role == "tool":
        yield {"type": "tool_result", "tool_use_id": message.tool_call_id or "", "content": message.content}
        return
    if message.content:
        yield {"type": "text", "text": message.content}
    for attachment in message.attachments:
        if attachment.media_type.startswith("image/"):
            yield {"type": "image", "source": {"type": "url", "url": attachment.url}}
        else:
            yield {"type": "text", "text": f"Attached ({attachment.media_type}): {attachment.url}"}
    for call in message.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments or {}}


def _error_of(body: Any, member: str) -> Any:
    """A member of the error in an answer's body."""
    error = body.get("error") if isinstance(body, dict) else None
    return error.get(member) if isinstance(error, dict) else None
