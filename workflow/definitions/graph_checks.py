"""What can be wrong with the graph as a whole, when every node and connection by itself is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow.definitions import graph
from workflow.findings import Finding, PatchOperation, pointer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow.definitions.catalogue import NodeSpec

MOST_ROOTS = 10
"""A patch that adds a trigger connects it to so many nodes at most; more would hardly be what was meant."""


def graph_findings(
    nodes: Mapping[str, dict[str, Any]],
    specs: Mapping[str, NodeSpec],
    edges: Sequence[graph.Edge],
    connections: Any,
    *,
    is_whole: bool,
) -> Iterator[Finding]:
    """Findings on a graph whose nodes' types are all known.

    ``edges`` are those of the ``connections`` (as they were sent) that are right; ``is_whole`` says that all are.
    Where some are missing, a node may only *seem* to be out of reach.
    """
    triggers = [name for name, spec in specs.items() if spec.is_trigger]
    if not triggers:
        yield _no_trigger(nodes, edges, connections)
    straight = [edge for edge in edges if edge.output != specs[edge.source].loop_output]
    for cycle in graph.find_cycles(nodes, graph.successors(straight)):
        yield Finding(
            code="cycle",
            pointer=pointer("nodes", cycle[0]),
            message=f"The connections run in a circle: {' → '.join([*cycle, cycle[0]])}.",
            fix="Remove one of them, or lead the circle through a loop node's output batch.",
        )
    yield from _merged_branches(nodes, specs, connections)
    if triggers and is_whole:
        reached = graph.reachable(triggers, graph.successors(edges))
        for name in nodes:
            if name not in reached:
                yield Finding(
                    code="unreachable_node",
                    severity="warning",
                    pointer=pointer("nodes", name),
                    message=f"No connection leads from a trigger to {name!r}; it would never run.",
                    fix="Connect it, or remove it.",
                )


def _no_trigger(nodes: Mapping[str, Any], edges: Sequence[graph.Edge], connections: Any) -> Finding:
    """The patch puts a manual trigger before every node that nothing leads to."""
    targets = {edge.target for edge in edges}
    roots = [name for name in nodes if name not in targets]
    name = next(each for each in ("start", "trigger", "manual start", "") if each not in nodes)
    patch: list[PatchOperation] = []
    if name and 0 < len(roots) <= MOST_ROOTS:
        patch = [PatchOperation(op="add", path=pointer("nodes", name), value={"type": "manual"})]
        if not isinstance(connections, list):
            patch.append(PatchOperation(op="add", path="/connections", value=[]))
        patch += [PatchOperation(op="add", path="/connections/-", value=[name, root]) for root in roots]
    return Finding(
        code="no_trigger",
        pointer="/nodes",
        message="No node is a trigger, so no execution could start.",
        patch=tuple(patch),
        fix='Add a trigger, for example "start": {"type": "manual"} or a webhook, and connect it to the first node.',
    )


def _merged_branches(
    nodes: Mapping[str, dict[str, Any]], specs: Mapping[str, NodeSpec], connections: Any
) -> Iterator[Finding]:
    """Nodes whose ways part, with several connections of which none says which way it is."""
    leaving: dict[str, list[tuple[int, graph.End]]] = {}
    for index, pair in enumerate(connections if isinstance(connections, list) else []):
        end = graph.parse_end(pair[0], nodes) if isinstance(pair, list) and pair and isinstance(pair[0], str) else None
        if end is not None:
            leaving.setdefault(end.node, []).append((index, end))
    for name, ends in leaving.items():
        if not specs[name].is_fork or len(ends) < 2 or any(end.port is not None for _, end in ends):
            continue
        outputs = list(specs[name].outputs_of(nodes[name].get("parameters") or {}))
        patch = [
            PatchOperation(op="replace", path=pointer("connections", index, 0), value=f"{name}.{output}")
            for (index, _), output in zip(ends, outputs, strict=False)
        ]
        yield Finding(
            code="merged_branches",
            severity="warning",
            pointer=pointer("connections", ends[1][0], 0),
            message=f"All {len(ends)} connections from {name!r} leave by its output {outputs[0]!r}, since none names "
            f"another; nothing is connected to {', '.join(outputs[1:])}.",
            patch=tuple(patch) if len(ends) <= len(outputs) else (),
            fix=f"Name the output at each: {', '.join(f'{name}.{output}' for output in outputs)}.",
        )
