"""Makes items of a list."""

from __future__ import annotations

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import BatchNode, paired
from engine.node_api.parameters import Parameters
from engine.nodes import field_path
from workflow.definitions.catalogue import MAIN
from workflow.errors import NodeError
from workflow.items import JsonObject, Outputs


class SplitOutParameters(Parameters):
    """Which list, and which fields the new items get."""

    field: str = Field(min_length=1, description="Dotted path of the list.")
    into: str | None = Field(
        default=None, description="Field for each element; without it objects become the item itself."
    )
    keep_input: bool = Field(default=False, description="Copy the item's other fields to each element's.")


class SplitOut(BatchNode[SplitOutParameters]):
    """Makes one item of each element of a list in the item."""

    name = "split_out"
    title = "Split out"
    group = "data"
    keywords = ("explode", "flatten", "array", "list", "each", "unwind")
    example = {"field": "body.items"}
    parameter_model = SplitOutParameters

    def run(self, call: NodeCall[SplitOutParameters]) -> Outputs:
        made: list[JsonObject] = []
        sources: list[int] = []
        for index, item in enumerate(call.items):
            parameters = call.parameters(index)
            elements = field_path.read(item.json, parameters.field)
            if not isinstance(elements, list):
                raise NodeError(
                    f"Field {parameters.field!r} is {_kind(elements)}, not a list.",
                    code="not_a_list",
                    item_index=index,
                    fix=f"The item's fields are: {', '.join(item.json) or 'none'}.",
                )
            rest = field_path.without(item.json, parameters.field) if parameters.keep_input else {}
            name = parameters.into or _last(parameters.field)
            for element in elements:
                if parameters.into is None and isinstance(element, dict):
                    made.append({**rest, **element} if rest else element)
                else:
                    made.append({**rest, name: element})
            sources += [index] * len(elements)
        return {MAIN: paired(made, sources)}


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _kind(value: object) -> str:
    return "absent" if value is field_path.ABSENT else f"{value!r:.60}"
