"""How RabbitMQ is reached: connections, how long anything may take, and what it means that it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelInvalidStateError

from storage.queue.broker_errors import unavailable

CONNECT_SECONDS = 10.0
MOST_HEARTBEAT_SECONDS = 10
"""The broker takes back what a process holds after two that it missed. A frozen process keeps its connection, so
nothing else tells the broker; the default of 60 s would keep jobs from others for up to three minutes."""
ANSWER_SECONDS = 10.0
"""A broker that has not confirmed by then may have taken the message all the same: it is sent again."""


@asynccontextmanager
async def reaching(seconds: float = ANSWER_SECONDS) -> AsyncIterator[None]:
    """Ask something of a broker.

    Raises:
        QueueUnavailableError: it is away, went away, or did not answer within ``seconds``.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except asyncio.CancelledError as error:
        # The client cancels the tasks that wait at a connection that breaks; nobody has asked this one to end.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise unavailable(ConnectionError("the connection broke")) from error
    except (AMQPError, ChannelInvalidStateError, OSError) as error:
        raise unavailable(error) from error


async def connected(url: str) -> AbstractConnection:
    """A connection to the broker, for the caller to close.

    Raises:
        QueueUnavailableError: there is none.
    """
    async with reaching(CONNECT_SECONDS):
        return await aio_pika.connect(_with_heartbeat(url), timeout=CONNECT_SECONDS, connection_class=_Connection)


def _with_heartbeat(url: str) -> str:
    """The address with an interval of heartbeats, where it does not name a shorter one."""
    try:
        parsed = make_url(url)
        named = int(parsed.query.get("heartbeat", MOST_HEARTBEAT_SECONDS))
    except ValueError as error:
        raise unavailable(error) from error
    seconds = named if 0 < named < MOST_HEARTBEAT_SECONDS else MOST_HEARTBEAT_SECONDS
    return str(parsed.update_query(heartbeat=seconds))


class _Connection(aio_pika.Connection):
    """A connection that is closed where connecting fails. The library leaves that to the garbage collector, which
    cannot wait for it."""

    async def connect(self, timeout: Any = None) -> None:  # noqa: ASYNC109 - the library's own name for it
        """Connect to the broker."""
        try:
            await super().connect(timeout)
        except BaseException:
            await self.close()
            raise
