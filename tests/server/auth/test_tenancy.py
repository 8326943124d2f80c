"""Another user walks every route, tool, prompt, resource, task and subscription, and finds nothing of somebody's."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from tests.support.server_process import ServerProcess
from tests.support.task_client import TaskClient, TasksExtension
from tests.support.tenants import Era, Tenant, registered
from tools.executions.tasks import EXTENSION

MARK = "heirloom"
"""In every name, text and value of Ann's: no answer to Bob may hold it."""
ERAS: tuple[Era, ...] = ("modern", "legacy")
DEFINITION = {
    "name": f"{MARK} recipe",
    "description": f"{MARK} description",
    "nodes": {
        "start": {"type": "manual"},
        "hook": {"type": "webhook", "parameters": {"path": f"{MARK}-hook"}},
        "tick": {"type": "schedule", "parameters": {"every": "1 day", "input": {"x": f"{MARK} input"}}},
        "ask": {"type": "approval", "parameters": {"question": f"{MARK}?"}},
    },
    "connections": [["start", "ask"], ["hook", "ask"], ["tick", "ask"]],
}
OFFER = {"name": f"{MARK}_tool", "description": f"{MARK} tool", "prompt": True}


@dataclass(slots=True, frozen=True)
class Estate:
    """What Ann has, by the names that paths and arguments have for it, and Bob, who has nothing."""

    ann: Tenant
    bob: Tenant
    ids: Mapping[str, str]
    task_id: str

    def check(self, answer: httpx2.Response | object, asked: str) -> None:
        """Nothing of Ann's is in the answer, but for the ids that Bob sent himself."""
        if isinstance(answer, httpx2.Response):
            text = f"{answer.headers} {answer.text}"
        else:
            text = answer if isinstance(answer, str) else repr(answer)
        for known in (*self.ids.values(), self.task_id):
            text = text.replace(known, "")
        assert MARK not in text, f"{asked} told: {text}"
        assert self.ann.email not in text, f"{asked} told: {text}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that anybody may register on."""
    settings = {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "warning"}
    with ServerProcess(tmp_path_factory.mktemp("shared"), settings) as server:
        yield server


@pytest.fixture(scope="module")
async def estate(shared: ServerProcess) -> Estate:
    """Ann has one of everything."""
    await registered(shared.url, "root")
    ann, bob = await registered(shared.url, "ann"), await registered(shared.url, "bob")
    async with ann.http() as http:

        async def made(path: str, body: Any, status: int) -> Any:
            answer = await http.post(path, json=body)
            assert answer.status_code == status, answer.text
            return answer.json()

        workflow_id = (await made("/api/workflows", DEFINITION, 201))["workflow_id"]
        await made(f"/api/workflows/{workflow_id}/publish", {"tool": OFFER}, 200)
        (schedule,) = (await http.get("/api/schedules")).json()["schedules"]
        ran = await made(f"/api/workflows/{workflow_id}/execute", {"input": {"x": MARK}, "wait_seconds": 20}, 200)
        space = f"/api/workspaces/{ann.workspace_id}"
        invitation = await made(f"{space}/invitations", {"role": "viewer", "email": f"{MARK}@example.com"}, 201)
        key = await made("/api/keys", {"name": f"{MARK} key", "scopes": ["workflows:read"]}, 201)
        credential = {
            "name": f"{MARK}-credential",
            "kind": "bearer",
            "token": f"{MARK}-secret",
            "allowed_hosts": ["example.com"],
        }
        await made("/api/credentials", credential, 201)
        # Under one name with the credential: what paths call {name} is either.
        prompt = {"name": credential["name"], "title": f"{MARK} prompt", "messages": [{"content": f"{MARK} text"}]}
        await made("/api/prompts", prompt, 201)
        lamp = {"name": "switch", "title": f"{MARK} lamp", "operation": {"method": "POST"}}
        connector = {"title": f"{MARK} lamps", "url": "https://lamps.example.com", "actions": [lamp]}
        settings = {"connector": "generic", "definition": connector}
        connection = {"name": credential["name"], "kind": "connector", "settings": settings}
        await made("/api/integrations", connection, 201)
        machine = await made("/api/machines", {"name": f"{MARK} machine", "scopes": ["workflows:read"]}, 201)
        me = (await http.get("/auth/me")).json()
    async with ann.mcp(extensions=[TasksExtension()]) as mcp:
        task = await TaskClient(mcp.client).start("execute_workflow", workflow_id=workflow_id)
        await TaskClient(mcp.client).until(task["taskId"], "working", "input_required")
    return Estate(
        ann,
        bob,
        ids={
            "workflow_id": workflow_id,
            "execution_id": ran["execution_id"],
            "schedule_id": schedule["schedule_id"],
            "workspace_id": ann.workspace_id,
            "user_id": me["user_id"],
            "invitation_id": invitation["id"],
            "key_id": key["id"],
            "credential": credential["name"],
            # Only a run makes one; tests/server/rest/test_conversations.py tries one that is another's.
            "key": f"{MARK}:thread",
            "name": credential["name"],
            "machine_id": machine.get("client_id") or machine["id"],
            "client_id": machine.get("client_id") or machine["id"],
            "grant_id": me["session"]["session_id"],
            "session_id": me["session"]["session_id"],
            "version": "1",
            "action": "switch",
            "path": f"{MARK}-hook",
        },
        task_id=task["taskId"],
    )


