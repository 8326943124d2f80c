"""Values in what models say."""

from __future__ import annotations

from typing import Any

import pytest

from prompts.models.openai import is_strict
from prompts.models.structured import UnfitAnswerError, read

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        ' \n{"a": 1}\n',
        '```json\n{"a": 1}\n```',
        '```\n{"a": 1}\n```',
        'Here you are:\n```JSON\n{"a": 1}\n```\nIs there more?',
        'The value is {"a": 1}, as you see.',
    ],
)
def test_a_value_is_found_in_fences_and_among_words(text: str) -> None:
    assert read(text, SCHEMA) == {"a": 1}


def test_lists_are_found_too() -> None:
    assert read("The list: [1, 2].", {"type": "array"}) == [1, 2]


@pytest.mark.parametrize("text", ["", "no", '{"a": 1', "```json\nnothing\n```", "{not json}"])
def test_what_is_no_json_is_told_as_such(text: str) -> None:
    with pytest.raises(UnfitAnswerError) as caught:
        read(text, SCHEMA)
    assert caught.value.findings == ["The answer is not JSON."]


def test_what_does_not_fit_is_told_by_its_place() -> None:
    with pytest.raises(UnfitAnswerError) as caught:
        read('{"a": "one"}', SCHEMA)
    assert caught.value.findings == ["/a: 'one' is not of type 'integer'."]


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (SCHEMA, False),
        ({**SCHEMA, "additionalProperties": False}, True),
        ({**SCHEMA, "additionalProperties": False, "required": []}, False),
        ({"type": "object", "properties": {"b": SCHEMA}, "required": ["b"], "additionalProperties": False}, False),
        ({"type": "object", "additionalProperties": False, "oneOf": []}, False),
    ],
)
def test_a_schema_is_strict_where_openai_takes_it_so(schema: dict[str, Any], strict: bool) -> None:
    assert is_strict(schema) is strict
