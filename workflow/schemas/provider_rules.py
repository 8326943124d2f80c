"""What the APIs of models ask of the schema of a tool's arguments. One tool that breaks a rule makes them refuse all.

Errors are what Anthropic's or OpenAI's API refuses: a combinator or ``$ref`` at the root, names of members beyond
``[a-zA-Z0-9_.-]{1,64}``, lists without ``items``, objects without ``properties``. Warnings are what Gemini's own form
of schemas does not have: ``const``, ``exclusiveMinimum`` and ``exclusiveMaximum``, lists of types, values without a
type. Each finding has a patch that mends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from workflow.findings import Finding, PatchOperation, pointer
from workflow.items import JsonObject
from workflow.schemas.references import found_in

PROPERTY_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}\Z")
COMBINATORS = ("allOf", "anyOf", "oneOf", "not", "if")
NO_ARGUMENTS: JsonObject = {"type": "object", "properties": {}}
MOST_DEPTH = 60
_SCHEMAS = ("items", "additionalProperties", "contains", "not", "if", "then", "else")
_TYPED = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"})
_SAYS_MEMBERS = frozenset({"properties", "additionalProperties", "anyOf", "$ref"})

Path = tuple[str | int, ...]


def provider_findings(schema: Mapping[str, Any], *, at: str = "", is_strict: bool = False) -> list[Finding]:
    """What a provider would refuse; pointers and patches start with ``at``. With ``is_strict`` the warnings too."""
    found = list(_root_findings(schema, at))
    for path, part in _parts(schema):
        found += _part_findings(part, at + pointer(*path))
        if is_strict:
            found += _gemini_findings(part, at + pointer(*path), is_root=not path)
    return found


def renamed(name: str, taken: Mapping[str, Any]) -> str:
    """A name that every provider takes in place of this one, and that is not taken."""
    made = re.sub(r"[^a-zA-Z0-9_.-]+", "_", name)[:64] or "_"
    number = 2
    while made in taken:
        made = f"{made[:60]}_{number}"
        number += 1
    return made


def root_members(schema: Mapping[str, Any]) -> tuple[JsonObject, list[str]]:
    """The members that the root and its branches name, and those that are required in any case."""
    return _members(schema, schema, 0)


def fits_openai_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes the schema: each object names all its members, and requires them."""
    for _, part in _parts(schema):
        is_object = "object" in types_of(part)
        members = part.get("properties", {})
        if is_object and (
            part.get("additionalProperties") is not False or set(part.get("required", ())) != set(members)
        ):
            return False
        if "patternProperties" in part or "oneOf" in part or not _TYPED & part.keys():
            return False
    return not any(keyword in schema for keyword in (*COMBINATORS, "$ref"))


def _root_findings(schema: Mapping[str, Any], at: str) -> Iterator[Finding]:
    if schema.get("type") != "object":
        yield Finding(
            code="bad_schema",
            pointer=at,
            message='Providers of models ask for type: "object" at the root of a tool\'s schema.',
            patch=(PatchOperation(op="replace" if "type" in schema else "add", path=f"{at}/type", value="object"),),
        )
    wrong = [keyword for keyword in (*COMBINATORS, "$ref") if keyword in schema]
    if not wrong:
        return
    # What the branches name is named at the root, and nothing of it is required: this is what all of them let through.
    members, required = root_members(schema)
    operations = [PatchOperation(op="remove", path=at + pointer(keyword)) for keyword in schema if keyword in wrong]
    operations += [
        PatchOperation(op="remove", path=at + pointer(keyword)) for keyword in ("then", "else") if keyword in schema
    ]
    for keyword, value in (("properties", members), ("required", required)):
        if value or keyword == "properties":
            operation: Literal["add", "replace"] = "replace" if keyword in schema else "add"
            operations.append(PatchOperation(op=operation, path=at + pointer(keyword), value=value))
    yield Finding(
        code="bad_schema",
        pointer=at + pointer(wrong[0]),
        message=f"Providers of models refuse {', '.join(wrong)} at the root of a tool's schema, and all tools with it.",
        patch=tuple(operations),
        fix="Apply the patch: all members at the root; say in the description which belong together.",
    )


def _members(part: Any, root: Mapping[str, Any], depth: int) -> tuple[JsonObject, list[str]]:
    """The members that a schema and its branches name, and those that are required in any case."""
    if not isinstance(part, Mapping) or depth > 10:
        return {}, []
    given = part.get("properties")
    members: JsonObject = dict(given) if isinstance(given, Mapping) else {}
    required = [each for each in part.get("required", ()) if isinstance(each, str)]
    always = [each for each in part.get("allOf", ()) if isinstance(each, Mapping)]
    if isinstance(part.get("$ref"), str):
        always.append(found_in(root, part["$ref"]))
    for each in always:
        more, needed = _members(each, root, depth + 1)
        members = {**more, **members}
        required += needed
    for keyword in ("anyOf", "oneOf"):
        branches = [_members(each, root, depth + 1) for each in part.get(keyword, ())]
        for more, _ in branches:
            members = {**more, **members}
        if branches:
            required += [each for each in branches[0][1] if all(each in needed for _, needed in branches)]
    for keyword in ("then", "else"):
        members = {**_members(part.get(keyword), root, depth + 1)[0], **members}
    return members, list(dict.fromkeys(required))


