"""What the port promises of the session store, held against every one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select

from storage.database.database import Database
from storage.people.sessions import SqlSessions
from storage.redis.sessions import RedisSessions
from storage.tables.accounts import sessions as sessions_table
from storage.tables.accounts import spent_refresh_tokens
from tests.support.databases import database_of
from tests.support.services import REDIS_URL, need
from workflow.errors import StorageError
from workflow.identity import Scope
from workflow.sessions import Session, SessionStore

# Redis has a clock of its own, so these times cannot lie in the past.
NOW = datetime.now(UTC).replace(microsecond=123_000)
DAY = timedelta(days=1)


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SessionStore]:
    """An empty store of each kind."""
    if request.param != "redis":
        async with database_of(request.param, tmp_path) as database:
            yield SqlSessions(database)
        return
    need("Redis")
    prefix = f"test-{uuid.uuid4().hex}:"
    async with RedisSessions(REDIS_URL, prefix=prefix) as store:
        yield store
    async with Redis.from_url(REDIS_URL) as client:
        keys = [key async for key in client.scan_iter(match=f"{prefix}*")]
        if keys:
            await client.delete(*keys)


def session(number: int = 1, user_id: str = "ada", **changes: object) -> Session:
    """A session that its number tells from others; the higher one is opened later."""
    made = Session(
        id=f"session-{number}",
        user_id=user_id,
        workspace_id="w",
        client_id="client",
        client_name="Claude",
        scopes=frozenset({Scope.WORKFLOWS_READ, Scope.EXECUTIONS_RUN}),
        created_at=NOW + timedelta(seconds=number),
        expires_at=NOW + DAY,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_a_session_is_kept_as_it_was_opened(store: SessionStore) -> None:
    plain = session(2, client_id=None, scopes=frozenset())
    await store.add(session(), refresh_hash="h1")
    await store.add(plain, refresh_hash=None)
    assert await store.get("session-1", now=NOW) == session()
    assert await store.get("session-2", now=NOW) == plain
    assert await store.get("other", now=NOW) is None


async def test_a_session_is_over_at_its_time(store: SessionStore) -> None:
    await store.add(session(), refresh_hash="h1")
    assert await store.get("session-1", now=NOW + DAY - timedelta(seconds=1)) is not None
    assert await store.get("session-1", now=NOW + DAY) is None
    assert await store.holder("h1", now=NOW + DAY) is None
    assert not await store.rotate("session-1", "h1", "h2", now=NOW + DAY)
    assert await store.of_user("ada", now=NOW + DAY) == []


async def test_a_refresh_token_leads_to_its_session_and_is_known_when_it_is_spent(store: SessionStore) -> None:
    await store.add(session(), refresh_hash="h1")
    assert await store.holder("h1", now=NOW) == (session(), False)
    assert await store.rotate("session-1", "h1", "h2", now=NOW)
    assert await store.holder("h1", now=NOW) == (session(), True)
    assert await store.holder("h2", now=NOW) == (session(), False)
    assert await store.holder("h3", now=NOW) is None


async def test_only_the_current_refresh_token_is_exchanged(store: SessionStore) -> None:
    await store.add(session(), refresh_hash="h1")
    await store.add(session(2), refresh_hash=None)
    assert not await store.rotate("session-1", "other", "h2", now=NOW)
    assert not await store.rotate("session-2", "h1", "h2", now=NOW)
    assert not await store.rotate("none", "h1", "h2", now=NOW)
    assert await store.holder("h2", now=NOW) is None
    assert await store.rotate("session-1", "h1", "h2", now=NOW)
    assert not await store.rotate("session-1", "h1", "h3", now=NOW)


async def test_of_many_that_exchange_the_same_token_at_once_one_wins(store: SessionStore) -> None:
    await store.add(session(), refresh_hash="h1")
    won = await asyncio.gather(*(store.rotate("session-1", "h1", f"fresh-{number}", now=NOW) for number in range(8)))
    assert sum(won) == 1
    assert await store.holder(f"fresh-{won.index(True)}", now=NOW) == (session(), False)


async def test_an_ended_session_is_as_if_it_had_never_been(store: SessionStore) -> None:
    await store.add(session(), refresh_hash="h1")
    await store.rotate("session-1", "h1", "h2", now=NOW)
    for _ in range(2):
        await store.end("session-1", now=NOW)
    await store.end("none", now=NOW)
    assert await store.get("session-1", now=NOW) is None
    assert await store.holder("h1", now=NOW) is None
    assert await store.holder("h2", now=NOW) is None
    assert not await store.rotate("session-1", "h2", "h3", now=NOW)


async def test_a_users_sessions_are_listed_and_ended_together(store: SessionStore) -> None:
    for number in (1, 2, 3):
        await store.add(session(number), refresh_hash=f"h{number}")
    others = session(4, "ben")
    await store.add(others, refresh_hash="h4")
    assert [each.id for each in await store.of_user("ada", now=NOW)] == ["session-3", "session-2", "session-1"]
    await store.end_all("ada", now=NOW, but="session-2")
    assert [each.id for each in await store.of_user("ada", now=NOW)] == ["session-2"]
    await store.end_all("ada", now=NOW)
    assert await store.of_user("ada", now=NOW) == []
    assert await store.of_user("ben", now=NOW) == [others]
    await store.end_all("nobody", now=NOW)


async def test_sessions_that_are_over_are_forgotten_with_their_tokens(database: Database) -> None:
    store = SqlSessions(database)
    await store.add(session(), refresh_hash="h1")
    await store.rotate("session-1", "h1", "h2", now=NOW)
    await store.add(session(2, expires_at=NOW + 2 * DAY), refresh_hash="h3")
    assert await store.prune(over_before=NOW + DAY + timedelta(seconds=1)) == 1
    async with database.transaction() as connection:
        assert (await connection.execute(select(func.count()).select_from(spent_refresh_tokens))).scalar_one() == 0
        assert (await connection.execute(select(sessions_table.c.id))).scalars().all() == ["session-2"]


async def test_a_redis_that_does_not_answer_is_a_storage_error() -> None:
    with pytest.raises(StorageError) as caught:
        async with RedisSessions("redis://127.0.0.1:1/0"):
            pass
    assert "JOBSPRINT_REDIS_URL" in (caught.value.fix or "")
    with pytest.raises(StorageError):
        async with RedisSessions("http://127.0.0.1"):
            pass
