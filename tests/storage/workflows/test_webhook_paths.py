"""Webhook paths: which requests they match, which conflict, and whose their names are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from storage.database.database import Database
from storage.tables.workflows import webhook_names
from storage.workflows.cache import WorkflowCache
from storage.workflows.repository import SqlWorkflowRepository
from tests.support.engine import FixedClock
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.publication import Publication
from workflow.errors import WebhookNotFoundError, WebhookPathTakenError
from workflow.ports import WorkflowRepository

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
MINE, OTHERS = "workspace-a", "workspace-b"


@pytest.fixture
def clock() -> FixedClock:
    """The repository's clock."""
    clock = FixedClock()
    clock.at = NOW
    return clock


@pytest.fixture(params=["bare", "cached"])
def workflows(request: pytest.FixtureRequest, database: Database, clock: FixedClock) -> WorkflowRepository:
    """The repository, and the same behind its cache."""
    bare = SqlWorkflowRepository(database, clock=clock)
    return bare if request.param == "bare" else WorkflowCache(bare, seconds=None)


async def listen(workflows: WorkflowRepository, workflow_id: str, *paths: str, owner: str = MINE) -> None:
    """A new workflow that listens on the paths."""
    definition = WorkflowDefinition.model_validate({"name": workflow_id, "nodes": {"start": {"type": "manual"}}})
    publication = Publication(webhook_paths=paths)
    await workflows.create(owner, workflow_id, definition, change="Created", publication=publication, now=NOW)


async def found(workflows: WorkflowRepository, path: str) -> str | None:
    """The workflow that gets a request to the path."""
    try:
        return (await workflows.by_webhook_path(path)).id
    except WebhookNotFoundError:
        return None


async def test_parameters_match_one_segment_each(workflows: WorkflowRepository) -> None:
    await listen(workflows, "one", "orders/:id", "orders/:id/items/:item", "leads")
    for path in ("orders/42", "orders/a%2Fb", "orders/:id", "orders/7/items/9", "leads"):
        assert await found(workflows, path) == "one"
    for path in ("orders", "orders/", "orders/1/items", "orders/1/other/2", "/orders/1", "leads/1", "", "o/" * 20):
        assert await found(workflows, path) is None


async def test_a_literal_path_stands_beside_a_parameter_in_one_workflow(workflows: WorkflowRepository) -> None:
    await listen(workflows, "one", "orders/:id", "orders/new")
    assert await found(workflows, "orders/new") == "one"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("orders/:id", "orders/:name"),
        ("orders/:id", "orders/new"),
        ("orders/new", "orders/:id"),
        ("a/:x/c", "a/b/:y"),
        ("leads", "leads"),
        ("a/:x/:y", "a/:z/c"),
    ],
)
async def test_paths_that_overlap_are_one_workflows(workflows: WorkflowRepository, first: str, second: str) -> None:
    await listen(workflows, "one", first)
    with pytest.raises(WebhookPathTakenError, match="'one'"):
        await listen(workflows, "two", second)


async def test_paths_beside_each_other_can_be_of_several_workflows(workflows: WorkflowRepository) -> None:
    await listen(workflows, "one", "orders/:id")
    await listen(workflows, "two", "orders/:id/items")
    await listen(workflows, "three", "orders")
    assert [await found(workflows, path) for path in ("orders/1", "orders/1/items", "orders")] == [
        "one",
        "two",
        "three",
    ]


@pytest.mark.parametrize("path", ["orders/:id", "orders", "orders/export", "orders/:id/items"])
async def test_a_name_belongs_to_one_workspace(workflows: WorkflowRepository, path: str) -> None:
    await listen(workflows, "one", "orders/:id")
    with pytest.raises(WebhookPathTakenError) as taken:
        await listen(workflows, "two", path, owner=OTHERS)
    assert "one" not in str(taken.value)
    assert await found(workflows, "orders/1") == "one"