async def everything_of(ann: Tenant, task_id: str) -> dict[str, Any]:
    """All that Ann sees of what she has."""
    seen: dict[str, Any] = {}
    async with ann.http() as http:
        for path in (
            "/api/workflows",
            "/api/executions",
            "/api/keys",
            "/api/credentials",
            "/api/integrations",
            "/api/machines",
            "/api/prompts",
        ):
            seen[path] = (await http.get(path)).json()
        for path in ("members", "invitations"):
            seen[path] = (await http.get(f"/api/workspaces/{ann.workspace_id}/{path}")).json()
        seen["task"] = (await http.get(f"/api/executions/{task_id}")).json()
    for key in seen["/api/keys"].get("keys", []):
        key.pop("last_used_at", None)
    return seen


async def test_no_route_gives_or_changes_anything_of_another_users(estate: Estate) -> None:
    before = await everything_of(estate.ann, estate.task_id)
    walked = 0
    async with estate.bob.http() as http:
        document = (await http.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            names = re.findall(r"\{(\w+)\}", path)
            own = [name for name in names if name != "path"]
            for method, operation in operations.items():
                url = re.sub(r"\{(\w+)\}", lambda found: estate.ids[found[1]], path)
                if "security" not in operation or path == "/auth/password":
                    continue  # for strangers; or about the caller alone
                answer = await http.request(method.upper(), url, json=_body(path, method))
                asked = f"{method.upper()} {path}"
                estate.check(answer, asked)
                assert answer.status_code < 500, f"{asked}: {answer.text}"
                if own:
                    # 400 where the body is looked at first.
                    assert answer.status_code in (400, 404), f"{asked}: {answer.status_code} {answer.text}"
                walked += 1
    assert walked > 30
    assert await everything_of(estate.ann, estate.task_id) == before


def _body(path: str, method: str) -> Any:
    """A body that would do harm, where it does not have to be more than an object."""
    if method in ("get", "delete"):
        return None
    bodies: dict[str, Any] = {
        "/api/workflows": {"name": "bobs", "nodes": {"start": {"type": "manual"}}},
        "/api/workflows/{workflow_id}": {"name": "taken over", "nodes": {"start": {"type": "manual"}}},
        "/api/workspaces": {"name": "bobs too"},
        "/api/workspaces/{workspace_id}": {"name": "taken over"},
        "/api/workspaces/{workspace_id}/members/{user_id}": {"role": "viewer"},
        "/api/workspaces/{workspace_id}/invitations": {"role": "owner"},
    }
    return bodies.get(path, {})


@pytest.mark.parametrize("era", ERAS)
async def test_no_tool_gives_or_changes_anything_of_another_users(estate: Estate, era: Era) -> None:
    before = await everything_of(estate.ann, estate.task_id)
    ids, empty = estate.ids, {"name": "x", "nodes": {"start": {"type": "manual"}}}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("find_nodes", {"query": "http"}),
        ("validate_workflow", {"workflow_id": ids["workflow_id"], "operations": []}),
        ("update_workflow", {"workflow_id": ids["workflow_id"], "expected_version": 1, "definition": empty}),
        ("update_workflow", {"workflow_id": ids["workflow_id"], "expected_version": 1, "restore_version": 1}),
        ("get_workflow", {"workflow_id": ids["workflow_id"]}),
        ("get_workflow", {"workflow_id": ids["workflow_id"], "view": "versions"}),
        ("get_workflow", {"workflow_id": ids["workflow_id"], "view": "difference"}),
        ("list_workflows", {}),
        ("list_workflows", {"text": MARK, "deleted": True}),
        ("publish_workflow", {"workflow_id": ids["workflow_id"]}),
        ("publish_workflow", {"workflow_id": ids["workflow_id"], "action": "unpublish"}),
        ("publish_workflow", {"workflow_id": ids["workflow_id"], "action": "withdraw_tool"}),
        ("delete_workflow", {"workflow_id": ids["workflow_id"]}),
        ("delete_workflow", {"workflow_id": ids["workflow_id"], "restore": True}),
        ("plan_execution", {"workflow_id": ids["workflow_id"]}),
        ("execute_workflow", {"workflow_id": ids["workflow_id"]}),
        ("inspect_execution", {"execution_id": ids["execution_id"]}),
        ("inspect_execution", {"execution_id": ids["execution_id"], "wait_seconds": 1, "path": ""}),
        ("inspect_execution", {"execution_id": estate.task_id}),
        ("list_executions", {}),
        ("list_executions", {"workflow_id": ids["workflow_id"]}),
        ("render_prompt", {}),
        *(("render_prompt", {"name": ids["name"], "view": view}) for view in ("messages", "template", "versions")),
        ("find_actions", {}),
        ("find_actions", {"connection": ids["name"], "action": "switch"}),
        ("run_action", {"connection": ids["name"], "action": "switch"}),
        *(("connect_integration", {"name": ids["name"], "do": do}) for do in ("check", "authorize", "disconnect")),
        ("save_prompt", {"name": ids["name"], "delete": True}),
        ("save_prompt", {"name": ids["name"], "restore_version": 1, "expected_version": 1}),
        *(
            ("control_execution", {"execution_id": execution_id, "action": action, "data": {"choice": "approve"}})
            for execution_id in (ids["execution_id"], estate.task_id)
            for action in ("cancel", "resume", "retry", "redrive", "discard", "rerun")
        ),
    ]
    async with estate.bob.mcp(era) as mcp:
        listed = (await mcp.client.list_tools()).tools
        estate.check(listed, "tools/list")
        assert {tool.name for tool in listed} - {name for name, _ in calls} == {"create_workflow"}
        for name, arguments in calls:
            result = await mcp.client.call_tool(name, arguments)
            estate.check(result.model_dump_json(), f"{name} {arguments}")
            if any(known in arguments.values() for known in (*ids.values(), estate.task_id)) and name[:5] != "list_":
                assert result.is_error, f"{name} {arguments}: {result}"
                text = result.content[0]
                assert isinstance(text, types.TextContent)
                code = json.loads(text.text)["error"]["code"]
                gone = ("workflow_not_found", "execution_not_found", "prompt_not_found", "connection_not_found")
                assert code in gone, f"{name} {arguments}: {text.text}"
        with pytest.raises(MCPError, match="Unknown tool"):
            await mcp.client.call_tool(OFFER["name"], {})
    assert await everything_of(estate.ann, estate.task_id) == before


