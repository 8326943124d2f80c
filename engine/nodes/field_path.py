"""Paths into an item's JSON, as parameters such as ``field`` write them: ``rows.0.qty``, ``sizes."9.5"``.

Every node that takes a path reads, writes and removes by this module, so that all of them mean the same place.
docs/paths.md has the rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from json import JSONDecodeError, JSONDecoder
from typing import Annotated, Any

from pydantic import AfterValidator

from workflow.errors import NodeError
from workflow.findings import pointer
from workflow.items import JsonObject

MAX_PARTS = 50
"""Parts of one path: a longer one would write values that are deeper than requests may be (``MAX_DEPTH``)."""
_KEPT_CHARACTERS = 200
"""Paths up to this length are kept parsed; longer ones are rare, and would fill the memory."""
_INDEX_DIGITS = 9
_JSON = JSONDecoder()

Parts = tuple[str, ...]
Place = tuple[str | int, ...]


class _Absent:
    """The type of :data:`ABSENT`."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()
"""What :func:`read` returns where there is no value; JSON has ``null``, so it cannot be ``None``."""


def parts_of(path: str) -> Parts:
    """The path's parts; a part in double quotes is written as a JSON string.

    Raises:
        ValueError: a quoted part does not end, or goes on behind its quote; or there are more than ``MAX_PARTS``.
    """
    return _kept(path) if len(path) <= _KEPT_CHARACTERS else _parse(path)


def _parse(path: str) -> Parts:
    parts = tuple(_quoted_parts(path) if '"' in path else path.split(".", MAX_PARTS))
    if len(parts) > MAX_PARTS:
        raise ValueError(f"the path {path[:60]!r} has more than {MAX_PARTS} parts")
    return parts


_kept = lru_cache(maxsize=4_096)(_parse)


def _quoted_parts(path: str) -> Iterable[str]:
    at = 0
    for _ in range(MAX_PARTS + 1):
        if path.startswith('"', at):
            try:
                part, end = _JSON.raw_decode(path, at)
            except JSONDecodeError as error:
                raise ValueError(f"the quoted part of the path {path!r:.100} does not end") from error
            if end < len(path) and path[end] != ".":
                raise ValueError(f"in the path {path!r:.100} neither a dot nor the end follows a quoted part")
        else:
            end = path.find(".", at)
            end = len(path) if end < 0 else end
            part = path[at:end]
        yield part
        if end >= len(path):
            return
        at = end + 1


def is_name(path: str) -> bool:
    """Whether the path is the name of one field, as it is written."""
    return "." not in path and '"' not in path


def _checked(path: str) -> str:
    parts_of(path)
    return path


FieldPath = Annotated[str, AfterValidator(_checked)]
"""The type of a parameter that is a path."""


def checked_names(fields: dict[str, Any]) -> dict[str, Any]:
    """``fields``, whose names are paths.

    Raises:
        ValueError: one is not.
    """
    for name in fields:
        parts_of(name)
    return fields


def resolved(json: Any, path: str) -> Parts:
    """The parts by which this JSON is read and written: a key that is the whole path, dots included, comes first."""
    return (path,) if isinstance(json, dict) and path in json else parts_of(path)


def read(json: Any, path: str) -> Any:
    """The value at ``path``, or :data:`ABSENT`."""
    here = json
    for part in resolved(json, path):
        here = _below(here, part)
        if here is ABSENT:
            return ABSENT
    return here


def _below(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part, ABSENT)
    if isinstance(value, list):
        index = _index(part)
        if index is not None and index < len(value):
            return value[index]
    return ABSENT


def _index(part: str) -> int | None:
    """The place in a list that the part names."""
    if len(part) > _INDEX_DIGITS or not (part.isascii() and part.isdigit()) or (part[0] == "0" and part != "0"):
        return None
    return int(part)


