"""Paths that webhooks listen on: literal segments, and parameters such as ``:id`` in ``orders/:id``.

The first segment is literal. It is the path's *name*, and belongs to one workspace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from urllib.parse import quote, unquote

MOST_SEGMENTS = 8
MOST_CHARACTERS = 300
ANY = ":"
"""Stands for a parameter in a path's shape, whatever its name is."""

_LITERAL = r"[A-Za-z0-9][A-Za-z0-9_\-]{0,99}"
_PARAMETER = r":[A-Za-z_][A-Za-z0-9_]{0,39}"
PATH_PATTERN = rf"^{_LITERAL}(?:/(?:{_LITERAL}|{_PARAMETER})){{0,{MOST_SEGMENTS - 1}}}$"

_PLAIN = re.compile(r"[A-Za-z0-9_\-.~/!$&'()*+,;=:@]*")


def name_of(path: str) -> str:
    """The first segment."""
    return path.partition("/")[0]


def parameter_names(path: str) -> list[str]:
    """The names of the path's parameters, in their order."""
    return [each[1:] for each in path.split("/") if each.startswith(ANY)]


def shape_of(path: str) -> str:
    """The path without the names of its parameters: two with one shape listen to the same."""
    if ANY not in path:
        return path
    return "/".join(ANY if each.startswith(ANY) else each for each in path.split("/"))


def overlap(one: str, other: str) -> bool:
    """Whether there is a path to which both would listen. Either may be a path or its shape."""
    left, right = one.split("/"), other.split("/")
    return len(left) == len(right) and all(
        a == b or a.startswith(ANY) or b.startswith(ANY) for a, b in zip(left, right, strict=True)
    )


def normal(path: str) -> str:
    """A path of a request with nothing escaped that need not be, so that a literal has one way to be written."""
    if _PLAIN.fullmatch(path):
        return path
    return "/".join(quote(unquote(each, errors="replace"), safe="!$&'()*+,;=:@") for each in path.split("/"))


def shapes_for(path: str) -> Sequence[str]:
    """The shapes that listen to a path of a request, the most literal ones first; at most 128, or none at all."""
    segments = path.split("/")
    if len(segments) > MOST_SEGMENTS or not all(segments):
        return ()
    if len(segments) == 1:
        return (path,)
    # A request may have a colon in its path: that is a value, and never the sign of a parameter.
    choices = [(ANY,) if each.startswith(ANY) else (each, ANY) for each in segments[1:]]
    return sorted(("/".join([segments[0], *rest]) for rest in product(*choices)), key=_parameters)


def values_of(path: str, request_path: str) -> dict[str, str] | None:
    """The values of the path's parameters in the path of a request; ``None`` where it does not listen to that."""
    if ANY not in path:
        return {} if path == request_path else None
    wanted, given = path.split("/"), request_path.split("/")
    if len(wanted) != len(given):
        return None
    values: dict[str, str] = {}
    for pattern, segment in zip(wanted, given, strict=True):
        if pattern.startswith(ANY):
            if not segment:
                return None
            values[pattern[1:]] = unquote(segment, errors="replace")
        elif pattern != segment:
            return None
    return values


def _parameters(shape: str) -> int:
    return shape.count(ANY)
