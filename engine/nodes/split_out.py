"""Makes items of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from engine.expressions.template import is_template
from engine.node_api.item_failures import ItemResult, ItemsFailedError
from engine.node_api.node_call import NodeCall
from engine.node_api.node_traits import MakesItems
from engine.node_api.node_type import BatchNode, Emission, paired
from engine.node_api.parameters import Parameters
from engine.nodes import field_path
from engine.nodes.item_counts import MAX_ITEMS, check_items
from workflow.definitions.catalogue import MAIN
from workflow.errors import NodeError
from workflow.items import Item, Items, JsonObject, Outputs


class SplitOutParameters(Parameters):
    """Which list, and which fields the new items get."""

    field: field_path.FieldPath = Field(min_length=1, description="Path of the list.")
    into: field_path.FieldPath | None = Field(
        default=None, description="Path for each element; without it objects become the item itself."
    )
    keep_input: bool = Field(default=False, description="Copy the item's other fields to each element's.")


class SplitOut(BatchNode[SplitOutParameters], MakesItems):
    """Makes one item of each element of a list in the item."""

    name = "split_out"
    title = "Split out"
    group = "data"
    keywords = ("explode", "flatten", "array", "list", "each", "unwind")
    example = {"field": "body.items"}
    parameter_model = SplitOutParameters

    def may_make(self, inputs: Sequence[Items], parameters: Mapping[str, Any]) -> int:
        field = parameters["field"]
        if is_template(field):
            return MAX_ITEMS
        lists = (field_path.read(item.json, field) for item in inputs[0])
        return sum(len(each) for each in lists if isinstance(each, list))

    def run(self, call: NodeCall[SplitOutParameters]) -> Outputs:
        made: list[JsonObject] = []
        sources: list[int] = []
        failed: dict[int, Exception] = {}
        for index, item in enumerate(call.items):
            try:
                elements = _split(item, call.parameters(index), len(made))
            except Exception as error:
                failed[index] = error
            else:
                made += elements
                sources += [index] * len(elements)
        if failed:
            raise ItemsFailedError(_results(len(call.items), made, sources, failed))
        return {MAIN: paired(made, sources)}


def _split(item: Item, parameters: SplitOutParameters, before: int) -> list[JsonObject]:
    """The items of one item, of which ``before`` were made before."""
    elements = field_path.read(item.json, parameters.field)
    if not isinstance(elements, list):
        raise NodeError(
            f"Field {parameters.field!r} is {_kind(elements)}, not a list.",
            code="not_a_list",
            pointer="/parameters/field",
            fix=f"The item's fields are: {', '.join(list(item.json)[:20]) or 'none'}.",
        )
    check_items(before + len(elements))
    rest = field_path.without(item.json, [parameters.field]) if parameters.keep_input else {}
    if parameters.into is not None and not field_path.is_name(parameters.into):
        return [_written(rest, parameters.into, element) for element in elements]
    name = parameters.into or field_path.resolved(item.json, parameters.field)[-1]
    return [
        ({**rest, **element} if rest else element)
        if parameters.into is None and isinstance(element, dict)
        else {**rest, name: element}
        for element in elements
    ]


def _written(rest: JsonObject, path: str, element: object) -> JsonObject:
    json = dict(rest)
    field_path.write(json, path, element, at=("into",))
    return json


def _results(
    count: int, made: Sequence[JsonObject], sources: Sequence[int], failed: dict[int, Exception]
) -> list[ItemResult]:
    emitted: list[list[Emission]] = [[] for _ in range(count)]
    for json, source in zip(made, sources, strict=True):
        emitted[source].append(Emission(MAIN, json))
    return [failed.get(index, each) for index, each in enumerate(emitted)]


def _kind(value: object) -> str:
    return "absent" if value is field_path.ABSENT else f"{value!r:.60}"
