"""Bombs of JSON are recognized before they are parsed, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.schemas.bounds import (
    JsonTooDeepError,
    JsonTooManyMembersError,
    check_depth,
    check_json_shape,
    is_large,
)

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a\\"[]{},:\n é', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a\\"[]{},', max_size=4), inner, max_size=4)
    ),
    max_leaves=30,
)


def measured(value: Any) -> tuple[int, int]:
    """Depth, and values but for those that are alone in an object or list."""
    if not isinstance(value, dict | list):
        return 0, 0
    inner = [measured(each) for each in (value.values() if isinstance(value, dict) else value)]
    return 1 + max((depth for depth, _ in inner), default=0), max(1, len(value)) + sum(count for _, count in inner)


def passes(text: bytes, max_depth: int, max_members: int = 1_000_000) -> bool:
    try:
        check_json_shape(text, max_depth=max_depth, max_members=max_members)
    except (JsonTooDeepError, JsonTooManyMembersError):
        return False
    return True


@given(VALUES, st.booleans())
def test_depth_and_number_are_exact(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    depth, members = measured(value)
    assert passes(text, depth)
    assert depth == 0 or not passes(text, depth - 1)
    assert passes(text, 50, members)
    assert members == 0 or not passes(text, 50, members - 1)


@given(VALUES)
def test_the_depth_of_values_is_that_of_their_text(value: Any) -> None:
    depth, _ = measured(value)
    check_depth(value, max_depth=depth)
    if depth:
        with pytest.raises(JsonTooDeepError):
            check_depth(value, max_depth=depth - 1)


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[{" * 50_000,
        b"[" * 101 + b"]" * 101,
        b'["\\""' + b",[" * 200,
        b"[" + b"1," * 1_000_000 + b"1]",
        b"{" + b",".join(b'"%d":1' % n for n in range(300_000)) + b"}",
        b"[]" * 300_000,
    ],
)
def test_a_bomb_is_refused(bomb: bytes) -> None:
    assert not passes(bomb, 100, 250_000)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100 + b"]" * 100,
        json.dumps(["[[[{{{" * 1_000]).encode(),
        json.dumps({"a": '\\"[' * 10_000}).encode(),
        json.dumps([{"n": n, "tags": ["even"]} for n in range(10_000)]).encode(),
        b"]" * 100_000,
        b'"' * 100_000,
        b"",
    ],
)
def test_what_is_none_is_let_pass(text: bytes) -> None:
    assert passes(text, 100, 250_000)


def test_a_value_is_large_by_its_members_or_its_text() -> None:
    assert not is_large({"nodes": {"a": {"type": "set", "parameters": {"fields": {"x": "y" * 1_000}}}}})
    assert is_large("x" * 200_000)
    assert is_large([[0]] * 2_000)
    assert is_large({str(n): {} for n in range(2_000)})
    deep: Any = 0
    for _ in range(50_000):
        deep = [deep]
    assert is_large(deep)
