"""JSON Schemas that workflows bring along: checked as such, and values held against them.

A schema must be whole in itself: nothing outside of it that it refers to is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonpointer

from workflow.findings import Finding, did_you_mean, nearest, pointer
from workflow.schemas.keywords import (
    TooDeeplyNestedError,
    TooManyStepsError,
    bounded_steps,
    bounded_validator,
    pattern_of,
)

MOST_FINDINGS = 20
"""Findings given for one value: more would help nobody."""
MAX_SCHEMA_VALUES = 5_000
"""In all of a schema; checking it takes about 0.1 ms each."""
VALUES = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose values are no schemas."""


class InputSchema:
    """A schema that has passed :func:`schema_findings`, compiled."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        # Loaded when the first schema is there, like what it brings with it.
        from referencing import Registry

        self.schema = dict(schema)
        # A registry of ours that knows nothing: the default one fetches what is referred to.
        self._validator = bounded_validator()(self.schema, registry=Registry())

    def findings(self, value: Any, *, at: str = "") -> list[Finding]:
        """Everything in ``value`` that does not fit; pointers start with ``at``."""
        found: list[Finding] = []
        try:
            with bounded_steps():
                self._look(value, at, found)
        except TooManyStepsError:
            message = "The schema takes too many steps to tell whether this fits."
            found.append(
                Finding(code="bad_value", pointer=at, message=message, fix="Send less, or simplify the schema.")
            )
        return found

    def findings_within(self, value: Any, *, at: str = "", most_steps: int) -> tuple[list[Finding], int]:
        """What in ``value`` is found not to fit in so many steps, and how many of them are left."""
        found: list[Finding] = []
        with bounded_steps(most_steps) as effort:
            try:
                self._look(value, at, found)
            except TooManyStepsError:
                return found, 0
            return found, effort.steps_left

    def _look(self, value: Any, at: str, found: list[Finding]) -> None:
        try:
            for error in self._validator.iter_errors(value):
                found += _value_findings(error, at)
                if len(found) >= MOST_FINDINGS:
                    return
        except TooManyStepsError:
            raise
        except Exception as error:
            # Whatever the library makes of a schema that was stored before it was checked, it is a finding.
            message = f"The schema cannot be held against this: {str(error) or type(error).__name__:.200}."
            found.append(Finding(code="bad_schema", pointer=at, message=message, fix="Correct the schema."))

    def try_out(self) -> None:
        """Hold the schema against an empty object.

        Raises:
            TooDeeplyNestedError: it refers to itself without an end.
            TooManyStepsError: it refers to itself too often.
        """
        with bounded_steps(MAX_SCHEMA_VALUES):
            for _ in self._validator.iter_errors({}):
                pass


def schema_findings(schema: Any, *, at: str = "") -> list[Finding]:
    """What is wrong with a schema for a tool's input; pointers start with ``at``."""
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import SchemaError

    if not isinstance(schema, dict) or schema.get("type") != "object":
        message = 'The schema must describe an object: {"type": "object", "properties": {…}}.'
        return [Finding(code="bad_schema", pointer=at, message=message, fix="Describe an object.")]
    if _size(schema) > MAX_SCHEMA_VALUES:
        message = f"The schema has more than {MAX_SCHEMA_VALUES} values in it."
        return [Finding(code="bad_schema", pointer=at, message=message, fix="Describe less of the input.")]
    try:
        # No formats: the one that it knows is regex, and patterns are looked at below.
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        message = f"This is not JSON Schema (2020-12): {error.message}."
        where = at + pointer(*error.absolute_path)
        return [Finding(code="bad_schema", pointer=where, message=message, fix="Correct the schema at this place.")]
    found = [_pattern_finding(at + where, pattern, why) for where, pattern, why in _bad_patterns(schema, "")]
    if found == [] and _has_keyword(schema, "patternProperties") and _has_keyword(schema, "unevaluatedProperties"):
        message = "A schema with patternProperties cannot have unevaluatedProperties."
        found = [Finding(code="bad_schema", pointer=at, message=message, fix="Write additionalProperties.")]
    found += [
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
        InputSchema(schema).try_out()
    except TooDeeplyNestedError:
        message = "The schema refers to itself without an end."
    except TooManyStepsError:
        message = "The schema takes too many steps even for an empty object."
    else:
        return []
    return [Finding(code="bad_schema", pointer=at, message=message, fix="Take some of the $refs away.")]


def _size(schema: Any) -> int:
    """How many values there are in it, up to a little more than may be."""
    size, waiting = 0, [schema]
    while waiting and size <= MAX_SCHEMA_VALUES:
        value = waiting.pop()
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        size += 1
        waiting += inner
    return size


def _bad_patterns(value: Any, where: str) -> Iterator[tuple[str, str, str]]:
    """Places, patterns and why they cannot be used."""
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield from _bad_patterns(member, where + pointer(index))
    if not isinstance(value, dict):
        return
    patterns = [(where + pointer("pattern"), value["pattern"])] if isinstance(value.get("pattern"), str) else []
    by_pattern = value.get("patternProperties")
    if isinstance(by_pattern, dict):
        patterns += [(where + pointer("patternProperties", each), each) for each in by_pattern]
    for at, pattern in patterns:
        try:
            pattern_of(pattern)
        except ValueError as error:
            yield at, pattern, str(error)
    for name, member in value.items():
        if name not in VALUES:
            yield from _bad_patterns(member, where + pointer(name))


def _has_keyword(value: Any, keyword: str) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (isinstance(value, dict) and keyword in value) or any(_has_keyword(each, keyword) for each in inner)


def _pattern_finding(at: str, pattern: str, why: str) -> Finding:
    return Finding(
        code="bad_schema",
        pointer=at,
        message=f"The pattern {pattern!r:.100} cannot be used: {why}.",
        fix="Write it without look-around, back-references and repetitions beyond 1000, as RE2 knows it.",
    )


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
    if not isinstance(error.schema, Mapping):  # false: nothing fits
        message = "There must be nothing here."
        return [Finding(code="bad_value", pointer=here, message=message, fix="Leave it out.")]
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
