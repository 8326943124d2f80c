"""Schemas that other systems wrote, made usable: JSON Schema 2020-12, whole in itself and bounded.

Such a schema may be of any draft, refer to nothing or to other servers, and name types and patterns that are not known
here. What cannot be used is dropped, and the description of that place says so: the other system checks its arguments
by itself, so the check before a call may let more through, and never less. A schema that is usable comes out as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from workflow.findings import Finding
from workflow.items import JsonObject
from workflow.schemas.keywords import pattern_of
from workflow.schemas.references import cut_circles, found_in, unescaped
from workflow.schemas.schema_parts import (
    ANNOTATIONS,
    COUNTS,
    FLAGS,
    NUMBERS,
    Budget,
    Place,
    count_of,
    known_type,
    number_of,
    size_of,
    texts_of,
)
from workflow.schemas.schemas import InputSchema

MOST_CHECK_STEPS = 3_000
"""Keywords looked at for the arguments of one call: some 0.08 s. What is left is the other system's to check."""
MOST_DEPTH = 40
"""Schemas inside one another; the check of a value has a bound of its own (``keywords.MAX_NESTING``)."""
MOST_PATTERNS = 200
LONGEST_PATTERN = 1_000
MOST_DESCRIPTION = 2_000
_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12")
_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS_OF_SCHEMAS = ("dependentSchemas", "$defs", "definitions")
_SINGLE_SCHEMAS = (
    "additionalProperties", "contains", "else", "if", "not", "propertyNames", "then", "unevaluatedItems",
    "unevaluatedProperties",
)  # fmt: skip
_IDENTITY = frozenset(
    {"$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary", "$recursiveRef", "$dynamicRef"}
)
_HANDLED = frozenset(
    {
        "type", "enum", "const", "default", "examples", "required", "properties", "patternProperties", "pattern",
        "items", "additionalItems", "dependencies", "dependentRequired", "exclusiveMinimum", "exclusiveMaximum",
        "nullable", "$ref", "$schema", *ANNOTATIONS, *COUNTS, *FLAGS, *NUMBERS, *_LISTS_OF_SCHEMAS, *_MAPS_OF_SCHEMAS,
        *_SINGLE_SCHEMAS, *_IDENTITY,
    }
)  # fmt: skip

Find = Callable[[str], Any]
"""What a reference leads to in the document that it stands in; ``None`` where that is nothing."""


def usable_schema(schema: Any, *, budget: Budget | None = None) -> JsonObject:
    """The schema (type object) of a tool's arguments in a form that can be checked; references inside it stay."""
    root = schema if isinstance(schema, dict) else {}
    return Conversion(root, budget=budget or Budget(), keeps=True).schema(root, is_arguments=True)


def argument_findings(
    schema: Any, arguments: Any, *, at: str = "", most_steps: int = MOST_CHECK_STEPS
) -> tuple[list[Finding], int]:
    """What of the arguments does not fit another system's schema, and how many of the steps are left."""
    checking = InputSchema(usable_schema(schema))
    return checking.findings_within(arguments, at=at, most_steps=most_steps)


