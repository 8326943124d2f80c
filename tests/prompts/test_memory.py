"""What is remembered, for how long and how much; and what a header asks for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from prompts.models.failures import retry_after_seconds
from prompts.models.memory import LARGEST_BYTES, InProcessMemory, SingleFlight
from tests.support.models import Seconds


async def test_the_least_used_goes_where_there_is_no_room() -> None:
    memory = InProcessMemory(seconds=60, most_bytes=10, monotonic=Seconds())
    for key in "abc":
        await memory.put(key, b"1234")
        await memory.get("a")
    assert [key for key in "abc" if await memory.get(key)] == ["a", "c"]


async def test_an_answer_is_known_for_its_time_and_no_longer() -> None:
    seconds = Seconds()
    memory = InProcessMemory(seconds=60, monotonic=seconds)
    await memory.put("a", b"old")
    await memory.put("a", b"new")
    seconds.now += 59
    assert await memory.get("a") == b"new"
    seconds.now += 1
    assert await memory.get("a") is None


async def test_what_is_too_large_is_not_kept() -> None:
    memory = InProcessMemory(seconds=60, monotonic=Seconds())
    await memory.put("a", b"x" * (LARGEST_BYTES + 1))
    assert await memory.get("a") is None


async def test_work_that_nobody_waits_for_any_more_is_broken_off() -> None:
    flights: SingleFlight[str] = SingleFlight()
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    waiting = [asyncio.create_task(flights.share("key", work)) for _ in range(2)]
    await started.wait()
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    assert not ended.is_set()
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    assert ended.is_set()


async def test_a_failure_is_everybodys_and_is_not_kept() -> None:
    flights: SingleFlight[str] = SingleFlight()
    tries = 0

    async def work() -> str:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0)
        raise ValueError("no")

    results = await asyncio.gather(*(flights.share("key", work) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in results] == [ValueError] * 3
    assert tries == 1
    with pytest.raises(ValueError, match="no"):
        await flights.share("key", work)
    assert tries == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("soon", None),
        ("Sat, 06 Jan 2024 12:00:30 GMT", 30.0),
        ("Sat, 06 Jan 2024 11:00:00 GMT", 0.0),
        ("inf", None),
        ("nan", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=datetime(2024, 1, 6, 12, tzinfo=UTC)) == seconds
