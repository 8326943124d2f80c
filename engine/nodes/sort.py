"""Sorts items."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import BatchNode, paired
from engine.node_api.parameters import Parameters
from engine.nodes import field_path
from engine.nodes.keys import key_of
from workflow.definitions.catalogue import MAIN
from workflow.items import Outputs

SLICE_ITEMS = 10_000
ABSENT_RANK = (0, 0)
"""Of items that are not compared."""


class SortKey(Parameters):
    """One field to sort by."""

    field: field_path.FieldPath = Field(min_length=1, description="Path of the field.")
    order: Literal["ascending", "descending"] = "ascending"


class SortParameters(Parameters):
    """The fields, the most important first."""

    by: list[SortKey] = Field(min_length=1)


class Sort(BatchNode[SortParameters]):
    """Sorts the items by one or more fields; equal ones keep their order.

    True and false come before numbers, numbers before texts, texts before lists. Items without the field come last.
    """

    name = "sort"
    title = "Sort"
    group = "data"
    keywords = ("order", "rank", "ascending", "descending")
    example = {"by": [{"field": "total", "order": "descending"}]}
    parameter_model = SortParameters

    def run(self, call: NodeCall[SortParameters]) -> Outputs:
        indexes = list(range(len(call.items)))
        for key in reversed(call.common.by):
            values = [field_path.read(item.json, key.field) for item in call.items]
            present = [index for index in indexes if not _is_missing(values[index])]
            missing = [index for index in indexes if _is_missing(values[index])]
            ranks = [ABSENT_RANK if _is_missing(value) else _rank(value) for value in values]
            indexes = _sorted(present, ranks, is_descending=key.order == "descending") + missing
        return {MAIN: paired([call.items[index].json for index in indexes], indexes)}


def _sorted(indexes: list[int], ranks: Sequence[tuple[int, Any]], *, is_descending: bool) -> list[int]:
    """The indexes by their ranks; equal ones keep their order.

    Many are sorted in slices: the interpreter runs nothing else while it sorts one list, so that one of 200,000 items
    would keep every other execution waiting, though this is in a thread of its own.
    """
    slices = [
        sorted(indexes[start : start + SLICE_ITEMS], key=ranks.__getitem__, reverse=is_descending)
        for start in range(0, len(indexes), SLICE_ITEMS)
    ]
    if len(slices) < 2:
        return indexes if not slices else slices[0]
    return list(heapq.merge(*slices, key=ranks.__getitem__, reverse=is_descending))


def _is_missing(value: Any) -> bool:
    return value is None or value is field_path.ABSENT


def _rank(value: Any) -> tuple[int, Any]:
    """A key that orders values of any JSON type without comparing one type with another."""
    if isinstance(value, bool):
        return (0, value)
    if isinstance(value, int | float):
        return (1, value)
    if isinstance(value, str):
        return (2, value)
    return (3, key_of(value))
