"""Sends items to one of two outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.node_api.item_loops import LoopCode
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission, ItemNode
from engine.nodes.conditions import Condition, write_test
from workflow.items import Item


class If(ItemNode[Condition]):
    """Sends each item to the output true or false."""

    name = "if"
    title = "If"
    group = "flow"
    keywords = ("condition", "branch", "else", "route", "decide")
    example = {"condition": "={{ $json.score > 0.8 }}"}
    is_fork = True
    parameter_model = Condition

    def outputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        return ("true", "false")

    def run_item(self, item: Item, parameters: Condition, call: NodeCall[Condition]) -> Emission:
        return Emission("true" if parameters.holds() else "false", item.json)

    def write_loop(self, raw: Mapping[str, Any], code: LoopCode) -> bool:
        test = write_test(raw, (), code)
        if test is None:
            return False
        code.line(f"if {test}:")
        code.line(f"    {code.emission('true', 'json')}")
        code.line("else:")
        code.line(f"    {code.emission('false', 'json')}")
        return True
