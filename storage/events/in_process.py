"""The event bus of a single process."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from workflow.messages import Event

BUFFERED_EVENTS = 1_000
"""Events kept for a listener that is behind; then it loses the oldest, as on Redis."""


class _Listener:
    """One listener's buffer; iterating it waits for the next event."""

    def __init__(self, event_types: frozenset[str] | None) -> None:
        self._event_types = event_types
        self._events: deque[Event] = deque(maxlen=BUFFERED_EVENTS)
        self._arrived = asyncio.Event()

    def wants(self, event_type: str) -> bool:
        return self._event_types is None or event_type in self._event_types

    def put(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()


class InProcessEventBus:
    """Implements :class:`workflow.ports.EventBus` for one event loop."""

    hears_others = False

    def __init__(self) -> None:
        self._by_aggregate: defaultdict[str | None, set[_Listener]] = defaultdict(set)

    def publish(self, event: Event) -> None:
        """Give the event to everyone who listens to its aggregate or to all."""
        for aggregate_id in (event.aggregate_id, None):
            for listener in self._by_aggregate.get(aggregate_id, ()):
                if listener.wants(event.event_type):
                    listener.put(event)

    def is_heard(self, aggregate_id: str, event_type: str) -> bool:
        """Whether somebody listens to the aggregate or to all, and wants such events."""
        for key in (aggregate_id, None):
            listeners = self._by_aggregate.get(key)
            if listeners and any(listener.wants(event_type) for listener in listeners):
                return True
        return False

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Within a process none is missed."""

    @asynccontextmanager
    async def subscribe(
        self, aggregate_id: str | None = None, *, event_types: Collection[str] | None = None
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        """Listen from now on."""
        listener = _Listener(frozenset(event_types) if event_types is not None else None)
        self._by_aggregate[aggregate_id].add(listener)
        try:
            yield listener
        finally:
            self._by_aggregate[aggregate_id].discard(listener)
            if not self._by_aggregate[aggregate_id]:
                del self._by_aggregate[aggregate_id]