@pytest.mark.parametrize("era", ERAS)
async def test_no_prompt_resource_or_completion_shows_anything_of_another_users(estate: Estate, era: Era) -> None:
    known = {"id": estate.ids["workflow_id"], "version": "1", "node": "ask", "type": "if", "name": OFFER["name"]}
    async with estate.bob.mcp(era) as mcp:
        client = mcp.client
        prompts = (await client.list_prompts()).prompts
        estate.check(prompts, "prompts/list")
        with pytest.raises(MCPError, match="Unknown prompt"):
            await client.get_prompt(str(OFFER["name"]), {})
        estate.check((await client.list_resources()).resources, "resources/list")
        templates = (await client.list_resource_templates()).resource_templates
        for template in templates:
            for workflow_or_execution in (known["id"], estate.ids["execution_id"], estate.task_id):
                values = {**known, "id": workflow_or_execution}
                uri = re.sub(r"\{(\w+)\}", lambda found, of=values: of[found[1]], template.uri_template)
                if "{id}" in template.uri_template:
                    with pytest.raises(MCPError) as refused:
                        await client.read_resource(uri)
                    estate.check(f"{refused.value} {refused.value.error}", uri)
            for variable in re.findall(r"\{(\w+)\}", template.uri_template):
                reference = types.ResourceTemplateReference(uri=template.uri_template)
                others = {name: value for name, value in known.items() if name != variable}
                for typed in ("", known["id"][:8], MARK):
                    found = await client.complete(reference, {"name": variable, "value": typed}, others)
                    estate.check(found.completion.values, f"completion of {variable} in {template.uri_template}")
                    assert known["id"] not in found.completion.values
        for prompt in prompts:
            for argument in prompt.arguments or ():
                found = await client.complete(
                    types.PromptReference(name=prompt.name), {"name": argument.name, "value": ""}
                )
                estate.check(found.completion.values, f"completion of {argument.name} of {prompt.name}")
                assert not {known["id"], estate.ids["execution_id"], estate.task_id} & set(found.completion.values)


