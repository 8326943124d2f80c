"""What the port promises of the event bus, held against the in-process one and Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from storage.events.in_process import BUFFERED_EVENTS, InProcessEventBus
from storage.redis.events import RedisEventBus
from tests.support.engine import NOON
from tests.support.services import PORTS, REDIS_URL, need
from tests.support.tcp_proxy import proxied
from workflow.messages import Event
from workflow.ports import EventBus

CHANGE, DETAIL = "thing.changed", "thing.detailed"


def event(number: int, aggregate: str = "w", event_type: str = "t") -> Event:
    """An event that its number tells from others."""
    event_id = f"{number}-{uuid.uuid4().hex}"
    return Event(event_id=event_id, timestamp=NOON, event_type=event_type, aggregate_id=aggregate, data={"n": number})


@asynccontextmanager
async def redis_bus(prefix: str, url: str = REDIS_URL) -> AsyncIterator[RedisEventBus]:
    """The bus of a process."""
    async with RedisEventBus(url, changes={CHANGE}, details={DETAIL}, prefix=prefix) as bus:
        yield bus


@pytest.fixture
def prefix() -> str:
    """Names of the test's own in Redis."""
    need("Redis")
    return f"test-{uuid.uuid4().hex}:"


@pytest.fixture(params=["in process", "redis"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[EventBus]:
    """A bus that nobody else uses."""
    if request.param == "in process":
        yield InProcessEventBus()
        return
    async with redis_bus(request.getfixturevalue("prefix")) as bus:
        yield bus


async def numbers(events: AsyncIterator[Event], count: int) -> list[int]:
    """The numbers of the next events, soon."""
    async with asyncio.timeout(10):
        return [(await anext(events)).data["n"] for _ in range(count)]


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so, for a few seconds at most."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_listeners_get_what_is_published_while_they_listen(bus: EventBus) -> None:
    bus.publish(event(1))
    async with bus.subscribe() as every, bus.subscribe("w") as one, bus.subscribe("v") as other:
        bus.publish(event(2))
        bus.publish(event(3, "v"))
        assert await numbers(every, 2) == [2, 3]
        assert await numbers(one, 1) == [2]
        assert await numbers(other, 1) == [3]
        bus.publish(event(4))
        assert await numbers(every, 1) == [4], "each comes once"
        assert await numbers(one, 1) == [4]


async def test_a_listener_that_is_behind_loses_the_oldest_and_holds_nobody_up(bus: EventBus) -> None:
    async with bus.subscribe() as events:
        for number in range(BUFFERED_EVENTS + 10):
            bus.publish(event(number))
        assert await numbers(events, 1) == [10]


async def test_a_listener_waits_for_what_is_yet_to_come(bus: EventBus) -> None:
    async with bus.subscribe() as events, asyncio.timeout(5):
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        bus.publish(event(1))
        assert (await waiting).data["n"] == 1


async def test_a_listener_for_some_types_hears_only_those(bus: EventBus) -> None:
    async with bus.subscribe(event_types=["other"]) as others, bus.subscribe("w") as one:
        assert bus.is_heard("w", "t")
        assert bus.is_heard("v", "other")
        bus.publish(event(1))
        bus.publish(replace(event(2, "v"), event_type="other"))
        assert await numbers(others, 1) == [2]
        assert await numbers(one, 1) == [1]


async def test_in_a_process_only_what_somebody_wants_counts_as_heard() -> None:
    bus = InProcessEventBus()
    assert not bus.is_heard("w", "t")
    async with bus.subscribe(event_types=["other"]):
        assert bus.is_heard("v", "other")
        assert not bus.is_heard("v", "t")
    assert not bus.is_heard("v", "other")


class TestRedis:
    async def test_processes_hear_of_each_other(self, prefix: str) -> None:
        async with (
            redis_bus(prefix) as here,
            redis_bus(prefix) as there,
            there.subscribe("w") as one,
            there.subscribe() as every,
            there.subscribe(event_types=[CHANGE]) as changes,
        ):
            sent = event(1, event_type=CHANGE)
            here.publish(sent)
            here.publish(event(2, "v"))
            async with asyncio.timeout(10):
                assert await anext(one) == sent
            assert await numbers(every, 2) == [1, 2]
            assert await numbers(changes, 1) == [1]

    async def test_details_go_out_only_where_another_process_has_said_that_it_listens(self, prefix: str) -> None:
        async with redis_bus(prefix) as here:
            assert here.is_heard("w", "t")
            assert not here.is_heard("w", DETAIL)
            async with redis_bus(prefix) as there, there.subscribe("w"):
                await until(lambda: here.is_heard("w", DETAIL))
                assert not here.is_heard("v", DETAIL)
                async with redis_bus(prefix) as late:
                    await until(lambda: late.is_heard("w", DETAIL))

    async def test_while_redis_is_away_a_process_hears_itself_and_then_the_others_again(self, prefix: str) -> None:
        async with proxied(PORTS["Redis"]) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            async with redis_bus(prefix, url) as here, redis_bus(prefix) as there:
                gaps: list[int] = []
                here.on_gap(lambda: gaps.append(1))
                async with here.subscribe("w") as events:
                    proxy.refuse()
                    here.publish(event(1))
                    assert await numbers(events, 1) == [1]
                    proxy.accept()
                    await until(lambda: gaps == [1])

                    async def tell() -> None:
                        while True:
                            there.publish(event(2))
                            await asyncio.sleep(0.05)

                    telling = asyncio.create_task(tell())
                    assert await numbers(events, 1) == [2]
                    telling.cancel()
                    assert len(gaps) == 1

    async def test_what_is_no_event_is_passed_over(self, prefix: str) -> None:
        async with redis_bus(prefix) as here, here.subscribe("w") as events:
            here._put(f"{prefix}events:w", b"[]")
            here._put(f"{prefix}events:w", b"{")
            here.publish(event(3))
            assert await numbers(events, 1) == [3]