class Conversion:
    """Converts schemas of one document, breadth first, so that a spent budget cuts the deepest parts.

    With ``keeps`` references stay references (and their targets come to ``$defs``); without, what they lead to is put
    in their place, and a reference to a schema that it is part of is cut. ``find`` resolves references.
    ``drops_read_only`` leaves out what only the other side writes.
    """

    def __init__(
        self,
        root: Any,
        *,
        budget: Budget,
        keeps: bool,
        find: Find | None = None,
        drops_read_only: bool = False,
    ) -> None:
        self._root = root
        self._budget = budget
        self._keeps = keeps
        self._find = find or (lambda reference: found_in(root, reference))
        self._drops_read_only = drops_read_only
        self._waiting: deque[Place] = deque()
        self._places: list[Place] = []
        self._patterns_left = MOST_PATTERNS
        self._made: JsonObject = {}
        self._copied: dict[str, str] = {}
        self._is_cut = False

    def schema(self, source: Any, *, is_arguments: bool = False) -> JsonObject:
        """The schema ``source`` of the document, converted."""
        self._places, self._copied, self._is_cut = [], {}, False
        root = Place(source, role="root")
        self._made = root.out
        self._waiting.append(root)
        while self._waiting:
            place = self._waiting.popleft()
            self._places.append(place)
            self._fill(place)
        references = {each.out["$ref"] for each in self._places if "$ref" in each.out}
        if self._is_cut:
            root.note("Parts of it are left out here: the schema is too large.")
        are_references_weak = cut_circles(root.out, references) | any(each.is_weak for each in self._places)
        for place in reversed(self._places):
            place.settle(are_references_weak=are_references_weak)
        if is_arguments and root.out.get("type") != "object":
            if "type" in root.out:
                root.out["description"] = f"{root.out.get('description', '')} (Its type is not object.)".strip()
            root.out["type"] = "object"
        return root.out

    def _fill(self, place: Place) -> None:
        source = self._with_reference(place)
        if source is None:
            return
        if place.depth > MOST_DEPTH or not self._budget.spend(1, 8):
            place.cut(source)
            self._is_cut = True
            return
        for keyword, value in source.items():
            if keyword in ANNOTATIONS:
                self._text(place, keyword, value)
            elif keyword in _LISTS_OF_SCHEMAS:
                self._list(place, keyword, value)
            elif keyword in _MAPS_OF_SCHEMAS:
                if keyword == "dependentSchemas" or place.role == "root":
                    self._map(place, keyword, value)
            elif keyword in _SINGLE_SCHEMAS:
                self._single(place, keyword, value)
            elif keyword not in _HANDLED and self._keeps:
                self._value(place, str(keyword), value, is_check=False)
        self._values(place, source)
        self._bounds(place, source)
        self._members(place, source)
        self._elements(place, source)
        self._dependencies(place, source)
        place.is_nullable = source.get("nullable") is True and place.role != "root"

    def _with_reference(self, place: Place) -> Mapping[str, Any] | None:
        """The schema at the place, with what its reference leads to; ``None`` where the place is done."""
        source: Any = place.source
        for _ in range(MOST_DEPTH):
            if not isinstance(source, dict):
                return {}
            reference = next(
                (source[each] for each in ("$ref", "$recursiveRef", "$dynamicRef") if each in source), None
            )
            if reference is None:
                return source
            rest = {
                name: value for name, value in source.items() if name not in ("$ref", "$recursiveRef", "$dynamicRef")
            }
            target = self._find(reference) if isinstance(reference, str) else None
            if target is True:
                return rest
            if not isinstance(target, dict):
                place.note(f"It refers to {reference!r:.200}, which is not in this schema.")
                return rest
            if self._keeps:
                place.has_reference = True
                place.out["$ref"] = self._kept(reference, target)
                return rest
            if id(target) in place.ancestors:
                place.cut({**target, **rest})
                place.note(f"The same again as {reference.rpartition('/')[2]!r:.100}, further out.")
                return None
            place.ancestors = place.ancestors | {id(target)}
            source = _joined(target, rest)
        place.note("It refers to itself.")
        return {}

    def _kept(self, reference: str, target: Any) -> str:
        """The reference as it leads somewhere in what is made."""
        parts = reference.partition("#")[2].split("/")
        at_root = self._root.get(parts[1]) if len(parts) == 3 and parts[1] in ("$defs", "definitions") else None
        if target is self._root:
            return "#"
        if isinstance(at_root, dict) and at_root.get(unescaped(parts[2])) is target:
            return f"#/{parts[1]}/{parts[2]}"
        if reference not in self._copied:
            name = f"referred_{len(self._copied) + 1}"
            self._copied[reference] = name
            definitions = self._made.setdefault("$defs", {})
            definitions[name] = self._child(Place(None, role="root"), target, "definition")
        return f"#/$defs/{self._copied[reference]}"

    def _child(self, place: Place, value: Any, role: str) -> Any:
        """What is to stand for a schema inside another; ``None`` where it is no schema."""
        if isinstance(value, bool):
            return value
        if not isinstance(value, dict):
            return None
        child = Place(value, role=role, parent=place)
        self._waiting.append(child)
        return child.out

    def _single(self, place: Place, keyword: str, value: Any) -> None:
        made = self._child(place, value, keyword)
        if made is not None:
            place.out[keyword] = made
        elif keyword in ("not", "if"):
            place.is_weak = True

    def _list(self, place: Place, keyword: str, value: Any) -> None:
        if not isinstance(value, list) or not value:
            return
        made = [self._child(place, each, keyword) for each in value[: self._budget.values]]
        place.out[keyword] = [{} if each is None else each for each in made]
        place.is_weak |= len(made) < len(value) or None in made

    def _map(self, place: Place, keyword: str, value: Any) -> None:
        if isinstance(value, dict):
            existing = place.out.setdefault(keyword, {})
            for name, each in list(value.items())[: self._budget.values]:
                made = self._child(place, each, keyword)
                existing[str(name)] = {} if made is None else made

    def _text(self, place: Place, keyword: str, value: Any) -> None:
        if isinstance(value, str) and self._budget.spend(0, len(value)):
            place.out[keyword] = value if len(value) <= MOST_DESCRIPTION else f"{value[: MOST_DESCRIPTION - 1]}…"

    def _value(self, place: Place, keyword: str, value: Any, *, is_check: bool) -> None:
        """A value that is no schema; one that is too large is dropped."""
        size = size_of(value, self._budget)
        if size is not None and self._budget.spend(*size):
            place.out[keyword] = value
        elif is_check:
            place.note(f"Its {keyword} is too long to be checked.")

    def _values(self, place: Place, source: Mapping[str, Any]) -> None:
        if "type" in source:
            found = known_type(source["type"])
            if found is None:
                place.note(f"Its type is {source['type']!r:.100}, which is not checked.")
            else:
                place.out["type"] = found
        if "enum" in source:
            if isinstance(source["enum"], list) and source["enum"]:
                self._value(place, "enum", source["enum"], is_check=True)
            else:
                place.note("Its enum has no values.")
        if "const" in source:
            self._value(place, "const", source["const"], is_check=True)
        if "default" in source:
            self._value(place, "default", source["default"], is_check=False)
        if isinstance(source.get("examples"), list) and self._keeps:
            self._value(place, "examples", source["examples"], is_check=False)
        schema = source.get("$schema")
        if isinstance(schema, str) and self._keeps and place.role == "root" and any(each in schema for each in _DRAFTS):
            place.out["$schema"] = schema

    def _bounds(self, place: Place, source: Mapping[str, Any]) -> None:
        for names, read in ((COUNTS, count_of), (NUMBERS, number_of)):
            for name in names:
                if name not in source:
                    continue
                found = read(source[name])
                if found is None or (name == "multipleOf" and found <= 0):
                    place.note(f"Its {name} is {source[name]!r:.100}, which is not checked.")
                else:
                    place.out[name] = found
        for name in FLAGS:
            if isinstance(source.get(name), bool):
                place.out[name] = source[name]
        for name, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            given = source.get(name)
            if given is True and bound in place.out:  # draft-04, and OpenAPI 3.0
                place.out[name] = place.out.pop(bound)
            elif number_of(given) is not None:
                place.out[name] = given
            elif given not in (None, True, False):
                place.note(f"Its {name} is {given!r:.100}, which is not checked.")
        if "pattern" in source:
            why = self._bad_pattern(source["pattern"])
            if why is None:
                place.out["pattern"] = source["pattern"]
            else:
                place.note(f"It has to match {source['pattern']!r:.300}, which is not checked here ({why:.100}).")

    def _bad_pattern(self, pattern: Any) -> str | None:
        """Why the pattern cannot be used, if so."""
        if not isinstance(pattern, str):
            return "no text"
        self._patterns_left -= 1
        if len(pattern) > LONGEST_PATTERN or self._patterns_left < 0 or not self._budget.spend(0, len(pattern)):
            return "too long"
        try:
            pattern_of(pattern)
        except ValueError as error:
            return str(error)
        return None

    def _members(self, place: Place, source: Mapping[str, Any]) -> None:
        members = source.get("properties")
        required = texts_of(source.get("required"))
        if isinstance(members, dict):
            made: JsonObject = {}
            place.out["properties"] = made
            for name, member in members.items():
                if self._drops_read_only and self._is_read_only(member):
                    place.read_only.add(name)
                    continue
                if not self._budget.spend(1, len(str(name))):
                    place.is_weak = True
                    place.out.pop("additionalProperties", None)
                    place.out.pop("unevaluatedProperties", None)
                    self._is_cut = True
                    break
                child = self._child(place, member, "properties")
                made[str(name)] = {} if child is None else child
                if isinstance(member, dict) and member.get("required") is True:  # draft-03
                    required.append(str(name))
        if required:
            place.out["required"] = list(dict.fromkeys(required))
        self._members_by_pattern(place, source.get("patternProperties"))

    def _members_by_pattern(self, place: Place, by_pattern: Any) -> None:
        if not isinstance(by_pattern, dict):
            return
        place.out["patternProperties"] = {}
        for pattern, member in by_pattern.items():
            why = self._bad_pattern(pattern)
            if why is None:
                child = self._child(place, member, "patternProperties")
                place.out["patternProperties"][pattern] = {} if child is None else child
                continue
            place.note(f"Members that match {pattern!r:.300} are not checked here ({why:.100}).")
            place.out.pop("additionalProperties", None)
        # The library would look for these members with a pattern engine that backtracks.
        if place.out.pop("unevaluatedProperties", None) is not None:
            place.note("Whether it has other members is not checked.")

    def _is_read_only(self, member: Any) -> bool:
        if not isinstance(member, dict):
            return False
        target = self._find(member["$ref"]) if isinstance(member.get("$ref"), str) else None
        return member.get("readOnly") is True or (isinstance(target, dict) and target.get("readOnly") is True)

    def _elements(self, place: Place, source: Mapping[str, Any]) -> None:
        items = source.get("items")
        if isinstance(items, list):  # up to 2019-09
            if items:
                self._list(place, "prefixItems", items)
            rest = self._child(place, source.get("additionalItems"), "items")
            if rest is not None:
                place.out["items"] = rest
            return
        made = self._child(place, items, "items")
        if made is not None:
            place.out["items"] = made

    def _dependencies(self, place: Place, source: Mapping[str, Any]) -> None:
        for keyword in ("dependentRequired", "dependencies"):  # the second one up to draft-07
            given = source.get(keyword)
            for name, needed in list(given.items())[: self._budget.values] if isinstance(given, dict) else ():
                if isinstance(needed, list):
                    place.out.setdefault("dependentRequired", {})[str(name)] = list(dict.fromkeys(texts_of(needed)))
                elif keyword == "dependencies":
                    made = self._child(place, needed, "dependentSchemas")
                    if made is not None:
                        place.out.setdefault("dependentSchemas", {})[str(name)] = made


def _joined(target: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """What a reference leads to, and what stands beside it."""
    if all(name in ANNOTATIONS or name in FLAGS or name in ("default", "nullable") for name in rest if name in target):
        return {**target, **rest}
    return {"allOf": [target, rest]}
