"""The shape of JSON: its types and keys, without any value.

An object is an object of its members' shapes, a list is a list of its elements' one shape, anything else the name of
its type; alternatives stand with ``|`` between them. Keys that look like data (an address, an id, a token) are not
repeated: their members become one, under ``*``.
"""

from __future__ import annotations

import re
from typing import Any

from workflow.secret_forms import redacted_text

MOST_VALUES = 2_000
"""Values that are looked at."""
MOST_KEYS = 40
MOST_ELEMENTS = 20
"""Of a list: its others are taken to be like them."""
DEEPEST = 6
ANY_KEY = "*"
MORE = "…"

_KEY = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$@:. -]{0,39}")
_DATA = re.compile(r"\d{4}|.@|@.*\.|[0-9a-f]{12}|[A-Za-z0-9]{25}")
"""Digits in a row, an address, a digest, something long without a break: keys such as nobody chooses for a name."""


class _Left:
    """How many values may still be looked at."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = MOST_VALUES


def shape_of(value: Any) -> Any:
    """The shape of ``value``. It costs no more than :data:`MOST_VALUES` looks, however large that is."""
    return _shape(value, DEEPEST, _Left())


def _shape(value: Any, depth: int, left: _Left) -> Any:
    left.values -= 1
    if not isinstance(value, dict | list):
        return _type_of(value)
    if depth == 0 or left.values <= 0:
        return "object" if isinstance(value, dict) else "array"
    if isinstance(value, list):
        merged: Any = None
        for each in value[:MOST_ELEMENTS]:
            merged = _merged(merged, _shape(each, depth - 1, left))
        return [] if merged is None else [merged]
    members: dict[str, Any] = {}
    for place, (key, member) in enumerate(value.items()):
        if place >= MOST_KEYS:
            members[MORE] = f"{len(value) - MOST_KEYS} more"
            break
        name = key if _is_name(key) else ANY_KEY
        members[name] = _merged(members.get(name), _shape(member, depth - 1, left))
    return members


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


def _is_name(key: Any) -> bool:
    return (
        isinstance(key, str)
        and _KEY.fullmatch(key) is not None
        and _DATA.search(key) is None
        and redacted_text(key) == key
    )


def _merged(one: Any, other: Any) -> Any:
    """One shape for both."""
    if one is None or one == other:
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{name: _merged(one.get(name), shape) for name, shape in other.items()}}
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(one[0] if one else None, other[0])] if other else one
    names = {name for each in (one, other) for name in _plain(each).split("|")}
    return "|".join(sorted(names))


def _plain(shape: Any) -> str:
    if isinstance(shape, dict):
        return "object"
    return "array" if isinstance(shape, list) else str(shape)
