"""Tails of conversations in memory, those used last kept longest; behind them, where there is one, a cache that several
processes share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from workflow.conversations import Tail, TailCache, Turn

CACHE_BYTES = 64 << 20
"""Memory for tails in one process, as far as their texts go."""
LARGEST_SHARE = 4
"""A tail may take one part in this many; of a larger one the oldest turns are dropped."""
SHARED_EVERY = 50
"""Turns by which the shared cache may be behind: the reader of a tail reads the rest from the store."""
TURN_BYTES = 600
"""About what a turn takes beside its texts."""


@dataclass(slots=True)
class _Kept:
    tail: Tail
    shared_id: str | None
    shared_position: int


class MemoryTails:
    """Implements :class:`workflow.conversations.TailCache` in this process, bounded in bytes; ``shared`` is asked for
    what is not here."""

    def __init__(self, *, max_bytes: int = CACHE_BYTES, shared: TailCache | None = None) -> None:
        self._max_bytes = max_bytes
        self._shared = shared
        self._tails: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self.size_bytes = 0

    async def get(self, owner: str, key: str) -> Tail | None:
        """The tail that was put last; see the port."""
        kept = self._tails.get((owner, key))
        if kept is not None:
            self._tails.move_to_end((owner, key))
            return kept.tail
        found = None if self._shared is None else await self._shared.get(owner, key)
        if found is not None:
            self._keep(owner, key, _Kept(found, found.head.id, found.head.last_position))
        return found

    async def put(self, owner: str, key: str, tail: Tail) -> None:
        """Keep a tail; see the port."""
        fitting = shortened(tail, self._max_bytes // LARGEST_SHARE)
        before = self._tails.get((owner, key))
        kept = _Kept(fitting, None, 0)
        if before is not None:
            kept.shared_id, kept.shared_position = before.shared_id, before.shared_position
        is_due = kept.shared_id != tail.head.id or tail.head.last_position - kept.shared_position >= SHARED_EVERY
        if self._shared is not None and is_due:
            kept.shared_id, kept.shared_position = tail.head.id, tail.head.last_position
        self._keep(owner, key, kept)
        if self._shared is not None and is_due:
            await self._shared.put(owner, key, tail)

    async def forget(self, owner: str, key: str) -> None:
        """Drop a tail, here and in the shared cache; see the port."""
        self.drop(owner, key)
        if self._shared is not None:
            await self._shared.forget(owner, key)

    def drop(self, owner: str, key: str) -> None:
        """Drop a tail here."""
        kept = self._tails.pop((owner, key), None)
        if kept is not None:
            self.size_bytes -= kept.tail.size_bytes

    def _keep(self, owner: str, key: str, kept: _Kept) -> None:
        self.drop(owner, key)
        self._tails[owner, key] = kept
        self.size_bytes += kept.tail.size_bytes
        while self.size_bytes > self._max_bytes:
            _, oldest = self._tails.popitem(last=False)
            self.size_bytes -= oldest.tail.size_bytes


def texts_bytes(turns: Iterable[Turn]) -> int:
    """About what turns take in memory."""
    size = 0
    for turn in turns:
        message = turn.message
        size += TURN_BYTES + 2 * len(message.content)
        for call in message.tool_calls:
            # The arguments are there as text and, read, once more.
            size += TURN_BYTES + 4 * len(call.raw_arguments)
        size += sum(TURN_BYTES + len(each.url) for each in message.attachments)
    return size


def shortened(tail: Tail, max_bytes: int) -> Tail:
    """The tail without its oldest turns, so that it is no larger than that."""
    while tail.size_bytes > max_bytes and tail.turns:
        rest = tail.turns[(len(tail.turns) + 1) // 2 :]
        first = rest[0].position if rest else tail.head.last_position + 1
        tail = replace(tail, turns=rest, first_position=first, size_bytes=texts_bytes([*rest, *tail.pinned]))
    return tail
