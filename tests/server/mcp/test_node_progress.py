"""A client that watches a run gets the progress that its nodes report while they run."""

from __future__ import annotations

from pathlib import Path

from mcp import Client

from tests.doubles.mcp_server import running_mcp_double
from tests.support.here import here


async def test_what_an_mcp_server_tells_of_its_progress_reaches_the_client_that_runs_the_workflow(
    tmp_path: Path,
) -> None:
    nodes = {
        "start": {"type": "manual"},
        "work": {"type": "mcp_tool", "parameters": {"connection": "shop", "tool": "steps"}},
    }
    definition = {"name": "steps", "nodes": nodes, "connections": [["start", "work"]]}
    seen: list[tuple[float, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message))

    async with running_mcp_double() as double, here(tmp_path) as server, Client(server.services.mcp) as client:
        document = {"name": "shop", "kind": "mcp", "settings": {"url": double.url}}
        assert (await server.http.post("/api/integrations", json=document)).status_code == 201
        made = (await client.call_tool("create_workflow", {"definition": definition})).structured_content or {}
        run = {"workflow_id": made["workflow_id"], "input": {}}
        result = await client.call_tool("execute_workflow", run, progress_callback=on_progress)
        assert (result.structured_content or {})["status"] == "succeeded"
    assert any(message is not None and "step 1 (1 of 2)" in message for _, message in seen), seen
    steps = [progress for progress, _ in seen]
    assert steps == sorted(set(steps)), "each is more than the one before"


async def test_what_is_told_counts_on_after_a_wait(tmp_path: Path) -> None:
    nodes = {
        "start": {"type": "manual"},
        "ask": {"type": "approval", "parameters": {"question": "May it go on?"}},
        "after": {"type": "no_op"},
    }
    definition = {"name": "asks", "nodes": nodes, "connections": [["start", "ask"], ["ask", "after"]]}
    async with here(tmp_path) as server:
        waits = await server.execution(definition)
        async with server.services.announcements.listen(waits["workflow_id"]) as events:
            answer = {"data": {"choice": "approve"}}
            await server.http.post(f"/api/executions/{waits['execution_id']}/resume", json=answer)
            assert (await server.seen(waits["execution_id"], left="waiting"))["status"] == "succeeded"
            finished = []
            async for event in events:
                if "finished" in event.data:
                    finished.append((event.data["node"], event.data["finished"]))
                if event.data.get("status") == "succeeded":
                    break
    assert finished == [("ask", 2), ("after", 3)]
