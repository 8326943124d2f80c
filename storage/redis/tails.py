"""Tails of conversations in Redis, for servers that share one. They are a convenience: where Redis fails, they are not
there, and nobody waits for them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Self, TypeVar

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.redis.connection import PREFIX
from workflow.conversations import Head, Summary, Tail, Turn
from workflow.errors import StorageError
from workflow.message_forms import message_from_json, message_to_json

logger = logging.getLogger(__name__)

LIFETIME_SECONDS = 3_600
MAX_BYTES = 1 << 20
"""A tail as JSON; of a larger one only the latest turns go to Redis."""
TIMEOUT_SECONDS = 0.5
REST_SECONDS = 30.0
"""How long Redis is left alone after it has failed."""

T = TypeVar("T")


class RedisTails:
    """Implements :class:`workflow.conversations.TailCache`; an async context manager around its connections."""

    def __init__(self, url: str, *, prefix: str = PREFIX, max_bytes: int = MAX_BYTES) -> None:
        self._url = url
        self._prefix = prefix
        self._max_bytes = max_bytes
        self._client: Any = None
        self._rests_until = 0.0

    async def __aenter__(self) -> Self:
        try:
            self._client = Redis.from_url(
                self._url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
            )
        except ValueError as error:
            raise StorageError(f"JOBSPRINT_REDIS_URL is none: {error}.", fix="Write redis://host:6379/0.") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        self._client = None

    async def get(self, owner: str, key: str) -> Tail | None:
        """The tail that was put last; see the port."""
        form = await self._tried(lambda: self._client.get(self._name(owner, key)))
        return None if form is None else _tail(form)

    async def put(self, owner: str, key: str, tail: Tail) -> None:
        """Keep a tail; see the port."""
        form = _form(tail)
        while len(form) > self._max_bytes and tail.turns:
            rest = tail.turns[(len(tail.turns) + 1) // 2 :]
            first = rest[0].position if rest else tail.head.last_position + 1
            tail = replace(tail, turns=rest, first_position=first)
            form = _form(tail)
        if len(form) <= self._max_bytes:
            await self._tried(lambda: self._client.set(self._name(owner, key), form, ex=LIFETIME_SECONDS))

    async def forget(self, owner: str, key: str) -> None:
        """Let go of the tail; see the port."""
        await self._tried(lambda: self._client.delete(self._name(owner, key)))

    async def _tried(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis answers; nothing where it fails, or has failed a short time ago."""
        now = asyncio.get_running_loop().time()
        if now < self._rests_until:
            return None
        try:
            return await ask()
        except (RedisError, OSError) as error:
            self._rests_until = now + REST_SECONDS
            logger.warning("conversations are not cached in Redis for %g s: %s", REST_SECONDS, error)
            return None

    def _name(self, owner: str, key: str) -> str:
        digest = hashlib.sha256(orjson.dumps([owner, key])).hexdigest()
        return f"{self._prefix}conversation:{digest}"


def _form(tail: Tail) -> bytes:
    return orjson.dumps(
        {
            "head": tail.head,
            "first_position": tail.first_position,
            "turns": [_turn_form(turn) for turn in tail.turns],
            "pinned": [_turn_form(turn) for turn in tail.pinned],
            "summary": tail.summary,
            "size_bytes": tail.size_bytes,
        }
    )


def _turn_form(turn: Turn) -> list[Any]:
    message = message_to_json(turn.message)
    return [turn.position, message, turn.tokens, turn.is_estimate, turn.at.isoformat(), turn.is_pinned]


def _tail(form: bytes) -> Tail | None:
    """The tail in a form; none where another version of this program wrote it."""
    try:
        values = orjson.loads(form)
        head = values["head"]
        for name in ("created_at", "updated_at"):
            head[name] = datetime.fromisoformat(head[name])
        return Tail(
            head=Head(**head),
            first_position=values["first_position"],
            turns=tuple(map(_turn, values["turns"])),
            pinned=tuple(map(_turn, values["pinned"])),
            summary=None if values["summary"] is None else Summary(**values["summary"]),
            size_bytes=values["size_bytes"],
        )
    except (ValueError, KeyError, TypeError):
        logger.warning("a conversation in Redis has not the form that this version knows")
        return None


def _turn(form: list[Any]) -> Turn:
    position, message, tokens, is_estimate, at, is_pinned = form
    return Turn(
        position=position,
        message=message_from_json(message),
        tokens=tokens,
        is_estimate=is_estimate,
        at=datetime.fromisoformat(at),
        is_pinned=is_pinned,
    )
