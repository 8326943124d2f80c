"""What the port promises of the conversation store, held against every database."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from storage.database.database import Database
from storage.ids import UuidFactory
from storage.models.conversations import MAX_PINNED, SqlConversations
from tests.support.accounts import NOW, SetClock
from workflow.chat import Attachment, Message, ToolCall
from workflow.conversations import NewTurn, Summary
from workflow.errors import InvalidArgumentsError

HOUR = timedelta(hours=1)


@pytest.fixture
def store(database: Database) -> SqlConversations:
    """An empty store."""
    return SqlConversations(database, new_id=UuidFactory(clock=SetClock()))


def said(*texts: str, is_pinned: bool = False) -> list[NewTurn]:
    """A user's messages."""
    return [
        NewTurn(message=Message(role="user", content=text), tokens=10, is_estimate=True, is_pinned=is_pinned)
        for text in texts
    ]


async def texts(store: SqlConversations, key: str = "k", **bounds: int) -> list[tuple[int, str]]:
    """Positions and contents of turns."""
    return [(turn.position, turn.message.content) for turn in await store.read("w", key, **bounds)]


async def test_turns_come_back_as_they_were_added(store: SqlConversations) -> None:
    call = ToolCall(id="c", name="look", arguments=None, raw_arguments="{broken")
    messages = [
        Message(role="user", content="ä\0🎉", attachments=(Attachment(url="https://a.example/x", media_type="a/b"),)),
        Message(role="assistant", content="", tool_calls=(call, ToolCall(id="d", name="n", arguments={"a": [1]}))),
        Message(role="tool", content="found", tool_call_id="c", is_from_outside=True),
    ]
    new = [NewTurn(message=each, tokens=7, is_estimate=False) for each in messages]
    assert await store.append("w", "k", new, now=NOW) == 3
    found = await store.read("w", "k")
    assert [turn.message for turn in found] == messages
    assert {(turn.tokens, turn.is_estimate, turn.is_pinned, turn.at) for turn in found} == {(7, False, False, NOW)}


async def test_the_head_tells_of_every_change(store: SqlConversations) -> None:
    assert await store.head("w", "k") is None
    await store.append("w", "k", said("a", "b"), now=NOW)
    first = await store.head("w", "k")
    await store.append("w", "k", said("c"), margin=1_200, now=NOW + HOUR)
    second = await store.head("w", "k")
    await store.put_summary("w", "k", Summary(upto=2, text="s", tokens=1), now=NOW)
    third = await store.head("w", "k")
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.last_position, first.tokens, first.margin, first.updated_at) == (2, 20, 1_000, NOW)
    assert (second.last_position, second.tokens, second.margin, second.updated_at) == (3, 30, 1_200, NOW + HOUR)
    assert first.revision < second.revision < third.revision
    assert {first.created_at, third.created_at} == {NOW}
    assert first.id == third.id


async def test_an_effect_that_is_repeated_adds_nothing(store: SqlConversations) -> None:
    assert await store.append("w", "k", said("a"), effect="e1", now=NOW) == 1
    before = await store.head("w", "k")
    assert await store.append("w", "k", said("a", "more"), effect="e1", now=NOW + HOUR) is None
    assert await store.head("w", "k") == before
    assert await store.append("w", "other", said("a"), effect="e1", now=NOW) == 1
    assert await store.append("w", "k", said("b"), effect="e2", now=NOW) == 2
    assert await texts(store) == [(1, "a"), (2, "b")]


def twin(database: Database) -> Database:
    """The same database as another process has it: nothing but the database itself holds the two apart."""
    return Database(database._url.render_as_string(hide_password=False), schema=database._schema)


async def test_when_processes_append_at_once_positions_have_no_gap_and_each_keeps_together(database: Database) -> None:
    async with twin(database) as second, twin(database) as third:
        stores = [SqlConversations(each, new_id=UuidFactory(clock=SetClock())) for each in (database, second, third)]
        await asyncio.gather(
            *(
                stores[number % 3].append("w", "k", said(f"{number}a", f"{number}b", f"{number}c"), now=NOW)
                for number in range(20)
            )
        )
    found = await texts(stores[0])
    assert [position for position, _ in found] == list(range(1, 61))
    contents = [text for _, text in found]
    for at in range(0, 60, 3):
        assert {text[:-1] for text in contents[at : at + 3]} == {contents[at][:-1]}
        assert [text[-1] for text in contents[at : at + 3]] == ["a", "b", "c"]


async def test_the_same_effect_at_the_same_time_counts_once(database: Database) -> None:
    async with twin(database) as second:
        stores = [SqlConversations(each, new_id=UuidFactory(clock=SetClock())) for each in (database, second)] * 3
        last = await asyncio.gather(*(each.append("w", "k", said("a", "b"), effect="e", now=NOW) for each in stores))
    assert sorted(last, key=str) == [2, None, None, None, None, None]
    assert len(await texts(stores[0])) == 2


