"""Reads as much of a conversation as a window needs, from the cache as far as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prompts.tails import texts_bytes
from prompts.windows import Frame, Walk, walk
from workflow.conversations import ConversationStore, Head, Tail, TailCache, Turn

FIRST_READ, LARGEST_READ = 200, 2_000
"""Turns read at once: at first, and at most; each read takes twice as many as the one before."""
MOST_BEHIND = 1_000
"""Turns by which a cached tail may be behind; beyond them it is read anew."""
MOST_TO_SUMMARISE = 500
"""Turns that are read for a summary; their tokens bound it too."""


class Readings:
    """Gives tails of conversations that are as new as the store's head."""

    def __init__(self, *, store: ConversationStore, tails: TailCache) -> None:
        self._store = store
        self._tails = tails

    async def tail(self, owner: str, head: Head) -> Tail:
        """The conversation's tail, at the head's revision or a newer one."""
        cached = await self._tails.get(owner, head.key)
        if cached is not None and cached.head.id == head.id:
            if cached.head.revision >= head.revision:
                return cached
            if head.last_position - cached.head.last_position <= MOST_BEHIND:
                return await self._caught_up(owner, cached, head)
        return await self._anew(owner, head)

    async def walk(self, owner: str, tail: Tail, held: Frame, *, room: int, after: int = 0) -> tuple[Tail, Walk]:
        """What fits into the room, and the tail with everything that had to be read for that."""
        size, grown = FIRST_READ, tail
        while True:
            walked = walk(grown.turns, held, room=room, after=after)
            if not walked.has_all or grown.first_position <= after + 1:
                break
            size = min(2 * size, LARGEST_READ)
            grown = await self._longer(owner, grown, size)
        if grown is not tail:
            await self._tails.put(owner, tail.head.key, grown)
        return grown, walked

    async def between(self, owner: str, tail: Tail, *, after: int, before: int) -> Sequence[Turn]:
        """Turns that are not pinned between two positions, of many the latest."""
        if tail.first_position <= after + 1:
            found: Sequence[Turn] = [turn for turn in tail.turns if after < turn.position < before]
        else:
            found = await self._store.read(owner, tail.head.key, after=after, before=before, limit=MOST_TO_SUMMARISE)
        return [turn for turn in found[-MOST_TO_SUMMARISE:] if not turn.is_pinned]

    async def _anew(self, owner: str, head: Head) -> Tail:
        pinned = await self._store.pinned(owner, head.key) if head.pinned else ()
        # Others may have added to it since the head was read.
        known = tuple(turn for turn in pinned if turn.position <= head.last_position)
        tail = Tail(
            head=head,
            first_position=head.last_position + 1,
            turns=(),
            pinned=known,
            summary=await self._store.summary(owner, head.key),
            size_bytes=texts_bytes(known),
        )
        tail = await self._longer(owner, tail, FIRST_READ)
        await self._tails.put(owner, head.key, tail)
        return tail

    async def _caught_up(self, owner: str, old: Tail, head: Head) -> Tail:
        added: Sequence[Turn] = ()
        if head.last_position > old.head.last_position:
            added = await self._store.read(owner, head.key, after=old.head.last_position, before=head.last_position + 1)
        tail = replace(
            old,
            head=head,
            turns=(*old.turns, *added),
            pinned=(*old.pinned, *(turn for turn in added if turn.is_pinned)),
            summary=await self._store.summary(owner, head.key),
            size_bytes=old.size_bytes + texts_bytes(added),
        )
        await self._tails.put(owner, head.key, tail)
        return tail

    async def _longer(self, owner: str, tail: Tail, size: int) -> Tail:
        """The tail with older turns; where there are no more, it begins at the beginning."""
        older = await self._store.read(owner, tail.head.key, before=tail.first_position, limit=size)
        return replace(
            tail,
            turns=(*older, *tail.turns),
            first_position=older[0].position if len(older) == size else 1,
            size_bytes=tail.size_bytes + texts_bytes(older),
        )
