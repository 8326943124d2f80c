"""The items of nodes that do not run: disabled nodes, effects in tests and in dry runs."""

from __future__ import annotations

from typing import Any

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode
from engine.runs.node_run import NodeStart, Outcome
from engine.runs.run import PlannedEffect, Run
from engine.runs.turns import Turns
from workflow.errors import JobsprintError
from workflow.executions import Execution
from workflow.items import Item, Items, JsonObject, Outputs, Pair, from_item


def passed_on(start: NodeStart) -> Outcome:
    """The outcome of a disabled node: its input, unchanged."""
    items = [
        Item(item.json, (Pair(place, index),))
        for place, each in enumerate(start.inputs)
        for index, item in enumerate(each)
    ]
    return Outcome({start.node.outputs[0]: items}, start.now)


def in_test(start: NodeStart, execution: Execution) -> Outcome | None:
    """In a test: the node's pinned items, or mocks of its effect; ``None`` where the node runs."""
    node, pins = start.node, execution.pins or {}
    items: Items = list(start.inputs[0]) if start.inputs else []
    if node.name in pins:
        last = len(items) - 1
        made = [Item(json, (Pair(0, min(place, last)),) if items else ()) for place, json in enumerate(pins[node.name])]
        return Outcome({node.outputs[0]: made}, start.now)
    if not node.type.has_effect or not node.type.is_mocked_in_tests:
        return None
    return Outcome(_mocks(items, start), start.now)


async def planned(kind: EffectNode[Any], call: NodeCall[Any], start: NodeStart, run: Run) -> Outcome:
    """In a dry run: note in ``run`` the effects that would happen, and give mocks of their results."""
    turns = Turns()
    for index in range(len(call.items)):
        await turns.next()
        parameters: JsonObject | None = None
        unknown, repeatable, more = None, False, {}
        try:
            model = call.parameters(index)
            parameters = model.model_dump(mode="json", exclude_unset=True)
            repeatable = kind.is_repeatable(model)
            more = await kind.foreseen(index, model, call)
        except JobsprintError as error:
            unknown = error.message
        run.planned.append(
            PlannedEffect(
                node=start.node.name,
                type=kind.name,
                item_index=index,
                parameters=parameters,
                unknown=unknown,
                is_repeatable=repeatable,
                more=more,
            )
        )
    return Outcome(_mocks(list(call.items), start), start.now)


def _mocks(items: Items, start: NodeStart) -> Outputs:
    node = start.node
    outputs: Outputs = {}
    for index, item in enumerate(items):
        emission = node.type.mock(item.json, node.definition.parameters, node.outputs)
        outputs.setdefault(emission.output, []).append(Item(emission.json, from_item(index)))
    return outputs