async def test_tasks_of_another_user_are_not_there(estate: Estate) -> None:
    before = await everything_of(estate.ann, estate.task_id)
    async with estate.bob.mcp(extensions=[TasksExtension()]) as mcp:
        tasks = TaskClient(mcp.client)
        for method, params in (("get", {}), ("update", {"inputResponses": {}}), ("cancel", {})):
            with pytest.raises(MCPError, match="There is no execution"):
                await tasks.send(f"tasks/{method}", estate.task_id, **params)
    assert await everything_of(estate.ann, estate.task_id) == before


@pytest.mark.parametrize("era", ERAS)
async def test_nobody_is_told_of_what_happens_in_another_workspace(estate: Estate, era: Era) -> None:
    notifications: list[Any] = []
    own_change = asyncio.Event()

    async def on_message(message: Any) -> None:
        notifications.append(message)
        own_change.set()

    uris = [f"workflow://{estate.ids['workflow_id']}", f"execution://{estate.task_id}"]
    async with estate.ann.http() as hers, estate.bob.http() as his:
        offer = {"tool": OFFER}
        if era == "legacy":
            async with estate.bob.mcp(era, message_handler=on_message) as mcp:
                for uri in uris:
                    with pytest.raises(MCPError):
                        await mcp.client.session.send_request(
                            types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri)), types.EmptyResult
                        )
                # Asking for a list first opens a stream on which the session gets notifications.
                await mcp.client.list_tools()
                await _ann_changes_and_then_bob(hers, his, estate, offer, notifications, own_change)
        else:
            async with estate.bob.mcp(era) as mcp:
                await _modern_listener(mcp.client, uris, hers, his, estate, offer, notifications, own_change)


async def _modern_listener(
    client: Client,
    uris: list[str],
    hers: httpx2.AsyncClient,
    his: httpx2.AsyncClient,
    estate: Estate,
    offer: dict[str, Any],
    notifications: list[Any],
    own_change: asyncio.Event,
) -> None:
    async with client.listen(
        tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True, resource_subscriptions=uris
    ) as subscription:
        assert not subscription.honored.resource_subscriptions

        async def hear() -> None:
            async for change in subscription:
                notifications.append(change)
                own_change.set()

        hearing = asyncio.create_task(hear())
        try:
            await _ann_changes_and_then_bob(hers, his, estate, offer, notifications, own_change)
        finally:
            hearing.cancel()
            with suppress(asyncio.CancelledError):
                await hearing


