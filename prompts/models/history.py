"""Every exchange in the history, in a form that is fit to be kept: secrets hidden, long texts cut."""

from __future__ import annotations

import logging
from typing import Any

from prompts.models.usage import NOTHING
from workflow.chat import Asker, ChatAnswer, ChatAttempt, ChatRequest, Message, ModelError, Usage
from workflow.errors import StorageError, UnstorableValueError
from workflow.exchanges import OK, Exchange, Exchanges
from workflow.items import JsonObject
from workflow.ports import Clock, NewId
from workflow.redaction import redacted

logger = logging.getLogger(__name__)

KEPT_CHARACTERS = 20_000
"""Of one text; the rest of it is only counted."""


class History:
    """Writes exchanges down. One that cannot be written is in the server's log: an answer is not lost for that."""

    def __init__(self, exchanges: Exchanges, *, clock: Clock, new_id: NewId) -> None:
        self._exchanges = exchanges
        self._clock = clock
        self._new_id = new_id

    async def answered(self, request: ChatRequest, answer: ChatAnswer) -> None:
        """Keep an answer."""
        kept: JsonObject = {"text": answer.text}
        if request.schema is not None and not answer.tool_calls:
            kept["data"] = answer.data
        if answer.tool_calls:
            kept["tool_calls"] = [_call(call.name, call.arguments, call.raw_arguments) for call in answer.tool_calls]
        await self._note(
            request,
            model=answer.model,
            outcome=OK,
            answer=kept,
            usage=answer.usage,
            latency_ms=answer.latency_ms,
            attempts=answer.attempts,
            is_from_cache=answer.is_from_cache,
        )

    async def failed(
        self,
        request: ChatRequest,
        outcome: str,
        *,
        attempts: list[ChatAttempt],
        usage: Usage = NOTHING,
        error: ModelError | None = None,
    ) -> None:
        """Keep what did not end in an answer."""
        kept: JsonObject = {} if error is None else {"error": {"code": error.model_code, "message": error.message}}
        await self._note(
            request,
            model=attempts[-1].model if attempts else ", ".join(request.models) or "none",
            outcome=outcome,
            answer=kept,
            usage=usage,
            latency_ms=sum(attempt.latency_ms for attempt in attempts),
            attempts=tuple(attempts),
        )

    async def embedded(
        self, asker: Asker, texts: int, *, attempt: ChatAttempt, usage: Usage, message: str | None = None
    ) -> None:
        """Keep that texts were embedded, or were not."""
        exchange = Exchange(
            id=self._new_id(),
            asker=asker,
            conversation_id=None,
            model=attempt.model,
            outcome=attempt.outcome,
            request={"embed": texts},
            answer={} if message is None else {"error": {"code": attempt.outcome, "message": message}},
            usage=usage,
            latency_ms=attempt.latency_ms,
            created_at=self._clock.now(),
            attempts=(attempt,),
        )
        await self._write(exchange)

    async def _note(self, request: ChatRequest, *, answer: JsonObject, **members: Any) -> None:
        await self._write(
            Exchange(
                id=self._new_id(),
                asker=request.asker,
                conversation_id=request.conversation_id,
                request=_cut(redacted(_asked(request))),
                answer=_cut(redacted(answer)),
                created_at=self._clock.now(),
                **members,
            )
        )

    async def _write(self, exchange: Exchange) -> None:
        try:
            await self._exchanges.add(exchange)
        except (StorageError, UnstorableValueError) as error:
            logger.error(  # noqa: TRY400 - what matters is in the message
                "an exchange with %s (%s, %d + %d tokens) of execution %s could not be stored: %s",
                exchange.model,
                exchange.outcome,
                exchange.usage.input_tokens,
                exchange.usage.output_tokens,
                exchange.asker.execution_id,
                error.message,
            )


def _asked(request: ChatRequest) -> JsonObject:
    asked: JsonObject = {"messages": [_message(each) for each in request.messages]}
    if request.models:
        asked["models"] = list(request.models)
    if request.tools:
        asked["tools"] = [tool.name for tool in request.tools]
    for name in ("schema", "temperature", "max_output_tokens"):
        if getattr(request, name) is not None:
            asked[name] = getattr(request, name)
    return asked


def _message(message: Message) -> JsonObject:
    written: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_calls:
        written["tool_calls"] = [_call(call.name, call.arguments, call.raw_arguments) for call in message.tool_calls]
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    if message.attachments:
        written["attachments"] = [{"url": each.url, "media_type": each.media_type} for each in message.attachments]
    if message.is_from_outside:
        written["is_from_outside"] = True
    return written


def _call(name: str, arguments: JsonObject | None, raw: str) -> JsonObject:
    return {"name": name, "arguments": raw if arguments is None else arguments}


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) <= KEPT_CHARACTERS:
            return value
        return f"{value[:KEPT_CHARACTERS]}… ({len(value) - KEPT_CHARACTERS} more characters)"
    if isinstance(value, dict):
        return {key: _cut(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_cut(member) for member in value]
    return value
