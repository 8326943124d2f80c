"""Joins branches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from engine.node_api.node_call import NodeCall
from engine.node_api.node_traits import MakesItems
from engine.node_api.node_type import BatchNode
from engine.node_api.parameters import Parameters
from engine.nodes import field_path
from engine.nodes.item_counts import check_items
from engine.nodes.keys import key_of_all
from workflow.definitions.catalogue import MAIN
from workflow.items import Item, Items, JsonObject, Outputs, Pair

DEFAULT_INPUTS = ("first", "second")


class MergeParameters(Parameters):
    """How the inputs are joined."""

    mode: Literal["append", "by_position", "by_field"] = Field(
        default="append",
        description="append: one list after the other. by_position: item n of each into one. "
        "by_field: items with equal match_on fields into one.",
    )
    inputs: list[str] = Field(
        default=list(DEFAULT_INPUTS), min_length=2, max_length=20, description="Names of the inputs."
    )
    match_on: list[field_path.FieldPath] = Field(default_factory=list, description="by_field: paths in both items.")
    unmatched: Literal["drop", "keep_first", "keep_all"] = Field(
        default="drop", description="by_field and by_position: what to do with items without a partner."
    )

    @model_validator(mode="after")
    def _fits_mode(self) -> Self:
        if self.mode == "by_field" and not self.match_on:
            raise ValueError("mode by_field needs match_on")
        if self.mode == "by_field" and len(self.inputs) != 2:
            raise ValueError("mode by_field takes two inputs")
        if len(set(self.inputs)) != len(self.inputs):
            raise ValueError("inputs must have different names")
        return self


class Merge(BatchNode[MergeParameters], MakesItems):
    """Waits for every connected branch, then joins their items.

    Connect to its inputs by name: ["a", "join.first"], ["b", "join.second"]. Fields of later inputs win. By field, an
    item that lacks a field of match_on, or has null in it, has no partner.
    """

    name = "merge"
    title = "Merge"
    group = "flow"
    keywords = ("join", "combine", "append", "union", "wait")
    example = {"mode": "by_field", "match_on": ["id"]}
    waits_for_all_inputs = True
    parameter_model = MergeParameters

    def inputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        names = parameters.get("inputs")
        if isinstance(names, list) and len(names) > 1 and all(isinstance(name, str) for name in names):
            return tuple(names)
        return DEFAULT_INPUTS

    def may_make(self, inputs: Sequence[Items], parameters: Mapping[str, Any]) -> int:
        is_join = parameters.get("mode") == "by_field"
        return math.prod(map(len, inputs)) if is_join else sum(map(len, inputs))

    def run(self, call: NodeCall[MergeParameters]) -> Outputs:
        parameters = call.common
        match parameters.mode:
            case "append":
                made = [
                    Item(item.json, (Pair(place, index),))
                    for place, items in enumerate(call.inputs)
                    for index, item in enumerate(items)
                ]
            case "by_position":
                made = list(_by_position(call.inputs, parameters))
            case "by_field":
                made = list(_by_field(call.inputs[0], call.inputs[1], parameters))
        return {MAIN: made}


def _by_position(inputs: Sequence[Items], parameters: MergeParameters) -> Iterator[Item]:
    for index, row in enumerate(zip_longest(*inputs)):
        present = [(place, item) for place, item in enumerate(row) if item is not None]
        complete = len(present) == len(inputs)
        if (
            complete
            or parameters.unmatched == "keep_all"
            or (parameters.unmatched == "keep_first" and row[0] is not None)
        ):
            json: JsonObject = {}
            for _, item in present:
                json |= item.json
            yield Item(json, tuple(Pair(place, index) for place, _ in present))


def _by_field(first: Items, second: Items, parameters: MergeParameters) -> Iterator[Item]:
    partners: dict[bytes, list[int]] = {}
    for index, item in enumerate(second):
        key = _key(item, parameters.match_on)
        if key is not None:
            partners.setdefault(key, []).append(index)
    keys = [_key(item, parameters.match_on) for item in first]
    check_items(sum(len(partners.get(key, ())) for key in keys if key is not None))
    matched: set[int] = set()
    for index, (item, key) in enumerate(zip(first, keys, strict=True)):
        found = partners.get(key, []) if key is not None else []
        matched.update(found)
        for partner in found:
            yield Item({**item.json, **second[partner].json}, (Pair(0, index), Pair(1, partner)))
        if not found and parameters.unmatched != "drop":
            yield Item(item.json, (Pair(0, index),))
    if parameters.unmatched == "keep_all":
        for index, item in enumerate(second):
            if index not in matched:
                yield Item(item.json, (Pair(1, index),))


def _key(item: Item, paths: Sequence[str]) -> bytes | None:
    """The key of the item's fields; ``None`` where one is missing or null."""
    values = [field_path.read(item.json, path) for path in paths]
    if any(value is None or value is field_path.ABSENT for value in values):
        return None
    return key_of_all(values)
