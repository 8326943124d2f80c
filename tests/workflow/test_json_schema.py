"""Schemas that workflows bring along are checked as such, and values are held against them."""

from __future__ import annotations

from typing import Any

import pytest

from workflow.json_schema import MOST_FINDINGS, InputSchema, schema_findings

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 2}, "days": {"$ref": "#/$defs/days"}},
    "required": ["city", "days"],
    "additionalProperties": False,
    "$defs": {"days": {"type": "integer", "maximum": 16}},
}


@pytest.mark.parametrize(
    ("schema", "pointer", "words"),
    [
        ([], "", "must describe an object"),
        ({}, "", "must describe an object"),
        ({"type": "array"}, "", "must describe an object"),
        ({"type": "object", "properties": {"a": {"type": "strnig"}}}, "/properties/a/type", "strnig"),
        ({"type": "object", "required": "city"}, "/required", "city"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}, "/properties/a/$ref", "refers to nothing"),
        ({"type": "object", "$ref": "http://127.0.0.1/schema"}, "/$ref", "refers to nothing"),
        ({"type": "object", "$ref": "file:///etc/passwd"}, "/$ref", "refers to nothing"),
        ({"type": "object", "$ref": "#"}, "", "without an end"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "/properties/a/pattern", "("),
    ],
)
def test_a_wrong_schema_is_told_where(schema: Any, pointer: str, words: str) -> None:
    found = schema_findings(schema, at="/here")
    assert [each.code for each in found] == ["bad_schema"]
    assert found[0].pointer == f"/here{pointer}"
    assert words in found[0].message


def test_a_right_schema_has_no_findings() -> None:
    assert schema_findings(CITY) == []
    assert schema_findings({"type": "object", "properties": {"child": {"$ref": "#"}}}) == []


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"city": "Oslo", "days": 3}, []),
        ({}, [("missing_field", "/city"), ("missing_field", "/days")]),
        ({"city": "O", "days": "3"}, [("bad_value", "/city"), ("bad_value", "/days")]),
        ({"city": "Oslo", "days": 17}, [("bad_value", "/days")]),
        ({"city": "Oslo", "days": 1, "citty": 1}, [("unknown_field", "/citty")]),
        ([], [("bad_value", "")]),
    ],
)
def test_everything_that_does_not_fit_is_told_at_once(value: Any, found: list[tuple[str, str]]) -> None:
    assert sorted((each.code, each.pointer) for each in InputSchema(CITY).findings(value)) == sorted(found)


def test_an_unknown_field_names_the_nearest_known_one() -> None:
    (found,) = InputSchema(CITY).findings({"city": "Oslo", "days": 1, "citty": 1})
    assert "Did you mean 'city'?" in found.message


def test_findings_are_bounded() -> None:
    schema = InputSchema({"type": "object", "additionalProperties": {"type": "string"}})
    assert len(schema.findings({str(n): n for n in range(1_000)})) == MOST_FINDINGS
