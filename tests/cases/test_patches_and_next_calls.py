"""What a finding or failure proposes is done, and works: patches mend what they are of, next calls are answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonpatch
import mcp_types as types
import pytest
from mcp import Client

from scripts.error_definitions import DEFINITIONS
from tests.support.here import here


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Client]:
    async with here(tmp_path) as server, Client(server.services.mcp) as client:
        credential = {"name": "crm", "kind": "bearer", "token": "hush-hush", "allowed_hosts": ["api.example.com"]}
        assert (await server.http.post("/api/credentials", json=credential)).status_code == 201
        yield client


async def findings(agent: Client, definition: Any) -> list[dict[str, Any]]:
    report = await agent.call_tool("validate_workflow", {"definition": definition})
    assert report.structured_content is not None, report.content
    return list(report.structured_content["findings"])


@pytest.mark.parametrize("code", DEFINITIONS)
async def test_a_patch_mends_what_it_is_of_and_breaks_nothing(agent: Client, code: str) -> None:
    definition = DEFINITIONS[code]
    before = await findings(agent, definition)
    assert code in [each["code"] for each in before] or code.startswith(("unknown_connection", "unknown_action"))
    errors = sum(each["severity"] == "error" for each in before)
    for finding in before:
        if "patch" not in finding:
            assert finding["fix"], finding
            continue
        mended = jsonpatch.apply_patch(definition, finding["patch"])
        after = await findings(agent, mended)
        same = [each for each in after if (each["code"], each["message"]) == (finding["code"], finding["message"])]
        assert same == [], finding
        assert sum(each["severity"] == "error" for each in after) <= errors, (finding, after)


STOPS = {
    "name": "stops",
    "nodes": {
        "start": {"type": "manual"},
        "ask": {"type": "approval", "parameters": {"question": "Go on?"}},
        "stop": {"type": "stop_and_error", "parameters": {"message": "={{ $json.why }}"}},
    },
    "connections": [["start", "ask"], ["ask.approve", "stop"]],
}
PLAIN = {
    "name": "plain",
    "nodes": {"start": {"type": "manual"}, "end": {"type": "no_op"}},
    "connections": [["start", "end"]],
}
ID = "0198c0de-0000-7000-8000-000000000000"


STOP = {"type": "stop_and_error", "parameters": {"message": "No."}}
UNREACHABLE = {
    "type": "http_request",
    "parameters": {"url": "http://127.0.0.1:9/"},
    "retry": {"max_attempts": 1},
}


async def failed(agent: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The failure of a call."""
    answer = await agent.call_tool(tool, arguments)
    assert answer.is_error, answer.structured_content
    (text,) = answer.content
    assert isinstance(text, types.TextContent)
    return dict(json.loads(text.text)["error"])


async def content(agent: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await agent.call_tool(tool, arguments)
    assert answer.structured_content is not None, answer.content
    return answer.structured_content


async def test_the_next_call_of_a_failure_is_answered(agent: Client) -> None:
    plain = (await content(agent, "create_workflow", definition=PLAIN))["workflow_id"]
    stops = (await content(agent, "create_workflow", definition=STOPS))["workflow_id"]
    waits = (await content(agent, "execute_workflow", workflow_id=stops, input={}, wait_seconds=1))["execution_id"]
    ended = (await content(agent, "execute_workflow", workflow_id=plain, input={}, wait_seconds=20))["execution_id"]
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("get_workflow", {"workflow_id": ID}),
        ("get_workflow", {"workflow_id": "plai"}),
        ("get_workflow", {"workflow_id": plain, "version": 9}),
        ("execute_workflow", {"workflow_id": plain, "version": "published"}),
        ("execute_workflow", {"workflow_id": plain, "input": {}, "plan_hash": "0" * 32}),
        ("update_workflow", {"workflow_id": plain, "expected_version": 7, "definition": PLAIN}),
        ("inspect_execution", {"execution_id": ID}),
        ("inspect_execution", {"execution_id": ended, "node": "edn"}),
        ("control_execution", {"execution_id": ID, "action": "cancel"}),
        ("control_execution", {"execution_id": ended, "action": "cancel"}),
        ("control_execution", {"execution_id": ended, "action": "resume"}),
        ("control_execution", {"execution_id": ended, "action": "redrive"}),
        ("control_execution", {"execution_id": waits, "action": "retry"}),
        ("control_execution", {"execution_id": waits, "action": "rerun", "node": "sto"}),
        ("find_nodes", {"name": "http_reqest"}),
        ("render_prompt", {"name": "absent"}),
    ]
    with_next = 0
    for tool, arguments in wrong:
        error = await failed(agent, tool, arguments)
        if "next" in error:
            with_next += 1
            answer = await agent.call_tool(error["next"]["tool"], error["next"]["arguments"])
            assert not answer.is_error, (tool, arguments, error, answer.content)
        else:
            assert error["fix"], error
    assert with_next >= len(wrong) - 4


async def test_the_next_call_in_an_answer_about_an_execution_is_answered(agent: Client) -> None:
    made = await content(agent, "create_workflow", definition=STOPS, run={"input": {"why": "No."}, "wait_seconds": 5})
    await follow(agent, made["run"]["next"])
    for name, node in {"stops at once": STOP, "is not there": UNREACHABLE}.items():
        nodes = {"start": {"type": "manual"}, "node": node}
        fails = {"name": name, "nodes": nodes, "connections": [["start", "node"]]}
        ran = (await content(agent, "create_workflow", definition=fails, run={"input": {}, "wait_seconds": 20}))["run"]
        assert ran["status"] == "failed", ran
        is_transient = ran["error"].get("transient", False)
        assert ('"action": "retry"' in ran["next"]) is is_transient, "what may pass is tried again, before all else"
        assert (await follow(agent, ran["next"]))["execution_id"]
    timer = {
        "name": "timer",
        "nodes": {"start": {"type": "manual"}, "pause": {"type": "wait", "parameters": {"seconds": 1}}},
        "connections": [["start", "pause"]],
    }
    made = await content(agent, "create_workflow", definition=timer, run={"input": {}, "wait_seconds": 0})
    assert "resume" not in made["run"]["next"], "a timer is waited for, or cancelled"
    assert (await follow(agent, made["run"]["next"]))["status"] == "succeeded"


async def follow(agent: Client, said: str) -> dict[str, Any]:
    """The answer to the last call that is written out in a sentence."""
    tools = ("control_execution", "inspect_execution")
    place, tool = max((said.rfind(f"{each} {{"), each) for each in tools)
    assert place >= 0, said
    arguments, _ = json.JSONDecoder().raw_decode(said[place + len(tool) + 1 :])
    return await content(agent, tool, **arguments)
