"""Answers that were given before, in this process; and one question at a time where several ask the same."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from workflow.chat import ChatAnswer, ChatAttempt, ChatRequest, ToolCall, Usage
from workflow.exchanges import OK

T = TypeVar("T")

MOST_BYTES = 32 << 20
"""What the memory of this process holds at most."""
LARGEST_BYTES = 256 << 10
"""A larger answer is not kept."""


class _Kept(NamedTuple):
    answer: bytes
    until: float


class InProcessMemory:
    """Implements :class:`workflow.exchanges.AnswerMemory`: the latest used, for ``seconds``, up to ``most_bytes``."""

    def __init__(
        self, *, seconds: float, most_bytes: int = MOST_BYTES, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._monotonic = monotonic
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    async def get(self, key: str) -> bytes | None:
        """What is known; see the port."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until <= self._monotonic():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept.answer

    async def put(self, key: str, answer: bytes) -> None:
        """Remember; see the port."""
        if len(answer) > LARGEST_BYTES:
            return
        self._forget(key)
        self._kept[key] = _Kept(answer, self._monotonic() + self._seconds)
        self._bytes += len(answer)
        while self._bytes > self._most_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.answer)


class SingleFlight(Generic[T]):
    """Joins calls that want the same at the same time: one does the work, the others wait for its result."""

    def __init__(self) -> None:
        self._flights: dict[str, tuple[asyncio.Task[T], list[None]]] = {}

    async def share(self, key: str, make: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """What ``make`` gives, and whether it was made for this caller.

        It is cancelled when the last caller that waits for it is gone.
        """
        flight = self._flights.get(key)
        is_mine = flight is None
        if flight is None:

            async def made() -> T:
                return await make()

            task = asyncio.create_task(made(), name="single-flight")
            flight = self._flights[key] = (task, [])
            task.add_done_callback(lambda _: self._flights.pop(key, None))
        task, waiting = flight
        waiting.append(None)
        try:
            return await asyncio.shield(task), is_mine
        finally:
            waiting.pop()
            if not waiting and not task.done():
                self._flights.pop(key, None)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def content_hash(request: ChatRequest, *models: str) -> str:
    """What the answer depends on: the workspace, the models, and everything that they are sent."""
    content: list[Any] = [
        request.asker.owner,
        models,
        request.messages,
        request.tools,
        request.schema,
        request.temperature,
        request.max_output_tokens,
    ]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def packed(answer: ChatAnswer) -> bytes:
    """An answer as it is kept."""
    content = {
        "model": answer.model,
        "text": answer.text,
        "outcome": answer.attempts[-1].outcome if answer.attempts else OK,
        "data": answer.data,
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": call.arguments, "raw_arguments": call.raw_arguments}
            for call in answer.tool_calls
        ],
    }
    return orjson.dumps(content)


def unpacked(kept: bytes) -> ChatAnswer:
    """An answer as it was kept: it cost nothing."""
    content = orjson.loads(kept)
    outcome = content.get("outcome", OK)
    attempt = ChatAttempt(model=content["model"], outcome=outcome, latency_ms=0.0)
    return ChatAnswer(
        model=content["model"],
        text=content["text"],
        usage=Usage(input_tokens=0, output_tokens=0, cost_micros=0),
        latency_ms=0.0,
        data=content["data"],
        tool_calls=tuple(ToolCall(**each) for each in content["tool_calls"]),
        attempts=() if outcome == OK else (attempt,),
        is_from_cache=True,
    )
