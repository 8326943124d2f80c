"""Schemas of tools in the form that providers of models take, and a model's arguments in the form of the tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workflow.items import JsonObject
from workflow.schemas.provider_rules import (
    COMBINATORS,
    PROPERTY_NAME,
    provider_findings,
    renamed,
    root_members,
    types_of,
)
from workflow.schemas.references import found_in

MOST_PARTS = 50
MOST_DEPTH = 60
_MAPS = ("patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")


class ProviderForm:
    """A tool's schema as models get it: ``schema``. It lets through what the tool's own does, and may let more."""

    def __init__(self, schema: JsonObject) -> None:
        self._source = schema
        self._is_same = not provider_findings(schema)
        self.schema: JsonObject = schema if self._is_same else self._root()

    def original(self, arguments: JsonObject) -> JsonObject:
        """The arguments with the names that the tool knows."""
        if self._is_same:
            return arguments
        made = self._original(arguments, [self._source], 0)
        return made if isinstance(made, dict) else arguments

    def _root(self) -> JsonObject:
        source = dict(self._source)
        if any(keyword in source for keyword in (*COMBINATORS, "$ref")):
            members, required = root_members(source)
            source = {
                name: value
                for name, value in source.items()
                if name not in (*COMBINATORS, "$ref", "then", "else", "required")
            }
            source["properties"] = members
            if required:
                source["required"] = required
        made: JsonObject = self._formed({**source, "type": "object"}, 0)
        made.setdefault("properties", {})
        return made

    def _formed(self, part: Any, depth: int) -> Any:
        if not isinstance(part, Mapping) or depth > MOST_DEPTH:
            return part
        made = dict(part)
        for keyword in _SINGLE:
            if keyword in made:
                made[keyword] = self._formed(made[keyword], depth + 1)
        for keyword in _MAPS:
            if isinstance(made.get(keyword), Mapping):
                made[keyword] = {name: self._formed(each, depth + 1) for name, each in made[keyword].items()}
        for keyword in _LISTS:
            if isinstance(made.get(keyword), list):
                made[keyword] = [self._formed(each, depth + 1) for each in made[keyword]]
        types = types_of(made)
        if "array" in types and not isinstance(made.get("items"), Mapping):
            made["items"] = {}
        members = made.get("properties")
        if isinstance(members, Mapping):
            names = {old: new for new, old in _names(members).items()}
            made["properties"] = {
                names.get(name, name): {} if each is True else self._formed(each, depth + 1)
                for name, each in members.items()
                if each is not False
            }
            if isinstance(made.get("required"), list):
                made["required"] = [names.get(each, each) for each in made["required"]]
        elif "object" in types and "additionalProperties" not in made and "$ref" not in made and "anyOf" not in made:
            made["properties"] = {}
        return made

    def _original(self, value: Any, parts: Sequence[Any], depth: int) -> Any:
        if depth > MOST_DEPTH or not isinstance(value, dict | list):
            return value
        there = self._in_place(parts)
        if isinstance(value, list):
            return [self._original(each, [part.get("items") for part in there], depth + 1) for each in value]
        members = [part["properties"] for part in there if isinstance(part.get("properties"), Mapping)]
        names: dict[str, str] = {}
        for each in members:
            names = {**_names(each), **names}
        made: JsonObject = {}
        for name, inner in value.items():
            own = str(name if any(name in each for each in members) else names.get(name, name))
            within = [each[own] for each in members if own in each]
            within = within or [part.get("additionalProperties") for part in there]
            made[own] = self._original(inner, within, depth + 1)
        return made

    def _in_place(self, parts: Sequence[Any]) -> list[Mapping[str, Any]]:
        """The schemas that are held against one value."""
        found: list[Mapping[str, Any]] = []
        waiting = list(parts)
        while waiting and len(found) < MOST_PARTS:
            part = waiting.pop(0)
            if not isinstance(part, Mapping):
                continue
            found.append(part)
            if isinstance(part.get("$ref"), str):
                waiting.append(found_in(self._source, part["$ref"]))
            for keyword in ("allOf", "anyOf", "oneOf"):
                waiting += part[keyword] if isinstance(part.get(keyword), list) else []
            waiting += [part.get("then"), part.get("else")]
        return found


def _names(members: Mapping[str, Any]) -> dict[str, str]:
    """New names of members, each with its own, for those that no provider takes."""
    made: dict[str, str] = {}
    for name in members:
        if not PROPERTY_NAME.match(name):
            made[renamed(name, {**members, **made})] = name
    return made
