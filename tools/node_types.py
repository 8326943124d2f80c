"""The tool to find node types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from engine.node_api.node_type import NodeType
from engine.nodes.registry import NodeRegistry
from tools.node_search import search
from tools.protocol.budget import LIST_BUDGET, ROOM_FOR_CURSOR, fitting
from tools.protocol.caller import Caller
from tools.protocol.tool import AUTHORING, READ_ONLY, Answer, Arguments, Tool, object_schema
from workflow.credentials import CredentialList, StoredCredential
from workflow.errors import NextCall, NodeNotFoundError
from workflow.findings import did_you_mean, nearest
from workflow.identity import NO_SCOPES, Scope

CREDENTIALS_BUDGET = 400


class FindNodes(Arguments):
    query: str | None = Field(default=None, description="Words for what the node should do; empty lists all.")
    name: str | None = Field(default=None, description="Exact type: gives its parameter schema and an example.")


class NodeTypeTools:
    """The tool's work, over the node types there are."""

    def __init__(self, registry: NodeRegistry, credentials: CredentialList) -> None:
        self._registry = registry
        self._credentials = credentials

    def tools(self) -> list[Tool[Any]]:
        """The one tool."""
        return [
            Tool(
                name="find_nodes",
                title="Find node types",
                description="Search the node types that workflows are made of. Call it with a name before using a "
                "type you have not used: it gives the parameter schema and an example.",
                arguments=FindNodes,
                annotations=READ_ONLY,
                output_schema=object_schema({"nodes": {"type": "array", "items": {"type": "object"}}}),
                handler=self.find_nodes,
                scopes=NO_SCOPES,
                toolsets=AUTHORING,
                budget_tokens=LIST_BUDGET,
                is_quick=True,
            )
        ]

    async def find_nodes(self, arguments: FindNodes, caller: Caller) -> Answer:
        """Types that fit a query, or everything about one."""
        if arguments.name is None:
            found = [_brief(kind) for kind in search(self._registry, arguments.query)]
            count = fitting(found, LIST_BUDGET - ROOM_FOR_CURSOR)
            left_out = {"left_out": f"{len(found) - count} more; narrow the query."} if count < len(found) else {}
            return Answer({"nodes": found[:count], **left_out})
        kind = self._registry.get(arguments.name)
        if kind is None:
            near = nearest(arguments.name, self._registry.names())
            raise NodeNotFoundError(
                f"There is no node type {arguments.name!r}.{did_you_mean(near)}",
                pointer="/name",
                fix="Search the types, or list them all.",
                next_call=NextCall("find_nodes", {"name": near} if near else {"query": arguments.name}),
            )
        details = node_type_details(kind)
        if "credential" in kind.parameter_model.model_fields and Scope.INTEGRATIONS_READ in caller.actor.scopes:
            details["credentials"] = _named(await self._credentials.of_workspace(caller.actor.workspace_id))
        return Answer({"nodes": [details]})


def _named(stored: Sequence[StoredCredential]) -> list[dict[str, Any]]:
    """What there is to name, as far as it fits: an agent chooses by it, and sees no more."""
    named = [
        {"name": each.name, "kind": each.kind, "allowed_hosts": each.details["allowed_hosts"]}
        for each in stored
        if "allowed_hosts" in each.details
    ]
    return named[: fitting(named, CREDENTIALS_BUDGET)]


def node_type_details(kind: NodeType[Any]) -> dict[str, Any]:
    """Everything that somebody who uses a type needs to know."""
    details = {
        **_brief(kind),
        "documentation": kind.documentation,
        "inputs": list(kind.inputs_of(kind.example)),
        "outputs": list(kind.outputs_of(kind.example)),
        "parameters": kind.schema.json_schema(),
    }
    if kind.example:
        details["example"] = {"type": kind.name, "parameters": dict(kind.example)}
    return details


def _brief(kind: NodeType[Any]) -> dict[str, Any]:
    return {"type": kind.name, "title": kind.title, "group": kind.group, "summary": kind.summary}
