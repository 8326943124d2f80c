"""Two servers and four workers under load, while everything fails that can: what was accepted ends, effects happen, and
what happens twice is what was under way, under the same key."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import httpx2
from redis.asyncio import Redis as RedisClient

from tests.chaos_cluster.cluster import Cluster
from tests.chaos_cluster.load import Call, Effects, Load, callees, definitions, outputs
from tests.chaos_cluster.services import Postgresql, Rabbitmq, Redis, Service
from tests.support.tcp_proxy import proxied

SERVERS, WORKERS, CONCURRENCY = 2, 4, 10
CALLERS, PAUSE_SECONDS = 8, 0.05
LEASE_SECONDS = 5
CALM_SECONDS = 3.0
"""Between two faults, so that each meets a cluster at work."""
UNNOTED_SECONDS = 1.5
"""How long before a fault an effect may have ended whose result was not yet on the disk."""
END_SECONDS = 120.0


@dataclass(slots=True)
class Fault:
    """Something that was done to the cluster, from when to when. ``breaks_off`` says that it may cut off what runs."""

    name: str
    breaks_off: bool
    began: float
    ended: float = 0.0


@dataclass(slots=True, kw_only=True)
class Installation:
    """Everything there is."""

    postgresql: Postgresql
    rabbitmq: Rabbitmq
    redis: Redis
    cluster: Cluster
    cut: Callable[[], None]


@asynccontextmanager
async def installation(folder: Path) -> AsyncIterator[Installation]:
    """The services and processes, started; what reaches the services goes through proxies that can be cut."""
    postgresql, rabbitmq, redis = Postgresql(folder=folder), Rabbitmq(folder=folder), Redis(folder=folder)
    services: Sequence[Service] = (postgresql, rabbitmq, redis)
    postgresql.make()
    try:
        await asyncio.gather(*(service.start() for service in services))
        async with (
            proxied(postgresql.port) as to_postgresql,
            proxied(rabbitmq.port) as to_rabbitmq,
            proxied(redis.port) as to_redis,
        ):
            environment = {
                "JOBSPRINT_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{to_postgresql.port}/postgres",
                "JOBSPRINT_BROKER_URL": f"amqp://guest:guest@127.0.0.1:{to_rabbitmq.port}/",
                "JOBSPRINT_REDIS_URL": f"redis://127.0.0.1:{to_redis.port}/0",
                "JOBSPRINT_SECRET_KEY": "k" * 48,
                "JOBSPRINT_VAULT_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
                "JOBSPRINT_LEASE_SECONDS": str(LEASE_SECONDS),
                "JOBSPRINT_OUTBOUND_ALLOW": "127.0.0.1",
                # Nothing is old enough to be deleted; that it looks for it beside everything else must not matter.
                "JOBSPRINT_RETENTION_DAYS": "1",
                "JOBSPRINT_RETENTION_INTERVAL_SECONDS": "2",
                "JOBSPRINT_LOG_LEVEL": "info",
            }
            cluster = Cluster.of(environment, folder, servers=SERVERS, workers=WORKERS, concurrency=CONCURRENCY)

            def cut() -> None:
                for proxy in (to_postgresql, to_rabbitmq, to_redis):
                    proxy.cut()

            keeping_up = asyncio.create_task(cluster.keep_up())
            try:
                await cluster.start()
                yield Installation(postgresql=postgresql, rabbitmq=rabbitmq, redis=redis, cluster=cluster, cut=cut)
            finally:
                keeping_up.cancel()
                await cluster.stop()
    finally:
        for service in services:
            await service.end(signal.SIGKILL)


async def kill_worker(here: Installation) -> None:
    """A worker is gone without a word, and a new one comes."""
    worker = random.choice(here.cluster.workers)  # noqa: S311
    await worker.end(signal.SIGKILL)
    worker.launch()


async def kill_server(here: Installation) -> None:
    """A server is gone without a word, and comes again on its port."""
    server = random.choice(here.cluster.servers)  # noqa: S311
    await server.end(signal.SIGKILL)
    await asyncio.sleep(1)
    server.launch()
    await server.ready()


async def freeze_worker(here: Installation) -> None:
    """A worker stands still for longer than its leases, and goes on as if nothing had been."""
    worker = random.choice(here.cluster.workers)  # noqa: S311
    worker.send(signal.SIGSTOP)
    await asyncio.sleep(LEASE_SECONDS * 2.5)
    worker.send(signal.SIGCONT)
    await asyncio.sleep(1)


async def freeze_server(here: Installation) -> None:
    """A server stands still for a while; callers turn to the other one."""
    server = random.choice(here.cluster.servers)  # noqa: S311
    server.send(signal.SIGSTOP)
    await asyncio.sleep(LEASE_SECONDS * 1.5)
    server.send(signal.SIGCONT)


async def restart_in_order(here: Installation) -> None:
    """Every process ends in order and starts again, one after the other: a new version is rolled out."""
    for process in here.cluster.processes:
        assert await process.end() == 0, process.log()[-2000:]
        process.launch()
        await process.ready()


def stopped(service: Callable[[Installation], Service], number: signal.Signals | None, seconds: float) -> Strike:
    """A service ends, in order or killed, and comes again after a while."""

    async def strike(here: Installation) -> None:
        await service(here).end(number)
        await asyncio.sleep(seconds)
        await service(here).start()

    return strike


async def flush_redis(here: Installation) -> None:
    """Redis forgets everything."""
    async with RedisClient.from_url(here.redis.url) as client:
        await client.flushall()


async def cut_connections(here: Installation) -> None:
    """Every connection to every service breaks at once, three times in a row."""
    for _ in range(3):
        here.cut()
        await asyncio.sleep(0.5)


Strike = Callable[[Installation], Awaitable[None]]

STRIKES: Sequence[tuple[str, bool, Strike]] = (
    ("a worker is killed", True, kill_worker),
    ("a server is killed", False, kill_server),
    ("RabbitMQ stops for 5 s", False, stopped(lambda here: here.rabbitmq, None, 5)),
    ("a worker is killed", True, kill_worker),
    ("PostgreSQL restarts", True, stopped(lambda here: here.postgresql, None, 0)),
    ("Redis is emptied", False, flush_redis),
    ("every connection is cut", True, cut_connections),
    ("a worker stands still for 2.5 leases", True, freeze_worker),
    ("Redis is killed, and away for 5 s", False, stopped(lambda here: here.redis, signal.SIGKILL, 5)),
    ("RabbitMQ is killed, and away for 2 s", False, stopped(lambda here: here.rabbitmq, signal.SIGKILL, 2)),
    ("a worker is killed", True, kill_worker),
    ("PostgreSQL is killed, and away for 8 s", True, stopped(lambda here: here.postgresql, signal.SIGKILL, 8)),
    ("a server is killed", False, kill_server),
    ("a server stands still for 1.5 leases", False, freeze_server),
    ("PostgreSQL restarts", True, stopped(lambda here: here.postgresql, None, 0)),
    ("all processes restart, one by one", False, restart_in_order),
)


async def test_whatever_fails_what_was_accepted_ends_and_nothing_happens_twice_unmarked(tmp_path: Path) -> None:
    effects = Effects()
    async with effects.serving(), installation(tmp_path) as here:
        await publish(here, effects)
        load = Load(here.cluster.servers)
        approver = asyncio.create_task(load.approver())
        callers = [asyncio.create_task(load.caller(n, _order(n), PAUSE_SECONDS)) for n in range(CALLERS)]
        faults = await struck(here)
        load.is_over = True
        await asyncio.gather(*callers)
        states = await ended_states(here, load)
        approver.cancel()
        await asyncio.gather(approver, return_exceptions=True)
        letters = await dead_letters(here, expected=len(load.accepted["dead"]))
        wrong = await wrong_outputs(here, load)
        children = await children_of(here, load.accepted["children"])
        report(faults, load, effects, states)
        logs = "".join(process.log() for process in here.cluster.processes)

    lost = {name: [each for each in ids if each not in states] for name, ids in load.accepted.items()}
    assert not any(lost.values()), f"accepted, and not there: {lost}"
    for name, ids in load.accepted.items():
        expected = {"dead": "dead", "errors": "failed"}.get(name, "succeeded")
        others = {each: states[each] for each in ids if states[each] != expected}
        assert not others, f"{name}: {others}"
    assert set(letters) >= set(load.accepted["dead"])
    unmarked = [key for key, calls in effects.calls.items() if len(calls) > 1 and not explained(calls, faults)]
    assert not unmarked, {key: effects.calls[key] for key in unmarked[:5]}
    for name, ids in load.accepted.items():
        for node, run in EFFECTS[name]:
            missing = [each for each in ids if f"{each}:{node}:{run}:0" not in effects.calls]
            assert not missing, f"{name}: the effect of {node} never came for {missing[:5]}"
    assert not wrong, f"other outputs than undisturbed: {wrong[:5]}"
    assert {parent: sorted(found) for parent, found in children.items()} == {
        parent: ["succeeded"] * 3 for parent in load.accepted["children"]
    }
    not_once = {each: effects.handled[each] for each in load.accepted["errors"] if len(effects.handled[each]) != 1}
    assert not not_once, f"one error workflow for each failure: {not_once}"
    assert "Traceback" not in logs, logs[logs.index("Traceback") - 500 :][:3000]


EFFECTS = {
    "row": [("one", 0), ("two", 0), ("three", 0)],
    "answer": [("one", 0), ("two", 0)],
    "pause": [("one", 0), ("two", 0)],
    "loop": [("one", 0), ("one", 1), ("one", 2)],
    "asks": [("one", 0)],
    "errors": [("one", 0)],
    "children": [],
    "dead": [],
}
"""The effects of each execution by itself: nodes and runs of them."""


def _order(number: int) -> list[str]:
    names = ["row", "answer", "pause", "loop", "children", "asks", "errors", "dead"]
    return names[number % 4 :] + names[: number % 4]


async def publish(here: Installation, effects: Effects) -> None:
    """Have every workflow listen."""
    async with httpx2.AsyncClient(base_url=here.cluster.servers[0].url) as http:
        called = {name: await _published(http, each) for name, each in callees(effects.url).items()}
        for definition in definitions(effects.url, called).values():
            await _published(http, definition)
    await asyncio.sleep(1)  # the other servers hear of it


async def _published(http: httpx2.AsyncClient, definition: dict[str, Any]) -> str:
    made = await http.post("/api/workflows", json=definition)
    assert made.status_code == 201, made.text
    workflow_id = str(made.json()["workflow_id"])
    answer = await http.post(f"/api/workflows/{workflow_id}/publish", json={})
    assert answer.status_code == 200, answer.text
    return workflow_id


async def wrong_outputs(here: Installation, load: Load) -> list[tuple[str, Any, Any]]:
    """Executions that gave something else than they would have undisturbed."""
    wrong = []
    async with httpx2.AsyncClient(base_url=here.cluster.servers[0].url, timeout=30) as http:
        for name, ids in load.accepted.items():
            for execution_id in ids:
                expected = outputs(name, load.numbers[execution_id])
                if expected is None:
                    continue
                seen = (await http.get(f"/api/executions/{execution_id}")).json()
                found = [item.get("v") for item in ((seen.get("output") or {}).get("items") or {}).get("end", [])]
                if found != expected:
                    wrong.append((execution_id, found, expected))
    return wrong


async def children_of(here: Installation, parents: Sequence[str]) -> dict[str, list[str]]:
    """The states of each parent's children."""
    connection = await asyncpg.connect(here.postgresql.url)
    try:
        rows = await connection.fetch(
            "SELECT parent_id, state FROM executions WHERE parent_id = ANY($1::text[])", list(parents)
        )
    finally:
        await connection.close()
    found: dict[str, list[str]] = {parent: [] for parent in parents}
    for row in rows:
        found[row["parent_id"]].append(row["state"])
    return found


