"""Runs the user's own JavaScript."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from pydantic import Field

from engine.expressions.answers import ScriptResult
from engine.node_api.item_failures import ItemsFailedError
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import AsyncNode, Emission
from engine.node_api.parameters import Parameters
from engine.nodes.item_counts import check_items
from workflow.definitions.catalogue import MAIN
from workflow.errors import ExpressionError, JobsprintError, NodeError
from workflow.items import Item, Items, Outputs, Pair, from_item

AT_ONCE = 5_000
"""Results that are made items before other executions go on: some milliseconds."""


class CodeParameters(Parameters):
    """The program, and whether it runs once or for each item."""

    javascript: str = Field(
        min_length=1,
        max_length=200_000,
        description="The body of a function; it returns what comes out. It sees what expressions see, and items.",
    )
    mode: Literal["all_items", "each_item"] = Field(
        default="all_items",
        description="all_items runs once and returns a list of objects; each_item runs per item and returns one "
        "object, or null to drop the item.",
    )


class Code(AsyncNode[CodeParameters]):
    """Runs JavaScript on the items, in the sandbox of expressions: it can compute, and reaches nothing outside.

    In all_items, items is the list of the items' JSON; in each_item, $json is the item. Objects may be returned
    as they are or as {json: …, pairedItem: …}, where pairedItem is the index of the item from which the object comes,
    {item: index}, or a list of these. Without it, objects that are items, copies of items ({...item}) or come out of
    items.map are known to come from them; of others .item is not known behind this node.
    """

    name = "code"
    title = "Code"
    group = "data"
    keywords = ("javascript", "script", "function", "program", "custom", "transform", "map", "reduce")
    example = {"javascript": "return items.map(item => ({...item, total: item.price * item.quantity}));"}
    parameter_model = CodeParameters

    async def run(self, call: NodeCall[CodeParameters]) -> Outputs:
        parameters = call.common
        each = parameters.mode == "each_item"
        results = await call.run_script(parameters.javascript, each)
        if each:
            return {MAIN: await _item_by_item(results, len(call.items))}
        check_items(len(results))
        made: Items = []
        async for _, result in _in_parts(results):
            made.append(_item(result, None, len(call.items)))
        if len(made) == 1 and not made[0].paired:  # one item for all of them
            return {MAIN: [Item(made[0].json, tuple(Pair(0, index) for index in range(len(call.items))))]}
        return {MAIN: made}


async def _in_parts(results: Sequence[Any]) -> AsyncIterator[tuple[int, Any]]:
    """The results with their indexes; other executions go on between parts of them."""
    for index, result in enumerate(results):
        yield index, result
        if index % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)


async def _item_by_item(results: Sequence[ScriptResult | ExpressionError], count: int) -> Items:
    """The items of each_item.

    Raises:
        ItemsFailedError: single items failed.
    """
    made: list[Item | Exception | None] = []
    async for index, result in _in_parts(results):
        try:
            if isinstance(result, ExpressionError):
                raise result
            made.append(None if result.value is None else _item(result, index, count))
        except JobsprintError as error:
            made.append(error)
    if any(isinstance(each, Exception) for each in made):
        raise ItemsFailedError(
            [each if isinstance(each, Exception) else [Emission(MAIN, each.json)] if each else [] for each in made]
        )
    return [each for each in made if isinstance(each, Item)]


def _item(result: Any, index: int | None, count: int) -> Item:
    """The item that a value becomes; ``index`` is that of the item for which it was returned, where there is one."""
    value, origin = result
    if not isinstance(value, dict):
        raise NodeError(
            f"The code returned {value!r:.60} where an object is needed.",
            code="bad_code_result",
            item_index=index,
            fix="Return a list of objects (all_items), or one object or null (each_item).",
        )
    inner = value.get("json")
    if not isinstance(inner, dict) or not value.keys() <= {"json", "pairedItem", "binary"}:
        return Item(value, from_item(origin) if origin is not None else ())
    said = value.get("pairedItem")
    if said is None:
        return Item(inner, from_item(origin) if origin is not None else ())
    pairs = [_pair(each, index, count) for each in (said if isinstance(said, list) else [said])]
    return Item(inner, tuple(dict.fromkeys(pairs)))


def _pair(said: Any, index: int | None, count: int) -> Pair:
    place = said.get("item") if isinstance(said, dict) and not said.get("input") else said
    if isinstance(place, float) and place.is_integer():
        place = int(place)
    if type(place) is int and 0 <= place < count:
        return Pair(0, place)
    raise NodeError(
        f"The code returned the pairedItem {said!r:.60}, which names no item of this node.",
        code="bad_code_result",
        item_index=index,
        fix=f"Give the index of an item, from 0 to {count - 1}, {{item: index}}, or a list of these.",
    )
