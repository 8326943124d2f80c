"""Models behind OpenAI's chat interface, which most providers speak: any base URL, over the ``openai`` client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson

from prompts.models import failures
from prompts.models.failures import ProviderError
from prompts.models.openai_answers import StreamedAnswer, reply_of, whole_number
from prompts.models.provider import (
    OnText,
    ProviderConfig,
    ProviderRequest,
    Reply,
    Vectors,
    is_json,
    is_object_text,
    read_json,
    vectors_of,
)
from workflow.chat import Message, ToolCall
from workflow.items import JsonObject

NO_KEY = "none"
"""Sent to servers that want no key; the client insists on one."""


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
            return reply_of(self._object(response.content), self._shown)

    async def embed(self, model: str, texts: Sequence[str], *, timeout_seconds: float) -> Vectors:
        """A vector for each text; see the port."""
        async with self._translated():
            response = await self._client.embeddings.with_raw_response.create(
                model=model, input=list(texts), encoding_format="float", timeout=timeout_seconds
            )
            answer = self._object(response.content)
        vectors = vectors_of(answer.get("data"), len(texts))
        return Vectors(vectors, whole_number((answer.get("usage") or {}).get("prompt_tokens")))

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
        streamed = StreamedAnswer(self._shown)
        async with stream:
            if is_json(stream.response.headers):
                reply = reply_of(self._object(await stream.response.aread()), self._shown)
                if reply.text:
                    on_text(reply.text)
                return reply
            async for chunk in stream:
                # Without warnings about what is not of the type that OpenAI has for it: other servers are odd.
                streamed.take(chunk.model_dump(warnings=False) if hasattr(chunk, "model_dump") else chunk, on_text)
        return reply_of(streamed.whole(), self._shown)

    def _object(self, body: bytes) -> dict[str, Any]:
        answer = read_json(body)
        if answer is None:
            raise ProviderError(failures.UNAVAILABLE, "what came is not JSON")
        if not isinstance(answer, dict):
            raise ProviderError(failures.UNAVAILABLE, "what came is not a JSON object")
        if failures.is_error(answer.get("error")):  # OpenRouter: with status 200
            raise failures.told(answer["error"], self._shown)
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
            raise failures.told(error.body if isinstance(error.body, dict) else error.message, self._shown) from error
        except httpx2.TimeoutException as error:
            raise ProviderError(failures.TIMEOUT, "it did not answer in time") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            cause = self._shown(str(error) or type(error).__name__)
            raise ProviderError(failures.UNAVAILABLE, f"the answer broke off: {cause}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ProviderError(failures.UNAVAILABLE, "what came cannot be read") from error

    def _of_status(self, error: Any) -> ProviderError:
        response = error.response
        message = failures.message_of(error.body) or response.reason_phrase
        return ProviderError(
            failures.of_status(response.status_code, *failures.error_codes(error.body), message=message),
            f"status {response.status_code}: {self._shown(message)}",
            status=response.status_code,
            retry_after_seconds=failures.retry_after_seconds(response.headers.get("retry-after")),
        )

    def _shown(self, text: str) -> str:
        return failures.shown(text, secret=self.config.api_key)


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
                "function": {"name": call.name, "arguments": _arguments_of(call)},
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


def _arguments_of(call: ToolCall) -> str:
    """The arguments as the model wrote them; where nobody could read them, none: servers that parse them would refuse
    the whole question."""
    if call.arguments is not None and is_object_text(call.raw_arguments):
        return call.raw_arguments
    return orjson.dumps(call.arguments or {}).decode()


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
