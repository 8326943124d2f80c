"""Sets and removes fields of items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

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

    fields: Annotated[dict[str, Any], AfterValidator(field_path.checked_names)] = Field(
        default_factory=dict, description="Path → value; objects that are missing on the way are made."
    )
    keep_input: bool = Field(default=True, description="Keep the item's other fields; false starts empty.")
    remove: list[field_path.FieldPath] = Field(default_factory=list, description="Paths of fields to drop.")


class Set(ItemNode[SetParameters]):
    """Sets fields of each item, from constants or expressions; can drop the rest."""

    name = "set"
    title = "Set fields"
    group = "data"
    keywords = ("edit", "change", "add", "assign", "transform", "map", "reshape", "rename", "fields")
    example = {"fields": {"name": "={{ $json.body.user.name }}", "source": "web"}, "keep_input": False}
    parameter_model = SetParameters

    def run_item(self, item: Item, parameters: SetParameters, call: NodeCall[SetParameters]) -> Emission:
        json = dict(field_path.without(item.json, parameters.remove)) if parameters.keep_input else {}
        for path, value in parameters.fields.items():
            field_path.write(json, path, value, at=("fields", path))
        return Emission(MAIN, json)

    def write_loop(self, raw: Mapping[str, Any], code: LoopCode) -> bool:
        fields = raw.get("fields", {})
        if raw.get("remove") or not all(map(field_path.is_name, fields)) or not code.is_constant("keep_input"):
            return False
        members = ["**json"] if raw.get("keep_input", True) else []
        members += [f"{code.constant(name)}: {code.value(('fields', name), value)}" for name, value in fields.items()]
        code.line(code.emission(MAIN, "{" + ", ".join(members) + "}"))
        return True
