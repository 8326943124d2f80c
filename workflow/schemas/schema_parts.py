"""The parts that :mod:`workflow.schemas.foreign` works with: places of schemas, values of keywords, a budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workflow.items import JsonObject

MAX_VALUES = 5_000
MAX_BYTES = 256 << 10
TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
ANNOTATIONS = frozenset({"title", "description", "$comment", "format", "contentEncoding", "contentMediaType"})
"""Keywords whose value is a text that checks nothing."""
COUNTS = (
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains",
)  # fmt: skip
NUMBERS = ("minimum", "maximum", "multipleOf")
FLAGS = ("uniqueItems", "deprecated", "readOnly", "writeOnly")
IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
"""Keywords whose schemas are held against the same value."""
_DESCRIBING = ("title", "description", "default", "deprecated")


@dataclass(slots=True)
class Budget:
    """How many values and bytes schemas may still have."""

    values: int = MAX_VALUES
    bytes: int = MAX_BYTES

    def spend(self, values: int, size_bytes: int) -> bool:
        """Take from it, if it has as much; whether it had."""
        if self.values < values or self.bytes < size_bytes:
            return False
        self.values -= values
        self.bytes -= size_bytes
        return True


class Place:
    """A schema on its way: ``source`` as it was written, ``out`` as it becomes.

    ``is_weak``: it lets more through than its source.
    """

    __slots__ = (
        "ancestors", "children", "depth", "has_reference", "is_nullable", "is_weak", "notes", "out", "read_only",
        "role", "source",
    )  # fmt: skip

    def __init__(self, source: Any, *, role: str, parent: Place | None = None) -> None:
        self.source = source
        self.role = role
        self.out: JsonObject = {}
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.ancestors: frozenset[int] = parent.ancestors if parent is not None else frozenset()
        self.children: list[Place] = []
        self.read_only: set[str] = set()
        self.notes: list[str] = []
        self.has_reference = False
        self.is_nullable = False
        self.is_weak = False
        if parent is not None:
            parent.children.append(self)

    def note(self, text: str) -> None:
        """Say in the description what is not checked."""
        self.is_weak = True
        self.notes.append(text)

    def cut(self, source: Mapping[str, Any]) -> None:
        """Keep no more of the schema than its type."""
        self.is_weak = True
        found = known_type(source.get("type"))
        if found is not None:
            self.out["type"] = found
            self.is_nullable = source.get("nullable") is True

    def settle(self, *, are_references_weak: bool) -> None:
        """Finish the schema when those inside it are: what would refuse more because a part lets more through goes."""
        for child in self.children:
            is_weak = child.is_weak or (are_references_weak and child.has_reference)
            self.has_reference |= child.has_reference
            self.is_weak |= child.is_weak
            if child.role in IN_PLACE:
                self.read_only |= child.read_only
            if is_weak:
                self._loosen(child.role)
        if self.read_only and self.role not in IN_PLACE:
            for part in in_place(self.out):
                required = [each for each in part.get("required", ()) if each not in self.read_only]
                if required:
                    part["required"] = required
                else:
                    part.pop("required", None)
        if self.is_nullable:
            self._allow_null()
        if self.notes:
            said = " ".join([self.out.get("description", ""), f"({' '.join(self.notes)})"]).strip()
            self.out["description"] = said

    def _loosen(self, role: str) -> None:
        if role == "not":
            self.out.pop("not", None)
        elif role == "if":
            for keyword in ("if", "then", "else"):
                self.out.pop(keyword, None)
        elif role == "oneOf" and "oneOf" in self.out:
            # More than one branch may fit now.
            branches = self.out.pop("oneOf")
            if "anyOf" in self.out:
                self.out.setdefault("allOf", []).append({"anyOf": branches})
            else:
                self.out["anyOf"] = branches
        elif role == "contains":
            self.out.pop("maxContains", None)
        if role in IN_PLACE:
            self.out.pop("unevaluatedProperties", None)
            self.out.pop("unevaluatedItems", None)

    def _allow_null(self) -> None:
        """Let ``null`` pass, as generators mean ``nullable`` beside an enum or allOf (OpenAPI 3.0.3 by the letter asks
        for a type beside it, and for null in the enum)."""
        out = self.out
        if "const" in out or any(keyword in out for keyword in (*IN_PLACE, "$ref")):
            outer = {name: out.pop(name) for name in _DESCRIBING if name in out}
            inner = dict(out)
            out.clear()
            out.update({**outer, "anyOf": [inner, {"type": "null"}]})
            return
        if "type" in out:
            types = out["type"] if isinstance(out["type"], list) else [out["type"]]
            out["type"] = [*types, *([] if "null" in types else ["null"])]
        if "enum" in out and None not in out["enum"]:
            out["enum"] = [*out["enum"], None]


def in_place(schema: Any) -> Iterator[JsonObject]:
    """The schema, and those inside it that are held against the same value."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict):
            continue
        yield part
        for keyword in IN_PLACE:
            inner = part.get(keyword)
            if isinstance(inner, list):
                waiting += inner
            elif isinstance(inner, dict):
                waiting += inner.values() if keyword == "dependentSchemas" else [inner]


def known_type(value: Any) -> str | list[str] | None:
    """The type or types, if all of them are known; some write them in capitals."""
    if isinstance(value, str):
        return value.lower() if value.lower() in TYPES else None
    if isinstance(value, list) and value:
        found = [known_type(each) for each in value if isinstance(each, str)]
        if len(found) == len(value) and None not in found:
            return list(dict.fromkeys(each for each in found if isinstance(each, str)))
    return None


def number_of(value: Any) -> int | float | None:
    """The number that it is."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def count_of(value: Any) -> int | None:
    """The whole number, not negative, that it is."""
    number = number_of(value)
    return int(number) if number is not None and number >= 0 and number == number // 1 else None


def texts_of(value: Any) -> list[str]:
    """The texts in a list."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def size_of(value: Any, budget: Budget) -> tuple[int, int] | None:
    """Values and bytes of a value, if the budget has as many."""
    values, size, waiting = 0, 0, [value]
    while waiting:
        each = waiting.pop()
        values += 1
        size += len(each) if isinstance(each, str) else 4
        if isinstance(each, dict):
            size += sum(len(name) for name in each if isinstance(name, str))
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        if values + len(waiting) > budget.values or size > budget.bytes:
            return None
    return values, size
