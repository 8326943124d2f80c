"""The history of what was said to models, and answers kept in Redis."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.clock import SystemClock
from storage.database.database import Database
from storage.executions.blobs import BlobStore
from storage.executions.lease import Lease
from storage.executions.store import SqlExecutionStore
from storage.ids import UuidFactory
from storage.models.exchanges import SqlExchanges
from storage.redis.answers import LARGEST_BYTES, RedisAnswers
from tests.support.accounts import NOW
from tests.support.services import REDIS_URL, need
from workflow.chat import Asker, ChatAttempt, Usage
from workflow.errors import InvalidArgumentsError
from workflow.exchanges import Exchange, ExchangeFilter, Spent
from workflow.executions import Execution
from workflow.identity import LOCAL_ACTOR
from workflow.states import ExecutionState

new_id = UuidFactory(clock=SystemClock())


def exchange(**members: Any) -> Exchange:
    """One exchange; its members can be given."""
    standard = Exchange(
        id=new_id(),
        asker=Asker("w", "ada", "workflow", "execution", "node"),
        conversation_id="thread",
        model="one/a",
        outcome="ok",
        request={"messages": [{"role": "user", "content": "a\0b"}]},
        answer={"text": "fine"},
        usage=Usage(input_tokens=10, output_tokens=5, is_estimate=True, cost_micros=7),
        latency_ms=12.5,
        created_at=NOW,
        attempts=(ChatAttempt(model="one/a", outcome="ok", latency_ms=12.5, status=200),),
        is_from_cache=False,
    )
    return replace(standard, **members)


async def test_an_exchange_is_read_as_it_was_written(database: Database) -> None:
    exchanges = SqlExchanges(database)
    bare = Usage(input_tokens=0, output_tokens=0)
    written = [exchange(), exchange(asker=Asker("w", "ada"), conversation_id=None, attempts=(), usage=bare)]
    for each in written:
        await exchanges.add(each)
    page = await exchanges.page(ExchangeFilter(owner="w"), limit=10, cursor=None)
    assert list(page.items) == list(reversed(written))


async def test_names_that_no_column_keeps_are_kept_in_another_form(database: Database) -> None:
    exchanges = SqlExchanges(database)
    await exchanges.add(exchange(conversation_id="a\0b"))
    page = await exchanges.page(ExchangeFilter(owner="w", conversation_id="a\0b"), limit=10, cursor=None)
    assert [each.conversation_id for each in page.items] == ["a\ufffdb"]


async def test_pages_are_of_one_workspace_and_what_is_asked_for(database: Database) -> None:
    exchanges = SqlExchanges(database)
    mine = [exchange(asker=Asker("w", "ada", "workflow", f"execution {number}")) for number in range(5)]
    for each in [*mine, exchange(asker=Asker("another", "eve", "workflow", "execution 1"))]:
        await exchanges.add(each)
    first = await exchanges.page(ExchangeFilter(owner="w", workflow_id="workflow"), limit=3, cursor=None)
    rest = await exchanges.page(ExchangeFilter(owner="w"), limit=3, cursor=first.next_cursor)
    assert [each.id for each in (*first.items, *rest.items)] == [each.id for each in reversed(mine)]
    assert rest.next_cursor is None
    one = await exchanges.page(ExchangeFilter(owner="w", execution_id="execution 1"), limit=3, cursor=None)
    assert [each.id for each in one.items] == [mine[1].id]
    with pytest.raises(InvalidArgumentsError):
        await exchanges.page(ExchangeFilter(owner="w"), limit=3, cursor="nonsense")


async def test_what_was_used_is_summed_from_a_moment_on(database: Database) -> None:
    exchanges = SqlExchanges(database)
    assert await exchanges.spent(since=NOW, user_id="ada") == Spent(0, 0)
    free = Usage(input_tokens=1, output_tokens=1)
    for each in (
        exchange(),
        exchange(usage=free, asker=Asker("another", "ada", "other")),
        exchange(asker=Asker("w", "eve", "workflow")),
        exchange(created_at=NOW - timedelta(seconds=1)),
    ):
        await exchanges.add(each)
    assert await exchanges.spent(since=NOW, user_id="ada") == Spent(17, 7)
    assert await exchanges.spent(since=NOW, workflow_id="workflow") == Spent(30, 14)
    assert await exchanges.spent(since=NOW, user_id="ada", owner="w") == Spent(15, 7)


async def test_the_history_goes_with_its_executions(database: Database, tmp_path: Path) -> None:
    exchanges = SqlExchanges(database)
    blobs = BlobStore(tmp_path / "blobs")
    async with SqlExecutionStore(database, blobs=blobs, lease=Lease(owner="process", seconds=30)) as store:
        kept = ("kept", NOW)
        for name, at in (("gone", NOW - timedelta(days=40)), kept):
            store.save(ended(name, at))
            await store.committed(name)
            await exchanges.add(exchange(asker=Asker("w", "ada", "workflow", name), created_at=at))
            await exchanges.add(exchange(asker=Asker("w", "ada"), created_at=at))
        assert await store.prune(ended_before=NOW - timedelta(days=30), keep=None, limit=10) == 1
    left = (await exchanges.page(ExchangeFilter(owner="w"), limit=10, cursor=None)).items
    assert [(each.asker.execution_id, each.created_at) for each in left] == [(None, NOW), kept]


def ended(execution_id: str, at: Any) -> Execution:
    """An execution that is over."""
    return Execution(
        id=execution_id,
        owner="w",
        workflow_id="workflow",
        workflow_name="example",
        workflow_version=1,
        start_node="start",
        input=[],
        initiator=LOCAL_ACTOR.initiator,
        state=ExecutionState.SUCCEEDED,
        trigger="manual",
        created_at=at,
    )


@pytest.fixture
async def answers() -> AsyncIterator[RedisAnswers]:
    """Answers in a real Redis, known for a second."""
    need("Redis")
    async with RedisAnswers(REDIS_URL, seconds=60, prefix=f"test:{uuid.uuid4().hex}:") as answers:
        yield answers


async def test_redis_knows_answers(answers: RedisAnswers) -> None:
    assert await answers.get("a") is None
    await answers.put("a", b"fine\0")
    assert await answers.get("a") == b"fine\0"
    await answers.put("b", b"x" * (LARGEST_BYTES + 1))
    assert await answers.get("b") is None


async def test_without_redis_nothing_is_known_and_nothing_fails() -> None:
    async with RedisAnswers("redis://127.0.0.1:1/0", seconds=60) as answers:
        await answers.put("a", b"fine")
        assert await answers.get("a") is None
