"""The kit with which packages test their node types, on built-in ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.node_api import EffectNode, Item, JsonObject, NodeCall, NodeError, NoParameters, Step, SuspendError
from engine.node_api.testing import NOON, run_node
from engine.nodes.code import Code
from engine.nodes.if_ import If
from engine.nodes.respond import Respond
from engine.nodes.sort import Sort
from engine.nodes.wait import Wait


class InSteps(EffectNode[NoParameters]):
    """Counts how often its steps are done."""

    name = "in_steps"
    title = "In steps"
    group = "data"
    parameter_model = NoParameters

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    async def run_item(
        self, index: int, item: Item, parameters: NoParameters, call: NodeCall[NoParameters]
    ) -> JsonObject:
        async def work() -> str:
            self.done.append(call.effect_key(index))
            return "made"

        call.progress.report("at work")
        return {**item.json, "order": await call.once(index, Step(name="order", kind=self.name), work)}


async def test_a_batch_node_sees_all_items() -> None:
    ran = await run_node(Sort(), {"by": [{"field": "n"}]}, [{"n": 2}, {"n": 1}])
    assert ran.json() == [{"n": 1}, {"n": 2}]
    assert [item.paired[0].item for item in ran.outputs["main"]] == [1, 0]


async def test_parameters_may_differ_by_item() -> None:
    comparisons = [{"left": 1, "operator": "equals", "right": 1}]

    def parameters(item: JsonObject) -> dict[str, Any]:
        return {"comparisons": [{**comparisons[0], "left": item["n"]}]}

    ran = await run_node(If(), parameters, [{"n": 1}, {"n": 2}])
    assert (ran.json("true"), ran.json("false")) == ([{"n": 1}], [{"n": 2}])


async def test_a_parameter_that_does_not_fit_fails_the_item() -> None:
    with pytest.raises(NodeError) as failed:
        await run_node(Sort(), {"by": 5})
    assert failed.value.node_code == "bad_parameter"


async def test_an_item_waits_and_goes_on() -> None:
    with pytest.raises(SuspendError) as waits:
        await run_node(Wait(), {"for_call": True, "seconds": 60}, [{"n": 1}])
    assert (waits.value.kind, waits.value.wake_at) == ("call", NOON + timedelta(seconds=60))
    ran = await run_node(Wait(), {"for_call": True, "seconds": 60}, [{"n": 1}], resumptions={0: {"ok": True}})
    assert ran.json() == [{"n": 1, "resume": {"by": "test", "data": {"ok": True}}}]


async def test_a_step_that_an_earlier_run_did_is_not_repeated() -> None:
    kind = InSteps()
    first = await run_node(kind, {}, [{"n": 1}, {"n": 2}])
    again = await run_node(kind, {}, [{"n": 1}, {"n": 2}], steps=first.steps)
    assert first.json() == again.json() == [{"n": 1, "order": "made"}, {"n": 2, "order": "made"}]
    assert len(set(kind.done)) == len(kind.done) == 2
    assert first.notes == ["at work", "at work"]


async def test_the_answer_to_a_webhook_is_kept() -> None:
    ran = await run_node(Respond(), {"status": 201, "body": {"id": 7}})
    assert ran.response is not None
    assert (ran.response.status, ran.response.body) == (201, {"id": 7})


async def test_what_needs_a_server_says_so() -> None:
    with pytest.raises(NotImplementedError, match="running server"):
        await run_node(Code(), {"javascript": "return []"})
