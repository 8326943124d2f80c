"""Answers that come while an execution is being stored as waiting: it goes on, and whoever waits sees the end."""

from __future__ import annotations

from pathlib import Path

from tests.support.here import here
from workflow.identity import LOCAL_ACTOR, LOCAL_ID
from workflow.states import ExecutionState

APPROVED_BOTH = {
    "name": "two approvals",
    "nodes": {
        "start": {"type": "manual"},
        "approve": {"type": "approval", "parameters": {"question": "May it go on?"}},
    },
    "connections": [["start", "approve"]],
}


async def test_an_answer_that_comes_while_the_waiting_is_being_stored_is_not_too_late(tmp_path: Path) -> None:
    async with here(tmp_path) as server:
        executions, control = server.services.executions, server.services.control
        committed, unanswered = executions.store.committed, [0, 1]

        async def answered_meanwhile(execution_id: str) -> None:
            await committed(execution_id)
            live = executions.live.get(execution_id)
            if unanswered and live is not None and live.execution.state is ExecutionState.WAITING:
                item = unanswered.pop(0)
                await control.resume(LOCAL_ACTOR, execution_id, item=item, data={"choice": "approve"}, by="person")

        executions.store.committed = answered_meanwhile  # type: ignore[method-assign]
        made = await server.http.post("/api/workflows", json=APPROVED_BOTH)
        path = f"/api/workflows/{made.json()['workflow_id']}/execute"
        ran = (await server.http.post(path, json={"input": [{"n": 1}, {"n": 2}], "wait_seconds": 20})).json()
        assert unanswered == []
        assert ran["status"] == "succeeded", ran
        seen = await executions.get(LOCAL_ID, ran["execution_id"])
        assert seen.wake_at is None
