"""Values in what models say."""

from __future__ import annotations

import time
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


@pytest.mark.parametrize("text", ["no", '{"a": 1', "```json\nnothing\n```", "{not json}"])
def test_what_is_no_json_is_told_as_such(text: str) -> None:
    with pytest.raises(UnfitAnswerError) as caught:
        read(text, SCHEMA)
    assert caught.value.findings == ["The answer is not JSON."]


@pytest.mark.parametrize("text", ["", " \n", "\t"])
def test_an_empty_answer_is_told_as_such(text: str) -> None:
    with pytest.raises(UnfitAnswerError) as caught:
        read(text, SCHEMA)
    assert caught.value.findings == ["The answer is empty."]


@pytest.mark.parametrize(
    "text",
    [
        'I put {name} and {age} into {"a": 1}.',
        '{"a": 1} and no {further} words',
        'As [1] and [2, 3] say: {"a": 1}',
        '[see below] {"a": 1} [end]',
        'f(x) = {x | x > 0}, so\n\n{"a": 1}',
        'A first try: {"a": "one"}. No: {"a": 1}',
        '{{"a": 1}}',
        'He said "{" and then {"a": 1}',
        'The schema is {"type": "object", "properties": {"a": {"type": "integer"}}} and the value {"a": 1}',
        '<think>Perhaps {"a": 2}? Or {"a": 3}.</think>{"a": 1}',
        '<think>\nIt is {a}.\n</think>\n\n```json\n{"a": 1}\n```',
        'It may be {"a": 2}.</think>\n{"a": 1}',
        '<think>one {"a": 2}</think> <think>two {"a": 3}</think> {"a": 1}',
        '<think>I write <think> and </think> or {"a": 2}</think>{"a": 1}',
        '<thought>{"a": 2}</thought>{"a": 1}',
        '<Reasoning>{"a": 2}</Reasoning>{"a": 1}',
        '[THINK]{"a": 2}[/THINK]{"a": 1}',
        '```python\nprint({"b": 2})\n```\n```json\n{"a": 1}\n```',
        '```json\n{"a": "x"}\n```\nbetter:\n```json\n{"a": 1}\n```',
        '\ufeff{"a": 1}',
    ],
)
def test_of_all_values_the_one_that_fits_is_taken(text: str) -> None:
    assert read(text, SCHEMA) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    ['<think>{"a": 1}</think>', '<think>{"a": 1} and so', '<think>{"a": 1}</think> I cannot say.', '{"b": [{"a": 1}]}'],
)
def test_what_was_only_thought_or_lies_within_another_value_is_no_answer(text: str) -> None:
    with pytest.raises(UnfitAnswerError):
        read(text, SCHEMA)


def test_a_mark_of_thought_in_a_value_is_part_of_it() -> None:
    said = '{"a": 1, "text": "<think>no</think>"}'
    assert read(said, SCHEMA)["text"] == "<think>no</think>"


def test_a_value_that_is_no_object_is_found_in_a_fence() -> None:
    assert read("<think>7?</think>It is\n```\n7\n```", {"type": "integer"}) == 7


def test_a_value_that_is_nested_too_deeply_does_not_fit() -> None:
    with pytest.raises(UnfitAnswerError, match="deeper than 100 levels"):
        read('{"a": 1, "b": ' + "[" * 200 + "]" * 200 + "}", SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        "[" * 100_000,
        "[" * 50_000 + "]" * 50_000,
        '["' * 50_000,
        '{"a":' * 20_000,
        '{"a":"' * 15_000 + "x" * 10_000,
        "[1]" * 33_000,
        "<think>" * 14_000,
        "</think>" * 12_000 + "{",
        "```" * 33_000,
        "```\n" + " " * 99_000,
        '{"a": "' + "\\" * 90_000,
    ],
)
def test_no_answer_takes_long_to_read(text: str) -> None:
    began = time.thread_time()  # of this thread alone, however busy the machine is
    with pytest.raises(UnfitAnswerError):
        read(text, SCHEMA)
    assert time.thread_time() - began < 1.0


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