async def struck(here: Installation) -> list[Fault]:
    """Every fault, one after the other, with calm between them."""
    faults = []
    for name, breaks_off, strike in STRIKES:
        await asyncio.sleep(CALM_SECONDS)
        fault = Fault(name, breaks_off, time.monotonic())
        faults.append(fault)
        await strike(here)
        fault.ended = time.monotonic()
    await asyncio.sleep(CALM_SECONDS)
    return faults


async def ended_states(here: Installation, load: Load) -> dict[str, str]:
    """The state of every execution, when none is under way any more."""
    connection = await asyncpg.connect(here.postgresql.url)
    try:
        async with asyncio.timeout(END_SECONDS):
            while await connection.fetchval(  # noqa: ASYNC110
                "SELECT count(*) FROM executions WHERE state IN ('queued', 'running', 'waiting')"
            ):
                await asyncio.sleep(0.2)
        return {row["id"]: row["state"] for row in await connection.fetch("SELECT id, state FROM executions")}
    except TimeoutError:
        stuck = await connection.fetch(
            "SELECT id, state, lease_owner, lease_expires_at, wake_at, signals FROM executions "
            "WHERE state IN ('queued', 'running', 'waiting') LIMIT 20"
        )
        raise AssertionError(f"these do not end: {[dict(row) for row in stuck]}") from None
    finally:
        await connection.close()


