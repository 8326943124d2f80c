"""The data that expressions see in one node run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from workflow.items import JsonObject


@dataclass(slots=True, frozen=True)
class NodeView:
    """Another node as an expression sees it.

    ``paired_index(i)`` is the index in ``items`` of the item from which the current item ``i`` comes; it raises
    :class:`~workflow.errors.ExpressionError` where there is none or more than one.
    """

    name: str
    items: Sequence[JsonObject]
    paired_index: Callable[[int], int]


class NodeLookup(Protocol):
    """The other nodes of the execution."""

    @property
    def names(self) -> Collection[str]:
        """Names of the nodes that have run."""
        ...

    def view(self, name: str) -> NodeView:
        """The node as ``$('name')`` shows it.

        Raises:
            ExpressionError: there is no such node, or it has not run.
        """
        ...


@dataclass(slots=True, kw_only=True)
class ExpressionScope:
    """The data behind ``$json``, ``$('node')``, ``$execution`` and the rest, for one node run.

    ``seed`` and ``now`` give a repeated run the same random numbers and the same time. ``owner`` is the workspace:
    expressions of two workspaces never share a context.
    """

    items: Sequence[JsonObject]
    nodes: NodeLookup
    execution: Mapping[str, Any]
    workflow: Mapping[str, Any]
    run_index: int
    prev_node: Mapping[str, Any]
    parameters: Mapping[str, Any]
    vars: Mapping[str, Any]
    now: datetime
    timezone: str
    seed: str
    owner: str = ""
    _views: dict[str, NodeView] = field(default_factory=dict, init=False)

    def view(self, name: str) -> NodeView:
        """The node's view, looked up once.

        Raises:
            ExpressionError: there is no such node, or it has not run.
        """
        found = self._views.get(name)
        if found is None:
            found = self._views[name] = self.nodes.view(name)
        return found
