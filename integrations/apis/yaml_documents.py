"""YAML 1.2 read into what JSON has, within bounds.

PyYAML's parser is of YAML 1.1, but only its constructors know what a plain ``no`` or ``12:30`` is. So the events of its
parser (libyaml, where that is there) are put together here by the core schema of YAML 1.2 (10.3), with a bound on the
values, aliases expanded, and on their depth. Names of members are always texts, as written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

MOST_BYTES = 8 << 20
MOST_VALUES = 500_000
MOST_DEPTH = 100
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}\Z")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]{1,4000}\Z|0x[0-9a-fA-F]{1,4000}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_TAG = "tag:yaml.org,2002:"


class YamlError(Exception):
    """The text is no YAML, or more than may be; the message says what, and where."""


def read_yaml(text: bytes | str) -> Any:
    """The value of the first document in the text.

    Raises:
        YamlError: there is none.
    """
    if len(text) > MOST_BYTES:
        raise YamlError(f"more than {MOST_BYTES >> 20} MB of YAML")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Reader().value(yaml.parse(text, Loader=loader))
    except (yaml.YAMLError, UnicodeError) as error:
        raise YamlError(" ".join(str(error).split())[:200]) from error


class _Open:
    """A list or an object whose end is yet to come."""

    __slots__ = ("anchor", "merges", "name", "values")

    def __init__(self, values: list[Any] | dict[str, Any], anchor: str | None) -> None:
        self.values = values
        self.anchor = anchor
        self.name: str | None = None
        self.merges: list[Any] = []


class _Reader:
    """Puts one document together. ``sizes`` are the values in what an anchor names."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._starts: dict[str, int] = {}
        self._count = 0

    def value(self, events: Iterator[Any]) -> Any:
        """The value of the first document."""
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                done, value = self._put(self._scalar(event), event, is_plain=event.implicit[0])
            elif isinstance(event, yaml.AliasEvent):
                done, value = self._put(self._alias(event), event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
                continue
            elif isinstance(event, yaml.CollectionEndEvent):
                done, value = self._end(event)
            elif isinstance(event, yaml.StreamEndEvent):
                return None
            else:
                continue
            if done:
                return value
        return None

    def _spend(self, values: int, event: Any) -> None:
        self._count += values
        if self._count > MOST_VALUES:
            raise YamlError(f"more than {MOST_VALUES} values, aliases included{_where(event)}")

    def _begin(self, event: Any) -> None:
        if self._open and isinstance(self._open[-1].values, dict) and self._open[-1].name is None:
            raise YamlError(f"the name of a member is a list or an object{_where(event)}")
        if len(self._open) >= MOST_DEPTH:
            raise YamlError(f"lists and objects more than {MOST_DEPTH} deep{_where(event)}")
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
            self._starts[event.anchor] = self._count
        self._open.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor))

    def _end(self, event: Any) -> tuple[bool, Any]:
        ended = self._open.pop()
        for merged in ended.merges:
            self._spend(len(merged), event)
            for name, value in merged.items():
                ended.values.setdefault(name, value)  # type: ignore[union-attr]
        if ended.anchor is not None:
            self._anchors[ended.anchor] = ended.values
            self._sizes[ended.anchor] = self._count - self._starts.get(ended.anchor, self._count) + 1
        return self._put(ended.values, event)

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            is_open = any(each.anchor == event.anchor for each in self._open)
            why = "stands inside what it names" if is_open else "names nothing before it"
            raise YamlError(f"the alias *{event.anchor:.60} {why}{_where(event)}")
        self._spend(self._sizes[event.anchor], event)
        return self._anchors[event.anchor]

    def _put(self, value: Any, event: Any, *, is_plain: bool = False) -> tuple[bool, Any]:
        """Put a value where it stands; whether that was the whole document, and the value."""
        self._spend(1, event)
        if isinstance(event, yaml.ScalarEvent) and event.anchor is not None:
            self._anchors[event.anchor], self._sizes[event.anchor] = value, 1
        if not self._open:
            return True, value
        into = self._open[-1]
        if isinstance(into.values, list):
            into.values.append(value)
        elif into.name is None:
            into.name = event.value if isinstance(event, yaml.ScalarEvent) else _name(value, event)
        else:
            name, into.name = into.name, None
            merged = value if isinstance(value, list) else [value]
            if name == "<<" and merged and all(isinstance(each, dict) for each in merged):
                into.merges += merged
            else:
                into.values[name] = value
        return False, None

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is None or event.tag == "!":
            return plain(text) if event.implicit[0] and event.tag is None else text
        kind = event.tag.removeprefix(_TAG)
        if kind == "float":
            number = plain(text)
            return float(number) if isinstance(number, int) and not isinstance(number, bool) else number
        return plain(text) if kind in ("int", "bool", "null") else text


def plain(text: str) -> Any:
    """What a plain scalar is by the core schema. What JSON cannot say (``.inf``, ``.nan``) stays a text."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.match(text):
        return int(text)
    if _OCTAL_OR_HEX.match(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.match(text):
        number = float(text)
        return text if number in (float("inf"), float("-inf")) else number
    return text


def _name(value: Any, event: Any) -> str:
    if isinstance(value, str):
        return value
    raise YamlError(f"the name of a member is no text{_where(event)}")


def _where(event: Any) -> str:
    mark = event.start_mark
    return f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
