"""Runs the user's own JavaScript."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import AsyncNode
from engine.node_api.parameters import Parameters
from workflow.definitions.catalogue import MAIN
from workflow.errors import NodeError
from workflow.items import Item, Items, Outputs, Pair, from_item


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
    as they are or as {json: …}.
    """

    name = "code"
    title = "Code"
    group = "data"
    keywords = ("javascript", "script", "function", "program", "custom", "transform", "map", "reduce")
    example = {"javascript": "return items.map(item => ({...item, total: item.price * item.quantity}));"}
    parameter_model = CodeParameters

    async def run(self, call: NodeCall[CodeParameters]) -> Outputs:
        parameters = call.common
        results = await call.run_script(parameters.javascript, parameters.mode == "each_item")
        if parameters.mode == "each_item":
            kept = [
                Item(_object(result, index), from_item(index))
                for index, result in enumerate(results)
                if result is not None
            ]
            return {MAIN: kept}
        return {MAIN: _paired([_object(result, None) for result in results], len(call.items))}


def _object(result: Any, item_index: int | None) -> dict[str, Any]:
    if isinstance(result, dict):
        inner = result.get("json")
        return inner if isinstance(inner, dict) and result.keys() <= {"json", "pairedItem", "binary"} else result
    raise NodeError(
        f"The code returned {result!r:.60} where an object is needed.",
        code="bad_code_result",
        item_index=item_index,
        fix="Return a list of objects (all_items), or one object or null (each_item).",
    )


def _paired(made: list[dict[str, Any]], count: int) -> Items:
    """The items with their origin: by place where the counts agree; one item comes from all; else unknown."""
    if len(made) == count:
        return [Item(json, from_item(index)) for index, json in enumerate(made)]
    if len(made) == 1:
        return [Item(made[0], tuple(Pair(0, index) for index in range(count)))]
    return [Item(json) for json in made]
