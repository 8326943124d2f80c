"""The node types by name: the built-in ones, and those that installed packages bring through entry points."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from engine.node_api.node_type import AsyncNode, BatchNode, EffectNode, ItemNode, NodeType
from engine.node_api.parameters import Parameters
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
from engine.nodes.schedule import ScheduleTrigger
from engine.nodes.set_ import Set
from engine.nodes.sort import Sort
from engine.nodes.split_out import SplitOut
from engine.nodes.stop_and_error import StopAndError
from engine.nodes.switch import Switch
from engine.nodes.wait import Wait
from engine.nodes.webhook import Webhook
from workflow.errors import JobsprintError

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "jobsprint.nodes"
"""The group under which packages name their :class:`~engine.node_api.node_type.NodeType` subclasses."""

BUILT_IN: tuple[type[NodeType[Any]], ...] = (
    Manual,
    Webhook,
    ScheduleTrigger,
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
    """A class cannot be added as a node type: it is none, it is incomplete, or its name is taken."""

    code = "bad_node_type"


class NodeRegistry:
    """Node types by name: the :class:`~workflow.definitions.catalogue.NodeCatalogue` that checks of definitions use.

    Raises:
        NodeTypeError: a class cannot be added.
    """

    def __init__(self, types: Iterable[type[NodeType[Any]]]) -> None:
        self._types: dict[str, NodeType[Any]] = {}
        for node_type in types:
            self.add(_instance(node_type))

    def add(self, kind: NodeType[Any]) -> None:
        """Add a node type.

        Raises:
            NodeTypeError: its name is taken.
        """
        if kind.name in self._types:
            raise NodeTypeError(
                f"Two node types are named {kind.name!r}: {type(kind)!r} is the second.",
                fix="Uninstall one of the packages that bring them.",
            )
        self._types[kind.name] = kind

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

    A package's type that cannot be added is left out, and the log says why: one broken package must not stop a server
    whose other workflows do not need it. Of two packages that use one name, the first by the package's name wins, so
    that every process chooses the same.
    """
    registry = NodeRegistry(BUILT_IN)
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda each: (_package(each), each.name)):
        source = f"package {_package(entry_point)}, entry point {entry_point.name} = {entry_point.value}"
        try:
            kind = _instance(entry_point.load())
            _describe(kind)
            registry.add(kind)
        except NodeTypeError as error:
            logger.warning("%s: node type left out: %s %s", source, error.message, error.fix)
        # The package's own code may raise anything; some modules even call sys.exit() when they are imported.
        except (Exception, SystemExit):
            logger.exception("%s: node type left out", source)
    return registry


def _instance(node_type: Any) -> NodeType[Any]:
    """The one instance of a node type.

    Raises:
        NodeTypeError: it is no node type, or a class attribute is missing.
    """
    fix = "Correct or uninstall the package that brings it."
    if not (isinstance(node_type, type) and issubclass(node_type, ItemNode | BatchNode | AsyncNode | EffectNode)):
        raise NodeTypeError(
            f"{node_type!r} is not a subclass of ItemNode, BatchNode, AsyncNode or EffectNode of engine.node_api.",
            fix=fix,
        )
    for name in ("name", "title", "group"):
        if not isinstance(getattr(node_type, name, None), str):
            raise NodeTypeError(f"{node_type!r} has no class attribute {name!r} that is a string.", fix=fix)
    model = getattr(node_type, "parameter_model", None)
    if not (isinstance(model, type) and issubclass(model, Parameters)):
        raise NodeTypeError(f"{node_type!r} has no parameter_model that is a subclass of Parameters.", fix=fix)
    return node_type()


def _describe(kind: NodeType[Any]) -> None:
    """Make what ``find_nodes`` shows, so that a type that cannot be described fails now and not at an agent's call."""
    kind.schema.json_schema()
    kind.inputs_of(kind.example)
    kind.outputs_of(kind.example)


def _package(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else "unknown"
