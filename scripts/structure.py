"""``make structure``, or ``python -m scripts.structure [ROOM …]``: the order inside the rooms, as a table made from
the code's own imports.

A room's *children* are the modules and folders directly in it. An *arrow* leads from one child to another that it
imports. A *circle* is a set of children that reach each other; an *upward* arrow is one whose removal breaks a circle.
*Layers* are the levels of the arrows: a child stands one above the highest child that it imports.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import grimp

ROOMS = ("workflow", "engine", "prompts", "integrations", "storage", "tools", "server")

Arrows = dict[str, set[str]]
"""What each child imports of the others."""


def arrows(graph: grimp.ImportGraph, room: str) -> Arrows:
    """The arrows between the children of a room."""
    depth = room.count(".") + 1
    found: Arrows = {child: set() for child in graph.find_children(room)}
    for module in graph.find_descendants(room):
        child = _child(module, depth)
        for imported in graph.find_modules_directly_imported_by(module):
            other = _child(imported, depth)
            if imported.startswith(f"{room}.") and other != child:
                found[child].add(other)
    return found


def _child(module: str, depth: int) -> str:
    return ".".join(module.split(".")[: depth + 1])


def upward(found: Arrows) -> list[tuple[str, str]]:
    """Arrows whose removal leaves no circle: of each circle found, the arrow whose start imports the most."""
    rest, gone = {child: set(others) for child, others in found.items()}, []
    while circle := _circle(rest):
        start, end = max(circle, key=lambda arrow: (len(rest[arrow[0]]), arrow))
        rest[start].discard(end)
        gone.append((start, end))
    return gone


def _circle(found: Arrows) -> list[tuple[str, str]]:
    """The arrows of one circle, or none."""
    try:
        list(TopologicalSorter(found).static_order())
    except CycleError as error:
        path: list[str] = error.args[1]  # each imports the one before it
        return [(after, before) for before, after in pairwise(path)]
    return []


def layers(found: Arrows) -> int:
    """How many levels the arrows have, without upward ones."""
    against = set(upward(found))
    down = {child: {o for o in others if (child, o) not in against} for child, others in found.items()}
    floor: dict[str, int] = {}
    for child in TopologicalSorter(down).static_order():
        floor[child] = 1 + max((floor[other] for other in down[child]), default=0)
    return max(floor.values(), default=0)


def circles(found: Arrows) -> int:
    """How many sets of children reach each other."""
    reached = {child: _reached(found, child) for child in found}
    together = {frozenset(o for o in reached[child] if child in reached[o]) for child in found}
    return sum(len(each) > 1 for each in together)


def _reached(found: Arrows, start: str) -> set[str]:
    seen, ahead = set[str](), [start]
    while ahead:
        for other in found[ahead.pop()] - seen:
            seen.add(other)
            ahead.append(other)
    return seen


def rows(names: Iterable[str]) -> Iterator[tuple[str, list[int], list[tuple[str, str]]]]:
    """Per room its name, its figures and its upward arrows."""
    graph = grimp.build_graph(*ROOMS, cache_dir=None)
    for name in names:
        found = arrows(graph, name)
        folders = sum(bool(graph.find_children(child)) for child in found)
        against = upward(found)
        figures = [
            len(graph.find_descendants(name)),
            folders,
            len(found) - folders,
            sum(map(len, found.values())),
            layers(found),
            len(against),
            circles(found),
        ]
        yield name, figures, against


def main() -> None:
    """Print the table."""
    columns = ("modules", "folders", "flat", "arrows", "layers", "upward", "circles")
    print("room".ljust(28), *(column.rjust(8) for column in columns))
    against: list[tuple[str, str]] = []
    for name, figures, upwards in rows(sys.argv[1:] or ROOMS):
        print(name.ljust(28), *(str(figure).rjust(8) for figure in figures))
        against += upwards
    for start, end in against:
        print(f"upward: {start} imports {end}")


if __name__ == "__main__":
    main()