async def test_a_name_that_looks_like_a_pattern_of_the_database_is_plain(workflows: WorkflowRepository) -> None:
    await listen(workflows, "one", "a_c/:id")
    await listen(workflows, "two", "abc/:id", owner=OTHERS)
    await workflows.unpublish(MINE, "one")
    assert await found(workflows, "abc/1") == "two"


@pytest.mark.parametrize("how", ["unpublish", "delete", "publish"])
async def test_a_freed_name_is_kept_for_its_workspace_for_30_days(
    workflows: WorkflowRepository, clock: FixedClock, how: str
) -> None:
    await listen(workflows, "one", "leads", "orders/:id")
    if how == "unpublish":
        await workflows.unpublish(MINE, "one")
    elif how == "delete":
        await workflows.delete(MINE, "one", now=NOW)
    else:
        await workflows.publish(MINE, "one", 1, Publication(webhook_paths=["other"]))
    clock.at = NOW + timedelta(days=29)
    for path in ("leads", "orders/:id", "orders/other"):
        with pytest.raises(WebhookPathTakenError):
            await listen_later(workflows, clock, f"early-{path}", path, owner=OTHERS)
    assert await found(workflows, "leads") is None
    clock.at = NOW + timedelta(days=31)
    await listen_later(workflows, clock, "late", "leads", owner=OTHERS)
    assert await found(workflows, "leads") == "late"


async def listen_later(
    workflows: WorkflowRepository, clock: FixedClock, workflow_id: str, path: str, *, owner: str
) -> None:
    """The same as ``listen``, at the clock's time."""
    definition = WorkflowDefinition.model_validate({"name": workflow_id, "nodes": {"start": {"type": "manual"}}})
    publication = Publication(webhook_paths=[path])
    await workflows.create(owner, workflow_id, definition, change="Created", publication=publication, now=clock.at)


async def test_a_workspace_takes_its_own_name_up_again_at_any_time(
    workflows: WorkflowRepository, database: Database
) -> None:
    await listen(workflows, "one", "leads")
    await workflows.unpublish(MINE, "one")
    await listen(workflows, "two", "leads")
    async with database.transaction() as connection:
        assert [tuple(row) for row in await connection.execute(select(webhook_names))] == [("leads", MINE, None)]


async def test_a_name_is_not_freed_while_another_workflow_listens_below_it(
    workflows: WorkflowRepository, clock: FixedClock
) -> None:
    await listen(workflows, "one", "orders")
    await listen(workflows, "two", "orders/:id")
    await workflows.unpublish(MINE, "one")
    clock.at = NOW + timedelta(days=60)
    with pytest.raises(WebhookPathTakenError):
        await listen_later(workflows, clock, "three", "orders", owner=OTHERS)


async def test_what_was_refused_takes_no_name(workflows: WorkflowRepository) -> None:
    await listen(workflows, "one", "leads")
    with pytest.raises(WebhookPathTakenError):
        await listen(workflows, "two", "free", "leads", owner=OTHERS)
    await listen(workflows, "three", "free")
    assert await found(workflows, "free") == "three"


async def test_of_several_who_want_overlapping_paths_at_once_one_gets_them(workflows: WorkflowRepository) -> None:
    wanted = ["a/:x/c", "a/b/:y", "a/:p/:q", "a/b/c"]
    results = await asyncio.gather(
        *(listen(workflows, f"w{place}", path) for place, path in enumerate(wanted)), return_exceptions=True
    )
    assert sum(isinstance(each, WebhookPathTakenError) for each in results) == 3
    assert await found(workflows, "a/b/c") is not None


async def test_of_several_workspaces_who_want_a_name_at_once_one_gets_it(workflows: WorkflowRepository) -> None:
    results = await asyncio.gather(
        *(listen(workflows, f"w{n}", "z", "a", owner=f"workspace-{n}") for n in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, WebhookPathTakenError) for each in results) == 3
