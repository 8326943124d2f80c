"""What nodes tell while they are at work: only to those who listen, and not too often."""

from __future__ import annotations

from typing import Any

from tests.support.actions import action
from tests.support.engine import NOON, EngineHarness
from workflow.actions import ActionCall, ActionProgress, ActionResult
from workflow.messages import Event


async def told(harness: EngineHarness, node_type: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """What a listener hears of a run of one node."""
    heard: list[dict[str, Any]] = []
    async with harness.bus.subscribe("w") as events:
        await harness.node(node_type, parameters, {"mail": "x"})
        last = Event(event_id="e", timestamp=NOON, event_type="test.over", aggregate_id="w", data={})
        harness.bus.publish(last)
        async for event in events:
            if event is last:
                break
            if event.event_type == "workflow.node_told":
                heard.append(event.data)
    return heard


async def test_an_answer_is_heard_as_it_grows(harness: EngineHarness) -> None:
    harness.models.script = ["It is on its way."]
    (heard,) = await told(harness, "ai_chat", {"prompt": "Where is it?"})
    assert (heard["node"], heard["note"]) == ("node", "It "), "the first; the others came too soon after it"


async def test_progress_of_an_action_is_heard_in_the_other_sides_words(harness: EngineHarness) -> None:
    def work(call: ActionCall) -> ActionResult:
        assert call.on_progress is not None
        call.on_progress(ActionProgress(progress=1, total=3, message="half way"))
        return ActionResult(data={})

    harness.actions.add(action("shop", "order", effect="read"), work)
    (heard,) = await told(harness, "api_action", {"connection": "shop", "action": "order"})
    assert heard["note"] == "half way (1 of 3)"


async def test_where_nobody_listens_no_answer_is_streamed(harness: EngineHarness) -> None:
    harness.models.script = ["It is on its way."]
    await harness.node("ai_chat", {"prompt": "Where is it?"}, {"mail": "x"})
    assert harness.models.streamed == 0
