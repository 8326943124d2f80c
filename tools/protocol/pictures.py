"""A workflow as a Mermaid flowchart, which hosts draw and models read."""

from __future__ import annotations

from workflow.definitions import graph
from workflow.definitions.definition import WorkflowDefinition


def mermaid(definition: WorkflowDefinition) -> str:
    """The flowchart, one line per node and connection; outputs other than the first are labelled."""
    ids = {name: f"n{index}" for index, name in enumerate(definition.nodes)}
    lines = ["flowchart LR"]
    for name, node in definition.nodes.items():
        lines.append(f'  {ids[name]}["{_escaped(name)}<br/><small>{_escaped(node.type)}</small>"]')
    for left, right in definition.connections:
        source, target = graph.parse_end(left, ids), graph.parse_end(right, ids)
        if source is not None and target is not None:
            label = f"|{_escaped(source.port)}|" if source.port else ""
            lines.append(f"  {ids[source.node]} -->{label} {ids[target.node]}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return (
        text.replace("&", "&amp;")
        .replace('"', "&quot;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("|", "&#124;")
    )
