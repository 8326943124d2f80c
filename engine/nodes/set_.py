"""Sets and removes fields of items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from engine.node_api.item_loops import LoopCode
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission, ItemNode
from engine.node_api.parameters import Parameters
from engine.nodes import field_path
from workflow.definitions.catalogue import MAIN
from workflow.items import Item


class SetParameters(Parameters):
    """The fields to set and to remove."""

    trusts_free_values: ClassVar[bool] = True

    fields: dict[str, Any] = Field(
        default_factory=dict, description="Field → value; a dot in a name makes a nested object."
    )
    keep_input: bool = Field(default=True, description="Keep the item's other fields; false starts empty.")
    remove: list[str] = Field(default_factory=list, description="Fields to drop (dotted paths).")


class Set(ItemNode[SetParameters]):
    """Sets fields of each item, from constants or expressions; can drop the rest."""

    name = "set"
    title = "Set fields"
    group = "data"
    keywords = ("edit", "change", "add", "assign", "transform", "map", "reshape", "rename", "fields")
    example = {"fields": {"name": "={{ $json.body.user.name }}", "source": "web"}, "keep_input": False}
    parameter_model = SetParameters

    def run_item(self, item: Item, parameters: SetParameters, call: NodeCall[SetParameters]) -> Emission:
        json = dict(item.json) if parameters.keep_input else {}
        for path in parameters.remove:
            json = dict(field_path.without(json, path))
        for path, value in parameters.fields.items():
            field_path.write(json, path, value)
        return Emission(MAIN, json)

    def write_loop(self, raw: Mapping[str, Any], code: LoopCode) -> bool:
        fields = raw.get("fields", {})
        if raw.get("remove") or any("." in name for name in fields) or not code.is_constant("keep_input"):
            return False
        members = ["**json"] if raw.get("keep_input", True) else []
        members += [f"{code.constant(name)}: {code.value(('fields', name), value)}" for name, value in fields.items()]
        code.line(code.emission(MAIN, "{" + ", ".join(members) + "}"))
        return True
