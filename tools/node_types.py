"""The tool to find node types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from engine.node_api.node_type import NodeType
from engine.nodes.registry import NodeRegistry
from tools.definition_guide import topic_for
from tools.node_search import search, what_there_is_not, words_of
from tools.protocol.budget import LIST_BUDGET, ROOM_FOR_CURSOR, fitting
from tools.protocol.caller import Caller
from tools.protocol.tool import AUTHORING, READ_ONLY, Answer, Arguments, Tool, object_schema
from workflow.credentials import CredentialList, StoredCredential
from workflow.errors import NextCall, NodeNotFoundError
from workflow.findings import did_you_mean, listed, nearest
from workflow.identity import NO_SCOPES, Scope

CREDENTIALS_BUDGET = 400
MOST_WITH_PARAMETERS = 4
"""Of the types that a search finds; the rest are names."""


class FindNodes(Arguments):
    query: str | None = Field(default=None, description="Words for what the node should do; empty lists all.")
    name: str | list[str] | None = Field(
        default=None, description='Exact type, or several, such as ["set", "if", "http_request"]: all about each.'
    )


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
                description="Look up node types, several names at once or by words: the best hit comes with its "
                "parameter schema and an example. retry, settings, connections, expressions explain those.",
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
        """Types that fit a query, or everything about those that are named."""
        if arguments.name is None:
            return await self._searched(arguments.query, caller)
        names = [arguments.name] if isinstance(arguments.name, str) else list(dict.fromkeys(arguments.name))
        found = [await self._details(self._named(name, arguments.query), caller) for name in names]
        count = max(1, fitting(found, LIST_BUDGET - ROOM_FOR_CURSOR))
        left_out = {"left_out": f"Ask for the rest: {listed(names[count:])}."} if count < len(found) else {}
        return Answer({"nodes": found[:count], **left_out})

    async def _searched(self, query: str | None, caller: Caller) -> Answer:
        """All types without a query; else those that fit, the first in full, the next with their parameters' names."""
        if not query:
            return Answer({"nodes": [_brief(kind) for kind in self._registry]})
        found = search(self._registry, query)
        absent = what_there_is_not(query)
        content: dict[str, Any] = {"there_is_no": absent} if absent is not None else {}
        topic = topic_for(words_of(query))
        if topic is not None and not self._is_named(query):
            content[topic.title] = topic.text
        if not found:
            nothing = {} if content else {"next": "Nothing fits. find_nodes without a query lists all types."}
            return Answer({"nodes": [], **content, **nothing})
        if topic is not None and content.get(topic.title):
            nodes = [_with_parameters(kind) for kind in found[: MOST_WITH_PARAMETERS - 1]]
            return Answer({**content, "nodes": nodes})
        best = await self._details(found[0], caller) if absent is None else _with_parameters(found[0])
        nodes = [best, *(_with_parameters(kind) for kind in found[1:MOST_WITH_PARAMETERS])]
        more = [kind.name for kind in found[MOST_WITH_PARAMETERS:]]
        return Answer({**content, "nodes": nodes, **({"also": more} if more else {})})

    def _is_named(self, query: str) -> bool:
        """Whether a word of the query is a node type's name: then it is that type that is looked for."""
        return any(self._registry.get(word) is not None for word in words_of(query))

    def _named(self, name: str, query: str | None) -> NodeType[Any]:
        kind = self._registry.get(name)
        if kind is None:
            near = nearest(name, self._registry.names())
            absent = what_there_is_not(name.replace("_", " "))
            raise NodeNotFoundError(
                f"There is no node type {name!r}.{did_you_mean(near)}",
                pointer="/name",
                fix=absent or "Search the types, or list them all.",
                next_call=NextCall("find_nodes", {"name": near} if near else {"query": query or name}),
            )
        return kind

    async def _details(self, kind: NodeType[Any], caller: Caller) -> dict[str, Any]:
        details = node_type_details(kind)
        if "credential" in kind.parameter_model.model_fields and Scope.INTEGRATIONS_READ in caller.actor.scopes:
            details["credentials"] = _named(await self._credentials.of_workspace(caller.actor.workspace_id))
        return details


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


def _with_parameters(kind: NodeType[Any]) -> dict[str, Any]:
    return {**_brief(kind), "parameters": list(kind.schema.json_schema().get("properties", {}))}


def _brief(kind: NodeType[Any]) -> dict[str, Any]:
    return {"type": kind.name, "title": kind.title, "group": kind.group, "summary": kind.summary}