async def _ann_changes_and_then_bob(
    hers: httpx2.AsyncClient,
    his: httpx2.AsyncClient,
    estate: Estate,
    offer: dict[str, Any],
    notifications: list[Any],
    own_change: asyncio.Event,
) -> None:
    """Ann's change comes first, and Bob gets a notification of his own: one of hers would have come by then."""
    workflow = f"/api/workflows/{estate.ids['workflow_id']}"
    assert (await hers.post(f"{workflow}/unpublish")).status_code == 200
    assert (await hers.post(f"{workflow}/publish", json=offer)).status_code == 200
    assert notifications == []
    own = {"name": "own", "nodes": {"start": {"type": "manual"}}}
    async with asyncio.timeout(20):
        while not own_change.is_set():
            assert (await his.post("/api/workflows", json=own)).status_code == 201
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await own_change.wait()
    estate.check(notifications, "notifications")


async def test_a_task_of_another_user_is_not_followed(estate: Estate) -> None:
    async with httpx2.AsyncClient(headers=estate.bob.headers, timeout=10) as http:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}}},
            "io.modelcontextprotocol/clientInfo": {"name": "walker", "version": "1"},
        }
        params = {"notifications": {"taskIds": [estate.task_id]}, "_meta": meta}
        request = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        headers = {
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "subscriptions/listen",
            "accept": "application/json, text/event-stream",
        }
        async with http.stream("POST", f"{estate.bob.url}/mcp", json=request, headers=headers) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    acknowledged = json.loads(line.removeprefix("data:"))
                    assert acknowledged["params"]["notifications"]["taskIds"] == []
                    break
            else:
                raise AssertionError("nothing was acknowledged")


async def test_a_session_is_its_principals_alone(estate: Estate) -> None:
    accept = {"accept": "application/json, text/event-stream"}
    start = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "walker", "version": "1"},
    }
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": start}
    async with estate.ann.http() as hers, estate.bob.http() as his:
        session = (await hers.post("/mcp", json=hello, headers=accept)).headers["mcp-session-id"]
        used = {**accept, "mcp-session-id": session, "mcp-protocol-version": "2025-11-25"}
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await hers.post("/mcp", json=ready, headers=used)).status_code == 202
        call = {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "list_workflows", "arguments": {}},
        }
        for _ in range(2):
            assert MARK in (await hers.post("/mcp", json=call, headers=used)).text
            stolen = await his.post("/mcp", json=call, headers=used)
            assert stolen.status_code == 404
            estate.check(stolen, "a stolen session")
        assert (await his.delete("/mcp", headers=used)).status_code == 404
        assert MARK in (await hers.post("/mcp", json=call, headers=used)).text


async def test_a_path_that_is_taken_does_not_say_by_whom(estate: Estate, tmp_path: Path) -> None:
    hook = {"type": "webhook", "parameters": {"path": f"{MARK}-hook"}}
    async with estate.bob.http() as http:
        answer = await http.post("/api/workflows?publish=true", json={"name": "mine", "nodes": {"hook": hook}})
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_path_taken")
    assert estate.ids["workflow_id"] not in answer.text
    assert estate.ann.workspace_id not in answer.text


@pytest.mark.parametrize("era", ERAS)
async def test_a_key_that_may_not_read_prompts_is_shown_none(estate: Estate, era: Era) -> None:
    body = {"name": f"narrow {era}", "scopes": ["workflows:read"], "expires_in_days": 1}
    async with estate.ann.http() as http:
        made = await http.post("/api/keys", json=body)
        assert made.status_code == 201, made.text
    async with replace(estate.ann, token=made.json()["key"]).mcp(era) as mcp:
        assert (await mcp.client.list_prompts()).prompts == []
        assert not [each for each in (await mcp.client.list_resources()).resources if str(each.uri)[:9] == "prompt://"]
        for name in (estate.ids["name"], "summarize"):
            with pytest.raises(MCPError):
                await mcp.client.read_resource(f"prompt://{name}")
            with pytest.raises(MCPError):
                await mcp.client.get_prompt(name, {"text": "x"})
        reference = types.ResourceTemplateReference(uri="prompt://{name}")
        assert (await mcp.client.complete(reference, {"name": "name", "value": ""})).completion.values == []
