"""The bodies of a workflow's loops, found when it is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class LoopBody:
    """The nodes between a loop's output and its input. All members are indexes into the compiled workflow.

    ``inner`` are the body's edges, with those from and to the loop; ``back`` are the edges that lead back to the loop;
    ``leaving`` lead from the body to nodes outside, and may bring items until the loop is done.
    """

    loop: int
    nodes: frozenset[int]
    inner: frozenset[int]
    back: frozenset[int]
    leaving: frozenset[int]


Edge = tuple[int, int, bool]
"""Source, target, and whether it starts at a loop's batch output."""


def find_bodies(edges: Sequence[Edge], loops: Iterable[int], starts: Iterable[int]) -> list[LoopBody]:
    """The body of each loop that is connected back to itself.

    Where two loops each lie in the other's cycle, the one nearer to a start is the outer one.
    """
    loops = list(loops)
    depth = _depths(edges, starts)
    around = {loop: _around(edges, loop, frozenset()) for loop in loops}
    bodies = []
    for loop in loops:
        outer = frozenset(
            other
            for other in loops
            if other != loop and other in around[loop] and loop in around[other] and depth[other] < depth[loop]
        )
        nodes = _around(edges, loop, outer)
        if nodes or any(source == target == loop for source, target, _ in edges):
            bodies.append(_body(edges, loop, nodes))
    return bodies


def _body(edges: Sequence[Edge], loop: int, nodes: frozenset[int]) -> LoopBody:
    inside = nodes | {loop}
    inner, back, leaving = set(), set(), set()
    for index, (source, target, is_batch) in enumerate(edges):
        if (source == loop and is_batch and target in inside) or (source in nodes and target in inside):
            inner.add(index)
        elif source in nodes:
            leaving.add(index)
        if index in inner and target == loop:
            back.add(index)
    return LoopBody(loop, nodes, frozenset(inner), frozenset(back), frozenset(leaving))


def _around(edges: Sequence[Edge], loop: int, without: frozenset[int]) -> frozenset[int]:
    """Nodes on a path from the loop's batch output back to the loop that avoids ``without``."""
    ahead: set[int] = set()
    todo = [target for source, target, is_batch in edges if source == loop and is_batch]
    while todo:
        node = todo.pop()
        if node != loop and node not in ahead and node not in without:
            ahead.add(node)
            todo += [target for source, target, _ in edges if source == node]
    behind: set[int] = set()
    todo = [source for source, target, _ in edges if target == loop]
    while todo:
        node = todo.pop()
        if node in ahead and node not in behind:
            behind.add(node)
            todo += [source for source, target, _ in edges if target == node]
    return frozenset(behind)


def _depths(edges: Sequence[Edge], starts: Iterable[int]) -> dict[int, int]:
    depth = dict.fromkeys(starts, 0)
    todo = list(depth)
    for node in todo:  # grows while it is read: breadth first
        for source, target, _ in edges:
            if source == node and target not in depth:
                depth[target] = depth[node] + 1
                todo.append(target)
    for source, target, _ in edges:
        depth.setdefault(source, len(edges))
        depth.setdefault(target, len(edges))
    return depth
