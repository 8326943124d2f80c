"""What the port promises of published, exposed, deleted and restored workflows, held against every database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.database.database import Database
from storage.workflows.cache import WorkflowCache
from storage.workflows.repository import SqlWorkflowRepository
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.publication import Exposure, Publication
from workflow.errors import (
    InvalidArgumentsError,
    ToolNameTakenError,
    WebhookNotFoundError,
    WebhookPathTakenError,
    WorkflowNotFoundError,
)
from workflow.identity import LOCAL_ID
from workflow.ports import StoredWorkflow, WorkflowRepository

NOW = datetime(2024, 1, 6, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(params=["bare", "cached"])
def workflows(request: pytest.FixtureRequest, database: Database) -> WorkflowRepository:
    """The repository, and the same behind its cache."""
    bare = SqlWorkflowRepository(database)
    return bare if request.param == "bare" else WorkflowCache(bare, seconds=None)


def definition(name: str = "one") -> WorkflowDefinition:
    """A small definition."""
    return WorkflowDefinition.model_validate({"name": name, "nodes": {"start": {"type": "manual"}}})


def listening(*paths: str, **tool: Any) -> Publication:
    """A publication with these paths, and a tool where its members are given."""
    exposure = Exposure(**{"owner": "local", "description": "d", **tool}) if tool else None
    return Publication(webhook_paths=paths, exposure=exposure)


async def create(workflows: WorkflowRepository, workflow_id: str, publication: Publication | None = None) -> None:
    """A new workflow named as its id."""
    await workflows.create(
        LOCAL_ID, workflow_id, definition(workflow_id), change="Created", publication=publication, now=NOW
    )


async def save(workflows: WorkflowRepository, workflow_id: str, version: int, **members: Any) -> StoredWorkflow:
    """The version after ``version``."""
    return await workflows.save_version(
        LOCAL_ID,
        workflow_id,
        definition(f"{workflow_id} {version + 1}"),
        expected_version=version,
        **{"change": f"Change {version + 1}", "now": NOW, **members},
    )


class TestPublishing:
    async def test_a_new_workflow_is_a_draft_unless_it_is_published_at_once(
        self, workflows: WorkflowRepository
    ) -> None:
        await create(workflows, "draft")
        await create(workflows, "live", listening("leads"))
        assert (await workflows.get(LOCAL_ID, "draft")).published_version is None
        assert (await workflows.get(LOCAL_ID, "live")).published_version == 1
        assert (await workflows.by_webhook_path("leads")).id == "live"

    async def test_a_webhook_reaches_the_published_version_whatever_is_drafted(
        self, workflows: WorkflowRepository
    ) -> None:
        await create(workflows, "w", listening("leads"))
        draft = await save(workflows, "w", 1)
        assert (draft.version, draft.published_version) == (2, 1)
        assert (await workflows.by_webhook_path("leads")).version == 1
        published = await workflows.publish(LOCAL_ID, "w", 2, listening("leads"))
        assert (published.version, published.published_version) == (2, 2)
        assert (await workflows.by_webhook_path("leads")).version == 2
        rolled_back = await workflows.publish(LOCAL_ID, "w", 1, listening("leads"))
        assert (rolled_back.version, rolled_back.published_version) == (1, 1)
        assert (await workflows.by_webhook_path("leads")).definition.name == "w"

    async def test_publishing_moves_the_paths(self, workflows: WorkflowRepository) -> None:
        await create(workflows, "w", listening("old", "both"))
        await save(workflows, "w", 1)
        await workflows.publish(LOCAL_ID, "w", 2, listening("both", "new"))
        assert (await workflows.by_webhook_path("new")).version == 2
        with pytest.raises(WebhookNotFoundError):
            await workflows.by_webhook_path("old")
        await create(workflows, "other", listening("old"))

    async def test_a_path_belongs_to_one_published_workflow(self, workflows: WorkflowRepository) -> None:
        await create(workflows, "a", listening("leads"))
        with pytest.raises(WebhookPathTakenError):
            await create(workflows, "b", listening("free", "leads"))
        with pytest.raises(WorkflowNotFoundError):
            await workflows.get(LOCAL_ID, "b")
        await create(workflows, "c", listening("mine"))
        with pytest.raises(WebhookPathTakenError):
            await workflows.publish(LOCAL_ID, "c", 1, listening("leads"))
        assert (await workflows.by_webhook_path("mine")).id == "c", "what cannot be published leaves all as it was"
        with pytest.raises(WebhookNotFoundError):
            await workflows.by_webhook_path("free")

    async def test_of_many_who_publish_the_same_path_at_once_one_wins(self, workflows: WorkflowRepository) -> None:
        for n in range(4):
            await create(workflows, f"w{n}")
        results = await asyncio.gather(
            *(workflows.publish(LOCAL_ID, f"w{n}", 1, listening("leads")) for n in range(4)), return_exceptions=True
        )
        assert sum(isinstance(each, WebhookPathTakenError) for each in results) == 3

    async def test_unpublishing_frees_paths_and_tool(self, workflows: WorkflowRepository) -> None:
        await create(workflows, "a", listening("leads", name="triage"))
        assert len(await workflows.exposed("local")) == 1
        await workflows.unpublish(LOCAL_ID, "a")
        assert (await workflows.get(LOCAL_ID, "a")).published_version is None
        assert await workflows.exposed("local") == []
        await create(workflows, "b", listening("leads", name="triage"))
        assert (await workflows.by_webhook_path("leads")).id == "b"

    @pytest.mark.parametrize("version", [1, 7])
    async def test_what_is_not_there_cannot_be_published(self, workflows: WorkflowRepository, version: int) -> None:
        if version == 7:
            await create(workflows, "w")
        with pytest.raises(WorkflowNotFoundError):
            await workflows.publish(LOCAL_ID, "w", version, listening("leads"))
        with pytest.raises(WebhookNotFoundError):
            await workflows.by_webhook_path("leads")
        with pytest.raises(WorkflowNotFoundError):
            await workflows.unpublish(LOCAL_ID, "absent")


class TestTools:
    async def test_a_users_tools_are_listed_by_name_in_their_published_versions(
        self, workflows: WorkflowRepository
    ) -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
        await create(workflows, "b", listening(name="second"))
        await create(workflows, "a", listening(name="first", input_schema=schema, as_prompt=True))
        await create(workflows, "c", listening(name="first", owner="somebody else"))
        await save(workflows, "b", 1)
        found = await workflows.exposed("local")
        assert [(exposure.name, stored.id, stored.version) for exposure, stored in found] == [
            ("first", "a", 1),
            ("second", "b", 1),
        ]
        assert found[0][0] == Exposure(
            owner="local", name="first", description="d", input_schema=schema, as_prompt=True
        )

    async def test_a_name_is_one_tools_of_a_user(self, workflows: WorkflowRepository) -> None:
        await create(workflows, "a", listening(name="triage"))
        with pytest.raises(ToolNameTakenError):
            await create(workflows, "b", listening("leads", name="triage"))
        with pytest.raises(WebhookNotFoundError):
            await workflows.by_webhook_path("leads")

    async def test_a_tool_stays_one_in_later_versions_until_it_is_another_or_withdrawn(
        self, workflows: WorkflowRepository
    ) -> None:
        await create(workflows, "w", listening(name="first"))
        await save(workflows, "w", 1)
        await workflows.publish(LOCAL_ID, "w", 2, listening())
        assert [(exposure.name, stored.version) for exposure, stored in await workflows.exposed("local")] == [
            ("first", 2)
        ]
        await workflows.publish(LOCAL_ID, "w", 2, listening(name="second"))
        assert [exposure.name for exposure, _ in await workflows.exposed("local")] == ["second"]
        await workflows.withdraw_tool(LOCAL_ID, "w")
        assert await workflows.exposed("local") == []
        assert (await workflows.get(LOCAL_ID, "w")).published_version == 2


class TestVersions:
    async def test_versions_are_listed_newest_first_with_what_changed(self, workflows: WorkflowRepository) -> None:
        await create(workflows, "w")
        for version in (1, 2, 3):
            await save(workflows, "w", version, now=NOW + version * DAY)
        first = await workflows.versions(LOCAL_ID, "w", limit=3, cursor=None)
        assert [(each.version, each.change) for each in first.items] == [
            (4, "Change 4"),
            (3, "Change 3"),
            (2, "Change 2"),
        ]
        assert first.items[0].created_at == NOW + 3 * DAY
        rest = await workflows.versions(LOCAL_ID, "w", limit=3, cursor=first.next_cursor)
        assert ([each.change for each in rest.items], rest.next_cursor) == (["Created"], None)
        with pytest.raises(WorkflowNotFoundError):
            await workflows.versions(LOCAL_ID, "absent", limit=3, cursor=None)
        with pytest.raises(InvalidArgumentsError):
            await workflows.versions(LOCAL_ID, "w", limit=3, cursor="nonsense")


class TestDeleting:
    async def test_a_deleted_workflow_is_gone_and_its_path_and_tool_free(self, workflows: WorkflowRepository) -> None:
        await create(workflows, "a", listening("leads", name="triage"))
        await workflows.by_webhook_path("leads")
        await workflows.delete(LOCAL_ID, "a", now=NOW)
        for question in (
            workflows.get(LOCAL_ID, "a"),
            workflows.delete(LOCAL_ID, "a", now=NOW),
            workflows.publish(LOCAL_ID, "a", 1, listening()),
        ):
            with pytest.raises(WorkflowNotFoundError):
                await question
        await create(workflows, "b", listening("leads", name="triage"))
        assert (await workflows.by_webhook_path("leads")).id == "b"
        assert [each.id for each in (await workflows.page(LOCAL_ID, text=None, limit=10, cursor=None)).items] == ["b"]

    async def test_what_is_deleted_is_listed_and_comes_back_as_a_draft(self, workflows: WorkflowRepository) -> None:
        await create(workflows, "w", listening("leads"))
        await save(workflows, "w", 1)
        await workflows.delete(LOCAL_ID, "w", now=NOW + DAY)
        (listed,) = (await workflows.page(LOCAL_ID, text=None, limit=10, cursor=None, deleted=True)).items
        assert (listed.id, listed.deleted_at) == ("w", NOW + DAY)
        restored = await workflows.restore(LOCAL_ID, "w")
        assert (restored.version, restored.published_version) == (2, None)
        assert await workflows.get(LOCAL_ID, "w") == restored
        assert (await workflows.page(LOCAL_ID, text=None, limit=10, cursor=None, deleted=True)).items == []
        assert len((await workflows.versions(LOCAL_ID, "w", limit=10, cursor=None)).items) == 2
        assert await workflows.restore(LOCAL_ID, "w") == restored, "restoring what is there changes nothing"
        with pytest.raises(WorkflowNotFoundError):
            await workflows.restore(LOCAL_ID, "absent")

    async def test_what_was_deleted_long_ago_is_purged(self, workflows: WorkflowRepository) -> None:
        for n in range(4):
            await create(workflows, f"w{n}", listening(f"path-{n}"))
        for n in range(3):
            await workflows.delete(LOCAL_ID, f"w{n}", now=NOW + n * DAY)
        assert await workflows.purge(deleted_before=NOW, limit=10) == 0
        assert await workflows.purge(deleted_before=NOW + 2 * DAY, limit=1) == 1
        assert await workflows.purge(deleted_before=NOW + 2 * DAY, limit=10) == 1
        assert [
            each.id for each in (await workflows.page(LOCAL_ID, text=None, limit=9, cursor=None, deleted=True)).items
        ] == ["w2"]
        with pytest.raises(WorkflowNotFoundError):
            await workflows.restore(LOCAL_ID, "w0")
        assert (await workflows.get(LOCAL_ID, "w3")).published_version == 1


class TestCache:
    async def test_tools_are_the_same_object_until_something_changes(self, database: Database) -> None:
        workflows = WorkflowCache(SqlWorkflowRepository(database), seconds=None)
        await create(workflows, "a", listening(name="first"))
        found = await workflows.exposed("local")
        assert await workflows.exposed("local") is found
        await create(workflows, "b", listening(name="second"))
        assert len(await workflows.exposed("local")) == 2

    async def test_what_another_process_changes_is_seen_when_the_time_is_over(self, database: Database) -> None:
        now = 0.0
        workflows = WorkflowCache(SqlWorkflowRepository(database), seconds=1, monotonic=lambda: now)
        found = await workflows.exposed("local")
        now = 2.0
        assert await workflows.exposed("local") is found, "nothing has changed"
        await create(SqlWorkflowRepository(database), "a", listening(name="first"))
        assert await workflows.exposed("local") is found
        now = 4.0
        assert len(await workflows.exposed("local")) == 1

    async def test_what_was_read_before_a_change_is_not_kept_after_it(self, database: Database) -> None:
        inner = SqlWorkflowRepository(database)
        await create(inner, "w", listening("leads"))
        may_answer, was_asked = asyncio.Event(), asyncio.Event()

        class Slow(SqlWorkflowRepository):
            """Answers with what it has read only when it may."""

            async def get(self, owner: str, workflow_id: str, version: int | None = None) -> StoredWorkflow:
                found = await super().get(owner, workflow_id, version)
                was_asked.set()
                await may_answer.wait()
                return found

        workflows = WorkflowCache(Slow(database), seconds=None)
        reading = asyncio.create_task(workflows.get(LOCAL_ID, "w"))
        await was_asked.wait()
        await save(workflows, "w", 1)
        may_answer.set()
        assert (await reading).version == 1
        assert (await workflows.get(LOCAL_ID, "w")).version == 2