async def dead_letters(here: Installation, *, expected: int) -> list[str]:
    """The executions of the dead letters."""
    found: list[str] = []
    async with asyncio.timeout(30):
        while len(set(found)) < expected:
            found = []
            async with await aio_pika.connect(here.rabbitmq.url) as connection, connection.channel() as channel:
                queue = await channel.get_queue("jobsprint.dead")
                while (message := await queue.get(fail=False)) is not None:
                    found.append(json.loads(message.body)["payload"]["executionId"])
            await asyncio.sleep(0.5)
    return found


def explained(calls: Sequence[Call], faults: Sequence[Fault]) -> bool:
    """Whether every repetition follows a fault that came before the result can have been on the disk."""
    for first, again in pairwise(calls):
        done = first.ended if first.ended is not None else first.began + 1.0
        may_have_cut = [
            fault
            for fault in faults
            if fault.breaks_off
            and fault.began <= done + UNNOTED_SECONDS
            and again.began >= fault.began
            and first.began <= fault.ended + UNNOTED_SECONDS
        ]
        if not may_have_cut:
            return False
    return True


def report(faults: Sequence[Fault], load: Load, effects: Effects, states: dict[str, str]) -> None:
    """What happened, for people."""
    repeated = sum(len(calls) > 1 for calls in effects.calls.values())
    accepted = sum(map(len, load.accepted.values()))
    lines = ["", f"{'fault':45} {'seconds':>8}"]
    lines += [f"{fault.name:45} {fault.ended - fault.began:8.1f}" for fault in faults]
    waits = sorted(load.waits)
    lines += [
        f"accepted {accepted}, of {sum(load.outcomes.values())} calls: {dict(load.outcomes)}",
        f"in the store {len(states)}; effects {len(effects.calls)}, of which {repeated} came more than once",
        f"answers after {statistics.median(waits):.3f} s (median), {waits[int(len(waits) * 0.99)]:.3f} s (99th of 100)",
    ]
    print("\n".join(lines))  # noqa: T201
