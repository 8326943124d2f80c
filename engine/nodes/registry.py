"""The node types there are: the built-in ones by name, third parties' through entry points."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any

from engine.node_api.node_type import NodeType
from engine.nodes.actions.api_action import ApiAction
from engine.nodes.actions.mcp_resource import McpResource
from engine.nodes.actions.mcp_tool import McpTool
from engine.nodes.actions.zapier_action import ZapierAction
from engine.nodes.aggregate import Aggregate
from engine.nodes.ai.agent import AiAgent
from engine.nodes.ai.chat import AiChat
from engine.nodes.ai.classify import AiClassify
from engine.nodes.ai.embed import AiEmbed
from engine.nodes.ai.extract import AiExtract
from engine.nodes.ai.vector_store import VectorStoreNode
from engine.nodes.approval import Approval
from engine.nodes.code import Code
from engine.nodes.execute_workflow import ExecuteWorkflow, ForEach
from engine.nodes.filter import Filter
from engine.nodes.http_request import HttpRequestNode
from engine.nodes.if_ import If
from engine.nodes.limit import Limit
from engine.nodes.loop import Loop
from engine.nodes.manual import Manual
from engine.nodes.merge import Merge
from engine.nodes.no_op import NoOp
from engine.nodes.respond import Respond
from engine.nodes.set_ import Set
from engine.nodes.sort import Sort
from engine.nodes.split_out import SplitOut
from engine.nodes.stop_and_error import StopAndError
from engine.nodes.switch import Switch
from engine.nodes.wait import Wait
from engine.nodes.webhook import Webhook
from workflow.errors import JobsprintError

ENTRY_POINT_GROUP = "jobsprint.nodes"
"""Packages name :class:`~engine.node_api.node_type.NodeType` subclasses under this group to add node types."""

BUILT_IN: tuple[type[NodeType[Any]], ...] = (
    Manual,
    Webhook,
    Set,
    If,
    Switch,
    Filter,
    Merge,
    SplitOut,
    Aggregate,
    Sort,
    Limit,
    NoOp,
    StopAndError,
    HttpRequestNode,
    McpTool,
    McpResource,
    ZapierAction,
    ApiAction,
    Respond,
    Wait,
    Approval,
    Code,
    ExecuteWorkflow,
    ForEach,
    Loop,
    AiChat,
    AiExtract,
    AiClassify,
    AiAgent,
    AiEmbed,
    VectorStoreNode,
)


class NodeTypeError(JobsprintError):
    """A node type cannot be added: it is none, or its name is taken."""

    code = "bad_node_type"


class NodeRegistry:
    """Node types by name: the :class:`~workflow.definitions.catalogue.NodeCatalogue` that checks of definitions ask."""

    def __init__(self, types: Iterable[type[NodeType[Any]]]) -> None:
        self._types: dict[str, NodeType[Any]] = {}
        for node_type in types:
            if not (isinstance(node_type, type) and issubclass(node_type, NodeType)):
                raise NodeTypeError(
                    f"{node_type!r} is not a subclass of engine.node_api.node_type.NodeType.",
                    fix="Correct or uninstall the package that brings it.",
                )
            if node_type.name in self._types:
                raise NodeTypeError(
                    f"Two node types are named {node_type.name!r}: {node_type!r} is the second.",
                    fix="Uninstall one of the packages that bring them.",
                )
            self._types[node_type.name] = node_type()

    def get(self, name: str) -> NodeType[Any] | None:
        """The type of this name."""
        return self._types.get(name)

    def names(self) -> Collection[str]:
        """Every type's name, built-in ones first."""
        return self._types.keys()

    def __iter__(self) -> Iterator[NodeType[Any]]:
        return iter(self._types.values())


def load_registry() -> NodeRegistry:
    """The built-in types and those that installed packages bring.

    Raises:
        NodeTypeError: a package brings something that is not a node type, or takes a name.
    """
    brought = [entry_point.load() for entry_point in entry_points(group=ENTRY_POINT_GROUP)]
    return NodeRegistry([*BUILT_IN, *brought])
