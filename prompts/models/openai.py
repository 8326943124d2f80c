"""Models behind OpenAI's chat interface, which most providers speak: any base URL, over the ``openai`` client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson

from prompts.models import failures
from prompts.models.failures import ProviderError
from prompts.models.provider import OnText, ProviderConfig, ProviderRequest, Reply, Vectors, tool_call
from workflow.chat import Message
from workflow.items import JsonObject

NO_KEY = "none"
"""Sent to servers that want no key; the client insists on one."""
FILTERED = "content_filter"


class OpenAIProvider:
    """Implements :class:`prompts.models.provider.Provider` over ``http``, which brings its own bounds."""

    def __init__(self, config: ProviderConfig, *, http: httpx2.AsyncClient) -> None:
        # Loaded where there is such a provider: it takes most of a second.
        import openai

        self.config = config
        # Without values it reads these from the environment; they are meant for OpenAI's own server.
        foreign = {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit}
        headers: Any = {**({} if config.name == "openai" else foreign), **config.headers}
        self._client = openai.AsyncOpenAI(
            api_key=config.api_key or NO_KEY,
            base_url=config.base_url,
            http_client=http,
            default_headers=headers,
            max_retries=0,
        )

    async def ask(self, question: ProviderRequest, *, on_text: OnText | None) -> Reply:
        """The model's answer; see the port."""
        arguments = self._arguments(question)
        async with self._translated():
            if on_text is not None:
                return await self._stream(arguments, on_text)
            response = await self._client.chat.completions.with_raw_response.create(**arguments)
            return _reply(self._object(response.content))

    async def embed(self, model: str, texts: Sequence[str], *, timeout_seconds: float) -> Vectors:
        """A vector for each text; see the port."""
        async with self._translated():
            response = await self._client.embeddings.with_raw_response.create(
                model=model, input=list(texts), encoding_format="float", timeout=timeout_seconds
            )
            answer = self._object(response.content)
        listed = sorted(answer.get("data") or (), key=lambda each: each.get("index", 0))
        vectors = [each.get("embedding") for each in listed]
        if len(vectors) != len(texts) or not all(isinstance(vector, list) and vector for vector in vectors):
            raise ProviderError(failures.UNAVAILABLE, f"{len(vectors)} vectors came for {len(texts)} texts")
        return Vectors(vectors, _whole((answer.get("usage") or {}).get("prompt_tokens")))

    def _arguments(self, question: ProviderRequest) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": question.model,
            "messages": [_message(each) for each in question.messages],
            "timeout": question.timeout_seconds,
        }
        if question.tools:
            arguments["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in question.tools
            ]
        if question.schema is not None:
            described = {"name": "answer", "schema": question.schema, "strict": is_strict(question.schema)}
            arguments["response_format"] = {"type": "json_schema", "json_schema": described}
        if question.temperature is not None:
            arguments["temperature"] = question.temperature
        if question.max_output_tokens is not None:
            arguments[self.config.output_limit] = question.max_output_tokens
        return arguments

    async def _stream(self, arguments: dict[str, Any], on_text: OnText) -> Reply:
        stream = await self._client.chat.completions.create(
            **arguments, stream=True, stream_options={"include_usage": True}
        )
        streamed = _StreamedAnswer()
        async with stream:
            async for chunk in stream:
                streamed.take(chunk.model_dump() if hasattr(chunk, "model_dump") else chunk, on_text)
        return _reply(streamed.whole())

    def _object(self, body: bytes) -> dict[str, Any]:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ProviderError(failures.UNAVAILABLE, "what came is not JSON") from error
        if not isinstance(answer, dict):
            raise ProviderError(failures.UNAVAILABLE, "what came is not a JSON object")
        if answer.get("error") and not answer.get("choices"):  # OpenRouter: with status 200
            raise self._told(answer["error"])
        return answer

    @asynccontextmanager
    async def _translated(self) -> AsyncGenerator[None]:
        """The client's failures as rows of the table.

        Raises:
            ProviderError: in place of them.
        """
        import openai

        try:
            yield
        except openai.APITimeoutError as error:
            raise ProviderError(failures.TIMEOUT, "it did not answer in time") from error
        except openai.APIConnectionError as error:
            cause = self._shown(str(error.__cause__ or error) or type(error.__cause__).__name__)
            raise ProviderError(failures.UNAVAILABLE, f"the connection failed: {cause}") from error
        except openai.APIStatusError as error:
            raise self._of_status(error) from error
        except openai.APIError as error:  # an error that came as an event of a stream
            raise self._told(error.body if isinstance(error.body, dict) else error.message) from error
        except httpx2.TimeoutException as error:
            raise ProviderError(failures.TIMEOUT, "it did not answer in time") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            cause = self._shown(str(error) or type(error).__name__)
            raise ProviderError(failures.UNAVAILABLE, f"the answer broke off: {cause}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ProviderError(failures.UNAVAILABLE, "what came cannot be read") from error

    def _of_status(self, error: Any) -> ProviderError:
        response = error.response
        return ProviderError(
            failures.of_status(response.status_code, error.code or error.type),
            f"status {response.status_code}: {self._shown(_message_of(error.body) or response.reason_phrase)}",
            status=response.status_code,
            retry_after_seconds=failures.retry_after_seconds(response.headers.get("retry-after")),
        )

    def _told(self, error: Any) -> ProviderError:
        """The failure in an error object that came with status 200."""
        code = error.get("code") if isinstance(error, dict) else None
        status = _whole(code)
        is_status = status is not None and 400 <= status <= 599
        row = failures.of_status(status, None) if status is not None and is_status else failures.UNAVAILABLE
        if code in failures.OUT_OF_MONEY:
            row = failures.OUT_OF_QUOTA
        message = self._shown(_message_of(error) or "no reason given")
        return ProviderError(row, f"it answered an error: {message}", status=status if is_status else None)

    def _shown(self, text: str) -> str:
        return failures.shown(text, secret=self.config.api_key)


class _StreamedAnswer:
    """What has come of a stream so far."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None
        self._usage: Any = None

    def take(self, chunk: Any, on_text: OnText) -> None:
        """Add an event."""
        self._usage = chunk.get("usage") or self._usage
        for choice in (chunk.get("choices") or ())[:1]:
            delta = choice.get("delta") or {}
            if delta.get("refusal"):
                self._refusal.append(delta["refusal"])
            for call in delta.get("tool_calls") or ():
                parts = self._calls.setdefault(call.get("index") or 0, {"id": "", "name": "", "arguments": ""})
                function = call.get("function") or {}
                parts["id"] = call.get("id") or parts["id"]
                parts["name"] = function.get("name") or parts["name"]
                parts["arguments"] += function.get("arguments") or ""
            self._finish = choice.get("finish_reason") or self._finish
            if delta.get("content"):
                self._text.append(delta["content"])
                on_text(delta["content"])

    def whole(self) -> dict[str, Any]:
        """All of it, as an answer that did not come in pieces.

        Raises:
            ProviderError: the stream ended before the model did.
        """
        if self._finish is None:
            raise ProviderError(failures.UNAVAILABLE, "the stream ended before the answer did")
        calls = [
            {"id": parts["id"], "function": {"name": parts["name"], "arguments": parts["arguments"]}}
            for _, parts in sorted(self._calls.items())
        ]
        message = {"content": "".join(self._text), "refusal": "".join(self._refusal) or None, "tool_calls": calls}
        return {"choices": [{"message": message, "finish_reason": self._finish}], "usage": self._usage}


def _reply(answer: dict[str, Any]) -> Reply:
    """The answer in our words.

    Raises:
        ProviderError: there is none in it, or the model refuses.
    """
    choices: list[Any] = answer.get("choices") or []
    message = choices[0].get("message") if choices else None
    if not message:
        raise ProviderError(failures.UNAVAILABLE, "there was no answer in what came")
    calls = tuple(
        tool_call(each.get("id") or f"call_{place}", each["function"]["name"], each["function"].get("arguments") or "")
        for place, each in enumerate(message.get("tool_calls") or ())
    )
    text = _text_of(message.get("content"))
    if message.get("refusal"):
        raise ProviderError(failures.REFUSED, f"it refuses: {failures.shown(message['refusal'], secret=None)}")
    if choices[0].get("finish_reason") == FILTERED and not calls:
        raise ProviderError(failures.REFUSED, "the provider's filter has taken the answer away")
    usage = answer.get("usage") or {}
    cost = usage.get("cost")  # OpenRouter gives it, in dollars
    return Reply(
        text=text,
        tool_calls=calls,
        input_tokens=_whole(usage.get("prompt_tokens")),
        output_tokens=_whole(usage.get("completion_tokens")),
        cost_micros=round(cost * 1_000_000) if isinstance(cost, int | float) else None,
    )


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        return {**written, "tool_call_id": message.tool_call_id or ""}
    if message.tool_calls:
        written["content"] = message.content or None
        written["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.raw_arguments or orjson.dumps(call.arguments or {}).decode(),
                },
            }
            for call in message.tool_calls
        ]
    if message.attachments and message.role == "user":
        parts: list[JsonObject] = [{"type": "text", "text": message.content}] if message.content else []
        for attachment in message.attachments:
            if attachment.media_type.startswith("image/"):
                parts.append({"type": "image_url", "image_url": {"url": attachment.url}})
            else:
                parts.append({"type": "text", "text": f"Attached ({attachment.media_type}): {attachment.url}"})
        written["content"] = parts
    return written


def is_strict(schema: Any) -> bool:
    """Whether OpenAI holds an answer strictly to the schema: every object names all it has, and needs all of it."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        known = schema.get("properties")
        if not isinstance(known, dict) or schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required", ())) != set(known):
            return False
    if {"oneOf", "allOf", "not", "if", "patternProperties", "dependentSchemas"} & schema.keys():
        return False
    return all(is_strict(member) for name, member in schema.items() if name not in ("enum", "const", "required"))


def _text_of(content: Any) -> str:
    if isinstance(content, list):  # some servers answer in parts
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _message_of(body: Any) -> str | None:
    """The message in an error's body, as different servers write it."""
    if isinstance(body, str):
        return body
    if isinstance(body, dict):
        inner = body.get("error", body.get("message", body.get("detail")))
        return _message_of(inner)
    return None


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return int(value) if str(value).isdecimal() else None
