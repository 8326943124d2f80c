"""The graph that a definition's edges (its member ``connections``) draw, and questions about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


class End(NamedTuple):
    """One end of an edge: a node, and the output or input named after the dot, if any."""

    node: str
    port: str | None


class Edge(NamedTuple):
    """One edge with every default filled in."""

    source: str
    output: str
    target: str
    input: str


def parse_end(text: str, nodes: Collection[str]) -> End | None:
    """Which node and port ``text`` means; ``None`` where no node fits.

    A node's whole name wins over a name with a port behind a dot, so names may contain dots.
    """
    if text in nodes:
        return End(text, None)
    name, dot, port = text.rpartition(".")
    if dot and name in nodes:
        return End(name, port)
    return None


def format_end(end: End) -> str:
    """The text that :func:`parse_end` reads as ``end``."""
    return end.node if end.port is None else f"{end.node}.{end.port}"


def successors(edges: Iterable[Edge]) -> dict[str, list[str]]:
    """Targets by source, each once, in the order of the edges."""
    targets: dict[str, list[str]] = {}
    for edge in edges:
        known = targets.setdefault(edge.source, [])
        if edge.target not in known:
            known.append(edge.target)
    return targets


def reachable(starts: Iterable[str], targets: Mapping[str, Sequence[str]]) -> set[str]:
    """Every node that some path from ``starts`` leads to, the starts included."""
    seen = set(starts)
    open_nodes = list(seen)
    while open_nodes:
        for target in targets.get(open_nodes.pop(), ()):
            if target not in seen:
                seen.add(target)
                open_nodes.append(target)
    return seen


def find_cycles(nodes: Iterable[str], targets: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """One cycle per back edge of a depth-first walk, each as its nodes in order; empty for a DAG.

    Iterative, so that a chain of any length does not exhaust the stack.
    """
    cycles: list[list[str]] = []
    done: set[str] = set()
    for root in nodes:
        if root in done:
            continue
        path: list[str] = [root]
        on_path: dict[str, int] = {root: 0}
        walk = [iter(targets.get(root, ()))]
        while walk:
            target = next(walk[-1], None)
            if target is None:
                walk.pop()
                node = path.pop()
                del on_path[node]
                done.add(node)
            elif target in on_path:
                cycles.append(path[on_path[target] :])
            elif target not in done:
                on_path[target] = len(path)
                path.append(target)
                walk.append(iter(targets.get(target, ())))
    return cycles
