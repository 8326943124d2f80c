"""The job queue on RabbitMQ (3.10 or later): competing consumers in any number of processes.

One connection, made again whenever it breaks, with a channel to publish on and one to consume from. Delivery is at
least once; consumers must bear to get a job twice:

1. The connection breaks while a job is at a consumer. The broker delivers it again, here or to another process. What
   the first consumer still says of its delivery goes over the broken connection, to nobody.
2. The connection breaks after the broker has taken a job and before it has confirmed that. ``publish`` raises, and its
   caller sends the job again.
3. A job is retried, buried or sifted: its copy is published before the original is acknowledged. Whatever happens in
   between leaves two of them, never none.
4. The connection is made anew while others publish. They hold the link that they began with, and fail with it; those
   that begin meanwhile wait for the next one. Deliveries count on their own link, so late ones change no new figures.
5. Deliveries come before ``_connect`` has returned, since consuming begins in it. They carry their own link, so they
   need not wait for ``_link``.
6. This process is frozen (SIGSTOP, a debugger, a machine that stands still) and its connection stays open. The broker
   misses its heartbeats, ends the connection after two and delivers what it held to others (1). Executions that it had
   claimed by then are claimed when their lease is over.
7. :meth:`RabbitQueue.stop` comes while deliveries arrive. It forbids every later connection to consume, then cancels
   the consumers and gives back what no consumer has taken. What arrives after that is never acknowledged, and goes
   to another process when the connection closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelPreconditionFailed, DeliveryError

from storage.queue.broker_errors import mismatch, unavailable
from storage.queue.rabbitmq_connection import ANSWER_SECONDS, CONNECT_SECONDS, connected, reaching
from storage.queue.rabbitmq_examination import check_version
from storage.queue.rabbitmq_messages import copy_of, count, execution_id_of, header, messages_of
from storage.queue.topology import MOST_JOBS, Topology
from storage.queue.waiting import PRIORITIES, Waiting
from workflow.errors import MalformedJobError, QueueFullError, QueueUnavailableError
from workflow.executions import Priority
from workflow.messages import Job
from workflow.ports import Clock, NewId
from workflow.retry import JOB_RETRY_SECONDS

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Pauses between attempts to connect; the last one holds for all that follow."""
WATCH_SECONDS = 20.0
"""The consumer counts as gone when jobs have waited and none has come for so long."""
TRACEPARENT, REASON = "traceparent", "x-reason"


@dataclass(slots=True, eq=False)
class RabbitDelivery:
    """Implements :class:`workflow.sharing.Delivery`, over the connection that it came by."""

    queue: RabbitQueue
    link: _Link
    job: Job
    message: AbstractIncomingMessage

    async def acknowledge(self) -> None:
        """The job is done. Where the connection is gone this does nothing, and the job comes again."""
        self.link.held[self.job.priority] -= 1
        with contextlib.suppress(QueueUnavailableError):
            async with reaching():
                await self.message.ack()

    async def hand_back(self) -> None:
        """The job is not done; see :meth:`acknowledge`."""
        self.link.held[self.job.priority] -= 1
        with contextlib.suppress(QueueUnavailableError):
            async with reaching():
                await self.message.nack(requeue=True)

    async def retry(self) -> bool:
        """Publish it again with the pause of its step, then acknowledge it; see the port."""
        step = self.job.retry_count
        has_steps = step < len(JOB_RETRY_SECONDS)
        try:
            if has_steps:
                await self.queue.publish_again(replace(self.job, retry_count=step + 1), step)
            else:
                await self.queue.bury(self.job, "its retries are spent")
        except (QueueUnavailableError, QueueFullError) as error:
            logger.warning("a job stays in its queue: %s", error.message)
            await self.hand_back()
            return True
        await self.acknowledge()
        return has_steps


class _Link:
    """One connection with its channels, until it breaks. ``held`` counts its deliveries that are not acknowledged."""

    def __init__(self, connection: AbstractConnection, publishing: AbstractChannel, consuming: AbstractChannel) -> None:
        self.connection = connection
        self.publishing = publishing
        self.consuming = consuming
        self.exchanges: dict[str, aio_pika.abc.AbstractExchange] = {}
        self.consumers: list[tuple[aio_pika.abc.AbstractQueue, str]] = []
        self.held: Counter[Priority] = Counter()
        self.broken = asyncio.Event()
        for part in (connection, publishing, consuming):
            part.close_callbacks.add(self._on_close)

    def _on_close(self, *_: object) -> None:
        self.broken.set()


