"""JSON Schemas that workflows bring along: checked as such, and values held against them.

A schema must be whole in itself: what it refers to elsewhere is never fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonpointer

from workflow.findings import Finding, did_you_mean, nearest, pointer

MOST_FINDINGS = 20
"""Findings given for one value: more would help nobody."""


class InputSchema:
    """A schema that has passed :func:`schema_findings`, compiled."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        # Loaded when the first schema is there: it takes 60 ms, and most processes never see one.
        from jsonschema import Draft202012Validator
        from referencing import Registry

        self.schema = dict(schema)
        # A registry of ours that knows nothing: the default one fetches what is referred to.
        self._validator = Draft202012Validator(self.schema, registry=Registry())

    def findings(self, value: Any, *, at: str = "") -> list[Finding]:
        """Everything in ``value`` that does not fit; pointers start with ``at``."""
        found: list[Finding] = []
        for error in self._validator.iter_errors(value):
            found += _value_findings(error, at)
            if len(found) >= MOST_FINDINGS:
                break
        return found


def schema_findings(schema: Any, *, at: str = "") -> list[Finding]:
    """What is wrong with a schema for a tool's input; pointers start with ``at``."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if not isinstance(schema, dict) or schema.get("type") != "object":
        message = 'The schema must describe an object: {"type": "object", "properties": {…}}.'
        return [Finding(code="bad_schema", pointer=at, message=message, fix="Describe an object.")]
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        message = f"This is not JSON Schema (2020-12): {error.message}."
        where = at + pointer(*error.absolute_path)
        return [Finding(code="bad_schema", pointer=where, message=message, fix="Correct the schema at this place.")]
    found = [
        Finding(
            code="bad_schema",
            pointer=at + where,
            message=f"{reference!r} refers to nothing in the schema.",
            fix="Refer to something in it, such as #/$defs/name.",
        )
        for where, reference in _references(schema, "")
        if not _leads_somewhere(schema, reference)
    ]
    if found:
        return found
    try:
        InputSchema(schema).findings({})
    except RecursionError:
        message = "The schema refers to itself without an end."
        found.append(Finding(code="bad_schema", pointer=at, message=message, fix="Take one of the $refs away."))
    return found


def _references(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, member in value.items():
            inner = where + pointer(name)
            if name in ("$ref", "$dynamicRef") and isinstance(member, str):
                yield inner, member
            else:
                yield from _references(member, inner)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _references(member, where + pointer(index))


def _leads_somewhere(schema: Any, reference: str) -> bool:
    if not reference.startswith("#"):
        return False
    try:
        jsonpointer.resolve_pointer(schema, reference[1:])
    except jsonpointer.JsonPointerException:
        return False
    return True


def _value_findings(error: Any, at: str) -> list[Finding]:
    """One complaint of the validator in our words."""
    here = at + pointer(*error.absolute_path)
    known: Mapping[str, Any] = error.schema.get("properties", {})
    if error.validator == "required":
        return [
            Finding(
                code="missing_field",
                pointer=here + pointer(name),
                message=f"The field {name!r} is missing.",
                fix="Give it, as the input schema says.",
            )
            for name in error.validator_value
            if error.message.startswith(f"{name!r} is")
        ]
    if error.validator == "additionalProperties" and "patternProperties" not in error.schema:
        unknown = [name for name in error.instance if name not in known]
        return [
            Finding(
                code="unknown_field",
                pointer=here + pointer(name),
                message=f"There is no field {name!r} here."
                + (did_you_mean(nearest(name, known)) or f" Known here: {', '.join(known) or 'none'}."),
                fix="Take it away, or give it the name that the input schema has.",
            )
            for name in unknown
        ]
    message = error.message if len(error.message) <= 300 else f"{error.message[:297]}..."
    return [Finding(code="bad_value", pointer=here, message=f"{message}.", fix="Give what the input schema asks for.")]
