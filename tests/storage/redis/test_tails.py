"""Tails of conversations in Redis, and what happens where it fails."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from prompts.conversations import ContextManager
from prompts.tails import MemoryTails
from storage.database.database import Database
from storage.events.in_process import InProcessEventBus
from storage.ids import UuidFactory
from storage.models.conversations import SqlConversations
from storage.redis.tails import RedisTails
from tests.support.accounts import NOW, SetClock
from tests.support.databases import database_of
from tests.support.services import REDIS_URL, need
from workflow.chat import Message, ToolCall
from workflow.conversations import Head, Summary, Tail, TailCache, Turn


@pytest.fixture
async def tails() -> AsyncIterator[RedisTails]:
    """An empty cache."""
    need("Redis")
    prefix = f"test-{uuid.uuid4().hex}:"
    async with RedisTails(REDIS_URL, prefix=prefix, max_bytes=20_000) as tails:
        yield tails
        async with Redis.from_url(REDIS_URL) as redis:
            async for name in redis.scan_iter(f"{prefix}*"):
                await redis.delete(name)


def tail(count: int) -> Tail:
    """A tail of so many turns."""
    call = ToolCall(id="c", name="n", arguments={"a": [1, None]})
    turns = tuple(
        Turn(
            position=position,
            message=Message(role="assistant", content=f"ä\0🎉 {position}", tool_calls=(call,), is_from_outside=True),
            tokens=9,
            is_estimate=position % 2 == 0,
            at=NOW,
            is_pinned=position == 1,
        )
        for position in range(1, count + 1)
    )
    head = Head(
        id="i",
        key="k",
        revision=3,
        last_position=count,
        pinned=1,
        tokens=9,
        margin=1_000,
        created_at=NOW,
        updated_at=NOW,
    )
    summary = Summary(upto=1, text="s", tokens=1)
    return Tail(head=head, first_position=1, turns=turns, pinned=turns[:1], summary=summary, size_bytes=100)


async def test_a_tail_comes_back_as_it_was_put(tails: RedisTails) -> None:
    assert await tails.get("w", "k") is None
    await tails.put("w", "k", tail(3))
    assert await tails.get("w", "k") == tail(3)
    assert await tails.get("w", "other") is None
    assert await tails.get("w2", "k") is None
    await tails.put("w", "k", replace(tail(2), summary=None))
    assert await tails.get("w", "k") == replace(tail(2), summary=None)
    await tails.forget("w", "k")
    assert await tails.get("w", "k") is None


async def test_of_a_long_tail_the_latest_turns_are_kept(tails: RedisTails) -> None:
    await tails.put("w", "k", tail(1_000))
    found = await tails.get("w", "k")
    assert found is not None
    assert found.turns == tail(1_000).turns[found.first_position - 1 :]
    assert 1 < found.first_position < 1_000


async def test_what_another_version_wrote_is_not_there(tails: RedisTails) -> None:
    await tails.put("w", "k", tail(1))
    async with Redis.from_url(REDIS_URL) as redis:
        for form in (b"[]", b"{", b'{"head": {"new": 1}}', b'{"head": {"created_at": 1}}'):
            await redis.set(tails._name("w", "k"), form)
            assert await tails.get("w", "k") is None


async def test_a_redis_that_fails_is_left_alone_and_holds_nobody_up() -> None:
    async with RedisTails("redis://127.0.0.1:1/0") as tails:
        await tails.put("w", "k", tail(1))
        assert await tails.get("w", "k") is None
        await tails.forget("w", "k")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An embedded database."""
    async with database_of("sqlite", tmp_path) as database:
        yield database


async def test_a_process_takes_up_what_another_has_cached_and_reads_only_the_rest(
    tails: RedisTails, database: Database
) -> None:
    def manager(shared: TailCache) -> tuple[ContextManager, list[int]]:
        clock = SetClock()
        new_id = UuidFactory(clock=clock)
        reads: list[int] = []

        class Store(SqlConversations):
            async def read(self, *arguments: object, **bounds: object) -> list[Turn]:
                found = list(await super().read(*arguments, **bounds))  # type: ignore[arg-type]
                reads.append(len(found))
                return found

        store = Store(database, new_id=new_id)
        cache = MemoryTails(shared=shared)
        return ContextManager(store=store, tails=cache, bus=InProcessEventBus(), clock=clock, new_id=new_id), reads

    here, _ = manager(tails)
    there, reads = manager(tails)
    said = [Message(role="user", content=f"{number}") for number in range(60)]
    await here.note("w", "k", said, tokens=[None] * 60)
    first = await here.window("w", "k", budget_tokens=10_000)
    await here.note("w", "k", said[:2], tokens=[None] * 2)
    second = await there.window("w", "k", budget_tokens=10_000)
    assert reads == [2]
    assert list(second.messages) == [*first.messages, *said[:2]]
    await here.delete("w", "k")
    assert (await there.window("w", "k", budget_tokens=10_000)).messages == ()
