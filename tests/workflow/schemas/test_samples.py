"""Values made from schemas fit them."""

from __future__ import annotations

from typing import Any

import pytest

from workflow.schemas.samples import sample_of
from workflow.schemas.schemas import InputSchema

SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer", "minimum": 3}}},
    {"type": "object", "properties": {"e": {"enum": ["x", "y"]}, "c": {"const": 7}}},
    {"type": "object", "properties": {"l": {"type": "array", "items": {"type": "number"}, "minItems": 2}}},
    {"type": "object", "properties": {"n": {"type": ["string", "null"]}, "t": {"type": "boolean"}}},
    {"type": "object", "properties": {"d": {"type": "string"}, "m": {"type": "number", "maximum": -1}}},
    {"type": "object", "properties": {"s": {"type": "string", "minLength": 9, "maxLength": 10}}},
    {
        "type": "object",
        "properties": {"p": {"$ref": "#/$defs/p"}},
        "$defs": {"p": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
    },
    {"type": "object", "properties": {"o": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}},
    {"type": "object", "allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"required": ["a"]}]},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_sample_fits_its_schema(schema: dict[str, Any]) -> None:
    assert InputSchema(schema).findings(sample_of(schema)) == []


def test_a_schema_that_goes_round_has_an_end() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert isinstance(sample_of(tree), dict)
