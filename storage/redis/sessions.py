"""Sessions in Redis (7 or later), for servers that share one. Redis forgets each when it is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.redis.connection import PREFIX
from workflow.errors import StorageError
from workflow.identity import scopes_in, scopes_text
from workflow.sessions import Holder, Session

# A session is a hash of its content and its refresh token's hash; tokens' hashes lead to the session's id. Scripts
# are atomic, so of two that rotate the same token one finds it changed.
_ROTATE = """
if redis.call('HGET', KEYS[1], 'refresh') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'refresh', ARGV[2])
redis.call('SET', KEYS[2], ARGV[3], 'PXAT', redis.call('PEXPIRETIME', KEYS[1]))
return 1
"""


class RedisSessions:
    """Implements :class:`workflow.sessions.SessionStore`; an async context manager around its connections.

    ``url`` is ``redis://…``, ``rediss://…`` or ``unix://…``. Sessions end at the times that the callers' clocks say;
    Redis only tidies up.
    """

    def __init__(self, url: str, *, prefix: str = PREFIX) -> None:
        self._url = url
        self._prefix = prefix
        self._client: Any = None

    async def __aenter__(self) -> Self:
        try:
            self._client = Redis.from_url(self._url, decode_responses=True, socket_timeout=5, socket_connect_timeout=5)
        except ValueError as error:
            raise StorageError(f"JOBSPRINT_REDIS_URL is none: {error}.", fix="Write redis://host:6379/0.") from error
        self._rotate = self._client.register_script(_ROTATE)
        async with self._reached() as redis:
            await redis.ping()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        self._client = None

    async def add(self, session: Session, *, refresh_hash: str | None) -> None:
        """Keep a new session; see the port."""
        key, mine = self._session_key(session.id), self._user_key(session.user_id)
        over_at = _milliseconds(session.expires_at)
        async with self._reached() as redis, redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, mapping={"content": _content(session), "refresh": refresh_hash or ""})
            pipeline.pexpireat(key, over_at)
            if refresh_hash is not None:
                pipeline.set(self._token_key(refresh_hash), session.id, pxat=over_at)
            pipeline.zadd(mine, {session.id: over_at})
            pipeline.zremrangebyscore(mine, "-inf", _milliseconds(session.created_at))
            # The set lives as long as the session in it that lives longest.
            pipeline.pexpireat(mine, over_at, nx=True)
            pipeline.pexpireat(mine, over_at, gt=True)
            await pipeline.execute()

    async def get(self, session_id: str, *, now: datetime) -> Session | None:
        """A session that goes on; see the port."""
        async with self._reached() as redis:
            content = await redis.hget(self._session_key(session_id), "content")
        return _going_on(content, now)

    async def holder(self, refresh_hash: str, *, now: datetime) -> Holder | None:
        """The session of a refresh token; see the port."""
        async with self._reached() as redis:
            session_id = await redis.get(self._token_key(refresh_hash))
            if session_id is None:
                return None
            content, current = await redis.hmget(self._session_key(session_id), "content", "refresh")
        session = _going_on(content, now)
        return None if session is None else Holder(session, is_spent=current != refresh_hash)

    async def rotate(self, session_id: str, spent_hash: str, fresh_hash: str, *, now: datetime) -> bool:
        """Change the refresh token; see the port."""
        if await self.get(session_id, now=now) is None:
            return False
        async with self._reached():
            changed = await self._rotate(
                keys=[self._session_key(session_id), self._token_key(fresh_hash)],
                args=[spent_hash, fresh_hash, session_id],
            )
        return bool(changed)

    async def of_user(self, user_id: str, *, now: datetime) -> Sequence[Session]:
        """A user's sessions; see the port."""
        async with self._reached() as redis:
            ids = await redis.zrange(self._user_key(user_id), 0, -1)
            async with redis.pipeline(transaction=False) as pipeline:
                for session_id in ids:
                    pipeline.hget(self._session_key(session_id), "content")
                contents = await pipeline.execute()
        found = [session for content in contents if (session := _going_on(content, now)) is not None]
        return sorted(found, key=lambda session: (session.created_at, session.id), reverse=True)

    async def end(self, session_id: str, *, now: datetime) -> None:
        """End a session; see the port."""
        async with self._reached() as redis:
            content = await redis.hget(self._session_key(session_id), "content")
            if content is not None:
                await self._forget(redis, _session(content).user_id, [session_id])

    async def end_all(self, user_id: str, *, now: datetime, but: str | None = None) -> None:
        """End a user's sessions; see the port."""
        async with self._reached() as redis:
            ids = [each for each in await redis.zrange(self._user_key(user_id), 0, -1) if each != but]
            await self._forget(redis, user_id, ids)

    async def prune(self, *, over_before: datetime) -> int:
        """Nothing: Redis forgets them by itself."""
        return 0

    async def _forget(self, redis: Any, user_id: str, ids: Sequence[str]) -> None:
        """Tokens that led to the session lead nowhere then, and go when it would have been over."""
        if not ids:
            return
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(*map(self._session_key, ids))
            pipeline.zrem(self._user_key(user_id), *ids)
            await pipeline.execute()

    @asynccontextmanager
    async def _reached(self) -> AsyncGenerator[Any]:
        """The client, with its errors in our words."""
        try:
            yield self._client
        except (RedisError, OSError) as error:
            raise StorageError(
                f"Redis failed: {error}.", fix="Check that it runs at JOBSPRINT_REDIS_URL and takes writes."
            ) from error

    def _session_key(self, session_id: str) -> str:
        return f"{self._prefix}session:{session_id}"

    def _token_key(self, refresh_hash: str) -> str:
        return f"{self._prefix}refresh:{refresh_hash}"

    def _user_key(self, user_id: str) -> str:
        return f"{self._prefix}sessions-of:{user_id}"


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _content(session: Session) -> bytes:
    return orjson.dumps(
        {
            "id": session.id,
            "user_id": session.user_id,
            "workspace_id": session.workspace_id,
            "client_id": session.client_id,
            "client_name": session.client_name,
            "scopes": scopes_text(session.scopes),
            "created_at": session.created_at.isoformat(),
            "expires_at": session.expires_at.isoformat(),
        }
    )


def _session(content: str) -> Session:
    values = orjson.loads(content)
    return Session(
        id=values["id"],
        user_id=values["user_id"],
        workspace_id=values["workspace_id"],
        client_id=values["client_id"],
        client_name=values["client_name"],
        scopes=scopes_in(values["scopes"]),
        created_at=datetime.fromisoformat(values["created_at"]).astimezone(UTC),
        expires_at=datetime.fromisoformat(values["expires_at"]).astimezone(UTC),
    )


def _going_on(content: str | None, now: datetime) -> Session | None:
    if content is None:
        return None
    session = _session(content)
    return session if session.expires_at > now else None
