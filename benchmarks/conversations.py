"""A conversation of 10,000 messages: how long a window takes from cache and cold, and how much of its budget it uses.

``python -m benchmarks.conversations [postgresql://…]`` (by default SQLite; a Redis on this machine is tried where there
is one). Windows are counted as a provider would that needs a given ratio of our estimate.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from prompts.conversations import ContextManager
from prompts.tails import MemoryTails
from prompts.tokens import message_tokens
from storage.clock import SystemClock
from storage.database.database import Database
from storage.events.in_process import InProcessEventBus
from storage.ids import UuidFactory
from storage.migrations.runner import migrate
from storage.models.conversations import SqlConversations
from storage.redis.tails import RedisTails
from workflow.chat import Message, ToolCall
from workflow.conversations import TailCache

MESSAGES = 10_000
BUDGETS = (4_000, 32_000, 128_000, 1_000_000)
ROUNDS = 30
EXCHANGES = 150
REDIS_URL = "redis://127.0.0.1:6379/0"
TEXT = (
    "the order of customer was sent late and we are sorry please look at invoice number again "
    "Lieferung Rückerstattung данные 東京 {'status':'open'} https://shop.example/o/4711 🎉 refund"
)
WORDS = re.split(" ", TEXT)


def exchange(chance: random.Random, number: int) -> list[Message]:
    """What is said between one question and its answer; sometimes with a tool."""

    def words(least: int, most: int) -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(least, most)))

    said = [Message(role="user", content=words(5, 60))]
    if number % 5 == 0:
        call = ToolCall(id=f"call_{number}", name="find_order", arguments={"number": number})
        said.append(Message(role="assistant", content="", tool_calls=(call,)))
        said.append(Message(role="tool", content=words(20, 120), tool_call_id=call.id, is_from_outside=True))
    return [*said, Message(role="assistant", content=words(10, 90))]


def manager(database: Database, *, shared: TailCache | None = None) -> ContextManager:
    """A context manager as a process of its own has it."""
    clock = SystemClock()
    new_id = UuidFactory(clock=clock)
    return ContextManager(
        store=SqlConversations(database, new_id=new_id),
        tails=MemoryTails(shared=shared),
        bus=InProcessEventBus(),
        clock=clock,
        new_id=new_id,
    )


async def filled(database: Database) -> None:
    """Write the conversation."""
    chance, memory, said, number = random.Random(1), manager(database), list[Message](), 0  # noqa: S311
    await memory.note("w", "k", [Message(role="system", content="You help. " * 50)], tokens=[None], is_pinned=True)
    while len(said) < MESSAGES - 1:
        said += exchange(chance, number)
        number += 1
    for first in range(0, MESSAGES - 1, 200):
        chunk = said[first : min(first + 200, MESSAGES - 1)]
        await memory.note("w", "k", chunk, tokens=[None] * len(chunk))


async def timed(work: Callable[[], Awaitable[object]], rounds: int) -> tuple[float, float]:
    """The median and the worst time of some rounds, in milliseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        await work()
        times.append((time.perf_counter() - started) * 1_000)
    return statistics.median(times), max(times)


async def windows(database: Database, shared: RedisTails | None) -> None:
    """How long windows of several budgets take."""
    question = [Message(role="user", content="Where is my order?")]
    print("budget    messages   tokens   cached ms (worst)   after a turn ms   cold ms   from Redis ms   budget used")
    for budget in BUDGETS:

        async def build(memory: ContextManager, budget: int = budget) -> None:
            await memory.window("w", "k", budget_tokens=budget, upcoming=question)

        warm = manager(database)
        built = await warm.window("w", "k", budget_tokens=budget, upcoming=question)
        cached, worst = await timed(lambda memory=warm: build(memory), ROUNDS)
        after = []
        for number in range(5):
            await warm.note("w", "k", exchange(random.Random(number), 1), tokens=[None] * 2)  # noqa: S311
            after.append((await timed(lambda memory=warm: build(memory), 1))[0])
        cold, _ = await timed(lambda: build(manager(database)), 5)
        redis = "–"
        if shared is not None:
            await manager(database, shared=shared).window("w", "k", budget_tokens=budget, upcoming=question)
            redis = f"{(await timed(lambda: build(manager(database, shared=shared)), 5))[0]:.1f}"
        print(
            f"{budget:9} {len(built.messages):8} {built.tokens:8}   {cached:9.2f} ({worst:.1f})"
            f"   {statistics.median(after):15.2f}   {cold:7.1f}   {redis:>13}   {built.tokens / budget:11.1%}"
        )


async def budgets(database: Database) -> None:
    """How much of the budget a provider counts in each window of a conversation, by how it counts."""
    print("provider's count / our estimate   over budget, all windows   after the first count   fullest   median")
    for ratio in (0.6, 0.8, 1.0, 1.2, 1.5, 1.9):
        memory, chance, shares, key = manager(database), random.Random(5), list[float](), f"r{ratio}"  # noqa: S311
        for number in range(EXCHANGES):
            said = exchange(chance, number)
            built = await memory.window("w", key, budget_tokens=3_000, upcoming=said[:1])
            counted = 3 + sum(round(ratio * message_tokens(each)) for each in [*built.messages, said[0]])
            shares.append(counted / 3_000)
            tokens: list[int | None] = [None] * (len(said) - 1)
            answer = max(0, round(ratio * message_tokens(said[-1])) - 4)
            await memory.note("w", key, said, tokens=[*tokens, answer], window=built, input_tokens=counted)
        over, late = sum(share > 1 for share in shares), sum(share > 1 for share in shares[10:])
        half = statistics.median(shares[EXCHANGES // 2 :])
        print(f"{ratio:31}   {over:24}   {late:21}   {max(shares):7.1%}   {half:.1%}")


async def measure(url: str) -> None:
    """Write and measure."""
    async with Database(url) as database:
        await migrate(database)
        started = time.perf_counter()
        await filled(database)
        print(f"{MESSAGES} messages written in {time.perf_counter() - started:.1f} s, 200 at a time")
        async with RedisTails(REDIS_URL, prefix="jobsprint-benchmark:") as shared:
            await windows(database, shared if await _answers() else None)
            await shared.forget("w", "k")
        await budgets(database)
        store = SqlConversations(database, new_id=UuidFactory(clock=SystemClock()))
        for head in (await store.page("w", limit=100, cursor=None)).items:
            await store.delete("w", head.key)


async def _answers() -> bool:
    try:
        async with Redis.from_url(REDIS_URL, socket_connect_timeout=1) as redis:
            await redis.ping()
    except (RedisError, OSError):
        return False
    return True


def main() -> None:
    """Print what was measured."""
    with tempfile.TemporaryDirectory(prefix="jobsprint-") as folder:
        asyncio.run(measure(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{Path(folder) / 'bench.db'}"))


if __name__ == "__main__":
    main()
