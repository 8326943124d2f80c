"""Data on its way between nodes: lists of items, and which item each came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

JsonObject = dict[str, Any]


class Pair(NamedTuple):
    """The input item that an output item came from: which input, and the index in its list."""

    input: int
    item: int


@dataclass(slots=True, eq=True)
class Item:
    """One record. Nobody changes it, nor the JSON object in it, after it was made.

    It is not declared frozen, because making a frozen one takes three times as long, and there are many.

    ``paired`` names the input items it came from; empty where that is unknown or there were none.
    """

    json: JsonObject
    paired: tuple[Pair, ...] = ()


Items = list[Item]
Outputs = dict[str, Items]
"""A node's result: a list of items per output name; an output that is absent or empty starts nothing."""


class Source(NamedTuple):
    """Where the items of one input came from: a node, which of its runs, and which output."""

    node: str
    run_index: int
    output: str
