"""The event bus of a single process."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from workflow.messages import Event

BUFFERED_EVENTS = 1_000
"""Events kept for a listener that is behind; then it loses the oldest, as on Redis."""


class _Listener:
    """One listener's buffer; iterating it waits for the next event."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=BUFFERED_EVENTS)
        self._arrived = asyncio.Event()

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

    def __init__(self) -> None:
        self._by_aggregate: defaultdict[str | None, set[_Listener]] = defaultdict(set)

    def publish(self, event: Event) -> None:
        """Hand the event to everyone who listens to its aggregate or to all."""
        for aggregate_id in (event.aggregate_id, None):
            for listener in self._by_aggregate.get(aggregate_id, ()):
                listener.put(event)

    def is_heard(self, aggregate_id: str) -> bool:
        """Whether somebody listens to the aggregate or to all."""
        return aggregate_id in self._by_aggregate or None in self._by_aggregate

    @asynccontextmanager
    async def subscribe(self, aggregate_id: str | None = None) -> AsyncGenerator[AsyncIterator[Event]]:
        """Listen from now on."""
        listener = _Listener()
        self._by_aggregate[aggregate_id].add(listener)
        try:
            yield listener
        finally:
            self._by_aggregate[aggregate_id].discard(listener)
            if not self._by_aggregate[aggregate_id]:
                del self._by_aggregate[aggregate_id]
