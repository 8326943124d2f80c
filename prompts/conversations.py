"""The context manager: stores conversations, and builds the window that a model is shown of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from prompts.counting import counted_tokens, learned, spread
from prompts.readings import Readings
from prompts.summaries import MAX_SUMMARY_TOKENS, Summariser
from prompts.tails import MemoryTails
from prompts.tokens import message_tokens
from prompts.wholeness import whole_message
from prompts.windows import Frame, Walk, assembled, frame, shortened, stand_in
from workflow.chat import Asker, Message
from workflow.conversations import (
    MARGIN_UNIT,
    Attachments,
    ConversationNotFoundError,
    ConversationStore,
    Head,
    NewTurn,
    Summary,
    Tail,
    Turn,
    Window,
    checked_key,
)
from workflow.errors import InvalidArgumentsError
from workflow.message_forms import message_to_json
from workflow.messages import Event
from workflow.ports import Clock, EventBus, NewId, Page

CONVERSATION_UPDATED, CONVERSATION_DELETED = "conversation.updated", "conversation.deleted"

MAX_MESSAGE_BYTES = 256 << 10
"""A message as JSON."""
MAX_MESSAGES = 200
"""Messages noted at once."""
SUMMARY_ROOM_SHARE = 4
"""A summary takes one part in this many of the room that is left for turns, at most."""
TURNS_SHARE = 0.6
"""How full a window is of turns after a summary was made: the rest is for what is said until the next one."""
STAND_IN_TOKENS = 80
"""More than the words around a summary take."""
LEAST_SUMMARY_TOKENS = 40
REST = timedelta(seconds=60)
"""How long no summary of a conversation is asked for after a model did not give one."""
MOST_BYTES_OF_A_CHARACTER = 6
"""In JSON: an escaped one."""
CUT = "\n[{count} more characters are left out here.]"
MISSING = "[An attachment ({media_type}) is not there any more.]"


class ContextManager:
    """Implements :class:`workflow.conversations.Conversations`.

    Without a ``summariser`` nothing is summarised; without ``attachments`` every reference counts as there.
    """

    def __init__(
        self,
        *,
        store: ConversationStore,
        tails: MemoryTails,
        bus: EventBus,
        clock: Clock,
        new_id: NewId,
        summariser: Summariser | None = None,
        attachments: Attachments | None = None,
    ) -> None:
        self._store = store
        self._tails = tails
        self._readings = Readings(store=store, tails=tails)
        self._bus = bus
        self._clock = clock
        self._new_id = new_id
        self._summariser = summariser
        self._attachments = attachments
        self._summarising: set[tuple[str, str]] = set()
        self._resting: dict[tuple[str, str], datetime] = {}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Drop the tails of conversations that other processes delete, until the context is left."""
        async with self._bus.subscribe(event_types=[CONVERSATION_DELETED]) as events:
            task = asyncio.create_task(self._drop_deleted(events))
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def window(
        self,
        owner: str,
        key: str,
        *,
        budget_tokens: int,
        upcoming: Sequence[Message] = (),
        asker: Asker | None = None,
        reserved_tokens: int = 0,
    ) -> Window:
        """The window for what comes next; see the port."""
        key = checked_key(key)
        _check_sizes([each for each in upcoming if each.role != "system"])  # what will be noted, before it is paid for
        head = await self._store.head(owner, key)
        tail = None if head is None else await self._readings.tail(owner, head)
        margin = MARGIN_UNIT if tail is None else tail.head.margin
        held = frame(
            () if tail is None else tail.pinned,
            () if tail is None else tail.turns,
            upcoming,
            budget_tokens=budget_tokens,
            margin=margin,
            reserved_tokens=reserved_tokens,
        )
        if tail is None:
            nothing = Walk(blocks=(), tokens=0, first_position=1, has_all=True)
            return assembled(held, nothing, margin=margin, left_out=0, stand_in=None)
        built = await self._built(owner, tail, held, asker)
        return await self._with_attachments(owner, built)

    async def note(
        self,
        owner: str,
        key: str,
        messages: Sequence[Message],
        *,
        tokens: Sequence[int | None],
        effect: str | None = None,
        is_pinned: bool = False,
        window: Window | None = None,
        input_tokens: int | None = None,
    ) -> None:
        """Add messages; see the port."""
        key = checked_key(key)
        messages = [_shortened(whole_message(each)) for each in messages]
        _check(messages, tokens, is_pinned=is_pinned)
        if not messages:
            return
        turns = [
            NewTurn(message=message, tokens=count, is_estimate=is_estimate, is_pinned=is_pinned)
            for message, (count, is_estimate) in zip(messages, map(counted_tokens, messages, tokens), strict=True)
        ]
        margin = None
        if window is not None and input_tokens:
            turns = spread(turns, window, input_tokens)
            head = await self._store.head(owner, key)
            margin = learned(MARGIN_UNIT if head is None else head.margin, window, input_tokens)
        now = self._clock.now()
        position = await self._store.append(owner, key, turns, effect=effect, margin=margin, now=now)
        if position is not None:
            self._tell(CONVERSATION_UPDATED, owner, key, position=position)

    async def read(self, owner: str, key: str, *, before: int | None, limit: int) -> tuple[Head, Sequence[Turn]]:
        """The conversation, and its latest turns before a position, newest first.

        Raises:
            ConversationNotFoundError: there is none.
        """
        head = await self._store.head(owner, checked_key(key))
        if head is None:
            raise ConversationNotFoundError(key)
        turns = await self._store.read(owner, head.key, before=before, limit=limit)
        return head, list(reversed(turns))

    async def page(self, owner: str, *, text: str | None, limit: int, cursor: str | None) -> Page[Head]:
        """Conversations of a workspace, the one last added to first; see the store."""
        return await self._store.page(owner, text=text, limit=limit, cursor=cursor)

    async def delete(self, owner: str, key: str) -> None:
        """Delete a conversation, and publish that.

        Raises:
            ConversationNotFoundError: there is none.
        """
        key = checked_key(key)
        was_there = await self._store.delete(owner, key)
        await self._tails.forget(owner, key)
        if not was_there:
            raise ConversationNotFoundError(key)
        self._tell(CONVERSATION_DELETED, owner, key)

    async def _built(self, owner: str, tail: Tail, held: Frame, asker: Asker | None) -> Window:
        """The best window there is: all turns, else those behind the summary, else what a new summary leaves, else
        the latest with a note."""
        tail, longest = await self._readings.walk(owner, tail, held, room=held.room)
        if longest.has_all:
            left_out = _left_out(tail, held, longest)
            return assembled(held, longest, margin=tail.head.margin, left_out=left_out, stand_in=None)
        old = tail.summary
        if old is not None:
            cost = message_tokens(stand_in(tail.head.last_position, summary=old.text))
            if cost <= held.room // 2:
                tail, walked = await self._readings.walk(owner, tail, held, room=held.room - cost, after=old.upto)
                if walked.has_all:
                    return _with_summary(tail, held, walked, old)
        fresh = None if asker is None else await self._summarised(owner, tail, held, asker)
        if fresh is not None:
            summary, walked = fresh
            return _with_summary(tail, held, walked, summary)
        return _cut_off(tail, held, longest)

    async def _summarised(self, owner: str, tail: Tail, held: Frame, asker: Asker) -> tuple[Summary, Walk] | None:
        """A new summary, and the turns that are shown after it; nothing while another request waits for one."""
        place = (owner, tail.head.key)
        max_tokens = min(MAX_SUMMARY_TOKENS, held.room // SUMMARY_ROOM_SHARE)
        if self._summariser is None or place in self._summarising or max_tokens < LEAST_SUMMARY_TOKENS:
            return None
        if place in self._resting and self._resting[place] > self._clock.now():
            return None
        self._summarising.add(place)
        try:
            newest = await self._store.summary(owner, tail.head.key)
            if newest is not None and (tail.summary is None or newest.upto > tail.summary.upto):
                # Another request has just made one: the window is as good with it.
                cost = message_tokens(stand_in(tail.head.last_position, summary=newest.text))
                _, walked = await self._readings.walk(owner, tail, held, room=held.room - cost, after=newest.upto)
                return (newest, walked) if walked.has_all else None
            return await self._newly_summarised(owner, tail, held, asker, self._summariser, max_tokens=max_tokens)
        finally:
            self._summarising.discard(place)

    async def _newly_summarised(
        self, owner: str, tail: Tail, held: Frame, asker: Asker, summariser: Summariser, *, max_tokens: int
    ) -> tuple[Summary, Walk] | None:
        key, old = tail.head.key, tail.summary
        room = int((held.room - max_tokens - STAND_IN_TOKENS) * TURNS_SHARE)
        _, walked = await self._readings.walk(owner, tail, held, room=room)
        since, upto = 0 if old is None else old.upto, walked.first_position - 1
        if room <= 0 or upto <= since:
            return None
        said = await self._readings.between(owner, tail, after=since, before=upto + 1)
        summary = await summariser.summary(asker, key, old, said, upto=upto, max_tokens=max_tokens)
        now = self._clock.now()
        if summary is None:
            self._resting = {each: until for each, until in self._resting.items() if until > now}
            self._resting[owner, key] = now + REST
            return None
        await self._store.put_summary(owner, key, summary, now=now)
        return summary, walked

    async def _with_attachments(self, owner: str, window: Window) -> Window:
        """The window with words in place of attachments that are gone."""
        urls = {each.url for message in window.messages for each in message.attachments}
        if self._attachments is None or not urls:
            return window
        missing = set(await self._attachments.missing(owner, urls))
        if not missing:
            return window
        return replace(window, messages=tuple(_without(message, missing) for message in window.messages))

    async def _drop_deleted(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            self._tails.drop(str(event.data.get("workspaceId")), str(event.data.get("key")))

    def _tell(self, event_type: str, owner: str, key: str, **more: int) -> None:
        aggregate_id = f"conversation:{owner}:{key}"
        if self._bus.is_heard(aggregate_id, event_type):
            self._bus.publish(
                Event(
                    event_id=self._new_id(),
                    timestamp=self._clock.now(),
                    event_type=event_type,
                    aggregate_id=aggregate_id,
                    data={"workspaceId": owner, "key": key, **more},
                )
            )


def _check(messages: Sequence[Message], tokens: Sequence[int | None], *, is_pinned: bool) -> None:
    if len(messages) > MAX_MESSAGES or len(tokens) != len(messages):
        raise InvalidArgumentsError(
            f"{len(messages)} messages with {len(tokens)} counts of tokens cannot be noted at once.",
            pointer="/messages",
            fix=f"Note at most {MAX_MESSAGES} messages at once, with a count or null for each.",
        )
    _check_sizes(messages)
    for index, message in enumerate(messages):
        if is_pinned and (message.role == "tool" or message.tool_calls):
            raise InvalidArgumentsError(
                f"Message {index} belongs to a call of a tool and cannot be pinned.",
                pointer=f"/messages/{index}",
                fix="Pin messages of the system, a user or the assistant without calls.",
            )


def _check_sizes(messages: Sequence[Message]) -> None:
    for index, message in enumerate(messages):
        size = _size(message)
        if size > MAX_MESSAGE_BYTES:
            raise InvalidArgumentsError(
                f"Message {index} has {size} bytes; a conversation takes messages of {MAX_MESSAGE_BYTES} at most.",
                pointer=f"/messages/{index}",
                fix="Note a shorter one, and give what is large by reference, as an attachment.",
            )


def _size(message: Message) -> int:
    """Bytes of the message as it is kept."""
    return len(orjson.dumps(message_to_json(whole_message(message))))


def _shortened(message: Message) -> Message:
    """The message; of a model's answer that is too large, which was paid for, the beginning."""
    text, size = message.content, len(message.content)
    if message.role != "assistant" or message.tool_calls or size * MOST_BYTES_OF_A_CHARACTER <= MAX_MESSAGE_BYTES:
        return message
    while _size(message) > MAX_MESSAGE_BYTES and text:
        text = text[: len(text) * 9 // 10]
        message = replace(message, content=f"{text}{CUT.format(count=size - len(text))}")
    return message


def _left_out(tail: Tail, held: Frame, walked: Walk) -> int:
    """How many turns are not in the window."""
    return tail.head.last_position - walked.shown - sum(1 for _ in held.kept)


def _cut_off(tail: Tail, held: Frame, longest: Walk) -> Window:
    """The latest turns, with a note of how many are missing, and the summary of some where there is room."""
    total = tail.head.last_position
    text, upto = (tail.summary.text, tail.summary.upto) if tail.summary is not None else (None, None)
    if message_tokens(stand_in(total, summary=text, upto=upto)) > held.room // 3:
        text = upto = None
    cost = message_tokens(stand_in(total, summary=text, upto=upto))
    has_note = cost <= held.room
    walked = shortened(longest, room=held.room - cost if has_note else held.room, behind_last=total + 1)
    left_out = _left_out(tail, held, walked)
    return assembled(
        held,
        walked,
        margin=tail.head.margin,
        left_out=left_out,
        stand_in=stand_in(left_out, summary=text, upto=upto) if has_note else None,
        has_summary=text is not None,
    )


def _with_summary(tail: Tail, held: Frame, walked: Walk, summary: Summary) -> Window:
    left_out = _left_out(tail, held, walked)
    message = stand_in(left_out, summary=summary.text)
    return assembled(held, walked, margin=tail.head.margin, left_out=left_out, stand_in=message, has_summary=True)


def _without(message: Message, missing: set[str]) -> Message:
    gone = [each for each in message.attachments if each.url in missing]
    if not gone:
        return message
    notes = [MISSING.format(media_type=each.media_type[:40]) for each in gone]
    return replace(
        message,
        content="\n".join([message.content, *notes] if message.content else notes),
        attachments=tuple(each for each in message.attachments if each.url not in missing),
    )
