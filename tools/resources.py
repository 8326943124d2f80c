"""Workflows, executions and node types as resources that a client can read whole."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import mcp_types as types
import orjson

from engine.authoring import Authoring
from engine.executions import ExecutionService
from tools.authoring import node_type_details, workflow_header
from tools.pictures import mermaid
from tools.provenance import origin
from tools.running import execution_summary, node_run_details, overview
from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError, NodeNotFoundError
from workflow.findings import listed
from workflow.ports import ExecutionFilter
from workflow.redaction import redacted

PAGE_SIZE = 50
JSON_TYPE = "application/json"


class ResourceNotFoundError(JobsprintError):
    """A URI that names nothing."""

    code = "resource_not_found"
    kind = ErrorKind.NOT_FOUND


Reader = Callable[..., Awaitable[dict[str, Any]]]


class Resources:
    """What ``resources/list``, ``resources/templates/list`` and ``resources/read`` answer."""

    def __init__(self, *, authoring: Authoring, service: ExecutionService) -> None:
        self._authoring = authoring
        self._service = service
        self._readers: list[tuple[re.Pattern[str], Reader]] = [
            (re.compile(r"workflow://([^/]+)"), self._workflow),
            (re.compile(r"workflow://([^/]+)/versions/(\d+)"), self._workflow),
            (re.compile(r"execution://([^/]+)"), self._execution),
            (re.compile(r"execution://([^/]+)/nodes/(.+)"), self._node_runs),
            (re.compile(r"node-type://([^/]+)"), self._node_type),
        ]

    def templates(self) -> list[types.ResourceTemplate]:
        """Every form of URI that can be read."""
        described = [
            ("workflow://{id}", "workflow", "A workflow's current definition and picture."),
            ("workflow://{id}/versions/{version}", "workflow version", "One version of a workflow."),
            ("execution://{id}", "execution", "An execution with every node run and its output."),
            ("execution://{id}/nodes/{node}", "node runs", "A node's runs in an execution, with all their items."),
            ("node-type://{type}", "node type", "A node type's documentation, parameter schema and example."),
        ]
        return [
            types.ResourceTemplate(uri_template=uri, name=name, description=description, mime_type=JSON_TYPE)
            for uri, name, description in described
        ]

    async def page(self, cursor: str | None) -> tuple[list[types.Resource], str | None]:
        """Workflows, then the latest executions; one page and the cursor of the next.

        Raises:
            InvalidArgumentsError: the cursor is not one that this method gave out.
        """
        kind, _, inner = (cursor or "w:").partition(":")
        if kind not in ("w", "e"):
            raise InvalidArgumentsError(
                f"{cursor!r} is not a cursor of this list.", pointer="/cursor", fix="Leave it out for the first page."
            )
        if kind == "w":
            workflows = await self._authoring.workflows.page(text=None, limit=PAGE_SIZE, cursor=inner or None)
            listed = [
                types.Resource(
                    uri=f"workflow://{each.id}", name=each.name, description=each.description, mime_type=JSON_TYPE
                )
                for each in workflows.items
            ]
            return listed, f"w:{workflows.next_cursor}" if workflows.next_cursor else "e:"
        executions = await self._service.page(ExecutionFilter(), limit=PAGE_SIZE, cursor=inner or None)
        listed = [
            types.Resource(
                uri=f"execution://{each.id}", name=f"{each.workflow_name}: {each.state.value}", mime_type=JSON_TYPE
            )
            for each in executions.items
        ]
        # One page of executions is enough to browse; list_executions has them all.
        return listed, None

    async def read(self, uri: str) -> types.TextResourceContents:
        """The resource as JSON text.

        Raises:
            ResourceNotFoundError: no such form of URI.
            JobsprintError: what it names is not there.
        """
        for pattern, reader in self._readers:
            found = pattern.fullmatch(uri)
            if found is not None:
                content = redacted(await reader(*map(unquote, found.groups())))
                text = orjson.dumps(content, option=orjson.OPT_INDENT_2).decode()
                return types.TextResourceContents(uri=uri, mime_type=JSON_TYPE, text=text)
        forms = ", ".join(template.uri_template for template in self.templates())
        raise ResourceNotFoundError(f"No resource has the URI {uri!r}.", fix=f"URIs have one of these forms: {forms}.")

    async def _workflow(self, workflow_id: str, version: str | None = None) -> dict[str, Any]:
        stored = await self._authoring.workflows.get(workflow_id, int(version) if version else None)
        return {
            **workflow_header(stored),
            "definition": stored.definition.to_json(),
            "picture": mermaid(stored.definition),
        }

    async def _execution(self, execution_id: str) -> dict[str, Any]:
        inspection = await self._service.inspect(execution_id)
        return {
            **execution_summary(inspection.execution),
            **await origin(self._authoring, inspection),
            "input": inspection.execution.input,
            **overview(inspection),
        }

    async def _node_runs(self, execution_id: str, node: str) -> dict[str, Any]:
        inspection = await self._service.inspect(execution_id)
        runs = [node_run_details(run, inspection.node_runs) for run in inspection.node_runs if run.node == node]
        if not runs:
            ran = listed(dict.fromkeys(run.node for run in inspection.node_runs))
            raise NodeNotFoundError(
                f"Node {node!r} has not run in execution {execution_id!r}.", fix=f"These have run: {ran}."
            )
        marks = await origin(self._authoring, inspection, node)
        return {**execution_summary(inspection.execution), **marks, "runs": runs}

    async def _node_type(self, name: str) -> dict[str, Any]:
        kind = self._authoring.registry.get(name)
        if kind is None:
            raise NodeNotFoundError(f"There is no node type {name!r}.", fix="Call find_nodes to list the types.")
        return node_type_details(kind)
