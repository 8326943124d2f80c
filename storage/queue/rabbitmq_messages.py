"""What is read of messages and queues on a RabbitMQ broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from storage.queue.rabbitmq_examination import as_text
from workflow.errors import MalformedJobError
from workflow.messages import Job


async def count(channel: AbstractChannel, name: str) -> int:
    """How many messages wait in a queue."""
    queue = await channel.declare_queue(name, passive=True)
    return queue.declaration_result.message_count or 0


async def messages_of(queue: AbstractQueue, count: int) -> AsyncIterator[AbstractIncomingMessage]:
    """The first ``count`` messages, none of them acknowledged."""
    for _ in range(count):
        message = await queue.get(no_ack=False, fail=False)
        if message is None:
            return
        yield message


def execution_id_of(message: AbstractIncomingMessage) -> str | None:
    """Whose letter it is, where it is one."""
    try:
        return Job.from_message(orjson.loads(message.body)).execution_id
    except (MalformedJobError, orjson.JSONDecodeError):
        return None


def copy_of(message: AbstractIncomingMessage) -> aio_pika.Message:
    """The same message, to be sent again."""
    return aio_pika.Message(
        message.body,
        headers=dict(message.headers),
        content_type=message.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def header(message: AbstractIncomingMessage, name: str) -> str | None:
    """A header that is a text."""
    value = message.headers.get(name)
    return as_text(value) if isinstance(value, (str, bytes)) else None
