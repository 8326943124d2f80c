"""Data on its way between nodes: lists of items, and which item each came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
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

_PAIRS: list[tuple[Pair, ...]] = []
_KEPT_PAIRS = 250_000
"""As many as one request brings items at most; they take 33 MB once they are needed."""
_MAKING = Lock()


def from_item(index: int) -> tuple[Pair, ...]:
    """The pairs of an item that came from item ``index`` of the first input, as most do; made once for each index."""
    if index < len(_PAIRS):
        return _PAIRS[index]
    if index >= _KEPT_PAIRS:
        return (Pair(0, index),)
    with _MAKING:  # several threads may need them
        _PAIRS.extend([(Pair(0, place),) for place in range(len(_PAIRS), index + 1)])
    return _PAIRS[index]


def pairs_of(count: int) -> Sequence[tuple[Pair, ...]]:
    """The pairs of items that came from the first ``count`` items of the first input one by one; at least as many."""
    if count > _KEPT_PAIRS:
        return [from_item(index) for index in range(count)]
    if count > len(_PAIRS):
        from_item(count - 1)
    return _PAIRS


Outputs = dict[str, Items]
"""A node's result: a list of items per output name; an output that is absent or empty starts nothing."""


class ItemOrigin(NamedTuple):
    """Where the items of one input came from: a node, which of its runs, and which output."""

    node: str
    run_index: int
    output: str
