"""What is RabbitMQ's own: connections that break, dead letters, what the broker has and how it is made."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence

import aio_pika
import pytest

from storage.clock import SystemClock
from storage.queue.rabbitmq import REASON, RabbitQueue
from storage.queue.rabbitmq_connection import CONNECT_SECONDS, connected
from storage.queue.topology import Topology
from tests.storage.queue.test_queue import job, take
from tests.support.brokers import rabbit, topology_of_ones_own
from tests.support.server_process import ROOT
from tests.support.services import PORTS, RABBITMQ_URL, need
from tests.support.tcp_proxy import proxied
from workflow.errors import QueueUnavailableError, UnfitBrokerError


@pytest.fixture
async def topology() -> AsyncIterator[Topology]:
    """Names of the test's own."""
    async with topology_of_ones_own() as topology:
        yield topology


async def letters(topology: Topology) -> list[tuple[str, str | None]]:
    """The dead letters, which stay: the execution of each and why it is dead."""
    async with await aio_pika.connect(RABBITMQ_URL) as connection, connection.channel() as channel:
        queue = await channel.get_queue(topology.dead_queue)
        found = []
        while (message := await queue.get(fail=False)) is not None:
            found.append((message.body.decode(), message.headers.get(REASON)))
        return found  # closing gives them back


async def test_high_goes_before_normal_before_low_among_what_is_at_hand(topology: Topology) -> None:
    async with rabbit(topology, prefetch=0) as sender:
        for name, priority in (("a", "low"), ("b", "normal"), ("c", "high"), ("d", "normal"), ("e", "high")):
            await sender.publish(job(name, priority=priority))
    async with rabbit(topology) as queue:
        await until(lambda: len(queue._waiting) == 5)
        consumer = queue.consume()
        assert [(await take(consumer)).job.execution_id for _ in range(5)] == list("cebda")


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so, as long as a broker that is slow to answer may take."""
    async with asyncio.timeout(3 * CONNECT_SECONDS):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_a_process_held_that_is_gone_comes_to_another(topology: Topology) -> None:
    async with proxied(PORTS["RabbitMQ"]) as proxy, rabbit(topology, prefetch=0) as sender:
        url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
        async with rabbit(topology, url=url) as first, rabbit(topology, prefetch=0) as _:
            await sender.publish(job("a"))
            held = await take(first.consume())
            proxy.refuse()
            async with rabbit(topology) as second:
                again = await take(second.consume())
                assert again.job == held.job
                await held.acknowledge()  # over a connection that is gone: nothing happens
                await again.acknowledge()
                assert await second.depth() == 0


async def test_a_connection_that_breaks_is_made_again_and_nothing_is_lost(topology: Topology) -> None:
    async with proxied(PORTS["RabbitMQ"]) as proxy:
        url = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
        async with rabbit(topology, url=url) as queue:
            sent: set[str] = set()

            async def send(name: str) -> None:
                while True:
                    try:
                        await queue.publish(job(name))
                    except QueueUnavailableError:
                        await asyncio.sleep(0.01)
                        continue
                    sent.add(name)
                    return

            got: set[str] = set()

            async def consume() -> None:
                async for delivery in queue.consume():
                    got.add(delivery.job.execution_id)
                    await delivery.acknowledge()

            consumers = [asyncio.create_task(consume()) for _ in range(5)]
            sending = [asyncio.create_task(send(str(number))) for number in range(300)]
            for _ in range(3):
                await asyncio.sleep(0.02)
                proxy.cut()
                await until(lambda: queue._link is not None)
            await asyncio.gather(*sending)
            await until(lambda: len(got) == 300)
            for each in consumers:
                each.cancel()
            await asyncio.gather(*consumers, return_exceptions=True)


async def test_a_broker_that_is_away_is_waited_for_and_callers_are_told(topology: Topology) -> None:
    async with proxied(PORTS["RabbitMQ"]) as proxy:
        proxy.refuse()
        async with rabbit(topology, url=f"amqp://guest:guest@127.0.0.1:{proxy.port}/") as queue:
            sending = asyncio.create_task(queue.publish(job("a")))
            await asyncio.sleep(0)
            proxy.accept()
            await sending
            assert (await take(queue.consume())).job == job("a")


async def test_a_connection_that_does_not_come_about_is_closed() -> None:
    with pytest.raises(QueueUnavailableError) as raised:
        await connected("amqp://guest:guest@127.0.0.1:9/")
    assert raised.value.__cause__ is not None, "whose traceback still holds the connection"
    made = [each for each in gc.get_objects() if isinstance(each, aio_pika.Connection) and each.url.port == 9]
    assert [each.is_closed for each in made] == [True], "else whatever thread collects it would have to wait for that"


async def test_who_holds_all_it_may_is_not_forgotten_and_whose_consumer_is_gone_is(
    topology: Topology,
) -> None:
    async with rabbit(topology, prefetch=1) as queue:
        for name in ("a", "b"):
            await queue.publish(job(name))
        held = await take(queue.consume())
        link = queue._link
        assert link is not None
        assert not await queue.is_forgotten(link), "it works on one, and may hold one"
        for consumer, tag in link.consumers:
            await consumer.cancel(tag)
        await held.acknowledge()
        async with asyncio.timeout(10):
            while not await queue.is_forgotten(link):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_what_is_no_job_goes_to_the_dead_letters_and_holds_nobody_up(topology: Topology) -> None:
    async with rabbit(topology) as queue:
        async with await aio_pika.connect(RABBITMQ_URL) as connection, connection.channel() as channel:
            exchange = await channel.get_exchange(topology.work_exchange)
            await exchange.publish(aio_pika.Message(b"{not json"), "normal")
        await queue.publish(job("a"))
        assert (await take(queue.consume())).job == job("a")
        async with asyncio.timeout(5):
            while [body for body, _ in await letters(topology)] != ["{not json"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_dead_letters_are_kept_until_their_executions_are_dead_no_more(topology: Topology) -> None:
    async with rabbit(topology) as queue:
        for name in ("a", "b", "c"):
            await queue.bury(job(name), "its execution is dead")
        asked: list[Sequence[str]] = []

        async def is_dead(execution_ids: Sequence[str]) -> Collection[str]:
            asked.append(execution_ids)
            return {"b"}

        assert await queue.sift(is_dead, limit=10) == 2
        assert asked == [["a", "b", "c"]]
        ((body, reason),) = await letters(topology)
        assert '"b"' in body
        assert reason == "its execution is dead"
        assert await queue.sift(is_dead, limit=10) == 0


async def test_a_queue_that_is_made_otherwise_is_named_with_what_to_do(topology: Topology) -> None:
    async with await aio_pika.connect(RABBITMQ_URL) as connection, connection.channel() as channel:
        await channel.declare_queue(topology.work_queue("high"), durable=True)
    with pytest.raises(UnfitBrokerError) as caught:
        await RabbitQueue.__aenter__(_unentered(topology))
    assert topology.work_queue("high") in caught.value.message
    assert caught.value.fix is not None
    assert "delete" in caught.value.fix


def _unentered(topology: Topology) -> RabbitQueue:
    return RabbitQueue(RABBITMQ_URL, prefetch=0, new_id=lambda: "m", clock=SystemClock(), topology=topology)


FROZEN = """
import asyncio, sys
from storage.clock import SystemClock
from storage.queue.rabbitmq import RabbitQueue
from storage.queue.topology import Topology

