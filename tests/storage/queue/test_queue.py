"""What the port promises of the job queue, held against the embedded one and RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from storage.queue.embedded import EmbeddedQueue
from tests.support.brokers import rabbit, topology_of_ones_own
from tests.support.engine import NOON
from workflow.errors import MalformedJobError, QueueFullError
from workflow.messages import Job
from workflow.retry import JOB_RETRY_SECONDS
from workflow.sharing import Delivery, JobQueue


def job(name: str, **members: Any) -> Job:
    """A job for the execution of this name."""
    defaults: dict[str, Any] = {"workflow_id": "w", "trigger": "manual", "input": {"n": [1, "ä"]}}
    return Job(execution_id=name, **{**defaults, **members})


async def take(consumer: AsyncIterator[Delivery]) -> Delivery:
    """The next delivery, soon."""
    async with asyncio.timeout(10):
        return await anext(consumer)


@pytest.fixture(params=["embedded", "rabbitmq"])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[JobQueue]:
    """A queue of the test's own."""
    if request.param == "embedded":
        yield EmbeddedQueue(capacity=100)
        return
    async with topology_of_ones_own() as topology, rabbit(topology) as queue:
        yield queue


async def test_a_job_arrives_as_it_was_sent(queue: JobQueue) -> None:
    sent = job("a", priority="high", trigger="webhook", timeout_ms=1234, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    await queue.publish(sent)
    delivery = await take(queue.consume())
    assert delivery.job == sent
    await delivery.acknowledge()


async def test_jobs_of_one_priority_come_in_their_order(queue: JobQueue) -> None:
    for name in "abcde":
        await queue.publish(job(name))
    consumer = queue.consume()
    assert [(await take(consumer)).job.execution_id for _ in range(5)] == list("abcde")


async def test_competing_consumers_get_different_jobs(queue: JobQueue) -> None:
    waiting = [asyncio.create_task(take(queue.consume())) for _ in range(3)]
    await asyncio.sleep(0)
    for name in "abc":
        await queue.publish(job(name))
    assert sorted([(await each).job.execution_id for each in waiting]) == list("abc")


async def test_what_is_handed_back_is_delivered_again(queue: JobQueue) -> None:
    await queue.publish(job("a"))
    consumer = queue.consume()
    await (await take(consumer)).hand_back()
    assert (await take(consumer)).job == job("a")


async def test_what_could_not_be_begun_comes_again_after_a_pause_and_counts_it(queue: JobQueue) -> None:
    await queue.publish(job("a", priority="low"))
    consumer = queue.consume()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await (await take(consumer)).retry()
    again = await take(consumer)
    assert again.job == job("a", priority="low", retry_count=1)
    assert loop.time() - began >= JOB_RETRY_SECONDS[0] * 0.9
    await again.acknowledge()


async def test_when_its_pauses_are_over_it_comes_no_more(queue: JobQueue) -> None:
    await queue.publish(job("a", retry_count=len(JOB_RETRY_SECONDS)))
    await queue.publish(job("b"))
    consumer = queue.consume()
    assert not await (await take(consumer)).retry()
    assert (await take(consumer)).job.execution_id == "b"


async def test_consumers_end_when_the_queue_stops_and_others_may_have_what_they_left(queue: JobQueue) -> None:
    consumer = asyncio.create_task(take(queue.consume()))
    await asyncio.sleep(0)
    await queue.stop()
    with pytest.raises(StopAsyncIteration):
        await consumer


async def test_of_the_embedded_queue_high_goes_before_normal_before_low() -> None:
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


async def test_a_consumer_that_is_cancelled_passes_its_turn_on() -> None:
    queue = EmbeddedQueue(capacity=2)
    first, second = (asyncio.create_task(take(queue.consume())) for _ in range(2))
    await asyncio.sleep(0)
    await queue.publish(job("a"))
    first.cancel()
    assert (await second).job.execution_id == "a"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        {"version": "2.0"},
        {"payload": {"workflowId": "w"}},
        {"payload": {"workflowId": 1, "executionId": "e", "input": None, "trigger": "manual"}},
        {"metadata": {"priority": "urgent", "retryCount": 0, "timeout": 1}},
        {"metadata": {"priority": "low", "retryCount": -1, "timeout": 1}},
    ],
)
def test_a_message_that_is_no_job_is_told_from_one(wrong: Any) -> None:
    right = job("a").to_message(message_id="m", timestamp=NOON)
    assert Job.from_message(right) == job("a")
    message = {**right, **wrong} if isinstance(wrong, dict) and wrong else wrong
    with pytest.raises(MalformedJobError):
        Job.from_message(message)
