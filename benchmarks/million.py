"""A store of a million executions in PostgreSQL beside one of a thousand: list, inspect, take, claim, what is due.

``python -m benchmarks.million [count]``. In a database of its own on the local server; about two minutes.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import text

from storage.clock import SystemClock
from storage.database.database import Database
from storage.executions.lease import Lease
from storage.executions.leases import SqlLeases
from storage.executions.store import SqlExecutionStore
from storage.ids import UuidFactory
from storage.migrations.runner import migrate
from tests.support.haystack import postgresql_of_ones_own
from workflow.execution_figures import ExecutionFilter
from workflow.executions import Execution
from workflow.identity import LOCAL_ACTOR, LOCAL_ID
from workflow.states import ExecutionState

ROUNDS = 200
FILL = """
INSERT INTO executions (id, owner, workflow_id, state, created_at, error_message, wake_at, data)
SELECT '00000000-0000-7000-8000-' || lpad(n::text, 12, '0'), owner, 'workflow-' || n % 100,
       CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'succeeded' END, created_at + n,
       CASE WHEN n % 50 = 0 THEN 'It failed.' END, NULL, data
FROM generate_series(1, {count}) AS n, (SELECT * FROM executions LIMIT 1) AS one
"""
JOURNAL = """
INSERT INTO journal (execution_id, data)
SELECT '00000000-0000-7000-8000-' || lpad(n::text, 12, '0'), convert_to('[]', 'UTF8')
FROM generate_series(1, {count}) AS n
"""


@asynccontextmanager
async def filled(count: int) -> AsyncIterator[dict[str, Callable[[], Awaitable[object]]]]:
    """What is asked of a store of so many executions, by name."""
    clock = SystemClock()
    new_id = UuidFactory(clock=clock)

    def execution(state: ExecutionState) -> Execution:
        return Execution(
            id=new_id(),
            owner=LOCAL_ID,
            workflow_id="workflow-7",
            workflow_name="benchmark",
            workflow_version=1,
            state=state,
            trigger="manual",
            start_node="start",
            input={"text": "x" * 500},
            created_at=clock.now(),
            initiator=LOCAL_ACTOR.initiator,
        )

    lease = Lease(owner="benchmark", seconds=30)
    async with postgresql_of_ones_own() as url, Database(url) as database:
        await migrate(database)
        async with SqlExecutionStore(database, lease=lease, blobs=None) as store:
            leases = SqlLeases(database, lease=lease, store=store)
            first = execution(ExecutionState.SUCCEEDED)
            store.save(first)
            await store.committed(first.id)
            async with database.transaction() as connection:
                await connection.execute(text("SET LOCAL statement_timeout = 0"))
                await connection.execute(text(FILL.format(count=count)))
                await connection.execute(text(JOURNAL.format(count=count)))
            async with database.engine.connect() as connection:
                await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM ANALYZE"))

            async def accept() -> None:
                made = execution(ExecutionState.QUEUED)
                store.save(made)
                await store.committed(made.id)

            async def take() -> None:
                async with database.transaction() as connection:
                    made = execution(ExecutionState.QUEUED)
                    row = {"id": made.id}
                    copy = text(
                        "INSERT INTO executions (id, owner, workflow_id, state, created_at, data) "
                        "SELECT :id, owner, workflow_id, 'queued', created_at, data FROM executions LIMIT 1"
                    )
                    await connection.execute(copy, row)
                await leases.claim_queued(made.id, now=clock.now())

            async def page(**where: object) -> None:
                await store.page(ExecutionFilter(owner=LOCAL_ID, **where), limit=20, cursor=None)  # type: ignore[arg-type]

            now = clock.now
            oldest = now() - timedelta(days=36_500)
            middle = (await store.page(ExecutionFilter(owner=LOCAL_ID), limit=500, cursor=None)).next_cursor
            yield {
                "list": page,
                "list of a workflow": lambda: page(workflow_id="workflow-7"),
                "list of those that failed": lambda: page(state=ExecutionState.FAILED),
                "a later page": lambda: store.page(ExecutionFilter(owner=LOCAL_ID), limit=20, cursor=middle),
                "inspect": lambda: store.recorded(LOCAL_ID, "00000000-0000-7000-8000-000000000500"),
                "accept": accept,
                "take": take,
                "claim expired leases": lambda: leases.claim_expired(now=now(), expired_before=now(), limit=100),
                "what is due": lambda: leases.claim_due(now=now() - timedelta(days=1), limit=100),
                "children that have not ended": lambda: store.unended_children(first.id),
                "what is too old": lambda: store.prune(ended_before=oldest, keep=None, limit=500),
                "keep leases": lambda: leases.renew(now=now()),
            }


async def milliseconds(ask: Callable[[], Awaitable[object]]) -> float:
    """The median of many times."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


async def run(count: int) -> None:
    """Measure both by turns, and print the ratios."""
    async with filled(1_000) as few, filled(count) as many:
        print(f"{'':28} {'1,000':>9} {count:>11,}   ratio")
        for name in few:
            for ask in (few[name], many[name]):
                await ask()
            rounds = [(await milliseconds(few[name]), await milliseconds(many[name])) for _ in range(3)]
            small, large = (min(column) for column in zip(*rounds, strict=True))
            print(f"{name:28} {small:6.2f} ms {large:8.2f} ms {large / small:7.2f}", flush=True)


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
