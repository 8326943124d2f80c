"""What one client listens to, and the changes it has yet to receive."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from mcp.shared.subscriptions import ResourceUpdated, ServerEvent

from engine.announcements import Announcements
from tools.protocol.changes import resources_changed
from tools.protocol.resources import Watched
from workflow.messages import Event


@dataclass(slots=True)
class _Hearing:
    """One workflow that a client listens to, and for how many of its resources."""

    task: asyncio.Task[None]
    stack: AsyncExitStack
    resources: int = 0


class ChangeListener:
    """Changes for one client. Repeated changes of one resource are sent once: the client reads the present state.

    ``owner`` is the client's workspace. An async context manager; iterating it waits for the next change and ends
    with :meth:`close`.
    """

    def __init__(self, announcements: Announcements, owner: str, lists: Iterable[ServerEvent]) -> None:
        self.owner = owner
        self._announcements = announcements
        self._lists = frozenset(lists)
        self._pending: dict[ServerEvent, None] = {}
        self._arrived = asyncio.Event()
        self._is_closed = False
        self._watched: dict[str, Watched] = {}
        self._spellings: defaultdict[ServerEvent, dict[str, None]] = defaultdict(dict)
        self._hearings: dict[str, _Hearing] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for hearing in self._hearings.values():
            hearing.task.cancel()
            await hearing.stack.aclose()

    def __aiter__(self) -> AsyncIterator[ServerEvent]:
        return self

    async def __anext__(self) -> ServerEvent:
        while not self._pending:
            if self._is_closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        change = next(iter(self._pending))
        del self._pending[change]
        return change

    @property
    def watched(self) -> int:
        """How many resources the client listens to."""
        return len(self._watched)

    def tell(self, change: ServerEvent) -> None:
        """Note that a list has changed, if the client asked for that."""
        if change in self._lists:
            self._put(change)

    def close(self) -> None:
        """End, after the pending changes are sent."""
        self._is_closed = True
        self._arrived.set()

    async def watch(self, uri: str, watched: Watched) -> None:
        """Listen for changes of a resource with the client's ``uri`` of it."""
        if uri in self._watched:
            return
        self._watched[uri] = watched
        self._spellings[ResourceUpdated(watched.uri)][uri] = None
        hearing = self._hearings.get(watched.workflow_id)
        if hearing is None:
            stack = AsyncExitStack()
            events = await stack.enter_async_context(self._announcements.listen(watched.workflow_id))
            hearing = _Hearing(asyncio.create_task(self._hear(events), name="changed-resources"), stack)
            self._hearings[watched.workflow_id] = hearing
        hearing.resources += 1

    async def forget(self, uri: str) -> None:
        """Stop listening for changes of ``uri``."""
        watched = self._watched.pop(uri, None)
        self._pending.pop(ResourceUpdated(uri), None)
        if watched is None:
            return
        self._spellings[ResourceUpdated(watched.uri)].pop(uri)
        hearing = self._hearings[watched.workflow_id]
        hearing.resources -= 1
        if hearing.resources == 0:
            del self._hearings[watched.workflow_id]
            hearing.task.cancel()
            await hearing.stack.aclose()

    async def _hear(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            for change in resources_changed(event):
                for uri in self._spellings.get(change, ()):
                    self._put(ResourceUpdated(uri))

    def _put(self, change: ServerEvent) -> None:
        self._pending[change] = None
        self._arrived.set()
