"""What has changed between two definitions: as a JSON Patch for programs, in lines for readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow.findings import PatchOperation, pointer

SUMMARY_CHARACTERS = 200
"""Longest summary of a change: it must fit on one line of a list."""


@dataclass(slots=True, frozen=True)
class Difference:
    """``patch`` makes the second definition of the first (RFC 6902); ``lines`` say the same, one change a line."""

    patch: tuple[PatchOperation, ...]
    lines: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The lines in one, cut where they are many."""
        if not self.lines:
            return "Nothing changed."
        text, room = self.lines[0], SUMMARY_CHARACTERS - len("; and 10000 more")
        for place, line in enumerate(self.lines[1:], 1):
            longer = f"{text}; {line[:1].lower()}{line[1:]}"
            if len(longer) > room:
                return f"{text[:room]}; and {len(self.lines) - place} more"
            text = longer
        return text[:SUMMARY_CHARACTERS]


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """What makes ``after`` of ``before``; both are definitions as JSON. The order of nodes does not count."""
    return Difference(tuple(_patch(before, after, ())), tuple(_lines(before, after)))


def _patch(before: Any, after: Any, path: tuple[str | int, ...]) -> list[PatchOperation]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return _object_patch(before, after, path)
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return _list_patch(before, after, path)
    if _is_same(before, after):
        return []
    return [PatchOperation(op="replace", path=pointer(*path), value=after)]


def _object_patch(
    before: Mapping[str, Any], after: Mapping[str, Any], path: tuple[str | int, ...]
) -> list[PatchOperation]:
    found = [PatchOperation(op="remove", path=pointer(*path, name)) for name in before if name not in after]
    for name, member in after.items():
        if name in before:
            found += _patch(before[name], member, (*path, name))
        else:
            found.append(PatchOperation(op="add", path=pointer(*path, name), value=member))
    return found


def _list_patch(before: Sequence[Any], after: Sequence[Any], path: tuple[str | int, ...]) -> list[PatchOperation]:
    """What lies between the members that both have at their beginning and end is replaced, added or removed."""
    shorter = min(len(before), len(after))
    start = next((at for at in range(shorter) if not _is_same(before[at], after[at])), shorter)
    end = next((at for at in range(shorter - start) if not _is_same(before[-1 - at], after[-1 - at])), shorter - start)
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    found: list[PatchOperation] = []
    for at, (was, now) in enumerate(zip(old, new, strict=False), start):
        found += _patch(was, now, (*path, at))
    # From the end on, so that no removal moves what a later one names.
    for at in reversed(range(len(new), len(old))):
        found.append(PatchOperation(op="remove", path=pointer(*path, start + at)))
    for at in range(len(old), len(new)):
        found.append(PatchOperation(op="add", path=pointer(*path, start + at), value=new[at]))
    return found


def _is_same(one: Any, other: Any) -> bool:
    """Equality of JSON values. Python takes ``True`` for 1, and JSON does not."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and bool(one == other)


def _lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    if before.get("name") != after.get("name"):
        lines.append(f"Renamed to {after.get('name')!r}")
    if before.get("description", "") != after.get("description", ""):
        lines.append("Changed the description")
    lines += _node_lines(before.get("nodes", {}), after.get("nodes", {}))
    lines += _connection_lines(before.get("connections", []), after.get("connections", []))
    if changed := _changed_paths(before.get("settings", {}), after.get("settings", {})):
        lines.append(f"Changed the settings {', '.join(changed)}")
    return lines


def _node_lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    lines = [f"Removed the node {name!r} ({node['type']})" for name, node in before.items() if name not in after]
    for name, node in after.items():
        if name not in before:
            lines.append(f"Added the node {name!r} ({node['type']})")
        elif changed := _changed_paths(before[name], node):
            lines.append(f"Changed the node {name!r}: {', '.join(changed)}")
    return lines


def _connection_lines(before: Sequence[Any], after: Sequence[Any]) -> list[str]:
    was, now = dict.fromkeys(map(tuple, before)), dict.fromkeys(map(tuple, after))
    lines = [f"Disconnected {source!r} from {target!r}" for source, target in was if (source, target) not in now]
    lines += [f"Connected {source!r} to {target!r}" for source, target in now if (source, target) not in was]
    if list(was) != list(now) and not lines:
        lines.append("Changed the order of the connections")
    return lines


def _changed_paths(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which members differ, as dotted paths, at most two levels deep: deeper ones tell readers little."""
    found: list[str] = []
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        if _is_same(was, now):
            continue
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            inner = [each for each in dict.fromkeys([*was, *now]) if not _is_same(was.get(each), now.get(each))]
            found += [f"{name}.{each}" for each in inner]
        else:
            found.append(name)
    return found