async def test_what_cannot_be_stored_leaves_nothing_behind(store: SqlConversations) -> None:
    with pytest.raises(InvalidArgumentsError):
        await store.append("w", "k", said(*map(str, range(MAX_PINNED + 1)), is_pinned=True), now=NOW)
    assert await store.head("w", "k") is None
    assert await texts(store) == []


async def test_turns_are_read_between_positions_the_latest_of_them(store: SqlConversations) -> None:
    await store.append("w", "k", said(*"abcdefgh"), now=NOW)
    assert await texts(store, after=2, before=6) == [(3, "c"), (4, "d"), (5, "e")]
    assert await texts(store, before=6, limit=2) == [(4, "d"), (5, "e")]
    assert await texts(store, after=7) == [(8, "h")]


async def test_what_is_pinned_is_pinned_once(store: SqlConversations) -> None:
    await store.append("w", "k", said("rules", is_pinned=True), now=NOW)
    await store.append("w", "k", said("rules"), now=NOW)
    await store.append("w", "k", said("rules", "more rules", is_pinned=True), now=NOW)
    assert [turn.message.content for turn in await store.pinned("w", "k")] == ["rules", "more rules"]
    head = await store.head("w", "k")
    assert head is not None
    assert (head.pinned, head.last_position) == (2, 3)


async def test_a_summary_that_reaches_further_stays(store: SqlConversations) -> None:
    await store.put_summary("w", "k", Summary(upto=1, text="of nothing", tokens=2), now=NOW)
    assert await store.summary("w", "k") is None
    await store.append("w", "k", said("a", "b", "c"), now=NOW)
    await store.put_summary("w", "k", Summary(upto=2, text="ä\0", tokens=2), now=NOW)
    await store.put_summary("w", "k", Summary(upto=1, text="less", tokens=1), now=NOW)
    assert await store.summary("w", "k") == Summary(upto=2, text="ä\0", tokens=2)
    await store.put_summary("w", "k", Summary(upto=9, text="too far", tokens=1), now=NOW)
    await store.put_summary("w", "k", Summary(upto=3, text="more", tokens=1), now=NOW)
    assert await store.summary("w", "k") == Summary(upto=3, text="more", tokens=1)


async def test_workspaces_do_not_see_each_other(store: SqlConversations) -> None:
    await store.append("w", "k", said("mine"), now=NOW)
    assert await store.head("v", "k") is None
    assert await store.read("v", "k") == []
    assert not await store.delete("v", "k")
    assert (await store.page("v", limit=9, cursor=None)).items == []
    assert await texts(store) == [(1, "mine")]


async def test_what_is_deleted_is_gone_and_can_be_begun_anew(store: SqlConversations) -> None:
    await store.append("w", "k", said("a"), effect="e", now=NOW)
    await store.put_summary("w", "k", Summary(upto=1, text="s", tokens=1), now=NOW)
    before = await store.head("w", "k")
    assert await store.delete("w", "k")
    assert not await store.delete("w", "k")
    assert (await store.head("w", "k"), await store.summary("w", "k"), await texts(store)) == (None, None, [])
    assert await store.append("w", "k", said("b"), effect="e", now=NOW) == 1
    after = await store.head("w", "k")
    assert before is not None
    assert after is not None
    assert before.id != after.id


async def test_idle_conversations_are_forgotten_some_at_a_time(store: SqlConversations) -> None:
    for number in range(4):
        await store.append("w", f"k{number}", said("a"), now=NOW + number * HOUR)
    assert await store.prune(idle_before=NOW + 3 * HOUR, limit=2) == 2
    assert await store.prune(idle_before=NOW + 3 * HOUR, limit=9) == 1
    assert await texts(store, "k2") == []
    assert await texts(store, "k3") == [(1, "a")]


async def test_beyond_the_bound_the_oldest_turns_go_and_pinned_ones_stay(database: Database) -> None:
    store = SqlConversations(database, new_id=UuidFactory(clock=SetClock()), max_turns=4)
    await store.append("w", "k", said("rules", is_pinned=True), now=NOW)
    for text in "abcdefg":
        await store.append("w", "k", said(text), now=NOW)
    assert await texts(store) == [(1, "rules"), (5, "d"), (6, "e"), (7, "f"), (8, "g")]


async def test_conversations_are_listed_the_latest_first_page_by_page(store: SqlConversations) -> None:
    for number, key in enumerate(["user:1", "user:2", "thread_1", "thread%2", "USER:3"]):
        await store.append("w", key, said("a"), now=NOW + (number // 2) * HOUR)
    keys, cursor = [], None
    while True:
        page = await store.page("w", limit=2, cursor=cursor)
        keys += [head.key for head in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert keys == ["USER:3", "thread_1", "thread%2", "user:2", "user:1"]
    found = await store.page("w", text="user", limit=9, cursor=None)
    assert [head.key for head in found.items] == ["USER:3", "user:2", "user:1"]
    assert [head.key for head in (await store.page("w", text="d%", limit=9, cursor=None)).items] == ["thread%2"]
    for foreign in ("x", "WyJ4IiwgInkiXQ"):
        with pytest.raises(InvalidArgumentsError):
            await store.page("w", limit=2, cursor=foreign)