def _part_findings(part: Mapping[str, Any], at: str) -> Iterator[Finding]:
    types = [each for each in types_of(part) if each != "null"]
    if types == ["object"] and not any(
        each in part for each in ("properties", "additionalProperties", "anyOf", "$ref")
    ):
        yield Finding(
            code="bad_schema",
            pointer=at,
            message="An object without properties: OpenAI's API refuses such a schema.",
            patch=(PatchOperation(op="add", path=f"{at}/properties", value={}),),
        )
    if "array" in types and not isinstance(part.get("items"), Mapping):
        yield Finding(
            code="bad_schema",
            pointer=at,
            message="A list without items: OpenAI's and Gemini's APIs refuse such a schema.",
            patch=(PatchOperation(op="replace" if "items" in part else "add", path=f"{at}/items", value={}),),
            fix="Apply the patch, or say what the elements are.",
        )
    members = part.get("properties")
    for name, member in members.items() if isinstance(members, Mapping) else ():
        if not PROPERTY_NAME.match(name):
            yield _name_finding(part, name, at)
        if isinstance(member, bool):
            there = at + pointer("properties", name)
            yield Finding(
                code="bad_schema",
                pointer=there,
                message=f"Providers of models take no {str(member).lower()} for a schema.",
                patch=(PatchOperation(op="replace" if member else "remove", path=there, value={} if member else None),),
            )


def _name_finding(part: Mapping[str, Any], name: str, at: str) -> Finding:
    new = renamed(name, part["properties"])
    operations = [
        PatchOperation(op="move", from_=at + pointer("properties", name), path=at + pointer("properties", new))
    ]
    required = part.get("required")
    for place, each in enumerate(required if isinstance(required, list) else ()):
        if each == name:
            operations.append(PatchOperation(op="replace", path=at + pointer("required", place), value=new))
    return Finding(
        code="bad_schema",
        pointer=at + pointer("properties", name),
        message=f"{name!r:.100} is no name that providers of models take: 1 to 64 of a-z, A-Z, 0-9, _, . and -.",
        patch=tuple(operations),
        fix=f"Name it {new}, also where the workflow reads it.",
    )


def _gemini_findings(part: Mapping[str, Any], at: str, *, is_root: bool) -> Iterator[Finding]:
    if "const" in part:
        value = part["const"]
        yield _gemini(
            at, "const", PatchOperation(op="remove", path=f"{at}/const"),
            PatchOperation(op="replace" if "enum" in part else "add", path=f"{at}/enum", value=[value]),
        )  # fmt: skip
    for keyword, bound, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        value = part.get(keyword)
        if isinstance(value, int | float):
            new = value + step if "integer" in types_of(part) else value
            yield _gemini(
                at, keyword, PatchOperation(op="remove", path=at + pointer(keyword)),
                PatchOperation(op="replace" if bound in part else "add", path=at + pointer(bound), value=new),
            )  # fmt: skip
    if isinstance(part.get("type"), list):
        rest = [PatchOperation(op="remove", path=f"{at}/type")]
        options = [{"type": each} for each in part["type"] if isinstance(each, str)]
        keyword = "anyOf" if "anyOf" not in part else "oneOf"
        yield _gemini(at, "list of types", *rest, PatchOperation(op="add", path=at + pointer(keyword), value=options))
    if not is_root and not _TYPED & part.keys():
        yield Finding(
            code="bad_schema",
            severity="warning",
            pointer=at,
            message="A value without a type: Gemini's form of schemas asks for one.",
            patch=(PatchOperation(op="add", path=f"{at}/type", value=_likely_type(part)),),
            fix="Apply the patch, or name the types that it may have.",
        )


def _gemini(at: str, keyword: str, *operations: PatchOperation) -> Finding:
    return Finding(
        code="bad_schema",
        severity="warning",
        pointer=operations[0].path,
        message=f"Gemini's form of schemas has no {keyword}.",
        patch=operations,
    )


def _likely_type(part: Mapping[str, Any]) -> str:
    if "properties" in part or "additionalProperties" in part:
        return "object"
    if "items" in part or "prefixItems" in part:
        return "array"
    if "pattern" in part or "maxLength" in part or "minLength" in part or "format" in part:
        return "string"
    if "minimum" in part or "maximum" in part:
        return "number"
    return "string"


def types_of(part: Mapping[str, Any]) -> list[Any]:
    """The types that a schema names."""
    given = part.get("type")
    return given if isinstance(given, list) else [given]


def _parts(schema: Any) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Each schema in it, with its path; deeper ones later."""
    waiting: list[tuple[Path, Any]] = [((), schema)]
    for path, part in waiting:
        if not isinstance(part, Mapping) or len(path) > MOST_DEPTH:
            continue
        yield path, part
        waiting += [((*path, keyword), part.get(keyword)) for keyword in _SCHEMAS]
        for keyword in ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"):
            members = part.get(keyword)
            if isinstance(members, Mapping):
                waiting += [((*path, keyword, name), each) for name, each in members.items()]
        for keyword in ("allOf", "anyOf", "oneOf", "prefixItems"):
            members = part.get(keyword)
            if isinstance(members, list):
                waiting += [((*path, keyword, place), each) for place, each in enumerate(members)]
