"""Findings on the paths of a definition's webhooks: two that take the same request."""

from __future__ import annotations

from typing import Any

from engine.nodes.registry import NodeRegistry
from workflow.findings import Finding, pointer
from workflow.webhook_paths import ANY, MOST_CHARACTERS, overlap, shape_of

MOST_COMPARED = 200
MOST_FINDINGS = 50


def webhook_findings(document: Any, registry: NodeRegistry) -> list[Finding]:
    """An error for each enabled trigger whose path has a parameter where an earlier one's has, and the same beside it.

    A literal path beside one with parameters is right: the literal one counts. Equal paths are found by
    :mod:`workflow.definitions.checks`. Of more than :data:`MOST_COMPARED` only those of one shape are found.
    """
    nodes = document.get("nodes") if isinstance(document, dict) else None
    listening: list[tuple[str, str]] = []
    for name, node in nodes.items() if isinstance(nodes, dict) else ():
        if not isinstance(node, dict) or node.get("disabled") is True or not isinstance(node.get("type"), str):
            continue
        kind, parameters = registry.get(node["type"]), node.get("parameters")
        path = kind.webhook_path_of(parameters) if kind is not None and isinstance(parameters, dict) else None
        if path is not None and ANY in path and len(path) <= MOST_CHARACTERS:
            listening.append((name, path))
    if len(listening) > MOST_COMPARED:
        by_shape: dict[str, tuple[str, str]] = {}
        pairs = [(by_shape.setdefault(shape_of(path), (name, path)), (name, path)) for name, path in listening]
    else:
        pairs = [(other, each) for place, each in enumerate(listening) for other in listening[:place]]
    return [
        Finding(
            code="duplicate_webhook_path",
            pointer=pointer("nodes", name, "parameters", "path"),
            message=f"Triggers {other!r} and {name!r} listen to the same requests: {other_path!r} and {path!r}.",
            fix="Give one of them another path.",
        )
        for (other, other_path), (name, path) in pairs
        if path != other_path and overlap(path, other_path)
    ][:MOST_FINDINGS]
