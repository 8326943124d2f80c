"""Sends items to one of many outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from engine.node_api.item_loops import LoopCode
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission, ItemNode
from engine.node_api.parameters import Parameters
from engine.nodes.conditions import Condition, write_test
from workflow.items import Item

OTHERWISE = "otherwise"


class Rule(Condition):
    """A condition, and the output for the items that meet it."""

    output: str = Field(min_length=1, max_length=100, pattern=r"^[^.=][^.]*$")


class SwitchParameters(Parameters):
    """The rules, tried in order."""

    trusts_free_values: ClassVar[bool] = True

    rules: list[Rule] = Field(min_length=1, max_length=100, description="The first that holds decides.")


class Switch(ItemNode[SwitchParameters]):
    """Sends each item to the output of the first rule that holds, else to the output otherwise."""

    name = "switch"
    title = "Switch"
    group = "flow"
    keywords = ("case", "route", "branch", "label", "rules", "condition")
    example = {
        "rules": [
            {"output": "bug", "condition": "={{ $json.labels.includes('bug') }}"},
            {"output": "big", "comparisons": [{"left": "={{ $json.n }}", "operator": "greater", "right": 9}]},
        ]
    }
    is_fork = True
    parameter_model = SwitchParameters

    def outputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        rules = parameters.get("rules")
        named = [
            rule["output"]
            for rule in (rules if isinstance(rules, list) else [])
            if isinstance(rule, dict) and isinstance(rule.get("output"), str)
        ]
        return tuple(dict.fromkeys([*named, OTHERWISE]))

    def run_item(self, item: Item, parameters: SwitchParameters, call: NodeCall[SwitchParameters]) -> Emission:
        for rule in parameters.rules:
            if rule.holds():
                return Emission(rule.output, item.json)
        return Emission(OTHERWISE, item.json)

    def write_loop(self, raw: Mapping[str, Any], code: LoopCode) -> bool:
        tests = [write_test(rule, ("rules", place), code) for place, rule in enumerate(raw["rules"])]
        for place, (rule, test) in enumerate(zip(raw["rules"], tests, strict=True)):
            if test is None or not code.is_constant("rules", place, "output"):
                return False
            code.line(f"{'elif' if place else 'if'} {test}:")
            code.line(f"    {code.emission(rule['output'], 'json')}")
        code.line("else:")
        code.line(f"    {code.emission(OTHERWISE, 'json')}")
        return True
