"""What the port promises of the event bus, held against the in-process one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from storage.events.in_process import BUFFERED_EVENTS, InProcessEventBus
from tests.support.engine import NOON
from workflow.messages import Event


def event(number: int, aggregate: str = "w") -> Event:
    """An event that its number tells from others."""
    return Event(event_id=str(number), timestamp=NOON, event_type="t", aggregate_id=aggregate, data={"n": number})


async def test_listeners_get_what_is_published_while_they_listen() -> None:
    bus = InProcessEventBus()
    bus.publish(event(1))
    async with bus.subscribe() as every, bus.subscribe("w") as one, bus.subscribe("v") as other:
        bus.publish(event(2))
        bus.publish(event(3, "v"))
        async with asyncio.timeout(5):
            assert [(await anext(every)).data["n"] for _ in range(2)] == [2, 3]
            assert (await anext(one)).data["n"] == 2
            assert (await anext(other)).data["n"] == 3


async def test_a_listener_that_is_behind_loses_the_oldest_and_holds_nobody_up() -> None:
    bus = InProcessEventBus()
    async with bus.subscribe() as events:
        for number in range(BUFFERED_EVENTS + 10):
            bus.publish(event(number))
        assert (await anext(events)).data["n"] == 10


async def test_a_listener_waits_for_what_is_yet_to_come() -> None:
    bus = InProcessEventBus()
    async with bus.subscribe() as events, asyncio.timeout(5):
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        bus.publish(event(1))
        assert (await waiting).data["n"] == 1


async def test_a_listener_for_some_types_hears_only_those_and_only_they_count_as_heard() -> None:
    bus = InProcessEventBus()
    assert not bus.is_heard("w", "t")
    async with bus.subscribe(event_types=["other"]) as others, bus.subscribe("w") as one:
        assert bus.is_heard("w", "t")
        assert bus.is_heard("v", "other")
        assert not bus.is_heard("v", "t")
        bus.publish(event(1))
        bus.publish(replace(event(2, "v"), event_type="other"))
        async with asyncio.timeout(5):
            assert (await anext(others)).data["n"] == 2
            assert (await anext(one)).data["n"] == 1
    assert not bus.is_heard("v", "other")
