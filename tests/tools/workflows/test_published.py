"""Workflows as tools and prompts, over a real database: who has which, and which changes are announced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest

from engine.announcements import Announcements
from engine.definitions.authoring import Authoring
from engine.definitions.publishing import Publishing
from engine.executions.retention import Retention
from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import WorkerPool
from engine.nodes.registry import NodeRegistry
from server.mcp.quick_calls import QuickCaller
from storage.database.database import Database
from storage.events.in_process import InProcessEventBus
from storage.executions.blobs import BlobStore
from storage.executions.lease import Lease
from storage.executions.store import SqlExecutionStore
from storage.workflows.cache import WorkflowCache
from storage.workflows.repository import SqlWorkflowRepository
from storage.workflows.schedules import SqlSchedules
from tests.support.audit import KeptAuditLog
from tests.support.databases import FILE, put_newest
from tests.support.engine import FixedClock, NamedConnections, NoCredentials
from tools.executions.running import ExecuteWorkflow
from tools.protocol.tool import Answer, Tool, object_schema
from tools.workflows.published import PublishedPrompts, PublishedTools
from workflow.definitions.publication import RESTORABLE, Exposure
from workflow.errors import InvalidArgumentsError, WorkflowNotFoundError
from workflow.identity import LOCAL_ACTOR, LOCAL_ID
from workflow.messages import Event

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where."}, "days": {"type": "integer"}},
    "required": ["city"],
}


class CountingDatabase(Database):
    """A database that counts its transactions."""

    transactions = 0

    def transaction(self) -> Any:
        """One transaction more."""
        self.transactions += 1
        return super().transaction()


@dataclass(slots=True)
class Workshop:
    """Authoring, publishing and the tools that come of it."""

    database: CountingDatabase
    authoring: Authoring
    publishing: Publishing
    tools: PublishedTools
    bus: InProcessEventBus
    clock: FixedClock
    executed: list[ExecuteWorkflow] = field(default_factory=list)

    async def publish(self, name: str, *, owner: str = "local", **exposure: Any) -> str:
        """The id of a new workflow that is a tool."""
        definition = {
            "name": f"Workflow {name}",
            "nodes": {"start": {"type": "manual", "parameters": {"input_schema": CITY}}},
        }
        workflow_id = (await self.authoring.create(LOCAL_ACTOR, definition)).workflow.id
        offered = Exposure(owner=owner, name=name, description=f"Does {name}.", **exposure)
        await self.publishing.publish(LOCAL_ACTOR, workflow_id, exposure=offered)
        return workflow_id


@pytest.fixture
async def workshop(registry: NodeRegistry, pool: WorkerPool, tmp_path: Path) -> AsyncIterator[Workshop]:
    """A workshop with a database of its own."""
    await put_newest(tmp_path / FILE)
    async with CountingDatabase(f"sqlite:///{tmp_path / FILE}") as database:
        clock, bus, ids = FixedClock(), InProcessEventBus(), count()
        announcements = Announcements(bus=bus, clock=clock, new_id=lambda: f"event-{next(ids)}")
        authoring = Authoring(
            registry=registry,
            evaluator=Evaluator(pool=pool),
            workflows=WorkflowCache(SqlWorkflowRepository(database), seconds=None),
            credentials=NoCredentials(),
            connections=NamedConnections(),
            announcements=announcements,
            audit=KeptAuditLog(),
            clock=clock,
            new_id=lambda: f"workflow-{next(ids)}",
        )
        publishing = Publishing(authoring=authoring, announcements=announcements, audit=KeptAuditLog())
        executed: list[ExecuteWorkflow] = []

        async def run(arguments: ExecuteWorkflow, caller: Any) -> Answer:
            executed.append(arguments)
            return Answer({"execution_id": "e", "workflow_id": arguments.workflow_id, "status": "succeeded"})

        execute = Tool(
            name="execute_workflow",
            title="Run",
            description="Run",
            arguments=ExecuteWorkflow,
            annotations=types.ToolAnnotations(),
            scopes=frozenset(),
            output_schema=object_schema({"execution_id": "string"}),
            handler=run,
        )
        tools = PublishedTools(publishing=publishing, execute=execute)
        yield Workshop(database, authoring, publishing, tools, bus, clock, executed)


async def told(events: AsyncIterator[Event], number: int) -> list[tuple[str, str]]:
    """The next events: their types and workflows."""
    async with asyncio.timeout(5):
        found = [await anext(events) for _ in range(number)]
    for event in found:
        change = {"workflowId": event.aggregate_id, "workspaceId": LOCAL_ID, "change": event.event_type[9:]}
        assert event.data == change
    return [(event.event_type, event.aggregate_id) for event in found]


async def test_tools_are_each_users_own_in_the_order_of_their_names(workshop: Workshop) -> None:
    for name, owner in (("second", "local"), ("first", "local"), ("third", "somebody else")):
        await workshop.publish(name, owner=owner)
    assert [tool.name for tool in await workshop.tools.all("local")] == ["first", "second"]
    assert [tool.name for tool in await workshop.tools.all("somebody else")] == ["third"]
    assert await workshop.tools.get("local", "third") is None
    assert await workshop.tools.all("nobody") == []


async def test_looking_tools_up_costs_no_query_until_something_changes(workshop: Workshop) -> None:
    workflow_id = await workshop.publish("triage")
    first = await workshop.tools.get("local", "triage")
    before = workshop.database.transactions
    for _ in range(10):
        assert await workshop.tools.get("local", "triage") is first
        assert await workshop.tools.get("local", "absent") is None
    assert workshop.database.transactions == before
    await workshop.publishing.withdraw_tool(LOCAL_ACTOR, workflow_id)
    assert await workshop.tools.get("local", "triage") is None


async def test_a_call_runs_the_published_version_from_its_manual_trigger(workshop: Workshop) -> None:
    workflow_id = await workshop.publish("triage")
    tool = await workshop.tools.get("local", "triage")
    assert tool is not None
    caller = QuickCaller(LOCAL_ACTOR)
    assert not (await tool.call({"city": "Oslo"}, caller)).is_error
    assert workshop.executed == [
        ExecuteWorkflow(workflow_id=workflow_id, version="published", trigger="start", input={"city": "Oslo"})
    ]
    assert (await tool.call({"days": "x"}, caller)).is_error
    assert len(workshop.executed) == 1, "what does not fit is not run"


async def test_a_version_without_a_manual_trigger_is_no_tool(workshop: Workshop) -> None:
    workflow_id = await workshop.publish("triage")
    hook = {"type": "webhook", "parameters": {"path": "hook"}}
    await workshop.authoring.merge(
        LOCAL_ACTOR, workflow_id, {"nodes": {"start": None, "hook": hook}}, expected_version=1
    )
    await workshop.publishing.publish(LOCAL_ACTOR, workflow_id)
    assert await workshop.tools.all("local") == []
    await workshop.publishing.publish(LOCAL_ACTOR, workflow_id, version=1)
    assert [tool.name for tool in await workshop.tools.all("local")] == ["triage"]


async def test_workflows_are_prompts_where_they_ask_for_it(workshop: Workshop) -> None:
    await workshop.publish("quiet")
    await workshop.publish("triage", as_prompt=True)
    prompts = PublishedPrompts(workshop.tools)
    (prompt,) = await prompts.all("local")
    assert (prompt.name, prompt.title, prompt.description) == ("triage", "Workflow triage", "Does triage.")
    assert [(each.name, each.description, each.required) for each in prompt.arguments] == [
        ("city", "Where.", True),
        ("days", "", False),
    ]
    (message,) = (await prompt.get({"city": "Oslo"}, QuickCaller(LOCAL_ACTOR))).messages
    assert isinstance(message.content, types.TextContent)
    assert '{"city":"Oslo"}' in message.content.text
    with pytest.raises(InvalidArgumentsError, match="needs city"):
        await prompt.get({}, QuickCaller(LOCAL_ACTOR))
    assert await prompts.all("somebody else") == []


async def test_what_becomes_of_a_workflow_is_told_once_each_time(workshop: Workshop) -> None:
    async with workshop.bus.subscribe() as events:
        workflow_id = await workshop.publish("triage")
        await workshop.authoring.merge(LOCAL_ACTOR, workflow_id, {"description": "d"}, expected_version=1)
        await workshop.publishing.unpublish(LOCAL_ACTOR, workflow_id)
        await workshop.authoring.delete(LOCAL_ACTOR, workflow_id)
        await workshop.authoring.restore(LOCAL_ACTOR, workflow_id)
        assert await told(events, 6) == [
            (f"workflow.{change}", workflow_id)
            for change in ("created", "published", "updated", "unpublished", "deleted", "restored")
        ]
        with pytest.raises(WorkflowNotFoundError):
            await workshop.publishing.publish(LOCAL_ACTOR, workflow_id, version=7)
        await workshop.authoring.delete(LOCAL_ACTOR, workflow_id)
        assert await told(events, 1) == [("workflow.deleted", workflow_id)], "what did not happen is not told"


async def test_deleted_workflows_can_be_restored_for_thirty_days(workshop: Workshop, tmp_path: Path) -> None:
    assert timedelta(days=30) == RESTORABLE
    blobs = BlobStore(tmp_path / "blobs")
    async with SqlExecutionStore(workshop.database, blobs=blobs, lease=Lease(owner="one", seconds=30)) as store:
        retention = Retention(
            store=store,
            workflows=workshop.authoring.workflows,
            schedules=SqlSchedules(workshop.database),
            clock=workshop.clock,
            days=None,
            count=None,
            audit=KeptAuditLog(),
            audit_days=None,
        )
        workflow_id = await workshop.publish("triage")
        await workshop.authoring.delete(LOCAL_ACTOR, workflow_id)
        workshop.clock.at += RESTORABLE
        assert await retention.purge() == 0
        assert (await workshop.authoring.restore(LOCAL_ACTOR, workflow_id)).published_version is None
        await workshop.authoring.delete(LOCAL_ACTOR, workflow_id)
        workshop.clock.at += RESTORABLE + timedelta(seconds=1)
        assert await retention.purge() == 1
        with pytest.raises(WorkflowNotFoundError):
            await workshop.authoring.restore(LOCAL_ACTOR, workflow_id)
