"""What the port promises of the job queue, held against the embedded one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from storage.queue.embedded import EmbeddedDelivery, EmbeddedQueue
from workflow.errors import QueueFullError
from workflow.messages import Job


def job(name: str, **members: Any) -> Job:
    """A job for the execution of this name."""
    defaults: dict[str, Any] = {"workflow_id": "w", "trigger": "manual"}
    return Job(execution_id=name, **{**defaults, **members})


async def take(consumer: AsyncIterator[EmbeddedDelivery]) -> EmbeddedDelivery:
    """The next delivery, soon."""
    async with asyncio.timeout(5):
        return await anext(consumer)


async def test_high_goes_before_normal_before_low_and_first_in_first_out_within() -> None:
    queue = EmbeddedQueue(capacity=10)
    for name, priority in (("a", "low"), ("b", "normal"), ("c", "high"), ("d", "normal"), ("e", "high")):
        await queue.publish(job(name, priority=priority))
    consumer = queue.consume()
    assert [(await take(consumer)).job.execution_id for _ in range(5)] == list("cebda")


async def test_a_full_queue_refuses_and_takes_again_when_there_is_room() -> None:
    queue = EmbeddedQueue(capacity=1)
    await queue.publish(job("a"))
    with pytest.raises(QueueFullError):
        await queue.publish(job("b"))
    await take(queue.consume())
    await queue.publish(job("b"))


async def test_competing_consumers_get_different_jobs() -> None:
    queue = EmbeddedQueue(capacity=10)
    waiting = [asyncio.create_task(take(queue.consume())) for _ in range(3)]
    await asyncio.sleep(0)
    for name in "abc":
        await queue.publish(job(name))
    assert sorted([(await each).job.execution_id for each in waiting]) == list("abc")


async def test_what_is_handed_back_is_delivered_next() -> None:
    queue = EmbeddedQueue(capacity=2)
    await queue.publish(job("a"))
    await queue.publish(job("b"))
    consumer = queue.consume()
    await (await take(consumer)).hand_back()
    assert (await take(consumer)).job.execution_id == "a"


async def test_a_consumer_that_goes_away_leaves_its_turn_to_another() -> None:
    queue = EmbeddedQueue(capacity=2)
    leaving, staying = (asyncio.create_task(take(queue.consume())) for _ in range(2))
    await asyncio.sleep(0)
    await queue.publish(job("a"))
    leaving.cancel()
    assert (await staying).job.execution_id == "a"


async def test_closing_ends_every_consumer() -> None:
    queue = EmbeddedQueue(capacity=2)
    waiting = asyncio.create_task(take(queue.consume()))
    await asyncio.sleep(0)
    await queue.stop()
    with pytest.raises(StopAsyncIteration):
        await waiting
