"""What can be learned of a Redis without changing it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from workflow.errors import StorageError


@dataclass(slots=True, frozen=True, kw_only=True)
class RedisFacts:
    """``eviction`` is what it does when its memory is full (``maxmemory-policy``)."""

    version: str
    answer_seconds: float
    eviction: str


async def redis_facts(url: str) -> RedisFacts:
    """The facts.

    Raises:
        StorageError: it cannot be asked.
    """
    try:
        async with Redis.from_url(url, decode_responses=True, socket_timeout=5, socket_connect_timeout=5) as client:
            await client.ping()
            began = time.perf_counter()
            await client.ping()
            took = time.perf_counter() - began
            info = await client.info()
    except (RedisError, OSError, ValueError) as error:
        raise StorageError(
            f"Redis cannot be asked: {error}.", fix="See that it runs, and JOBSPRINT_REDIS_URL."
        ) from error
    return RedisFacts(
        version=str(info["redis_version"]), answer_seconds=took, eviction=str(info.get("maxmemory_policy", ""))
    )
