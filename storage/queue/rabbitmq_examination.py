"""What can be learned of a RabbitMQ without changing it, and whether it can serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from storage.queue.rabbitmq_connection import connected
from storage.queue.topology import OLDEST_BROKER, Topology
from workflow.errors import UnfitBrokerError


@dataclass(slots=True, frozen=True, kw_only=True)
class Examined:
    """A broker as it was found: its version, which of our queues it has not yet, which it has made otherwise."""

    version: str
    missing: Sequence[str]
    wrong: Sequence[str]


async def examine(url: str, topology: Topology) -> Examined:
    """Look at a broker and change nothing.

    Raises:
        QueueUnavailableError: it cannot be reached.
        UnfitBrokerError: it is too old.
    """
    missing, wrong = [], []
    async with await connected(url) as connection:
        check_version(connection)
        for queue in topology.queues:
            # An error ends the channel. To declare a queue that is there only compares.
            async with connection.channel() as channel:
                try:
                    await channel.declare_queue(queue.name, passive=True)
                    await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
                except ChannelNotFoundEntity:
                    missing.append(queue.name)
                except ChannelPreconditionFailed as error:
                    wrong.append(str(error))
        return Examined(version=_version(connection), missing=missing, wrong=wrong)


def check_version(connection: AbstractConnection) -> None:
    """Refuse a broker that is too old.

    Raises:
        UnfitBrokerError: it is. What it lacks it would ignore in silence, so its version has to tell.
    """
    text = _version(connection)
    version = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if len(version) == len(OLDEST_BROKER) and version < OLDEST_BROKER:
        raise UnfitBrokerError(
            f"RabbitMQ {text} is too old.", fix=f"Jobsprint needs {'.'.join(map(str, OLDEST_BROKER))} or later."
        )


def _version(connection: AbstractConnection) -> str:
    properties: Any = getattr(getattr(connection, "transport", None), "connection", None)
    return as_text(getattr(properties, "server_properties", {}).get("version", ""))


def as_text(value: Any) -> str:
    """What a header or property says, whichever type it came in."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
