"""The shape of a result says types and keys, and nothing else of it."""

from __future__ import annotations

from typing import Any

import pytest

from workflow.shapes import MOST_KEYS, shape_of


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("hush", "string"),
        (None, "null"),
        (True, "boolean"),
        (3, "integer"),
        (2.5, "number"),
        ([], []),
        ([1, "hush", None], ["integer|null|string"]),
        ({"id": 7, "tags": ["hush"]}, {"id": "integer", "tags": ["string"]}),
        ({"by": {"name": "hush"}}, {"by": {"name": "string"}}),
        ([{"id": 1}, {"id": None, "at": "hush"}], [{"id": "integer|null", "at": "string"}]),
        ([{"a": 1}, [2]], ["array|object"]),
    ],
)  # fmt: skip
def test_a_shape_has_types_in_the_place_of_values(value: Any, shape: Any) -> None:
    assert shape_of(value) == shape


@pytest.mark.parametrize(
    "key",
    [
        "ada@example.com",
        "+49 170 1234567",
        "0b9f1c1e-6a0e-4b65-8a4e-0d8a1f0e7a11",
        "sk-proj-abcdefghijklmnop",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "QmFzZTY0VGV4dFdpdGhvdXRBbnk",
        "2026-12-01",
        "a sentence, in which somebody says something",
    ],
)
def test_keys_that_are_data_are_not_repeated(key: str) -> None:
    assert shape_of({key: {"total": 1}, f"{key}1": {"note": None}}) == {"*": {"total": "integer", "note": "null"}}


def test_a_large_result_costs_no_more_than_a_small_one() -> None:
    wide = {f"k{number}": 1 for number in range(9_000)}
    assert shape_of(wide)["…"] == f"{9_000 - MOST_KEYS} more"
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    assert shape_of(deep) == [[[[[["array"]]]]]]
    looked: list[int] = []

    class Counting(dict[str, Any]):
        def items(self) -> Any:
            looked.append(1)
            return super().items()

    def tree(depth: int) -> Any:
        return 1 if depth == 0 else Counting({f"k{place}": tree(depth - 1) for place in range(9)})

    shape_of(tree(5))
    assert len(looked) <= 2_000
