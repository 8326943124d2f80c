"""What the ports promise of workflows and executions, held against every database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from storage.database.database import Database
from storage.executions.blobs import LARGEST_ROW_BYTES, BlobStore
from storage.executions.idempotency import SqlIdempotencyKeys
from storage.executions.lease import Lease
from storage.executions.leases import SqlLeases
from storage.executions.records import SLICE_VALUES
from storage.executions.store import SqlExecutionStore
from storage.tables.workflows import idempotency_keys
from storage.workflows.repository import SqlWorkflowRepository
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.publication import Publication
from workflow.errors import (
    ExecutionNotFoundError,
    InvalidArgumentsError,
    UnstorableValueError,
    VersionConflictError,
    WorkflowNotFoundError,
)
from workflow.execution_figures import ExecutionFilter
from workflow.executions import (
    EffectKey,
    EffectResult,
    EffectStart,
    EncodedRecord,
    ErrorRecord,
    Execution,
    NodeRun,
    Parent,
    Record,
    Resumption,
    Suspension,
)
from workflow.identity import LOCAL_ACTOR, LOCAL_ID
from workflow.items import Item, ItemOrigin, Pair, from_item
from workflow.states import ExecutionState

NOW = datetime(2024, 1, 6, 12, 0, 0, 123456, tzinfo=UTC)


def definition(name: str = "one", **members: Any) -> WorkflowDefinition:
    """A small definition."""
    return WorkflowDefinition.model_validate({"name": name, "nodes": {"start": {"type": "manual"}}, **members})


def execution(number: int, **members: Any) -> Execution:
    """A queued execution; ids rise with the number."""
    defaults: dict[str, Any] = {
        "id": f"execution-{number:03}",
        "owner": LOCAL_ID,
        "initiator": LOCAL_ACTOR.initiator,
        "workflow_id": "w",
        "workflow_name": "one",
        "workflow_version": 1,
        "state": ExecutionState.QUEUED,
        "trigger": "manual",
        "start_node": "start",
        "input": {"n": number},
        "created_at": NOW + timedelta(seconds=number),
    }
    return Execution(**{**defaults, **members})


@pytest.fixture
def workflows(database: Database) -> SqlWorkflowRepository:
    """The repository of workflows."""
    return SqlWorkflowRepository(database)


LEASE_SECONDS = 30


class LeasingStore(SqlExecutionStore):
    """A store with the leases of its process."""

    leases: SqlLeases


@asynccontextmanager
async def opened(database: Database, folder: Path, owner: str) -> AsyncIterator[LeasingStore]:
    """A store of a process named ``owner`` that has just started."""
    blobs = BlobStore(folder / "blobs")
    lease = Lease(owner=owner, seconds=LEASE_SECONDS)
    async with LeasingStore(database, blobs=blobs, lease=lease) as store:
        store.leases = SqlLeases(database, lease=lease, store=store)
        assert await store.leases.claim_expired(now=NOW, expired_before=NOW, limit=10) == []
        yield store


@pytest.fixture
async def store(database: Database, tmp_path: Path) -> AsyncIterator[LeasingStore]:
    """The store of executions."""
    async with opened(database, tmp_path, "one") as store:
        yield store


@pytest.fixture
async def other(database: Database, tmp_path: Path) -> AsyncIterator[LeasingStore]:
    """The same store in the hands of another process."""
    async with opened(database, tmp_path, "other") as store:
        yield store


class TestWorkflows:
    async def test_what_is_created_is_read_back(self, workflows: SqlWorkflowRepository) -> None:
        made = await workflows.create(LOCAL_ID, "w", definition(), change="Created", now=NOW)
        assert await workflows.get(LOCAL_ID, "w") == made
        assert (made.version, made.created_at, made.updated_at) == (1, NOW, NOW)

    async def test_versions_are_immutable_and_stay_readable(self, workflows: SqlWorkflowRepository) -> None:
        first = await workflows.create(LOCAL_ID, "w", definition(), change="Created", now=NOW)
        later = NOW + timedelta(hours=1)
        second = await workflows.save_version(
            LOCAL_ID, "w", definition("two"), expected_version=1, change="Changed", now=later
        )
        assert (second.version, second.created_at, second.updated_at) == (2, NOW, later)
        assert await workflows.get(LOCAL_ID, "w") == second
        assert await workflows.get(LOCAL_ID, "w", 1) == first

    async def test_a_version_saved_on_an_old_one_is_refused(self, workflows: SqlWorkflowRepository) -> None:
        await workflows.create(LOCAL_ID, "w", definition(), change="Created", now=NOW)
        await workflows.save_version(LOCAL_ID, "w", definition("two"), expected_version=1, change="Changed", now=NOW)
        with pytest.raises(VersionConflictError) as caught:
            await workflows.save_version(
                LOCAL_ID, "w", definition("three"), expected_version=1, change="Changed", now=NOW
            )
        assert caught.value.actual == 2
        assert (await workflows.get(LOCAL_ID, "w")).definition.name == "two"

    async def test_of_many_who_save_at_once_one_wins(self, workflows: SqlWorkflowRepository) -> None:
        await workflows.create(LOCAL_ID, "w", definition(), change="Created", now=NOW)
        results = await asyncio.gather(
            *(
                workflows.save_version(LOCAL_ID, "w", definition(str(n)), expected_version=1, change="Changed", now=NOW)
                for n in range(5)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(each, VersionConflictError) for each in results) == 4
        assert (await workflows.get(LOCAL_ID, "w")).version == 2

    @pytest.mark.parametrize("version", [None, 1, 7])
    async def test_what_is_not_there_is_not_found(self, workflows: SqlWorkflowRepository, version: int | None) -> None:
        with pytest.raises(WorkflowNotFoundError):
            await workflows.get(LOCAL_ID, "absent", version)

    async def test_pages_show_every_workflow_once_the_last_changed_first(
        self, workflows: SqlWorkflowRepository
    ) -> None:
        for n in range(7):
            at = NOW + timedelta(seconds=n // 2)  # some at the same moment
            await workflows.create(LOCAL_ID, f"w{n}", definition(f"name {n}"), change="Created", now=at)
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await workflows.page(LOCAL_ID, text=None, limit=3, cursor=cursor)
            found += [each.id for each in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == [f"w{n}" for n in reversed(range(7))]

    async def test_text_narrows_a_list_and_wildcards_mean_themselves(self, workflows: SqlWorkflowRepository) -> None:
        await workflows.create(LOCAL_ID, "a", definition("Save 100% now"), change="Created", now=NOW)
        await workflows.create(LOCAL_ID, "b", definition("Save 1000", description="x_y"), change="Created", now=NOW)
        for text, ids in (("save", {"a", "b"}), ("100%", {"a"}), ("X_Y", {"b"}), ("x.y", set())):
            assert {each.id for each in (await workflows.page(LOCAL_ID, text=text, limit=9, cursor=None)).items} == ids

    @pytest.mark.parametrize("cursor", ["nonsense", "", "bnVsbA"])
    async def test_a_foreign_cursor_is_refused(self, workflows: SqlWorkflowRepository, cursor: str) -> None:
        with pytest.raises(InvalidArgumentsError):
            await workflows.page(LOCAL_ID, text=None, limit=3, cursor=cursor)

    async def test_every_json_string_can_be_stored(self, workflows: SqlWorkflowRepository) -> None:
        odd = definition("\x00 \U0001f600 \\ '", description="\u2028")
        await workflows.create(LOCAL_ID, "w", odd.model_copy(update={"name": "plain"}), change="Created", now=NOW)
        nodes = {"start": {"type": "manual", "parameters": {"text": "\x00\U0001f600"}}}
        stored = await workflows.save_version(
            LOCAL_ID, "w", definition(nodes=nodes), expected_version=1, change="Changed", now=NOW
        )
        assert (await workflows.get(LOCAL_ID, "w")).definition == stored.definition

    @pytest.mark.parametrize("value", [2**70, "\ud800"])
    async def test_what_cannot_be_stored_is_refused_whole(self, workflows: SqlWorkflowRepository, value: Any) -> None:
        nodes = {"start": {"type": "manual", "parameters": {"x": value}}}
        with pytest.raises(UnstorableValueError):
            await workflows.create(
                LOCAL_ID,
                "w",
                definition(nodes=nodes),
                change="Created",
                publication=Publication(webhook_paths=["p"]),
                now=NOW,
            )
        with pytest.raises(WorkflowNotFoundError):
            await workflows.get(LOCAL_ID, "w")


KEY = EffectKey("a", 1, 3)
ERROR = ErrorRecord(code="c", message="m", node="a", item_index=3, pointer="/p", fix="f", transient=True)
RECORDS: list[Record] = [
    NodeRun(
        node="a",
        run_index=1,
        status="succeeded",
        started_at=NOW,
        duration_ms=1.5,
        items_in=1,
        logical_time=NOW,
        sources=(None, ItemOrigin("start", 0, "main")),
        outputs={"true": [Item({"x": [1, None, "\x00"]}, (Pair(0, 0), Pair(1, 2)))], "false": []},
        error=ERROR,
    ),
    EffectStart(key=KEY, at=NOW),
    EffectResult(key=KEY, at=NOW, attempts=2, result={"ok": True}),
    EffectResult(key=KEY, at=NOW, error=ERROR),
    Suspension(key=KEY, at=NOW, kind="approval", wake_at=NOW, details={"choices": ["yes"]}),
    Resumption(key=KEY, at=NOW, by="agent", data={"choice": "yes"}),
]
RUN = next(each for each in RECORDS if isinstance(each, NodeRun))


class TestExecutions:
    async def test_an_execution_is_read_back_as_it_was_saved(self, store: LeasingStore) -> None:
        full = execution(
            1,
            started_at=NOW,
            finished_at=NOW + timedelta(milliseconds=250),
            output={"items": {}},
            error=ERROR,
            mode="test",
            pins={"a": [{"x": 1}]},
            priority="high",
            parent=Parent("p", KEY),
            rerun_of="r",
            notified_at=NOW,
            state=ExecutionState.FAILED,
        )
        store.save(full)
        await store.committed(full.id)
        assert await store.get(LOCAL_ID, full.id) == full
        assert full.duration_ms == 250

    async def test_the_journal_keeps_every_kind_of_record_in_order(self, store: LeasingStore) -> None:
        for records in (RECORDS[:2], RECORDS[2:3], RECORDS[3:]):
            store.save(execution(1), records)
            await store.committed("execution-001")
        assert await store.journal("execution-001") == RECORDS

    async def test_records_that_were_encoded_before_are_read_as_the_others_are(self, store: LeasingStore) -> None:
        count = SLICE_VALUES + 1
        items = [
            [Item({"n": n}) for n in range(count)],
            [Item({"n": "\u00e9"}, from_item(n)) for n in range(count)],
            [Item({}, from_item(7)) for _ in range(count)],
            [Item({"n": [n]}, (Pair(0, n), Pair(1, n))) for n in range(count)],
        ]
        runs = [replace(RUN, outputs={"main": each, "other": [Item({})], "none": []}) for each in items]
        encoded = [EncodedRecord(each, store.encode(each)) for each in [*runs, *RECORDS]]
        store.save(execution(1), [RECORDS[0], *encoded])
        await store.committed("execution-001")
        assert await store.journal("execution-001") == [RECORDS[0], *runs, *RECORDS]

    async def test_what_cannot_be_stored_cannot_be_encoded(self, store: LeasingStore) -> None:
        with pytest.raises(UnstorableValueError):
            store.encode(replace(RUN, outputs={"main": [Item({"n": 2**70})] * (SLICE_VALUES + 1)}))

    async def test_an_execution_and_its_journal_are_read_in_one(self, store: LeasingStore) -> None:
        waiting = execution(1, state=ExecutionState.WAITING, wake_at=NOW + timedelta(seconds=5))
        store.save(waiting, RECORDS)
        store.save(execution(2), RECORDS[:1])
        assert await store.recorded(LOCAL_ID, "execution-001") == (waiting, RECORDS), "also what was noted a moment ago"
        with pytest.raises(ExecutionNotFoundError):
            await store.recorded(LOCAL_ID, "execution-003")

    async def test_of_several_states_before_a_batch_the_last_is_written_with_all_records(
        self, store: LeasingStore
    ) -> None:
        store.save(execution(1), RECORDS[:1])
        store.save(execution(1, state=ExecutionState.RUNNING, started_at=NOW), RECORDS[1:])
        await store.committed("execution-001")
        assert (await store.get(LOCAL_ID, "execution-001")).state is ExecutionState.RUNNING
        assert await store.journal("execution-001") == RECORDS

    async def test_what_nobody_waits_for_is_written_all_the_same(self, store: LeasingStore) -> None:
        store.save(execution(1))
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(ExecutionNotFoundError):
                    await store.get(LOCAL_ID, "execution-001")
                    return

    async def test_thousands_at_once_are_all_written(self, store: LeasingStore) -> None:
        every = [execution(number) for number in range(1_500)]
        for each in every:
            store.save(each, RECORDS[:1])
        await asyncio.gather(*(store.committed(each.id) for each in every))
        assert len((await store.page(ExecutionFilter(owner=LOCAL_ID), limit=2_000, cursor=None)).items) == 1_500

    @pytest.mark.parametrize("value", [2**70, "\ud800"])
    async def test_what_cannot_be_stored_is_refused_at_once(self, store: LeasingStore, value: Any) -> None:
        with pytest.raises(UnstorableValueError):
            store.save(execution(1, input={"x": value}))
        with pytest.raises(ExecutionNotFoundError):
            await store.get(LOCAL_ID, "execution-001")

    async def test_another_process_takes_over_only_what_was_let_go(
        self, store: LeasingStore, other: LeasingStore
    ) -> None:
        for number, state in enumerate((ExecutionState.QUEUED, ExecutionState.RUNNING, ExecutionState.WAITING)):
            store.save(execution(number, state=state))
        await store.committed("execution-000")
        still = NOW + timedelta(seconds=LEASE_SECONDS - 1)
        assert await other.leases.claim_expired(now=still, expired_before=still, limit=9) == []
        gone = NOW + timedelta(seconds=LEASE_SECONDS + 1)
        taken = await other.leases.claim_expired(now=gone, expired_before=gone, limit=9)
        assert [each.id for each in taken] == ["execution-000", "execution-001"]
        assert await store.leases.claim_expired(now=gone, expired_before=gone, limit=9) == []

    async def test_leases_are_prolonged_and_released(self, store: LeasingStore, other: LeasingStore) -> None:
        store.save(execution(1))
        await store.committed("execution-001")
        later = NOW + timedelta(seconds=LEASE_SECONDS - 1)
        await store.leases.renew(now=later)
        gone = NOW + timedelta(seconds=LEASE_SECONDS + 1)
        assert await other.leases.claim_expired(now=gone, expired_before=gone, limit=9) == []
        await store.leases.release()
        assert len(await other.leases.claim_expired(now=gone, expired_before=gone, limit=9)) == 1

    async def test_waiting_executions_are_found_when_they_are_due(self, store: LeasingStore) -> None:
        for number in range(3):
            wake_at = NOW + timedelta(hours=number) if number else None
            store.save(execution(number, state=ExecutionState.WAITING, wake_at=wake_at))
        await store.committed("execution-000")
        assert await store.leases.next_due() == NOW + timedelta(hours=1)
        assert await store.leases.claim_due(now=NOW, limit=9) == []
        due = await store.leases.claim_due(now=NOW + timedelta(hours=2), limit=9)
        assert [each.id for each in due] == ["execution-001", "execution-002"]

    async def test_lists_are_filtered_and_paged_newest_first(self, store: LeasingStore) -> None:
        for number in range(6):
            members: dict[str, Any] = {"workflow_id": "even" if number % 2 == 0 else "odd"}
            if number == 4:
                error = ErrorRecord(code="c", message="The Disk is full")
                members |= {"state": ExecutionState.FAILED, "error": error}
            store.save(execution(number, **members))
        await store.committed("execution-000")

        async def ids(where: ExecutionFilter) -> list[str]:
            return [each.id[-1] for each in (await store.page(where, limit=10, cursor=None)).items]

        assert await ids(ExecutionFilter(owner=LOCAL_ID)) == list("543210")
        assert await ids(ExecutionFilter(owner=LOCAL_ID, workflow_id="odd")) == list("531")
        assert await ids(ExecutionFilter(owner=LOCAL_ID, state=ExecutionState.FAILED)) == ["4"]
        assert await ids(ExecutionFilter(owner=LOCAL_ID, text="disk")) == ["4"]
        assert await ids(ExecutionFilter(owner=LOCAL_ID, created_after=NOW + timedelta(seconds=3))) == list("54")
        first = await store.page(ExecutionFilter(owner=LOCAL_ID), limit=4, cursor=None)
        second = await store.page(ExecutionFilter(owner=LOCAL_ID), limit=4, cursor=first.next_cursor)
        assert [each.id[-1] for each in [*first.items, *second.items]] == list("543210")
        assert second.next_cursor is None

    async def test_what_is_too_large_for_a_row_is_in_a_file_and_read_back(
        self, store: LeasingStore, tmp_path: Path
    ) -> None:
        large = {"text": "x" * LARGEST_ROW_BYTES}
        big = execution(1, input=large, state=ExecutionState.SUCCEEDED)
        record = EffectResult(key=KEY, at=NOW, result=large)
        store.save(big, [record])
        await store.committed(big.id)
        assert await store.get(LOCAL_ID, big.id) == big
        assert await store.journal(big.id) == [record]
        assert await store.recorded(LOCAL_ID, big.id) == (big, [record])
        assert len(list((tmp_path / "blobs" / big.id).iterdir())) == 2

    async def test_ended_executions_are_pruned_by_age_and_number(self, store: LeasingStore, tmp_path: Path) -> None:
        for number in range(6):
            state = ExecutionState.RUNNING if number == 1 else ExecutionState.SUCCEEDED
            text = {"text": "x" * LARGEST_ROW_BYTES} if number == 0 else None
            store.save(execution(number, state=state, input=text), RECORDS[:1])
        await store.committed("execution-000")

        async def left() -> list[str]:
            return [
                each.id[-1] for each in (await store.page(ExecutionFilter(owner=LOCAL_ID), limit=10, cursor=None)).items
            ]

        assert await store.prune(ended_before=None, keep=None, limit=9) == 0
        assert await store.prune(ended_before=NOW + timedelta(seconds=3), keep=None, limit=1) == 1
        assert not (tmp_path / "blobs" / "execution-000").exists()
        assert await store.journal("execution-000") == []
        assert await store.prune(ended_before=NOW + timedelta(seconds=3), keep=None, limit=9) == 1
        assert await left() == list("5431")
        assert await store.prune(ended_before=None, keep=1, limit=9) == 2
        assert await left() == list("51"), "what runs is never pruned"


class TestIdempotencyKeys:
    async def test_a_key_is_bound_once_for_a_day(self, database: Database) -> None:
        keys = SqlIdempotencyKeys(database)
        taken = await asyncio.gather(*(keys.take("w", "k", f"e{n}", now=NOW) for n in range(5)))
        assert len(set(taken)) == 1
        assert await keys.take("other", "k", "x", now=NOW) == "x"
        assert await keys.take("w", "k", "late", now=NOW + timedelta(hours=23)) == taken[0]
        assert await keys.take("w", "k", "next day", now=NOW + timedelta(hours=25)) == "next day"

    async def test_a_key_that_is_too_old_is_bound_once_by_all_who_come(self, database: Database) -> None:
        keys = [SqlIdempotencyKeys(database) for _ in range(4)]
        names = [f"k{n}" for n in range(25)]
        for name in names:
            await keys[0].take("w", name, "old", now=NOW)
        later = NOW + timedelta(days=2)

        async def take_all(taker: int) -> list[str]:
            order = names if taker % 2 else list(reversed(names))
            taken = {name: await keys[taker].take("w", name, f"{name} of {taker}", now=later) for name in order}
            return [taken[name] for name in names]

        every = await asyncio.gather(*(take_all(taker) for taker in range(4)))
        assert all(each == every[0] for each in every), "each key has one execution, in whatever order they come"
        assert "old" not in every[0]

    async def test_keys_that_are_too_old_are_deleted(self, database: Database) -> None:
        keys = SqlIdempotencyKeys(database)
        for number in range(3):
            await keys.take("w", f"k{number}", "old", now=NOW)
        await keys.take("w", "new", "new", now=NOW + timedelta(days=2))
        async with database.statement() as connection:
            left = (await connection.execute(select(idempotency_keys.c.key))).scalars().all()
        assert left == ["new"]

    async def test_a_key_that_is_freed_meanwhile_is_bound(self, database: Database) -> None:
        keys = SqlIdempotencyKeys(database)

        async def bind_and_free(taker: int) -> None:
            for number in range(10):
                execution_id = f"{taker}-{number}"
                if await keys.take("w", "k", execution_id, now=NOW) == execution_id:
                    await keys.free("w", "k", execution_id)

        await asyncio.gather(*map(bind_and_free, range(4)))
        assert await keys.take("w", "k", "last", now=NOW) == "last"
