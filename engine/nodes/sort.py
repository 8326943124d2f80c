"""Sorts items."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import BatchNode, paired
from engine.node_api.parameters import Parameters
from engine.nodes import field_path
from engine.nodes.keys import key_of
from workflow.definitions.catalogue import MAIN
from workflow.items import Outputs


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
            present.sort(key=lambda index: _rank(values[index]), reverse=key.order == "descending")
            indexes = present + missing
        return {MAIN: paired([call.items[index].json for index in indexes], indexes)}


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
