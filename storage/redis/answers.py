"""Models' answers in Redis, for servers that share one. Redis forgets each when its time is over."""

from __future__ import annotations

import logging
from typing import Any, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.redis.connection import PREFIX
from workflow.errors import StorageError

logger = logging.getLogger(__name__)

LARGEST_BYTES = 256 << 10
"""A larger answer is not kept."""


class RedisAnswers:
    """Implements :class:`workflow.exchanges.AnswerMemory`; an async context manager around its connections.

    How much is kept in all is Redis' own setting (maxmemory). ``seconds`` is how long each is known.
    """

    def __init__(self, url: str, *, seconds: float, prefix: str = PREFIX) -> None:
        self._url = url
        self._seconds = seconds
        self._prefix = f"{prefix}answer:"
        self._client: Any = None

    async def __aenter__(self) -> Self:
        try:
            self._client = Redis.from_url(self._url, socket_timeout=2, socket_connect_timeout=2)
        except ValueError as error:
            raise StorageError(f"JOBSPRINT_REDIS_URL is none: {error}.", fix="Write redis://host:6379/0.") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        self._client = None

    async def get(self, key: str) -> bytes | None:
        """What is known; see the port."""
        try:
            kept: bytes | None = await self._client.get(self._prefix + key)
        except (RedisError, OSError) as error:
            logger.warning("a model's answer could not be looked up in Redis: %s", error)
            return None
        return kept

    async def put(self, key: str, answer: bytes) -> None:
        """Remember; see the port."""
        if len(answer) > LARGEST_BYTES:
            return
        try:
            await self._client.set(self._prefix + key, answer, px=max(1, int(self._seconds * 1000)))
        except (RedisError, OSError) as error:
            logger.warning("a model's answer could not be kept in Redis: %s", error)
