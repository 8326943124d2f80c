"""Token buckets in Redis, for servers that share their callers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, NamedTuple, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.redis.connection import PREFIX
from workflow.errors import StorageError

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 0.5
"""Requests do not wait longer than this to be counted."""
AWAY_SECONDS = 5.0
"""After a failure Redis is left alone for so long."""

# A bucket is full again after a minute, and may then be forgotten. Redis has the clock that all share.
_TAKE = """
local time = redis.call('TIME')
local now, size, tokens = time[1] + time[2] / 1e6, tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = tonumber(kept[1]) or size
left = math.min(size, left + math.max(0, now - (tonumber(kept[2]) or now)) * size / 60)
local passes = left >= tokens and 1 or 0
left = left - passes * tokens
redis.call('HSET', KEYS[1], 'left', left, 'at', now)
redis.call('PEXPIRE', KEYS[1], 61000)
return {passes, tostring(left)}
"""


class Drawn(NamedTuple):
    """What is ``left`` of a bucket, and whether the tokens were there."""

    passes: bool
    left: float


class RedisBuckets:
    """An async context manager around its connections."""

    def __init__(self, url: str, *, prefix: str = PREFIX) -> None:
        self._url = url
        self._prefix = f"{prefix}bucket:"
        self._client: Any = None
        self._away_until = 0.0

    async def __aenter__(self) -> Self:
        self._client = Redis.from_url(
            self._url, decode_responses=True, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
        )
        self._take = self._client.register_script(_TAKE)
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def take(self, bucket: str, *, size: int, tokens: float) -> Drawn:
        """Take tokens out of a bucket that holds a minute's worth, ``size``, if they are there.

        Raises:
            StorageError: Redis cannot be asked.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._away_until:
            raise StorageError("Redis was away a moment ago.", fix="Check that it runs.")
        try:
            passes, left = await self._take(keys=[self._prefix + bucket], args=[size, tokens])
        except (RedisError, OSError) as error:
            self._away_until = loop.time() + AWAY_SECONDS
            logger.warning("requests are counted by each process alone, since Redis is away: %s", error)
            raise StorageError(f"Redis cannot be asked: {error}.", fix="Check that it runs.") from error
        return Drawn(bool(passes), float(left))
