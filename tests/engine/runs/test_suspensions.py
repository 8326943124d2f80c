"""An item that waits is noted once, goes on when it is resumed, and looks again where an event may be lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.runs.run import Run
from engine.runs.submission import input_items
from tests.support.engine import NOON, EngineHarness
from workflow.executions import EffectKey, Execution, Record, Resumption, Suspension
from workflow.states import ExecutionState

KEY = EffectKey("node", 0, 0)


class SlowChild:
    """A child that ends while its parent looks at it, where ``run``, the parent's run, is set."""

    state = ExecutionState.RUNNING
    run: Run | None = None

    async def ensure(self, parent: Execution, key: Any, workflow_id: str, data: Any, **options: Any) -> Execution:
        """The child as it is."""
        state = self.state
        if self.run is not None:
            self.state = ExecutionState.SUCCEEDED
            self.run.journal.note(Resumption(key=KEY, at=NOON, by="child"))
        return Execution(
            id="child",
            owner=parent.owner,
            initiator=parent.initiator,
            workflow_id=workflow_id,
            workflow_name="child",
            workflow_version=1,
            state=state,
            trigger="workflow",
            start_node="start",
            input=data,
            created_at=NOON,
            output={"items": {}},
        )


PARENT = {
    "name": "parent",
    "nodes": {
        "start": {"type": "manual"},
        "node": {"type": "execute_workflow", "parameters": {"workflow_id": "w"}},
    },
    "connections": [["start", "node"]],
}


async def test_a_parent_looks_after_its_child_even_if_the_news_of_its_end_is_lost(harness: EngineHarness) -> None:
    child = SlowChild()
    harness.children = child
    saved: list[Record] = []
    first = await harness.execute(PARENT, saved=saved)
    saved += first.run.journal.flush()
    assert first.state is ExecutionState.WAITING
    assert first.run.wake_at == harness.clock.now() + timedelta(seconds=60)

    harness.clock.at += timedelta(seconds=61)
    second = await harness.execute(PARENT, recorded=list(saved))
    saved += second.run.journal.flush()
    assert second.state is ExecutionState.WAITING
    assert second.run.wake_at == harness.clock.now() + timedelta(seconds=60), "it waits anew, not in the past"

    harness.clock.at += timedelta(seconds=61)
    child.state = ExecutionState.SUCCEEDED
    third = await harness.execute(PARENT, recorded=list(saved))
    assert third.items("node") == [{"execution_id": "child", "status": "succeeded", "output": {"items": {}}}]


@pytest.mark.parametrize("has_waited", [False, True])
async def test_news_that_come_while_the_item_makes_up_its_mind_to_wait_are_not_lost(
    harness: EngineHarness, has_waited: bool
) -> None:
    harness.children = child = SlowChild()
    saved: list[Record] = []
    if has_waited:
        before = await harness.execute(PARENT, saved=saved)
        saved += before.run.journal.flush()
    child.run, executor = harness.start(PARENT, recorded=list(saved), saved=saved)
    assert await executor.execute(input_items(None), timeout_seconds=5) is ExecutionState.WAITING
    assert child.run.journal.waiting() == []
    saved += child.run.journal.flush()
    child.run = None
    done = await harness.execute(PARENT, recorded=list(saved))
    assert done.items("node") == [{"execution_id": "child", "status": "succeeded", "output": {"items": {}}}]


async def test_waiting_again_takes_back_an_old_resumption(harness: EngineHarness) -> None:
    now = harness.clock.now()
    old: list[Record] = [
        Suspension(key=KEY, at=now, kind="call"),
        Resumption(key=KEY, at=now, by="link", data=1),
        Suspension(key=KEY, at=now, kind="call"),
    ]
    done = await harness.execute(
        {
            "name": "call",
            "nodes": {"start": {"type": "manual"}, "node": {"type": "wait", "parameters": {"for_call": True}}},
            "connections": [["start", "node"]],
        },
        recorded=old,
    )
    assert done.state is ExecutionState.WAITING
