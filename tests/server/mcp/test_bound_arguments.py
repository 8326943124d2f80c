"""Arguments of a published workflow's tool that the publisher has fixed: nobody who calls it sees or changes them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.mcp_caller import McpCaller

SCHEMA = {
    "type": "object",
    "properties": {"shop": {"type": "string", "enum": ["berlin", "seoul"]}, "order": {"type": "integer"}},
    "required": ["shop", "order"],
    "additionalProperties": False,
}
DID = "={{ $json.shop }} {{ $json.order }}"
DEFINITION: dict[str, Any] = {
    "name": "Refund",
    "nodes": {
        "start": {"type": "manual", "parameters": {"input_schema": SCHEMA}},
        "say": {
            "type": "set",
            "parameters": {"keep_input": False, "fields": {"did": DID}},
        },
    },
    "connections": [["start", "say"]],
}


def offer(**bound: Any) -> dict[str, Any]:
    """How the workflow is offered: by a name of its own, for the server is that of other tests too."""
    return {"name": f"refund_{uuid.uuid4().hex[:8]}", "description": "Refunds an order.", "bound": bound}


async def published(mcp: McpCaller, **bound: Any) -> dict[str, Any]:
    """The answer of publishing it."""
    made = await mcp.call("create_workflow", definition=DEFINITION)
    return await mcp.call("publish_workflow", workflow_id=made["workflow_id"], tool=offer(**bound))


async def withdraw(mcp: McpCaller, answer: dict[str, Any]) -> None:
    """Leave no tool behind: other tests look at the list of the server's tools."""
    await mcp.call("publish_workflow", workflow_id=answer["workflow_id"], action="withdraw_tool")


async def test_a_bound_argument_is_neither_listed_nor_taken_and_always_given(mcp: McpCaller) -> None:
    answer = await published(mcp, shop="berlin")
    name = answer["tool"]
    assert answer["bound"] == {"shop": "berlin"}
    assert list(answer["input_schema"]["properties"]) == ["order"]
    assert answer["input_schema"]["required"] == ["order"]
    listed = await mcp.client.list_tools()
    (tool,) = [each for each in listed.tools if each.name == name]
    assert "shop" not in str(tool.input_schema)
    called = await mcp.client.call_tool(name, {"order": 7})
    assert called.structured_content == {"did": "berlin 7"}
    refused = await mcp.client.call_tool(name, {"order": 7, "shop": "seoul"})
    assert refused.is_error
    assert "shop was fixed" in str(refused.content)
    await withdraw(mcp, answer)


async def test_a_later_version_keeps_what_is_bound(mcp: McpCaller) -> None:
    answer = await published(mcp, shop="berlin")
    operation = {"op": "update_node", "name": "say", "changes": {"notes": "Says it."}}
    known = {"workflow_id": answer["workflow_id"]}
    await mcp.call("update_workflow", **known, expected_version=1, operations=[operation])
    await mcp.call("publish_workflow", **known)
    called = await mcp.client.call_tool(answer["tool"], {"order": 8})
    assert called.structured_content == {"did": "berlin 8"}
    await withdraw(mcp, answer)


@pytest.mark.parametrize(
    ("bound", "at"), [({"shopp": "berlin"}, "/tool/bound/shopp"), ({"shop": "paris"}, "/tool/bound/shop")]
)
async def test_what_cannot_be_bound_is_refused_when_it_is_published(
    mcp: McpCaller, bound: dict[str, Any], at: str
) -> None:
    made = await mcp.call("create_workflow", definition=DEFINITION)
    failed = await mcp.fail("publish_workflow", workflow_id=made["workflow_id"], tool=offer(**bound))
    assert (failed["code"], failed["pointer"]) == ("invalid_arguments", at)
    assert failed["fix"]
