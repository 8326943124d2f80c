"""Schemas that workflows bring along are checked as such, and values are held against them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from workflow.schemas.schemas import MOST_FINDINGS, InputSchema, schema_findings

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


CATASTROPHIC = ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(\\w+\\s?)*$"]


@pytest.mark.parametrize("pattern", CATASTROPHIC)
@pytest.mark.parametrize("keyword", ["pattern", "patternProperties", "additionalProperties"])
def test_no_pattern_takes_longer_than_its_text_is_worth(pattern: str, keyword: str) -> None:
    text = "a" * 50_000 + "!"
    inner: dict[str, Any] = {"pattern": pattern}
    value: Any = text
    if keyword != "pattern":
        inner, value = {"patternProperties": {pattern: {}}, "additionalProperties": False}, {text: 1}
    schema = {"type": "object", "properties": {"a": inner}}
    assert schema_findings(schema) == []
    started = time.process_time()
    InputSchema(schema).findings({"a": value})
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?!a)b", "(?<=a)b", "(a)\\1", "a{2000}", "(a{1000}){1000}", "(", "[", "*"]
)
def test_a_pattern_that_no_automaton_can_be_is_refused_with_its_place(pattern: str) -> None:
    (found,) = schema_findings({"type": "object", "properties": {"a": {"patternProperties": {pattern: {}}}}}, at="/x")
    assert found.code == "bad_schema"
    assert found.pointer.startswith("/x/properties/a/patternProperties/")
    assert "look-around" in str(found.fix)


def test_patterns_mean_what_they_say() -> None:
    schema = InputSchema(
        {
            "type": "object",
            "properties": {"mail": {"pattern": r"^[\w.-]+@[\w-]+\.\w+$"}, "name": {"pattern": r"^\p{L}+$"}},
            "patternProperties": {r"^x-": {"type": "integer"}, r"^\u00e9\\u": {"type": "integer"}},
            "additionalProperties": False,
        }
    )
    assert schema.findings({"mail": "a.b@c.de", "name": "Zo\u00eb", "x-a": 1, "\u00e9\\u": 2}) == []
    assert schema_findings(schema.schema) == []
    wrong = {"mail": "a.b@c", "name": "Z 0", "x-a": "1", "\u00e9\\u": "2", "y": 1}
    found = schema.findings(wrong)
    assert sorted(each.pointer for each in found) == ["", "/mail", "/name", "/x-a", "/\u00e9\\u"]


def doubling(levels: int) -> dict[str, Any]:
    """A schema that looks at a value twice as often with each level."""
    definitions: dict[str, Any] = {
        f"level{n}": {"allOf": [{"$ref": f"#/$defs/level{n + 1}"}] * 2} for n in range(levels)
    }
    definitions[f"level{levels}"] = {"type": "object"}
    return {"type": "object", "$ref": "#/$defs/level0", "$defs": definitions}


def test_a_schema_that_doubles_is_refused() -> None:
    assert schema_findings(doubling(5)) == []
    (found,) = schema_findings(doubling(40))
    assert "too many steps" in found.message
    assert "more than" in schema_findings({"type": "object", "enum": list(range(6_000))})[0].message


def test_a_value_that_takes_too_many_steps_does_not_fit() -> None:
    schema = InputSchema({"type": "object", "additionalProperties": {"items": {"type": "integer", "minimum": 0}}})
    started = time.process_time()
    (found,) = schema.findings({"a": [0] * 200_000})
    assert "too many steps" in found.message
    assert time.process_time() - started < 5
    assert schema.findings({"a": [0] * 10_000}) == []


def test_elements_are_compared_without_looking_at_every_pair() -> None:
    schema = InputSchema({"type": "object", "properties": {"a": {"uniqueItems": True}}})
    started = time.process_time()
    assert schema.findings({"a": [{"n": n, "t": [n]} for n in range(20_000)]}) == []
    assert time.process_time() - started < 2
    for same in ([1, 1.0], [{"a": 1, "b": 2}, {"b": 2, "a": 1}], ["x", "x"]):
        assert len(schema.findings({"a": same})) == 1
    for different in ([1, True], [0, False], ["1", 1], [None, 0, ""], [[1], [1, 1]]):
        assert schema.findings({"a": different}) == []


def test_neither_schemas_nor_values_that_are_nested_without_an_end_exhaust_the_stack() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    assert schema_findings(schema) == []
    value: Any = {}
    for _ in range(20):
        value = {"a": value}
    assert InputSchema(schema).findings(value) == []
    for _ in range(400):
        value = {"a": value}
    (found,) = InputSchema(schema).findings(value)
    assert "too many steps" in found.message
    circle = {"type": "object", "allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}
    assert "without an end" in schema_findings(circle)[0].message