async def main():
    clock = SystemClock()
    async with RabbitQueue(
        sys.argv[1], prefetch=3, new_id=lambda: "m", clock=clock, topology=Topology(sys.argv[2])
    ) as queue:
        async for delivery in queue.consume():
            print(delivery.job.execution_id, flush=True)

asyncio.run(main())
"""


async def test_what_a_frozen_process_holds_goes_to_others_after_two_heartbeats(topology: Topology) -> None:
    url = f"{RABBITMQ_URL}?heartbeat=1"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FROZEN, url, topology.prefix, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        async with rabbit(topology, prefetch=0) as sender:
            assert process.stdout is not None
            for name in ("a", "b", "c"):
                await sender.publish(job(name))
            async with asyncio.timeout(30):
                assert {(await process.stdout.readline()).decode().strip() for _ in range(3)} == {"a", "b", "c"}
            process.send_signal(signal.SIGSTOP)
            async with rabbit(topology, url=url) as other:
                await sender.publish(job("d"))
                consumer = other.consume()
                async with asyncio.timeout(20):
                    again = [await anext(consumer) for _ in range(4)]
                assert {each.job.execution_id for each in again} == {"a", "b", "c", "d"}
                for each in again:
                    await each.acknowledge()
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("query", "seconds"), [("", 10), ("?heartbeat=60", 10), ("?heartbeat=0", 10), ("?heartbeat=5&name=us", 5)]
)
async def test_heartbeats_are_never_farther_apart_than_ten_seconds(query: str, seconds: int) -> None:
    need("RabbitMQ")
    connection = await connected(RABBITMQ_URL + query)
    assert connection.url.query["heartbeat"] == str(seconds)
    await connection.close()


async def test_a_heartbeat_that_is_no_number_is_the_address_mistake() -> None:
    with pytest.raises(QueueUnavailableError):
        await connected("amqp://guest:guest@127.0.0.1/?heartbeat=often")
