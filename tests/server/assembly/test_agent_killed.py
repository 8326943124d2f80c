"""A server that is killed in the middle of an agent's work repeats no finished call and no answered question."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.models import ModelsDouble, calling, said, serving
from tests.server.conftest import connected
from tests.support.http_target import HttpTarget
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess


@pytest.fixture
async def double() -> AsyncIterator[ModelsDouble]:
    """A server of models."""
    async with serving() as double:
        yield double


def with_models(double: ModelsDouble, models: str = "double/m") -> dict[str, str]:
    """The settings of a server that asks the double."""
    providers = {"double": {"kind": "openai", "base_url": double.openai_url, "api_key": "k"}}
    return {"JOBSPRINT_MODELS": models, "JOBSPRINT_MODEL_PROVIDERS": json.dumps(providers)}


def tool(name: str, url: str, policy: str = "allow") -> dict[str, Any]:
    """A tool that sends a number somewhere."""
    return {
        "name": name,
        "description": "Sends a number.",
        "policy": policy,
        "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        "node": "http_request",
        "parameters": {"method": "POST", "url": url, "json_body": {"n": "<<n>>"}},
    }


async def agent(mcp: McpCaller, target: HttpTarget) -> str:
    """The id of a workflow whose agent has a quick tool, one that waits for the test, and one to be asked about."""
    tools = [
        tool("quick", f"{target.url}/echo"),
        tool("slow", f"{target.url}/wait"),
        tool("asked", f"{target.url}/echo", policy="ask"),
    ]
    node = {"type": "ai_agent", "parameters": {"prompt": "Do it.", "tools": tools}}
    return await mcp.create({"start": {"type": "manual"}, "agent": node}, ("start", "agent"))


@pytest.mark.long
async def test_no_finished_call_is_repeated_after_a_kill_in_the_middle(
    double: ModelsDouble, target: HttpTarget, tmp_path: Path
) -> None:
    double.script("m", calling(("quick", {"n": 1}), ("slow", {"n": 2})), said("all done"))
    server = ServerProcess(tmp_path / "data", with_models(double))
    server.start()
    async with connected("http", "modern", server, tmp_path) as mcp:
        ran = await mcp.call("execute_workflow", workflow_id=await agent(mcp, target), wait_seconds=0)
        async with asyncio.timeout(20):
            await target.arrived.wait()
    server.kill()
    assert len(target.received) == 1
    target.release.set()
    with server:
        async with connected("http", "modern", server, tmp_path) as mcp:
            seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"], wait_seconds=20)
    assert seen["status"] == "succeeded", seen
    (item,) = seen["output"]["items"]["agent"]
    assert item["answer"] == "all done"
    assert item["ai"]["tools"] == [{"tool": "quick", "outcome": "done"}, {"tool": "slow", "outcome": "done"}]
    assert len(target.received) == 1, "the finished call was not made again"
    assert len(target.keys) == 2, "the one under way was"
    assert len(set(target.keys)) == 1, "with the same key"
    assert len(double.asked) == 2, "no model was asked twice"


async def test_no_question_to_a_person_is_asked_twice_over_kills(
    double: ModelsDouble, target: HttpTarget, tmp_path: Path
) -> None:
    double.script("m", calling(("quick", {"n": 1}), ("asked", {"n": 2})), said("all done"))
    server = ServerProcess(tmp_path / "data", with_models(double))
    server.start()
    async with connected("http", "modern", server, tmp_path) as mcp:
        ran = await mcp.call("execute_workflow", workflow_id=await agent(mcp, target))
        assert ran["status"] == "waiting"
    server.kill()
    server.start()
    async with connected("http", "modern", server, tmp_path) as mcp:
        seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"])
        (waits,) = seen["waiting"]
        assert (waits["for"], waits["tool"], waits["arguments"]) == ("approval", "asked", {"n": 2})
        wrong = await mcp.fail(
            "control_execution", execution_id=ran["execution_id"], action="resume", data={"choice": "always"}
        )
        assert wrong["code"] == "invalid_arguments"
        await mcp.call("control_execution", execution_id=ran["execution_id"], action="resume", data={"choice": "allow"})
    server.kill()
    with server:
        async with connected("http", "modern", server, tmp_path) as mcp:
            seen = await mcp.call("inspect_execution", execution_id=ran["execution_id"], wait_seconds=20)
    assert seen["status"] == "succeeded", seen
    assert [json.loads(each["body"])["n"] for each in target.received][:2] == [1, 2]
    keys = [each["headers"]["idempotency-key"] for each in target.received]
    assert len(set(keys)) == 2
    assert keys.count(keys[0]) == 1
    assert len(double.asked_of("m")) <= 3, "only an answer that was under way may be asked for again"


async def test_the_fallback_answers_and_the_assistant_where_all_are_down(
    double: ModelsDouble, target: HttpTarget, tmp_path: Path
) -> None:
    double.script("good", said("from the second"))
    chat = {"type": "ai_chat", "parameters": {"prompt": "?", "models": ["double/status-503", "double/good"]}}
    last = {"type": "ai_chat", "parameters": {"prompt": "?", "models": ["double/status-500", "agent"]}}
    with ServerProcess(tmp_path / "data", with_models(double)) as server:
        async with connected("http", "modern", server, tmp_path) as mcp:
            first = await mcp.create({"start": {"type": "manual"}, "ask": chat}, ("start", "ask"))
            ran = await mcp.call("execute_workflow", workflow_id=first)
            (item,) = ran["output"]["items"]["ask"]
            assert item["answer"] == "from the second"
            assert [each["model"] for each in item["ai"]["tried"]] == ["double/status-503", "double/good"]
            second = await mcp.create({"start": {"type": "manual"}, "ask": last}, ("start", "ask"))
            ran = await mcp.call("execute_workflow", workflow_id=second)
            assert ran["status"] == "waiting"
            assert [each["model"] for each in ran["asks"]["tried"]] == ["double/status-500"]
            plan = await mcp.call("plan_execution", workflow_id=second)
            assert plan["effects"][0]["models"] == ["double/status-500", "agent"]
            assert plan["effects"][0]["messages"] == [{"role": "user", "content": "?"}]
