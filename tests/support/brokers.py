"""Queues of a test's own on the broker."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aio_pika

from storage.clock import SystemClock
from storage.queue.rabbitmq import RabbitQueue
from storage.queue.topology import Topology
from tests.support.services import RABBITMQ_URL, need


async def remove(topology: Topology) -> None:
    """Delete what an installation has on the broker."""
    async with await aio_pika.connect(RABBITMQ_URL) as connection, connection.channel() as channel:
        for queue in topology.queues:
            await channel.queue_delete(queue.name)
        for name, _ in topology.exchanges:
            await channel.exchange_delete(name)


@asynccontextmanager
async def topology_of_ones_own() -> AsyncIterator[Topology]:
    """Names that nobody else has; what is made under them is gone afterwards."""
    need("RabbitMQ")
    topology = Topology(f"test-{uuid.uuid4().hex[:12]}")
    try:
        yield topology
    finally:
        await remove(topology)


@asynccontextmanager
async def rabbit(topology: Topology, *, url: str = RABBITMQ_URL, prefetch: int = 50) -> AsyncIterator[RabbitQueue]:
    """A queue of a process."""
    made = RabbitQueue(url, prefetch=prefetch, new_id=lambda: str(uuid.uuid4()), clock=SystemClock(), topology=topology)
    with _forgotten_failures():
        async with made as queue:
            yield queue


@contextmanager
def _forgotten_failures() -> Iterator[None]:
    """Where a connection breaks, tasks of the client's own fail whose end it does not look at. The loop tells of them
    when they are collected: here, not in whichever test runs then."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def ignore_broken_connections(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), ConnectionError):
            loop.default_exception_handler(context) if before is None else before(loop, context)

    loop.set_exception_handler(ignore_broken_connections)
    try:
        yield
    finally:
        gc.collect()
        loop.set_exception_handler(before)
