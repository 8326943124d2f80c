"""Dotted paths into an item's JSON, as parameters such as ``field`` write them: ``user.tags.0``."""

from __future__ import annotations

from typing import Any

from workflow.items import JsonObject


class _Absent:
    """The type of :data:`ABSENT`."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()
"""What :func:`read` returns where there is no value; JSON has ``null``, so it cannot be ``None``."""


def read(json: Any, path: str) -> Any:
    """The value at ``path``, or :data:`ABSENT`. A key that is the whole path, dots included, comes first."""
    if isinstance(json, dict) and path in json:
        return json[path]
    here = json
    for part in path.split("."):
        if isinstance(here, dict):
            here = here.get(part, ABSENT)
        elif isinstance(here, list) and part.isdecimal() and int(part) < len(here):
            here = here[int(part)]
        else:
            return ABSENT
    return here


def write(json: JsonObject, path: str, value: Any) -> None:
    """Put ``value`` at ``path``; objects on the way are made, or copied before they are changed.

    ``json`` itself must belong to the caller; the objects in it are shared with other items.
    """
    if "." not in path:
        json[path] = value
        return
    *parents, last = path.split(".")
    here = json
    for part in parents:
        below = here.get(part)
        here[part] = here = dict(below) if isinstance(below, dict) else {}
    here[last] = value


def without(json: JsonObject, path: str) -> JsonObject:
    """``json`` without the value at ``path``; the same object where there is no value."""
    head, dot, rest = path.partition(".")
    if path in json:
        return {key: value for key, value in json.items() if key != path}
    if not dot or not isinstance(json.get(head), dict):
        return json
    below = without(json[head], rest)
    return json if below is json[head] else {**json, head: below}
