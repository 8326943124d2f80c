"""What the ports promise of workflows and executions, held against every database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.database import Database, UnstorableValueError
from storage.executions import SqlExecutionRepository
from storage.workflows import SqlWorkflowRepository
from workflow.definition import WorkflowDefinition
from workflow.errors import (
    ExecutionNotFoundError,
    IllegalTransitionError,
    InvalidArgumentsError,
    VersionConflictError,
    WebhookNotFoundError,
    WebhookPathTakenError,
    WorkflowNotFoundError,
)
from workflow.executions import ErrorRecord, Execution, NodeRun
from workflow.items import Item, Pair, Source
from workflow.ports import ExecutionFilter
from workflow.states import ExecutionState

NOW = datetime(2024, 1, 6, 12, 0, 0, 123456, tzinfo=UTC)


def definition(name: str = "one", **members: Any) -> WorkflowDefinition:
    """A small definition."""
    return WorkflowDefinition.model_validate({"name": name, "nodes": {"start": {"type": "manual"}}, **members})


def execution(number: int, **members: Any) -> Execution:
    """A queued execution; ids rise with the number."""
    defaults: dict[str, Any] = {
        "id": f"execution-{number:03}",
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


@pytest.fixture
def executions(database: Database) -> SqlExecutionRepository:
    """The repository of executions."""
    return SqlExecutionRepository(database)


class TestWorkflows:
    async def test_what_is_created_is_read_back(self, workflows: SqlWorkflowRepository) -> None:
        made = await workflows.create("w", definition(), webhook_paths=[], now=NOW)
        assert await workflows.get("w") == made
        assert (made.version, made.created_at, made.updated_at) == (1, NOW, NOW)

    async def test_versions_are_immutable_and_stay_readable(self, workflows: SqlWorkflowRepository) -> None:
        first = await workflows.create("w", definition(), webhook_paths=[], now=NOW)
        later = NOW + timedelta(hours=1)
        second = await workflows.save_version("w", definition("two"), expected_version=1, webhook_paths=[], now=later)
        assert (second.version, second.created_at, second.updated_at) == (2, NOW, later)
        assert await workflows.get("w") == second
        assert await workflows.get("w", 1) == first

    async def test_a_version_saved_on_an_old_one_is_refused(self, workflows: SqlWorkflowRepository) -> None:
        await workflows.create("w", definition(), webhook_paths=[], now=NOW)
        await workflows.save_version("w", definition("two"), expected_version=1, webhook_paths=[], now=NOW)
        with pytest.raises(VersionConflictError) as caught:
            await workflows.save_version("w", definition("three"), expected_version=1, webhook_paths=[], now=NOW)
        assert caught.value.actual == 2
        assert (await workflows.get("w")).definition.name == "two"

    async def test_of_many_who_save_at_once_one_wins(self, workflows: SqlWorkflowRepository) -> None:
        await workflows.create("w", definition(), webhook_paths=[], now=NOW)
        results = await asyncio.gather(
            *(
                workflows.save_version("w", definition(str(n)), expected_version=1, webhook_paths=[], now=NOW)
                for n in range(5)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(each, VersionConflictError) for each in results) == 4
        assert (await workflows.get("w")).version == 2

    @pytest.mark.parametrize("version", [None, 1, 7])
    async def test_what_is_not_there_is_not_found(self, workflows: SqlWorkflowRepository, version: int | None) -> None:
        with pytest.raises(WorkflowNotFoundError):
            await workflows.get("absent", version)

    async def test_a_webhook_path_belongs_to_one_workflow(self, workflows: SqlWorkflowRepository) -> None:
        await workflows.create("a", definition(), webhook_paths=["leads"], now=NOW)
        with pytest.raises(WebhookPathTakenError):
            await workflows.create("b", definition(), webhook_paths=["free", "leads"], now=NOW)
        with pytest.raises(WorkflowNotFoundError):
            await workflows.get("b")
        assert (await workflows.by_webhook_path("leads")).id == "a"
        with pytest.raises(WebhookNotFoundError):
            await workflows.by_webhook_path("free")

    async def test_a_new_version_may_move_the_path(self, workflows: SqlWorkflowRepository) -> None:
        await workflows.create("a", definition(), webhook_paths=["old"], now=NOW)
        await workflows.save_version("a", definition("two"), expected_version=1, webhook_paths=["new"], now=NOW)
        assert (await workflows.by_webhook_path("new")).version == 2
        await workflows.create("b", definition(), webhook_paths=["old"], now=NOW)

    async def test_a_deleted_workflow_is_gone_and_its_path_free(self, workflows: SqlWorkflowRepository) -> None:
        await workflows.create("a", definition(), webhook_paths=["leads"], now=NOW)
        await workflows.delete("a", now=NOW)
        with pytest.raises(WorkflowNotFoundError):
            await workflows.get("a")
        with pytest.raises(WorkflowNotFoundError):
            await workflows.delete("a", now=NOW)
        await workflows.create("b", definition(), webhook_paths=["leads"], now=NOW)
        assert [each.id for each in (await workflows.page(text=None, limit=10, cursor=None)).items] == ["b"]

    async def test_pages_show_every_workflow_once_the_last_changed_first(
        self, workflows: SqlWorkflowRepository
    ) -> None:
        for n in range(7):
            at = NOW + timedelta(seconds=n // 2)  # some at the same moment
            await workflows.create(f"w{n}", definition(f"name {n}"), webhook_paths=[], now=at)
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await workflows.page(text=None, limit=3, cursor=cursor)
            found += [each.id for each in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == [f"w{n}" for n in reversed(range(7))]

    async def test_text_narrows_a_list_and_wildcards_mean_themselves(self, workflows: SqlWorkflowRepository) -> None:
        await workflows.create("a", definition("Save 100% now"), webhook_paths=[], now=NOW)
        await workflows.create("b", definition("Save 1000", description="x_y"), webhook_paths=[], now=NOW)
        for text, ids in (("save", {"a", "b"}), ("100%", {"a"}), ("X_Y", {"b"}), ("x.y", set())):
            assert {each.id for each in (await workflows.page(text=text, limit=9, cursor=None)).items} == ids

    @pytest.mark.parametrize("cursor", ["nonsense", "", "bnVsbA"])
    async def test_a_foreign_cursor_is_refused(self, workflows: SqlWorkflowRepository, cursor: str) -> None:
        with pytest.raises(InvalidArgumentsError):
            await workflows.page(text=None, limit=3, cursor=cursor)

    async def test_every_json_string_can_be_stored(self, workflows: SqlWorkflowRepository) -> None:
        odd = definition("\x00 \U0001f600 \\ '", description="\u2028")
        await workflows.create("w", odd.model_copy(update={"name": "plain"}), webhook_paths=[], now=NOW)
        nodes = {"start": {"type": "manual", "parameters": {"text": "\x00\U0001f600"}}}
        stored = await workflows.save_version(
            "w", definition(nodes=nodes), expected_version=1, webhook_paths=[], now=NOW
        )
        assert (await workflows.get("w")).definition == stored.definition

    @pytest.mark.parametrize("value", [2**70, "\ud800"])
    async def test_what_cannot_be_stored_is_refused_whole(self, workflows: SqlWorkflowRepository, value: Any) -> None:
        nodes = {"start": {"type": "manual", "parameters": {"x": value}}}
        with pytest.raises(UnstorableValueError):
            await workflows.create("w", definition(nodes=nodes), webhook_paths=["p"], now=NOW)
        with pytest.raises(WorkflowNotFoundError):
            await workflows.get("w")


RUN = NodeRun(
    node="a",
    run_index=1,
    status="succeeded",
    started_at=NOW,
    duration_ms=1.5,
    items_in=1,
    sources=(None, Source("start", 0, "main")),
    outputs={"true": [Item({"x": [1, None, "\x00"]}, (Pair(0, 0), Pair(1, 2)))], "false": []},
    error=ErrorRecord(code="c", message="m", node="a", item_index=3, pointer="/p", fix="f", transient=True),
)


class TestExecutions:
    async def test_an_execution_goes_from_queued_to_its_end(self, executions: SqlExecutionRepository) -> None:
        await executions.add(execution(1))
        assert await executions.get("execution-001") == execution(1)
        assert await executions.start("execution-001", now=NOW)
        later = NOW + timedelta(milliseconds=250)
        await executions.finish(
            "execution-001",
            state=ExecutionState.FAILED,
            output={"items": {}},
            error=RUN.error,
            node_runs=[RUN],
            now=later,
        )
        ended = await executions.get("execution-001")
        assert (ended.state, ended.started_at, ended.finished_at) == (ExecutionState.FAILED, NOW, later)
        assert (ended.output, ended.error, ended.duration_ms) == ({"items": {}}, RUN.error, 250)
        assert await executions.node_runs("execution-001") == [RUN]

    async def test_only_one_worker_starts_it(self, executions: SqlExecutionRepository) -> None:
        await executions.add(execution(1))
        started = await asyncio.gather(*(executions.start("execution-001", now=NOW) for _ in range(5)))
        assert sorted(started) == [False] * 4 + [True]

    async def test_it_ends_once(self, executions: SqlExecutionRepository) -> None:
        await executions.add(execution(1))
        end: dict[str, Any] = {"state": ExecutionState.CANCELLED, "output": None, "error": None, "now": NOW}
        await executions.finish("execution-001", node_runs=[RUN], **end)
        with pytest.raises(IllegalTransitionError):
            await executions.finish("execution-001", node_runs=[RUN, RUN], **end)
        assert len(await executions.node_runs("execution-001")) == 1
        with pytest.raises(ExecutionNotFoundError):
            await executions.finish("absent", node_runs=[], **end)
        with pytest.raises(ExecutionNotFoundError):
            await executions.get("absent")

    async def test_what_a_worker_hands_back_is_queued_again(self, executions: SqlExecutionRepository) -> None:
        await executions.add(execution(1))
        await executions.start("execution-001", now=NOW)
        await executions.hand_back("execution-001")
        assert (await executions.get("execution-001")).state is ExecutionState.QUEUED
        assert await executions.start("execution-001", now=NOW)

    async def test_a_start_up_finds_what_has_not_ended(self, executions: SqlExecutionRepository) -> None:
        for number in (1, 2, 3):
            await executions.add(execution(number))
        await executions.start("execution-002", now=NOW)
        await executions.finish(
            "execution-003", state=ExecutionState.CANCELLED, output=None, error=None, node_runs=[], now=NOW
        )
        assert [each.id for each in await executions.unfinished()] == ["execution-001", "execution-002"]

    async def test_node_runs_come_in_order_and_of_one_node_where_asked(
        self, executions: SqlExecutionRepository
    ) -> None:
        runs = [NodeRun(**{**FIELDS, "node": node, "run_index": 0}) for node in ("a", "b", "c")]
        await executions.add(execution(1))
        await executions.start("execution-001", now=NOW)
        await executions.finish(
            "execution-001", state=ExecutionState.SUCCEEDED, output=None, error=None, node_runs=runs, now=NOW
        )
        assert [run.node for run in await executions.node_runs("execution-001")] == ["a", "b", "c"]
        assert [run.node for run in await executions.node_runs("execution-001", node="b")] == ["b"]

    async def test_lists_are_filtered_and_paged_newest_first(self, executions: SqlExecutionRepository) -> None:
        for number in range(6):
            await executions.add(execution(number, workflow_id="even" if number % 2 == 0 else "odd"))
        error = ErrorRecord(code="c", message="The Disk is full")
        await executions.finish(
            "execution-004", state=ExecutionState.FAILED, output=None, error=error, node_runs=[], now=NOW
        )

        async def ids(where: ExecutionFilter) -> list[str]:
            return [each.id[-1] for each in (await executions.page(where, limit=10, cursor=None)).items]

        assert await ids(ExecutionFilter()) == list("543210")
        assert await ids(ExecutionFilter(workflow_id="odd")) == list("531")
        assert await ids(ExecutionFilter(state=ExecutionState.FAILED)) == ["4"]
        assert await ids(ExecutionFilter(text="disk")) == ["4"]
        assert await ids(ExecutionFilter(created_after=NOW + timedelta(seconds=3))) == list("54")
        first = await executions.page(ExecutionFilter(), limit=4, cursor=None)
        second = await executions.page(ExecutionFilter(), limit=4, cursor=first.next_cursor)
        assert [each.id[-1] for each in [*first.items, *second.items]] == list("543210")
        assert second.next_cursor is None


FIELDS: dict[str, Any] = {
    "status": "succeeded",
    "started_at": NOW,
    "duration_ms": 1.0,
    "items_in": 0,
    "sources": (),
    "outputs": {},
    "error": None,
}
