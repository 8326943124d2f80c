"""References inside schemas: where they lead, and those that lead round in a circle."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import unquote

from workflow.items import JsonObject
from workflow.schemas.schema_parts import in_place

MOST_PARTS = 10_000
"""Values looked through for an anchor."""


def found_in(root: Any, reference: str) -> Any:
    """What a reference leads to inside ``root``: a pointer, an anchor, or a name by which the root calls itself."""
    base, _, fragment = reference.partition("#")
    own = (root.get("$id") or root.get("id")) if isinstance(root, dict) else None
    if base and not (isinstance(own, str) and base == own.partition("#")[0]):
        return None
    if fragment and not fragment.startswith("/"):
        return _anchored(root, fragment)
    found = root
    for part in fragment.split("/")[1:]:
        name = unescaped(part)
        if isinstance(found, dict):
            found = found.get(name, found.get(part))
        elif isinstance(found, list) and name.isdecimal() and len(name) < 6 and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _anchored(root: Any, anchor: str) -> Any:
    for part in _parts(root):
        if part.get("$anchor") == anchor or part.get("$dynamicAnchor") == anchor or part.get("$id") == f"#{anchor}":
            return part
    return None


def _parts(root: Any) -> Iterator[dict[str, Any]]:
    waiting, left = deque([root]), MOST_PARTS
    while waiting and left > 0:
        value = waiting.popleft()
        left -= 1
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def unescaped(part: str) -> str:
    """A part of a pointer in a reference, as the name that it stands for."""
    return unquote(part).replace("~1", "/").replace("~0", "~")


def cut_circles(root: JsonObject, references: Collection[str]) -> bool:
    """Take away references by which a schema would be held against the same value again, without an end; whether there
    were any."""
    leads: dict[str, set[str]] = {}
    waiting = list(references)
    while waiting:
        reference = waiting.pop()
        if reference not in leads:
            leads[reference] = {part["$ref"] for part in in_place(found_in(root, reference)) if "$ref" in part}
            waiting += leads[reference]
    by_target: dict[str, list[str]] = {}
    for reference, others in leads.items():
        for other in others:
            by_target.setdefault(other, []).append(reference)
    left = {reference: len(others) for reference, others in leads.items()}
    ending = [reference for reference, count in left.items() if count == 0]
    while ending:
        reference = ending.pop()
        del left[reference]
        for before in by_target.get(reference, ()):
            left[before] -= 1
            if left[before] == 0:
                ending.append(before)
    for reference in left:
        for part in in_place(found_in(root, reference)):
            if part.get("$ref") in left:
                del part["$ref"]
    return bool(left)
