"""The event bus over Redis pub/sub, for processes that share the work.

Redis drops events that nobody listens to, and those that are sent while it is away: an event only says that it is
time to read the store. Listeners in the process that publishes get events without Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.events.in_process import InProcessEventBus
from storage.redis.connection import PREFIX
from workflow.errors import StorageError
from workflow.messages import Event

logger = logging.getLogger(__name__)

OUTGOING_EVENTS = 10_000
"""Events kept for a Redis that is behind or away; then the oldest are lost."""
BATCH = 500
REMEMBERED_IDS = 20_000
"""An event may come by several channels, and comes back to its sender; so many ids are kept to drop the copies."""
RECONNECT_SECONDS = 0.5
SUBSCRIBE_SECONDS = 1.0
"""How long a new listener waits for Redis to confirm; it listens all the same, from when Redis is there."""
INTEREST_SECONDS = 30.0
"""What a process has said that it listens to holds for so long; it says so again in a third of that."""


class RedisEventBus:
    """Implements :class:`workflow.ports.EventBus`; an async context manager around its connections.

    ``changes`` are the types of events about things themselves: few, for those who cache. ``details`` are those that
    are sent only where some process has lately said that it listens to those of their aggregate, by channels of their
    own.
    """

    def __init__(self, url: str, *, changes: Collection[str], details: Collection[str], prefix: str = PREFIX) -> None:
        self._url = url
        self._changes = frozenset(changes)
        self._details = frozenset(details)
        self._events_of = f"{prefix}events:"
        self._details_of = f"{prefix}details:"
        self._changes_channel = f"{prefix}changes"
        self._interest_channel = f"{prefix}interest"
        self._local = InProcessEventBus()
        self._outgoing: deque[tuple[str, bytes]] = deque(maxlen=OUTGOING_EVENTS)
        self._wanted = asyncio.Event()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._channels: Counter[str] = Counter()
        self._confirmed: dict[str, asyncio.Event] = {}
        self._interest: dict[str, float] = {}
        self._gap_callbacks: list[Callable[[], None]] = []
        self._client: Any = None
        self._pubsub: Any = None
        self._was_there = asyncio.Event()
        self._is_closing = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            self._client = Redis.from_url(self._url, socket_connect_timeout=5)
        except ValueError as error:
            raise StorageError(f"JOBSPRINT_REDIS_URL is none: {error}.", fix="Write redis://host:6379/0.") from error
        self._tasks = [
            asyncio.create_task(self._receive(), name="redis-events-in"),
            asyncio.create_task(self._send(), name="redis-events-out"),
            asyncio.create_task(self._tell_interest(), name="redis-interest"),
        ]
        with contextlib.suppress(TimeoutError):  # it goes on without, until Redis is there
            async with asyncio.timeout(SUBSCRIBE_SECONDS):
                await self._was_there.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        # A cancellation that reaches the client in the middle of a command is lost in there now and then.
        self._is_closing = True
        self._wanted.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(RedisError, OSError):
            await self._flush()
        await self._client.aclose()

    @property
    def hears_others(self) -> bool:
        """Whether Redis is there."""
        return self._pubsub is not None

    def publish(self, event: Event) -> None:
        """Tell listeners here at once, and those of other processes soon."""
        self._remember(event.event_id)
        self._local.publish(event)
        message = orjson.dumps(event.to_message())
        folder = self._details_of if event.event_type in self._details else self._events_of
        self._put(folder + event.aggregate_id, message)
        if event.event_type in self._changes:
            self._put(self._changes_channel, message)

    def is_heard(self, aggregate_id: str, event_type: str) -> bool:
        """Whether anybody may want it: for details, whether some process has said so; for the rest always."""
        if event_type not in self._details or self._local.is_heard(aggregate_id, event_type):
            return True
        return self._interest.get(aggregate_id, 0.0) > asyncio.get_running_loop().time()

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Call this when Redis is there again: events may have been missed."""
        self._gap_callbacks.append(callback)

    @asynccontextmanager
    async def subscribe(
        self, aggregate_id: str | None = None, *, event_types: Collection[str] | None = None
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        """Listen from now on."""
        async with self._local.subscribe(aggregate_id, event_types=event_types) as events, AsyncExitStack() as stack:
            for channel in self._channels_of(aggregate_id, event_types):
                stack.push_async_callback(self._close, channel)
                await self._open(channel)
            yield events

    def _channels_of(self, aggregate_id: str | None, event_types: Collection[str] | None) -> Sequence[str]:
        if aggregate_id is None and event_types is not None and self._changes.issuperset(event_types):
            return [self._changes_channel]
        folders = [self._events_of, self._details_of]
        if event_types is not None:
            folders = sorted({self._details_of if each in self._details else self._events_of for each in event_types})
        return [folder + (aggregate_id or "*") for folder in folders]

    async def _open(self, channel: str) -> None:
        self._channels[channel] += 1
        if self._channels[channel] == 1:
            self._confirmed[channel] = asyncio.Event()
            wanted = self._aggregate_wanted(channel)
            if wanted is not None:
                self._put(self._interest_channel, orjson.dumps([wanted]))
            if self._pubsub is not None:
                with contextlib.suppress(RedisError, OSError):  # the reader sees it too, and connects anew
                    await _subscribe(self._pubsub, [channel])
        confirmed = self._confirmed.get(channel)
        if confirmed is not None and self._pubsub is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SUBSCRIBE_SECONDS):
                    await confirmed.wait()

    async def _close(self, channel: str) -> None:
        self._channels[channel] -= 1
        if self._channels[channel]:
            return
        del self._channels[channel]
        self._confirmed.pop(channel, None)
        if self._pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                await (self._pubsub.punsubscribe if channel.endswith("*") else self._pubsub.unsubscribe)(channel)

    def _put(self, channel: str, message: bytes) -> None:
        self._outgoing.append((channel, message))
        self._wanted.set()

    async def _send(self) -> None:
        is_away = False
        while not self._is_closing:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                while self._outgoing:
                    await self._flush()
                is_away = False
            except (RedisError, OSError) as error:
                if not is_away:
                    logger.warning("events do not reach other processes, since Redis is away: %s", error)
                is_away = True
                self._wanted.set()
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _flush(self) -> None:
        batch = [self._outgoing.popleft() for _ in range(min(BATCH, len(self._outgoing)))]
        if not batch:
            return
        async with self._client.pipeline(transaction=False) as pipeline:
            for channel, message in batch:
                pipeline.publish(channel, message)
            await pipeline.execute()

    async def _receive(self) -> None:
        while not self._is_closing:
            try:
                async with self._client.pubsub() as pubsub:
                    named = set(self._channels)
                    await _subscribe(pubsub, [self._interest_channel, *named])
                    self._pubsub = pubsub
                    await _subscribe(pubsub, self._channels.keys() - named)  # those that came meanwhile
                    self._put(self._interest_channel, b"[]")  # asks every process for what it listens to
                    if self._was_there.is_set():
                        logger.warning("Redis is connected again")
                        for callback in self._gap_callbacks:
                            callback()
                    self._was_there.set()
                    async for message in pubsub.listen():
                        self._on_message(message)
            except (RedisError, OSError) as error:
                logger.info("the connection to Redis broke: %s", error)
            finally:
                self._pubsub = None
                for confirmed in self._confirmed.values():
                    confirmed.clear()
            await asyncio.sleep(RECONNECT_SECONDS)

    def _on_message(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        if message["type"] in ("subscribe", "psubscribe"):
            if channel in self._confirmed:
                self._confirmed[channel].set()
        elif message["type"] in ("message", "pmessage"):
            if channel == self._interest_channel:
                self._on_interest(orjson.loads(message["data"]))
            else:
                self._on_event(message["data"])

    def _on_event(self, data: bytes) -> None:
        try:
            event = Event.from_message(orjson.loads(data))
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("a message among the events is none: %r", error)
            return
        if event.event_id not in self._seen:
            self._remember(event.event_id)
            self._local.publish(event)

    def _remember(self, event_id: str) -> None:
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED_IDS:
            self._seen.popitem(last=False)

    def _on_interest(self, aggregates: list[str]) -> None:
        """Somebody listens to these, or asks who listens to what where there are none."""
        if not aggregates:
            self._say_interest()
            return
        until = asyncio.get_running_loop().time() + INTEREST_SECONDS
        self._interest.update(dict.fromkeys(aggregates, until))

    def _say_interest(self) -> None:
        mine = [wanted for wanted in map(self._aggregate_wanted, self._channels) if wanted is not None]
        if mine:
            self._put(self._interest_channel, orjson.dumps(mine))

    def _aggregate_wanted(self, channel: str) -> str | None:
        """The aggregate whose details this channel carries, if it does."""
        is_one = channel.startswith(self._details_of) and channel[-1] != "*"
        return channel.removeprefix(self._details_of) if is_one else None

    async def _tell_interest(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(INTEREST_SECONDS / 3)
            self._say_interest()
            now = loop.time()
            for aggregate_id in [each for each, until in self._interest.items() if until < now]:
                del self._interest[aggregate_id]


async def _subscribe(pubsub: Any, channels: Iterable[str]) -> None:
    """Subscribe to all of these; a name that ends in a star is a pattern."""
    names = list(channels)
    plain, patterns = [each for each in names if each[-1] != "*"], [each for each in names if each[-1] == "*"]
    if plain:
        await pubsub.subscribe(*plain)
    if patterns:
        await pubsub.psubscribe(*patterns)
