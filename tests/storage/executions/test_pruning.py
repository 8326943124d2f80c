"""What retention deletes: the oldest by creation, families whole, and nothing that a newer execution needs."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from storage.database.database import Database
from storage.executions.blobs import LARGEST_ROW_BYTES
from storage.tables.workflows import executions
from tests.storage.executions.test_repositories import KEY, NOW, RECORDS, LeasingStore, execution, opened
from tests.support.databases import database_of
from workflow.execution_figures import ExecutionFilter
from workflow.executions import Execution, Parent
from workflow.identity import LOCAL_ID
from workflow.states import FINISHED, ExecutionState

DONE, RUNS, WAITS, DEAD = (
    ExecutionState.SUCCEEDED,
    ExecutionState.RUNNING,
    ExecutionState.WAITING,
    ExecutionState.DEAD,
)


@pytest.fixture
async def store(database: Database, tmp_path: Path) -> AsyncIterator[LeasingStore]:
    """The store of executions."""
    async with opened(database, tmp_path, "one") as store:
        yield store


def made(number: int, state: ExecutionState = DONE, parent: Execution | None = None, **members: Any) -> Execution:
    """An execution created in this second. Its id is one of :mod:`uuid`'s version 5, as those of children are: it says
    nothing of the time."""
    if parent is not None:
        members |= {"parent": Parent(parent.id, KEY), "root": parent.root or parent.id, "depth": parent.depth + 1}
    return execution(number, id=str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))), state=state, **members)


async def keep(store: LeasingStore, every: Sequence[Execution]) -> None:
    """Store them, in any order."""
    for each in random.Random(7).sample(every, len(every)):  # noqa: S311 - only the order
        store.save(each, RECORDS[:1])
    for each in every:
        await store.committed(each.id)


async def left(store: LeasingStore) -> list[int]:
    """The numbers of those that are still there, newest first."""
    page = await store.page(ExecutionFilter(owner=LOCAL_ID), limit=1_000, cursor=None)
    return [each.input["n"] for each in page.items]


async def test_the_oldest_go_by_number_whatever_their_ids_are(store: LeasingStore) -> None:
    await keep(store, [made(number) for number in range(20)])
    assert await store.prune(ended_before=None, keep=5, limit=100) == 15
    assert await left(store) == [19, 18, 17, 16, 15]


async def test_pages_show_every_execution_once_whatever_their_ids_are(store: LeasingStore) -> None:
    await keep(store, [made(number) for number in range(20)])
    found: list[int] = []
    cursor: str | None = None
    while True:
        page = await store.page(ExecutionFilter(owner=LOCAL_ID), limit=3, cursor=cursor)
        found += [each.input["n"] for each in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == list(reversed(range(20)))


async def test_of_one_moment_the_ids_decide(store: LeasingStore) -> None:
    every = [made(number, created_at=NOW) for number in range(10)]
    await keep(store, every)
    assert await store.prune(ended_before=None, keep=3, limit=100) == 7
    newest = sorted(every, key=lambda each: each.id, reverse=True)[:3]
    assert await left(store) == [each.input["n"] for each in newest]


async def test_children_take_no_places_and_go_with_their_parents(store: LeasingStore) -> None:
    every: list[Execution] = []
    for root in range(0, 50, 10):
        parent = made(root)
        children = [made(root + n, parent=parent) for n in (1, 2, 3)]
        every += [parent, *children, made(root + 4, parent=children[0])]
    await keep(store, every)
    assert await store.prune(ended_before=None, keep=2, limit=100) == 15
    assert await left(store) == [44, 43, 42, 41, 40, 34, 33, 32, 31, 30]


async def test_children_that_nobody_waits_for_are_children(store: LeasingStore) -> None:
    parent = made(0)
    await keep(store, [parent, made(1, root=parent.id, depth=1), made(2)])
    assert await store.prune(ended_before=None, keep=1, limit=100) == 2
    assert await left(store) == [2]


@pytest.mark.parametrize("unended", [RUNS, WAITS, DEAD])
@pytest.mark.parametrize("which", ["parent", "child", "grandchild"])
async def test_a_family_stays_while_one_of_it_has_not_ended(
    store: LeasingStore, which: str, unended: ExecutionState
) -> None:
    states = {name: unended if name == which else DONE for name in ("parent", "child", "grandchild")}
    parent = made(0, states["parent"])
    child = made(1, states["child"], parent)
    await keep(store, [parent, child, made(2, states["grandchild"], child), made(3), made(4)])
    assert await store.prune(ended_before=NOW + timedelta(days=1), keep=0, limit=1) == 1, "what stays blocks nothing"
    assert await store.prune(ended_before=NOW + timedelta(days=1), keep=0, limit=100) == 1
    assert await left(store) == [2, 1, 0]


async def test_a_young_child_does_not_keep_an_old_parent_nor_does_it_stay_behind(store: LeasingStore) -> None:
    parent = made(0)
    await keep(store, [parent, made(100, parent=parent), made(50)])
    assert await store.prune(ended_before=NOW + timedelta(seconds=10), keep=None, limit=100) == 2
    assert await left(store) == [50]


async def test_children_that_lost_their_parents_to_older_versions_go_by_their_age(
    store: LeasingStore, database: Database
) -> None:
    parent = made(0)
    child = made(1, parent=parent)
    await keep(store, [parent, child, made(2, WAITS, child), made(5)])
    async with database.transaction() as connection:
        await connection.execute(delete(executions).where(executions.c.id == parent.id))
    assert await store.prune(ended_before=NOW + timedelta(seconds=3), keep=None, limit=100) == 0
    async with database.transaction() as connection:
        await connection.execute(update(executions).values(state=DONE.value))
    assert await store.prune(ended_before=NOW + timedelta(seconds=3), keep=None, limit=100) == 2
    assert await left(store) == [5]


async def test_files_and_journals_of_a_family_go_with_it(store: LeasingStore, tmp_path: Path) -> None:
    parent = made(0)
    large = {"n": 1, "text": "x" * LARGEST_ROW_BYTES}
    child = made(1, parent=parent, input=large)
    await keep(store, [parent, child])
    assert (tmp_path / "blobs" / child.id).exists()
    assert await store.prune(ended_before=None, keep=0, limit=1) == 2
    assert not (tmp_path / "blobs" / child.id).exists()
    assert (await store.journal(parent.id), await store.journal(child.id)) == ([], [])


STATES = st.sampled_from([DONE, ExecutionState.FAILED, ExecutionState.CANCELLED, RUNS, WAITS, DEAD])


@given(
    shape=st.lists(st.tuples(STATES, st.integers(0, 40), st.integers(0, 9)), max_size=30),
    kept=st.integers(0, 6),
    limit=st.integers(1, 5),
    age=st.none() | st.integers(0, 40),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_stays_is_what_the_rules_say(
    tmp_path_factory: pytest.TempPathFactory,
    shape: list[tuple[ExecutionState, int, int]],
    kept: int,
    limit: int,
    age: int | None,
) -> None:
    every: list[Execution] = []
    for number, (state, second, above) in enumerate(shape):
        parent = every[above] if above < number and above % 3 else None
        every.append(made(number, state, parent, created_at=NOW + timedelta(seconds=second)))
    folder = tmp_path_factory.mktemp("pruned")
    async with database_of("sqlite", folder) as database, opened(database, folder, "one") as store:
        await keep(store, every)
        before = None if age is None else NOW + timedelta(seconds=age)
        while await store.prune(ended_before=before, keep=kept, limit=limit):
            continue
        found = set(await left(store))
    roots = [each for each in every if each.root is None]
    newest = sorted(roots, key=lambda each: (each.created_at, each.id), reverse=True)[:kept]
    expected = set()
    for root in roots:
        family = [each for each in every if root.id in (each.id, each.root)]
        is_old = before is not None and root.created_at < before
        has_ended = all(each.state in FINISHED for each in family)
        if not has_ended or (root in newest and not is_old):
            expected |= {each.input["n"] for each in family}
    assert found == expected
