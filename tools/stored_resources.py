"""Workflows, their versions, executions, their nodes, and node types as resources."""

from __future__ import annotations

from collections.abc import Sequence

import mcp_types as types

from engine.definitions.authoring import Authoring
from engine.executions.reader import ExecutionReader
from storage.database.cursors import decode_cursor, encode_cursor, foreign_cursor
from tools.executions.views import execution_summary, node_run_details, overview
from tools.node_types import node_type_details
from tools.protocol.completions import Completers
from tools.protocol.pictures import mermaid
from tools.protocol.provenance import origin
from tools.protocol.resources import (
    RESOURCES_PER_PAGE,
    SETTLED_MS,
    Reading,
    ResourceForm,
    Variables,
    json_reading,
    json_resource,
    versioned_forms,
)
from tools.workflows.authoring import workflow_header
from workflow.errors import NodeNotFoundError, WorkflowNotFoundError
from workflow.execution_figures import ExecutionFilter
from workflow.executions import Execution
from workflow.findings import listed
from workflow.identity import NO_SCOPES, READS_EXECUTIONS, READS_WORKFLOWS, Actor
from workflow.ports import Page
from workflow.states import FINISHED

LAST_PAGE = ("executions", "")
"""What the cursor of the last page says; those of the pages before it say ``workflows`` and where they begin."""


class StoredResources:
    """A :class:`tools.protocol.resources.ResourceSource`. It lists workflows, then the latest executions."""

    def __init__(self, *, authoring: Authoring, reader: ExecutionReader, completers: Completers) -> None:
        self._authoring = authoring
        self._reader = reader
        self._completers = completers

    def forms(self) -> Sequence[ResourceForm]:
        """Every form of URI."""
        complete = self._completers
        return [
            *versioned_forms(
                "workflow://{id}",
                noun="workflow",
                description="A workflow's current definition and picture.",
                scopes=READS_WORKFLOWS,
                read=self._definition,
                not_found=WorkflowNotFoundError,
                completer=complete.workflow_ids,
                versions=complete.versions,
                workflow_id=self._workflow_id,
            ),
            ResourceForm(
                template="execution://{id}",
                scopes=READS_EXECUTIONS,
                name="execution",
                title="Execution",
                description="An execution with every node run and its output.",
                read=self._execution,
                completers={"id": complete.execution_ids},
                workflow_id=self._workflow_id_of_execution,
            ),
            ResourceForm(
                template="execution://{id}/nodes/{node}",
                scopes=READS_EXECUTIONS,
                name="node runs",
                title="Node in an execution",
                description="A node's runs in an execution, with all their items.",
                read=self._node_runs,
                completers={"id": complete.execution_ids, "node": complete.nodes},
                workflow_id=self._workflow_id_of_execution,
            ),
            ResourceForm(
                template="node-type://{type}",
                scopes=NO_SCOPES,
                name="node type",
                title="Node type",
                description="A node type's documentation, parameter schema and example.",
                read=self._node_type,
                completers={"type": complete.node_types},
            ),
        ]

    async def page(self, actor: Actor, cursor: str | None) -> Page[types.Resource]:
        """Workflows, then one page of executions: enough to browse, and list_executions has them all.

        Raises:
            InvalidArgumentsError: the cursor is not one that this method gave out.
        """
        kind, inner = decode_cursor(cursor, str, str) if cursor is not None else ("workflows", "")
        if cursor is not None and kind != "workflows" and (kind, inner) != LAST_PAGE:
            raise foreign_cursor(cursor)
        may_read_executions = actor.scopes >= READS_EXECUTIONS
        if kind == "workflows" and actor.scopes >= READS_WORKFLOWS:
            workflows = await self._authoring.workflows.page(
                actor.workspace_id, text=None, limit=RESOURCES_PER_PAGE, cursor=inner or None
            )
            shown = [
                json_resource(f"workflow://{each.id}", name=each.name, description=each.description)
                for each in workflows.items
            ]
            if workflows.next_cursor is not None:
                return Page(shown, encode_cursor("workflows", workflows.next_cursor))
            return Page(shown, encode_cursor(*LAST_PAGE) if may_read_executions else None)
        if not may_read_executions:
            return Page([], None)
        executions = await self._reader.page(
            ExecutionFilter(owner=actor.workspace_id), limit=RESOURCES_PER_PAGE, cursor=None
        )
        return Page([_listed(each) for each in executions.items], None)

    async def _definition(self, uri: str, actor: Actor, workflow_id: str, version: int | None) -> Reading:
        stored = await self._authoring.workflows.get(actor.workspace_id, workflow_id, version)
        content = {
            **workflow_header(stored),
            "definition": stored.definition.to_json(),
            "picture": mermaid(stored.definition),
        }
        return json_reading(uri, content, ttl_ms=SETTLED_MS if version is not None else 0)

    async def _execution(self, uri: str, variables: Variables, actor: Actor) -> Reading:
        inspection = await self._reader.inspect(actor.workspace_id, variables["id"])
        execution = inspection.execution
        marks = await origin(self._authoring, inspection)
        content = {**execution_summary(execution), **marks, "input": execution.input, **overview(inspection, actor)}
        return json_reading(uri, content, ttl_ms=_ttl_ms(execution))

    async def _node_runs(self, uri: str, variables: Variables, actor: Actor) -> Reading:
        inspection = await self._reader.inspect(actor.workspace_id, variables["id"])
        node = variables["node"]
        runs = [node_run_details(run, inspection.node_runs) for run in inspection.node_runs if run.node == node]
        if not runs:
            ran = listed(dict.fromkeys(run.node for run in inspection.node_runs))
            raise NodeNotFoundError(
                f"Node {node!r} has not run in execution {variables['id']!r}.", fix=f"These have run: {ran}."
            )
        marks = await origin(self._authoring, inspection, node)
        content = {**execution_summary(inspection.execution), **marks, "runs": runs}
        return json_reading(uri, content, ttl_ms=_ttl_ms(inspection.execution))

    async def _node_type(self, uri: str, variables: Variables, actor: Actor) -> Reading:
        kind = self._authoring.registry.get(variables["type"])
        if kind is None:
            raise NodeNotFoundError(
                f"There is no node type {variables['type']!r}.", fix="Call find_nodes to list the types."
            )
        return json_reading(uri, node_type_details(kind), ttl_ms=SETTLED_MS)

    async def _workflow_id(self, variables: Variables, actor: Actor) -> str:
        return (await self._authoring.workflows.get(actor.workspace_id, variables["id"])).id

    async def _workflow_id_of_execution(self, variables: Variables, actor: Actor) -> str:
        return (await self._reader.get(actor.workspace_id, variables["id"])).workflow_id


def _ttl_ms(execution: Execution) -> int:
    return SETTLED_MS if execution.state in FINISHED else 0


def _listed(execution: Execution) -> types.Resource:
    return json_resource(
        f"execution://{execution.id}",
        name=f"{execution.workflow_name}: {execution.state.value}",
        description=f"Execution of version {execution.workflow_version}, by {execution.trigger}.",
    )