def write(json: JsonObject, path: str, value: Any, *, at: Place) -> None:
    """Put ``value`` at ``path``: where :func:`read` finds it. Objects that are missing on the way are made.

    ``json`` itself must belong to the caller; objects and lists in it are shared, and copied before they are changed.
    A place right behind the end of a list adds to it. ``at`` is where the parameters have the path.

    Raises:
        NodeError: on the way is a text, a number, true, false or null, or no such place in a list: ``path_blocked``.
    """
    _write(json, resolved(json, path), value, (path, at))


def write_like(json: JsonObject, path: str, value: Any, *, like: JsonObject, at: Place) -> None:
    """Put ``value`` where ``path`` leads in ``like``: lists and objects on the way are made as ``like`` has them.

    Raises:
        NodeError: code ``path_blocked``, as from :func:`write`.
    """
    parts = resolved(like, path)
    here: Any = json
    model: Any = like
    for place, part in enumerate(parts[:-1]):
        model = _below(model, part)
        if _below(here, part) in (None, ABSENT):
            _pad(here, part)
            made: Any = [] if isinstance(model, list) else {}
            _put(here, part, made, (path, at), parts[:place])
        here = _below(here, part)
    _pad(here, parts[-1])
    _write(json, parts, value, (path, at))


def _pad(here: Any, part: str) -> None:
    """Fill a list with null up to the place, which exists in the list that is the model."""
    index = _index(part) if isinstance(here, list) else None
    if index is not None:
        here.extend([None] * (index - len(here)))


def _write(json: JsonObject, parts: Parts, value: Any, named: tuple[str, Place]) -> None:
    here: Any = json
    for place, part in enumerate(parts[:-1]):
        below = _below(here, part)
        if isinstance(below, dict):
            below = dict(below)
        elif isinstance(below, list):
            below = list(below)
        elif below is ABSENT:
            below = {}
        else:
            raise _blocked(named, parts[: place + 1], f"holds {below!r:.60}, not an object or a list")
        _put(here, part, below, named, parts[:place])
        here = below
    _put(here, parts[-1], value, named, parts[:-1])


def _put(here: Any, part: str, value: Any, named: tuple[str, Place], way: Parts) -> None:
    if isinstance(here, dict):
        here[part] = value
        return
    index = _index(part)
    if index is None or index > len(here):
        raise _blocked(named, way, f"is a list of {len(here)} and has no place {part!r:.60}")
    if index == len(here):
        here.append(value)
    else:
        here[index] = value


def _blocked(named: tuple[str, Place], way: Parts, what: str) -> NodeError:
    path, at = named
    return NodeError(
        f"Cannot write {path!r:.100}: {'.'.join(way)!r:.100} {what}.",
        code="path_blocked",
        pointer=pointer("parameters", *at),
        fix="Name another path, or set the part that is in the way as a whole first.",
    )


def without(json: JsonObject, paths: Iterable[str]) -> JsonObject:
    """``json`` without the values at ``paths``, which all mean places in ``json`` as it is; the same object where there
    is none of them."""
    tree: dict[str, Any] = {}
    for path in paths:
        if read(json, path) is ABSENT:
            continue
        branch = tree
        *parents, last = resolved(json, path)
        for part in parents:
            branch = branch.setdefault(part, {})
            if branch is _WHOLE:
                break
        else:
            branch[last] = _WHOLE
    pruned: JsonObject = _pruned(json, tree) if tree else json
    return pruned


_WHOLE: Any = {}
"""In the tree of what is removed: the value as a whole goes, not a part of it."""


def _pruned(value: Any, tree: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {
            key: _pruned(below, tree[key]) if key in tree else below
            for key, below in value.items()
            if tree.get(key) is not _WHOLE
        }
    by_place = {_index(part): below for part, below in tree.items()}
    return [
        _pruned(below, by_place[place]) if place in by_place else below
        for place, below in enumerate(value)
        if by_place.get(place) is not _WHOLE
    ]
