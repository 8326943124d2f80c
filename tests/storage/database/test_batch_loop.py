"""Batches gather while one is on its way; a failed one is tried again, but does not keep the end waiting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from storage.database.batch_loop import BatchLoop, settle
from workflow.errors import StorageError


@dataclass
class Writer:
    """Keeps the batches that it wrote; each takes until ``may_write`` is set, and fails while ``is_broken``."""

    gathered: list[int] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)
    attempts: int = 0
    is_broken: bool = False
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_write: asyncio.Event = field(default_factory=asyncio.Event)

    async def write_batch(self) -> bool:
        """Take all that has gathered."""
        self.attempts += 1
        batch, self.gathered = self.gathered, []
        self.has_begun.set()
        await self.may_write.wait()
        if self.is_broken:
            self.gathered = [*batch, *self.gathered]
            return False
        self.batches.append(batch)
        return True

    def loop(self, *, lazy_seconds: float = 60, retry_seconds: float = 0) -> BatchLoop:
        """A loop around it."""
        return BatchLoop(
            "test",
            write_batch=self.write_batch,
            has_gathered=lambda: bool(self.gathered),
            lazy_seconds=lazy_seconds,
            retry_seconds=retry_seconds,
        )


async def test_what_gathers_while_a_batch_is_on_its_way_is_the_next_one() -> None:
    writer = Writer()
    async with writer.loop() as loop:
        writer.gathered.append(1)
        loop.now()
        await writer.has_begun.wait()
        writer.gathered += [2, 3]
        writer.may_write.set()
    assert writer.batches == [[1], [2, 3]]


async def test_what_nobody_waits_for_is_written_soon() -> None:
    writer = Writer()
    writer.may_write.set()
    async with writer.loop(lazy_seconds=0.001) as loop, asyncio.timeout(5):
        writer.gathered.append(1)
        loop.soon()
        await writer.has_begun.wait()
        assert writer.batches == [[1]]


async def test_a_failed_batch_is_tried_again() -> None:
    writer = Writer(is_broken=True)
    writer.may_write.set()
    async with writer.loop() as loop, asyncio.timeout(5):
        writer.gathered.append(1)
        loop.now()
        while writer.attempts < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        writer.is_broken = False
    assert writer.batches == [[1]]


async def test_a_batch_that_fails_at_the_end_is_not_tried_again() -> None:
    writer = Writer(is_broken=True)
    async with asyncio.timeout(5):
        async with writer.loop() as loop:
            writer.gathered.append(1)
            loop.now()
            await writer.has_begun.wait()
            asyncio.get_running_loop().call_soon(writer.may_write.set)
    assert (writer.attempts, writer.gathered) == (1, [1])


async def test_those_who_wait_learn_of_the_failure_and_who_has_left_is_passed_over() -> None:
    loop = asyncio.get_running_loop()
    left, waiting, glad = loop.create_future(), loop.create_future(), loop.create_future()
    left.cancel()
    error = StorageError("It is gone.", fix="Wait.")
    settle([left, waiting], error)
    settle([glad], None)
    assert (left.cancelled(), waiting.exception(), glad.result()) == (True, error, None)
