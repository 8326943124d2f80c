"""Where the texts in an execution came from: what came from outside is marked, so that nobody takes it for orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.definitions.authoring import Authoring
from engine.executions.reader import Inspection
from engine.expressions.template import NODE_REFERENCE
from engine.nodes.registry import NodeRegistry
from tools.protocol.budget import fit
from workflow.definitions import graph
from workflow.definitions.definition import WorkflowDefinition
from workflow.errors import WorkflowNotFoundError
from workflow.executions import Execution

ORIGIN_TOKENS = 60
"""What the marks may take; where there are more sources, the first ones stand for all."""
CALLER = "the workflow that started this one"


async def origin(authoring: Authoring, inspection: Inspection, node: str | None = None) -> dict[str, Any]:
    """``{"from_outside": {node: where from}}`` for an execution, or for one node's items in it; empty where all of it
    was made here. Where the workflow is gone, nobody knows, and that is said."""
    execution = inspection.execution
    try:
        stored = await authoring.workflows.get(execution.owner, execution.workflow_id, execution.workflow_version)
    except WorkflowNotFoundError:
        return {"from_outside": {"unknown": "the workflow was deleted"}}
    if node is not None:
        found = sources_behind(node, stored.definition, authoring.registry, inspection)
    else:
        ran = (run.node for run in inspection.node_runs)
        found = outside_sources(stored.definition, authoring.registry, execution, ran)
    return {"from_outside": fit(found, ORIGIN_TOKENS)[0]} if found else {}


def outside_sources(
    definition: WorkflowDefinition, registry: NodeRegistry, execution: Execution, ran: Iterable[str]
) -> dict[str, str]:
    """Of the nodes that ``ran``: those through which texts came in from outside, and where from."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(ran):
        node = definition.nodes.get(name)
        kind = registry.get(node.type) if node is not None else None
        source = kind.outside_source(node.parameters) if kind is not None and node is not None else None
        if name == execution.start_node and execution.trigger == "workflow":
            source = CALLER
        if source is not None:
            found[name] = source
    return found


def sources_behind(
    node: str, definition: WorkflowDefinition, registry: NodeRegistry, inspection: Inspection
) -> dict[str, str]:
    """The outside sources that the items of ``node`` may hold texts of: those before it, and itself.

    A node takes from those that are connected to it, and from those that its expressions name.
    """
    ran = [run.node for run in inspection.node_runs]
    sources = outside_sources(definition, registry, inspection.execution, ran)
    if not sources:
        return {}
    before: dict[str, list[str]] = {}
    for left, right in definition.connections:
        source, target = graph.parse_end(left, definition.nodes), graph.parse_end(right, definition.nodes)
        if source is not None and target is not None:
            before.setdefault(target.node, []).append(source.node)
    for name, each in definition.nodes.items():
        text = str(each.parameters)  # the quotes around names may be escaped in it, or not
        names = [match["name"] for match in NODE_REFERENCE.finditer(text.replace("\\'", "'").replace('\\"', '"'))]
        before.setdefault(name, []).extend(names)
    reached = graph.reachable([node], before)
    return {name: source for name, source in sources.items() if name in reached}
