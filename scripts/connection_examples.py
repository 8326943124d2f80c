"""Real examples of the codes of connections and their actions, provoked with a connector to a local HTTP server."""

from __future__ import annotations

from typing import Any

from mcp.client.client import Client

from integrations.zapier_answers import refused
from server.assembly.composition import Services
from tools.protocol.tool import error_content
from workflow.actions import Action, ActionCall
from workflow.connections import ConnectionChangedError, TooManyConnectionsError
from workflow.errors import JobsprintError
from workflow.identity import LOCAL_ACTOR, LOCAL_ID

Example = dict[str, Any]


def _action(name: str, path: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "operation": {"method": "POST", "path": path},
        "properties": {"item": {"type": "string"}},
        "required": ["item"],
    }


def _node(**parameters: Any) -> dict[str, Any]:
    node = {"type": "api_action", "parameters": {"connection": "shop", **parameters}}
    return {
        "name": "example",
        "nodes": {"start": {"type": "manual"}, "node": node},
        "connections": [["start", "node"]],
    }


async def connection_examples(services: Services, client: Client, url: str) -> dict[str, Example]:
    """An example of each code that can be provoked here, as the caller sees it."""
    actions = [_action("order", "/absent"), _action("order_slowly", "/slow")]
    definition = {"title": "Shop", "url": url, "actions": actions}
    shop = {"name": "shop", "kind": "connector", "settings": {"connector": "generic", "definition": definition}}
    found: dict[str, Example] = {
        "connection_limit": error_content(TooManyConnectionsError()),
        "connection_changed": error_content(ConnectionChangedError("shop")),
        "quota_spent": error_content(refused(_mail(), "You have no tasks left this month.")),
    }
    for document in (
        shop,
        shop,
        {"name": "docs", "kind": "openapi", "settings": {"url": f"{url}/text"}},
        {
            "name": "github",
            "kind": "connector",
            "settings": {"connector": "github", "url": f"{url}/private"},
            "token": "not a real one",
        },
    ):
        await _note(found, services.integrations.connections.connect(LOCAL_ACTOR, document))
    for connection, action, arguments, digest in (
        ("shp", "order", {"item": "cup"}, None),
        ("shop", "ordr", {"item": "cup"}, None),
        ("shop", "order", {"itm": "cup"}, None),
        ("shop", "order", {"item": "cup"}, "0" * 12),
        ("shop", "order", {"item": "cup"}, None),
    ):
        call = ActionCall(owner=LOCAL_ID, connection=connection, action=action, arguments=arguments, digest=digest)
        await _note(found, services.integrations.actions.run(call))
    await _note(found, services.integrations.connections.declare_read(LOCAL_ACTOR, "shop", "order"))
    for code, parameters in (
        ("unknown_connection", {"connection": "shp", "action": "order"}),
        ("unknown_action", {"action": "ordr", "arguments": {"item": "cup"}}),
    ):
        report = (await client.call_tool("validate_workflow", {"definition": _node(**parameters)})).structured_content
        found[code] = next(each for each in (report or {})["findings"] if each["code"] == code)
    slow = {"action": "order_slowly", "arguments": {"item": "cup"}, "timeout_seconds": 0.05, "on_doubt": "fail"}
    found["action_in_doubt"] = (await _run(client, _node(**slow)))["error"]
    by_hand = [{"manual": {"task": "Order it by telephone."}}]
    waits = await _run(client, _node(connection="elsewhere", action="order", fallback=by_hand))
    answer = {"choice": "cannot", "comment": "Nobody answers."}
    resumed = {"execution_id": waits["execution_id"], "action": "resume", "data": answer}
    await client.call_tool("control_execution", resumed)
    seen = await client.call_tool("inspect_execution", {"execution_id": waits["execution_id"], "wait_seconds": 5})
    found["manual_refused"] = (seen.structured_content or {})["error"]
    return found


def _mail() -> Action:
    return Action(
        connection="zapier",
        name="gmail_send_email",
        title="Send Email",
        description="",
        input_schema={"type": "object"},
    )


async def _note(found: dict[str, Example], doing: Any) -> None:
    try:
        await doing
    except JobsprintError as error:
        found.setdefault(error.code, error_content(error))


async def _run(client: Client, definition: dict[str, Any]) -> dict[str, Any]:
    made = (await client.call_tool("create_workflow", {"definition": definition})).structured_content or {}
    ran = await client.call_tool(
        "execute_workflow", {"workflow_id": made["workflow_id"], "input": {}, "wait_seconds": 1}
    )
    return ran.structured_content or {}
