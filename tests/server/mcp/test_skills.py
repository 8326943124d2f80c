"""Skills over MCP (SEP-2640): listed, got, read, and in the form of Agent Skills."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
import yaml
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from pydantic import ConfigDict

from tests.server.conftest import connected
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess
from tests.support.tenants import registered
from workflow.items import JsonObject


class Answer(types.Result):
    """Any result."""

    model_config = ConfigDict(extra="allow")


async def asked(client: Client, method: str, **params: Any) -> JsonObject:
    """What a method of the extension answers."""
    request = types.Request[dict[str, Any], str](method=method, params=params)
    answer = await client.session.send_request(request, Answer)
    return answer.model_dump(mode="json", by_alias=True)


async def read(client: Client, uri: str) -> str:
    """The text of a file."""
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, types.TextResourceContents)
    return content.text


async def convert(mcp: McpCaller, name: str) -> str:
    """The id of a workflow that is published as a tool."""
    schema = {"type": "object", "properties": {"euros": {"type": "number"}}, "required": ["euros"]}
    nodes = {
        "start": {"type": "manual", "parameters": {"input_schema": schema}},
        "dollars": {"type": "set", "parameters": {"fields": {"dollars": "={{ $json.euros * 2 }}"}}},
    }
    workflow_id = await mcp.create(nodes, ("start", "dollars"))
    tool = {"name": name, "description": "What euros are: in dollars."}
    await mcp.call("publish_workflow", workflow_id=workflow_id, tool=tool)
    return workflow_id


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_each_skill_is_as_its_entry_says(era: str, server: ServerProcess, data_dir: Path) -> None:
    async with connected("http", era, server, data_dir) as mcp:
        if era == "modern":
            assert "io.modelcontextprotocol/skills" in (mcp.client.server_capabilities.extensions or {})
        workflow_id = await convert(mcp, f"to_dollars_{era}")
        listed = await asked(mcp.client, "skills/list")
        assert (listed["ttlMs"], listed["cacheScope"]) == (0, "private")
        names = [each["frontmatter"]["name"] for each in listed["skills"]]
        assert names[:3] == ["build-workflow", "debug-execution", "write-definition"]
        assert f"to-dollars-{era}" in names
        for skill in listed["skills"]:
            (file,) = skill["resources"]
            text = await read(mcp.client, skill["uri"])
            assert (file["uri"], file["size"]) == (skill["uri"], len(text.encode()))
            assert file["digest"] == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
            front = text.removeprefix("---\n").partition("\n---\n")[0]
            assert yaml.safe_load(front) == skill["frontmatter"]
            assert skill["uri"].removesuffix("/SKILL.md").rpartition("/")[2] == skill["frontmatter"]["name"]
            assert (await asked(mcp.client, "skills/get", uri=skill["uri"]))["skill"] == skill
        await mcp.call("delete_workflow", workflow_id=workflow_id)
        assert f"to-dollars-{era}" not in str(await asked(mcp.client, "skills/list"))


async def test_the_worked_example_of_a_workflow_works(mcp_http: McpCaller) -> None:
    workflow_id = await convert(mcp_http, "to_dollars_at_once")
    text = await read(mcp_http.client, "skill://workflows/to_dollars_at_once/to-dollars-at-once/SKILL.md")
    arguments, run, _ = (json.loads(part.partition("```")[0]) for part in text.split("```json")[1:])
    assert "dollars" in await mcp_http.call("to_dollars_at_once", **arguments)
    assert (await mcp_http.call("execute_workflow", **run))["status"] == "succeeded"
    await mcp_http.call("delete_workflow", workflow_id=workflow_id)


async def test_what_is_no_skill_is_an_invalid_parameter(mcp_http: McpCaller) -> None:
    for uri in ("skill://absent/SKILL.md", "guide://definition", ""):
        with pytest.raises(MCPError) as caught:
            await asked(mcp_http.client, "skills/get", uri=uri)
        assert caught.value.error.code == types.INVALID_PARAMS
    with pytest.raises(MCPError) as caught:
        await asked(mcp_http.client, "skills/list", cursor="made by hand")
    assert caught.value.error.code == types.INVALID_PARAMS


async def test_one_workspace_sees_no_skill_of_another(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "warning"}) as shared:
        ann, bob = await registered(shared.url, "ann"), await registered(shared.url, "bob")
        async with ann.mcp() as hers, bob.mcp() as his:
            await convert(hers, "of_ann")
            listed = await asked(hers.client, "skills/list")
            (uri,) = [each["uri"] for each in listed["skills"] if "of-ann" in each["uri"]]
            assert "of-ann" not in str(await asked(his.client, "skills/list"))
            for ask in (asked(his.client, "skills/get", uri=uri), read(his.client, uri)):
                with pytest.raises(MCPError):
                    await ask