class RabbitQueue:
    """Implements :class:`workflow.sharing.JobQueue` and its :class:`~workflow.sharing.DeadLetters`.

    An async context manager around its connection.

    ``prefetch`` bounds, per priority, this process's deliveries that are not acknowledged; 0 consumes nothing. It is
    the number of consumers: what is delivered is worked on at once, unless jobs of other priorities are.

    Raises:
        UnfitBrokerError: on entering, where the broker is of a kind that cannot serve. One that is merely away is
            waited for.
    """

    def __init__(
        self, url: str, *, prefetch: int, new_id: NewId, clock: Clock, topology: Topology | None = None
    ) -> None:
        self._url = url
        self._prefetch = prefetch
        self._new_id = new_id
        self._clock = clock
        self.topology = topology or Topology()
        self._link: _Link | None = None
        self._is_up = asyncio.Event()
        self._waiting: Waiting[RabbitDelivery] = Waiting()
        self._last_delivery = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False

    async def __aenter__(self) -> Self:
        try:
            await self._connect()
        except QueueUnavailableError as error:
            logger.warning("RabbitMQ is waited for: %s", error.message)
        self._tasks = [asyncio.create_task(self._keep_connected(), name="rabbitmq")]
        if self._prefetch:
            self._tasks.append(asyncio.create_task(self._watch(), name="rabbitmq-watch"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._link is not None:
            await _closed(self._link.connection)

    async def stop(self) -> None:
        """Deliver nothing more; see the port."""
        self._prefetch = 0
        link = self._link
        if link is not None:
            with contextlib.suppress(QueueUnavailableError):
                async with reaching():
                    for queue, tag in link.consumers:
                        await queue.cancel(tag)
            link.consumers.clear()
        for delivery in self._waiting.clear():
            await delivery.hand_back()
        self._waiting.close()

    async def publish(self, job: Job) -> None:
        """Take a job; see the port."""
        await self._send(self.topology.work_exchange, job)

    async def publish_again(self, job: Job, step: int) -> None:
        """Take a job that is to be delivered when the ``step``-th pause is over.

        Raises:
            QueueUnavailableError, QueueFullError: see :meth:`publish`.
        """
        await self._send(self.topology.retry_exchange(step), job)

    async def bury(self, job: Job, reason: str) -> None:
        """Keep a dead letter; see the port."""
        await self._send(self.topology.dead_exchange, job, {REASON: reason})

    async def consume(self) -> AsyncIterator[RabbitDelivery]:
        """Jobs as they come; see the port."""
        async for delivery in self._waiting.taken():
            yield delivery

    async def depth(self) -> int:
        """How many jobs wait for a worker.

        Raises:
            QueueUnavailableError: the broker cannot be reached.
        """
        link = await self._linked()
        async with reaching():
            names = [self.topology.work_queue(priority) for priority in PRIORITIES]
            return sum([await count(link.publishing, name) for name in names])

    async def sift(self, is_dead: Callable[[Sequence[str]], Awaitable[Collection[str]]], *, limit: int) -> int:
        """Remove letters whose executions are dead no more; see the port.

        An execution may be redriven after ``is_dead`` was asked: its letter stays until the next time. One that dies
        again after its letter was removed has a new letter, which its own end has sent.
        """
        link = await self._linked()
        removed = 0
        async with reaching(), link.connection.channel() as channel:
            queue = await channel.get_queue(self.topology.dead_queue, ensure=False)
            held = [message async for message in messages_of(queue, min(limit, await count(channel, queue.name)))]
            ids = {message.delivery_tag: execution_id_of(message) for message in held}
            dead = await is_dead([each for each in ids.values() if each is not None])
            for message in held:
                execution_id = ids[message.delivery_tag]
                if execution_id is None or execution_id in dead:
                    # Sent anew rather than given back, so that the next look begins with others.
                    await link.exchanges[self.topology.dead_exchange].publish(copy_of(message), "")
                else:
                    removed += 1
                await message.ack()
        return removed

    async def _send(self, exchange: str, job: Job, headers: dict[str, str] | None = None) -> None:
        link = await self._linked()
        body = orjson.dumps(job.to_message(message_id=self._new_id(), timestamp=self._clock.now()))
        traced = {TRACEPARENT: job.traceparent} if job.traceparent else {}
        message = aio_pika.Message(
            body,
            headers={**traced, **(headers or {})},
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        async with reaching():
            try:
                await link.exchanges[exchange].publish(message, job.priority)
            except DeliveryError as error:  # the broker says no: x-overflow=reject-publish
                raise QueueFullError(MOST_JOBS) from error

    async def _linked(self) -> _Link:
        """The connection, where there is one within the time that a confirmation may take."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS if not self._is_closing else 0):
                await self._is_up.wait()
        except TimeoutError as error:
            raise unavailable(error) from error
        if self._link is None:
            raise unavailable(ConnectionError("it is not connected"))
        return self._link

    async def _keep_connected(self) -> None:
        attempts = 0
        while True:
            if self._link is None:
                try:
                    await self._connect()
                except QueueUnavailableError as error:
                    pause = RECONNECT_SECONDS[min(attempts, len(RECONNECT_SECONDS) - 1)]
                    attempts += 1
                    logger.info("%s", error.message)
                    await asyncio.sleep(pause)
                    continue
                logger.warning("RabbitMQ is connected again")
                attempts = 0
            link = self._link
            if link is not None:
                await link.broken.wait()
                logger.warning("the connection to RabbitMQ broke")
                await self._unlink(link)

    async def _unlink(self, link: _Link) -> None:
        self._is_up.clear()
        self._link = None
        # The broker delivers them again.
        self._waiting.clear()
        await _closed(link.connection)

    async def _connect(self) -> None:
        """Connect, declare and consume.

        Raises:
            QueueUnavailableError: the broker is away.
            UnfitBrokerError: it is of a kind that cannot serve.
        """
        async with reaching(CONNECT_SECONDS):
            connection = await connected(self._url)
            try:
                check_version(connection)
                link = _Link(
                    connection,
                    await connection.channel(publisher_confirms=True),
                    await connection.channel(publisher_confirms=False),
                )
                await self._declare(link)
                if self._prefetch:
                    await self._begin_consuming(link)
            except BaseException:
                await _closed(connection)
                raise
        self._link = link
        self._is_up.set()

    async def _declare(self, link: _Link) -> None:
        channel = link.publishing
        try:
            for name, kind in self.topology.exchanges:
                link.exchanges[name] = await channel.declare_exchange(name, aio_pika.ExchangeType(kind), durable=True)
            for wanted in self.topology.queues:
                queue = await channel.declare_queue(wanted.name, durable=True, arguments=dict(wanted.arguments))
                await queue.bind(wanted.exchange, wanted.routing_key)
        except ChannelPreconditionFailed as error:
            raise mismatch(error) from error

    async def _begin_consuming(self, link: _Link) -> None:
        await link.consuming.set_qos(prefetch_count=self._prefetch)
        for priority in PRIORITIES:
            queue = await link.consuming.get_queue(self.topology.work_queue(priority), ensure=False)
            link.consumers.append((queue, await queue.consume(partial(self._on_message, link))))
        self._last_delivery = asyncio.get_running_loop().time()

    async def _on_message(self, link: _Link, message: AbstractIncomingMessage) -> None:
        self._last_delivery = asyncio.get_running_loop().time()
        try:
            job = Job.from_message(orjson.loads(message.body), traceparent=header(message, TRACEPARENT))
        except (MalformedJobError, orjson.JSONDecodeError) as error:
            logger.warning("a message in %s is no job, and goes to the dead letters: %s", message.routing_key, error)
            with contextlib.suppress(QueueUnavailableError):
                async with reaching():
                    await message.reject(requeue=False)
            return
        link.held[job.priority] += 1
        self._waiting.put(job.priority, RabbitDelivery(self, link, job, message))

    async def _watch(self) -> None:
        """Connect anew where jobs wait and none come: brokers have been seen to forget a consumer."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WATCH_SECONDS / 2)
            link = self._link
            if link is None or loop.time() - self._last_delivery < WATCH_SECONDS:
                continue
            with contextlib.suppress(QueueUnavailableError):
                if await self.is_forgotten(link):
                    logger.warning("jobs wait and none come: connecting to RabbitMQ anew")
                    link.broken.set()

    async def is_forgotten(self, link: _Link) -> bool:
        """Whether jobs wait though this process holds fewer of their priority than it may.

        Raises:
            QueueUnavailableError: the broker cannot be reached.
        """
        hungry = [priority for priority in PRIORITIES if link.held[priority] < self._prefetch]
        async with reaching():
            waiting = [await count(link.publishing, self.topology.work_queue(priority)) for priority in hungry]
        return any(waiting)


async def _closed(connection: AbstractConnection) -> None:
    with contextlib.suppress(QueueUnavailableError):
        async with reaching(2):
            await connection.close()
