"""Keeps the items that meet a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.node_api.item_loops import LoopCode
from engine.node_api.node_call import NodeCall
from engine.node_api.node_traits import DropsItems
from engine.node_api.node_type import Emission, ItemNode
from engine.nodes.conditions import Condition, write_test
from workflow.items import Item


class Filter(ItemNode[Condition], DropsItems):
    """Passes on the items that meet a condition; the others go to the output discarded.

    Discarded items are no result of the workflow: where nothing is connected to discarded, they end here.
    """

    name = "filter"
    title = "Filter"
    group = "data"
    keywords = ("where", "keep", "discard", "condition", "select")
    example = {"comparisons": [{"left": "={{ $json.amount }}", "operator": "greater", "right": 100}]}
    dropped_outputs = frozenset({"discarded"})
    parameter_model = Condition

    def outputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        return ("kept", "discarded")

    def run_item(self, item: Item, parameters: Condition, call: NodeCall[Condition]) -> Emission:
        return Emission("kept" if parameters.holds() else "discarded", item.json)

    def write_loop(self, raw: Mapping[str, Any], code: LoopCode) -> bool:
        test = write_test(raw, (), code)
        if test is None:
            return False
        code.line(f"if {test}:")
        code.line(f"    {code.emission('kept', 'json')}")
        code.line("else:")
        code.line(f"    {code.emission('discarded', 'json')}")
        return True
