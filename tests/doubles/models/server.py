"""The double itself: it notes what it was asked and does what comes next in the model's script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from tests.doubles.models import anthropic_words, openai_words
from tests.doubles.models.answers import Answer, said, status
from tests.support.http_target import listening

Decide = Callable[["Asked"], Answer | None]
"""Chooses an answer by the request; ``None`` leaves it to the scripts."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Asked:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: Any

    @property
    def model(self) -> str:
        """The model that was asked."""
        return str(self.body.get("model", ""))

    @property
    def last_text(self) -> str:
        """The last message's text."""
        content = self.body["messages"][-1].get("content") if self.body.get("messages") else ""
        if isinstance(content, list):
            content = " ".join(part.get("text", "") for part in content if isinstance(part, dict))
        return str(content or "")


@dataclass(slots=True)
class ModelsDouble:
    """``url`` is where it listens, without ``/v1``; ``asked`` what came. ``decide`` is asked before the scripts.

    A model without a script repeats the last message. Of a script the last answer stays.
    """

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    decide: Decide | None = None
    scripts: dict[str, list[Answer]] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def openai_url(self) -> str:
        """The base URL for clients of OpenAI."""
        return f"{self.url}/v1"

    def script(self, model: str, *answers: Answer) -> None:
        """What the model answers from now on, one after the other; the last one stays."""
        self.scripts[model] = list(answers)

    def asked_of(self, model: str) -> list[Asked]:
        """The requests that named this model."""
        return [each for each in self.asked if each.model == model]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        request = Request(scope, receive)
        route = (request.method, request.url.path)
        if route == ("GET", "/v1/models"):
            listed = [{"id": name, "object": "model", "owned_by": "scripted"} for name in self.scripts]
            await _send_json(send, {"object": "list", "data": listed})
        elif route == ("GET", "/asked"):
            await _send_json(send, [{"path": each.path, "body": each.body} for each in self.asked])
        elif route == ("POST", "/script"):
            for model, answers in orjson.loads(await request.body()).items():
                self.script(model, *map(Answer.from_json, answers))
            await _send_json(send, {"scripted": sorted(self.scripts)})
        elif request.method == "POST" and request.url.path in (
            "/v1/chat/completions",
            "/v1/messages",
            "/v1/embeddings",
        ):
            await self._answer(request, receive, send)
        else:
            await _send_json(send, {"error": {"message": f"no route {request.url.path}"}}, status_code=404)

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        asked = Asked(
            path=request.url.path, headers=dict(request.headers), body=orjson.loads(await request.body() or b"{}")
        )
        self.asked.append(asked)
        self.arrived.set()
        answer = self._next(asked)
        if answer.delay_seconds and not await self._passes(answer.delay_seconds, receive):
            return
        if answer.hangs:
            await self._passes(None, receive)
            return
        if answer.body is not None or answer.status != 200:
            body = answer.body if answer.body is not None else b""
            await _send(send, body, answer.status, {"content-type": "application/json", **answer.headers})
        elif asked.path == "/v1/embeddings":
            await _send_json(send, openai_words.embeddings(answer, asked.body))
        elif asked.body.get("stream"):
            await _send_stream(send, answer, asked)
        else:
            words = anthropic_words.message if asked.path == "/v1/messages" else openai_words.completion
            await _send_json(send, words(answer, asked.body), is_cut=answer.cut_after is not None)

    def _next(self, asked: Asked) -> Answer:
        decided = self.decide(asked) if self.decide is not None else None
        if decided is not None:
            return decided
        script = self.scripts.get(asked.model)
        if script:
            return script.pop(0) if len(script) > 1 else script[0]
        code = asked.model.removeprefix("status-")
        return status(int(code)) if code.isdecimal() and code != asked.model else said(asked.last_text)

    async def _passes(self, seconds: float | None, receive: Receive) -> bool:
        """Whether so much time has passed before the caller was gone or the double was closed."""
        waits = [asyncio.create_task(self.closing.wait()), asyncio.create_task(_gone(receive))]
        done, pending = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return not done


def in_turns(asked: Asked) -> Answer | None:
    """For ``decide``: refuses what the templates of Mistral's and Gemma's models refuse, which is messages of one role
    in a row, a system message behind the head, and a beginning that is not the user's."""
    roles = [each["role"] for each in asked.body["messages"]]
    turns = [role for at, role in enumerate(roles) if role in ("user", "assistant") or (role == "system" and at)]
    calls = any(each.get("tool_calls") for each in asked.body["messages"])
    in_order = all(role == ("user", "assistant")[at % 2] for at, role in enumerate(turns))
    if calls or (turns and in_order):
        return None
    message = "After the optional system message, conversation roles must alternate user/assistant/user/assistant/..."
    return status(400, message=message)


@asynccontextmanager
async def serving(double: ModelsDouble | None = None) -> AsyncIterator[ModelsDouble]:
    """The double, listening on a free port of this machine until the context is left."""
    double = double or ModelsDouble()
    async with listening(double) as double.url:
        try:
            yield double
        finally:
            double.closing.set()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _send_json(send: Send, value: Any, *, status_code: int = 200, is_cut: bool = False) -> None:
    await _send(send, orjson.dumps(value), status_code, {"content-type": "application/json"}, is_cut=is_cut)


async def _send(send: Send, body: bytes, status_code: int, headers: dict[str, str], *, is_cut: bool = False) -> None:
    length = {"content-length": str(len(body))}
    await send(_start(status_code, {**length, **headers}))
    if is_cut:
        # Returning before the body is whole makes the server break the connection.
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        return
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, answer: Answer, asked: Asked) -> None:
    is_anthropic = asked.path == "/v1/messages"
    await send(_start(200, {"content-type": "text/event-stream", **answer.headers}))
    events: Iterator[Any] = (anthropic_words.events if is_anthropic else openai_words.chunks)(answer, asked.body)
    pieces = 0
    for event in events:
        if answer.cut_after is not None and pieces >= answer.cut_after:
            return
        if answer.garbage_after is not None and pieces >= answer.garbage_after:
            await send(_piece(b'data: {"choices": [{"delta": \n\n'))
            return
        name = f"event: {event['type']}\n".encode() if is_anthropic else b""
        await send(_piece(name + b"data: " + orjson.dumps(event) + b"\n\n"))
        pieces += _has_text(event)
    if not is_anthropic:
        await send(_piece(b"data: [DONE]\n\n"))
    await send({"type": "http.response.body", "body": b""})


def _has_text(event: Any) -> bool:
    """Whether an event brings text that a reader would see."""
    choices = event.get("choices")
    delta = choices[0]["delta"] if choices else event.get("delta") or {}
    return bool(delta.get("content") or delta.get("text"))


def _start(status_code: int, headers: dict[str, str]) -> dict[str, Any]:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status_code, "headers": encoded}


def _piece(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}
