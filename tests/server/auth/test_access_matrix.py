"""Who may do what: every tool and route against every role, by tables that are written here once more by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import mcp_types as types
import pytest

from tests.support.server_process import ServerProcess
from tests.support.tenants import Era, Tenant, member, registered
from workflow.identity import Role

ROLES = list(Role)
ERAS: tuple[Era, ...] = ("modern", "legacy")
ABSENT = "0198c0de-0000-7000-8000-000000000000"

LEAST_ROLE_OF_TOOL = {
    "find_nodes": Role.VIEWER,
    "validate_workflow": Role.VIEWER,
    "get_workflow": Role.VIEWER,
    "list_workflows": Role.VIEWER,
    "plan_execution": Role.VIEWER,
    "inspect_execution": Role.VIEWER,
    "list_executions": Role.VIEWER,
    "render_prompt": Role.VIEWER,
    "find_actions": Role.VIEWER,
    "execute_workflow": Role.OPERATOR,
    "run_action": Role.OPERATOR,
    "control_execution": Role.OPERATOR,
    "own_tool": Role.OPERATOR,
    "create_workflow": Role.EDITOR,
    "update_workflow": Role.EDITOR,
    "publish_workflow": Role.EDITOR,
    "delete_workflow": Role.EDITOR,
    "save_prompt": Role.EDITOR,
    "connect_integration": Role.EDITOR,
}
ARGUMENTS: dict[str, dict[str, object]] = {
    "find_nodes": {},
    "validate_workflow": {"definition": {"name": "x", "nodes": {}}},
    "list_workflows": {},
    "list_executions": {},
    "find_actions": {},
    "run_action": {"connection": "absent", "action": "absent"},
    "connect_integration": {"name": "absent", "do": "check"},
    "own_tool": {},
    "render_prompt": {},
    "save_prompt": {"name": "absent", "delete": True},
    "create_workflow": {"definition": {"name": "x", "nodes": {"start": {"type": "manual"}}}},
    "inspect_execution": {"execution_id": ABSENT},
    "control_execution": {"execution_id": ABSENT, "action": "cancel"},
}

VIEWER, OPERATOR, EDITOR, OWNER = Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.OWNER
LEAST_ROLE_OF_ROUTE = {
    "POST /api/workflows": EDITOR,
    "GET /api/workflows": VIEWER,
    "GET /api/workflows/{workflow_id}": VIEWER,
    "PUT /api/workflows/{workflow_id}": EDITOR,
    "PATCH /api/workflows/{workflow_id}": EDITOR,
    "DELETE /api/workflows/{workflow_id}": EDITOR,
    "POST /api/workflows/{workflow_id}/execute": OPERATOR,
    "POST /api/workflows/{workflow_id}/restore": EDITOR,
    "GET /api/workflows/{workflow_id}/versions": VIEWER,
    "POST /api/workflows/{workflow_id}/versions/{version}/restore": EDITOR,
    "GET /api/workflows/{workflow_id}/difference": VIEWER,
    "POST /api/workflows/{workflow_id}/publish": EDITOR,
    "POST /api/workflows/{workflow_id}/unpublish": EDITOR,
    "DELETE /api/workflows/{workflow_id}/tool": EDITOR,
    "GET /api/executions": VIEWER,
    "POST /api/executions": EDITOR,
    "GET /api/executions/{execution_id}": VIEWER,
    "GET /api/exchanges": VIEWER,
    "POST /api/executions/{execution_id}/cancel": OPERATOR,
    "POST /api/executions/{execution_id}/resume": OPERATOR,
    "POST /api/executions/{execution_id}/redrive": OPERATOR,
    "POST /api/executions/{execution_id}/retry": OPERATOR,
    "POST /api/executions/{execution_id}/rerun": OPERATOR,
    "GET /api/schedules": VIEWER,
    "GET /api/schedules/{schedule_id}": VIEWER,
    "GET /api/schedules/{schedule_id}/slots": VIEWER,
    "POST /api/schedules/{schedule_id}/pause": OPERATOR,
    "POST /api/schedules/{schedule_id}/resume": OPERATOR,
    "POST /api/schedules/{schedule_id}/run": OPERATOR,
    "POST /api/schedules/{schedule_id}/backfill": OPERATOR,
    "GET /api/conversations": VIEWER,
    "GET /api/conversations/{key}": VIEWER,
    "DELETE /api/conversations/{key}": OPERATOR,
    "GET /api/prompts": VIEWER,
    "POST /api/prompts": EDITOR,
    "GET /api/prompts/export": VIEWER,
    "POST /api/prompts/import": EDITOR,
    "GET /api/prompts/{name}": VIEWER,
    "PUT /api/prompts/{name}": EDITOR,
    "DELETE /api/prompts/{name}": EDITOR,
    "GET /api/prompts/{name}/versions": VIEWER,
    "POST /api/prompts/{name}/versions/{version}/restore": EDITOR,
    "GET /api/prompts/{name}/difference": VIEWER,
    "POST /api/prompts/{name}/preview": VIEWER,
    "GET /api/workspaces": VIEWER,
    "POST /api/workspaces": VIEWER,
    "PATCH /api/workspaces/{workspace_id}": OWNER,
    "GET /api/workspaces/{workspace_id}/members": VIEWER,
    "PATCH /api/workspaces/{workspace_id}/members/{user_id}": OWNER,
    # Everybody may leave.
    "DELETE /api/workspaces/{workspace_id}/members/{user_id}": VIEWER,
    "GET /api/workspaces/{workspace_id}/invitations": OWNER,
    "POST /api/workspaces/{workspace_id}/invitations": OWNER,
    "DELETE /api/workspaces/{workspace_id}/invitations/{invitation_id}": OWNER,
    "POST /api/invitations/accept": VIEWER,
    "GET /api/keys": VIEWER,
    "POST /api/keys": VIEWER,
    "DELETE /api/keys/{key_id}": VIEWER,
    "GET /api/audit": OWNER,
    "GET /api/credentials": VIEWER,
    "POST /api/credentials": EDITOR,
    "GET /api/credentials/{name}": VIEWER,
    "PUT /api/credentials/{name}": EDITOR,
    "PATCH /api/credentials/{name}": EDITOR,
    "DELETE /api/credentials/{name}": EDITOR,
    "POST /api/credentials/{name}/check": EDITOR,
    "GET /api/integrations": VIEWER,
    "POST /api/integrations": EDITOR,
    "GET /api/integrations/{name}": VIEWER,
    "PATCH /api/integrations/{name}": EDITOR,
    "DELETE /api/integrations/{name}": EDITOR,
    "POST /api/integrations/{name}/check": EDITOR,
    "POST /api/integrations/{name}/authorize": EDITOR,
    "GET /api/integrations/{name}/actions": VIEWER,
    "PUT /api/integrations/{name}/actions/{action}/effect": EDITOR,
    "DELETE /api/integrations/{name}/actions/{action}/effect": EDITOR,
    "GET /api/integrations/{name}/figures": VIEWER,
    "POST /api/machines": OWNER,
    "GET /api/machines": OWNER,
    "DELETE /api/machines/{machine_id}": OWNER,
    "GET /api/grants": VIEWER,
    "DELETE /api/grants/{grant_id}": VIEWER,
    "GET /auth/me": VIEWER,
    "POST /auth/password": VIEWER,
}


def allows(role: Role, least: Role) -> bool:
    """Whether the role is at least the other; they are listed from the least to the most."""
    return ROLES.index(role) >= ROLES.index(least)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that anybody may register on."""
    settings = {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "warning"}
    with ServerProcess(tmp_path_factory.mktemp("shared"), settings) as server:
        yield server


@pytest.fixture(scope="module")
async def members(shared: ServerProcess) -> dict[Role, Tenant]:
    """A member of each role in one workspace, which has a workflow that is a tool."""
    await registered(shared.url, "root")
    owner = await registered(shared.url, "owner")
    others = {role: await member(owner, role.value, role.value) for role in ROLES if role is not OWNER}
    async with owner.http() as http:
        tool = {"name": "tool", "nodes": {"start": {"type": "manual"}}}
        made = (await http.post("/api/workflows", json=tool)).json()
        offer = {"tool": {"name": "own_tool", "description": "Does nothing."}}
        published = await http.post(f"/api/workflows/{made['workflow_id']}/publish", json=offer)
        assert published.status_code == 200, published.text
    return {**others, OWNER: owner}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_has_its_tools_and_no_others(members: dict[Role, Tenant], role: Role, era: Era) -> None:
    allowed = {name for name, least in LEAST_ROLE_OF_TOOL.items() if allows(role, least)}
    async with members[role].mcp(era) as mcp:
        assert {tool.name for tool in (await mcp.client.list_tools()).tools} == allowed
        for name in LEAST_ROLE_OF_TOOL:
            result = await mcp.client.call_tool(name, ARGUMENTS.get(name, {"workflow_id": ABSENT}))
            first = result.content[0]
            assert isinstance(first, types.TextContent)
            code = json.loads(first.text).get("error", {}).get("code")
            assert (code == "insufficient_scope") is (name not in allowed), f"{role} {name}: {first.text}"


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_has_its_routes_and_no_others(members: dict[Role, Tenant], role: Role) -> None:
    async with members[role].http() as http:
        document = (await http.get("/openapi.json")).json()
        guarded = {
            f"{method.upper()} {path}"
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if "security" in operation
        }
        assert guarded == set(LEAST_ROLE_OF_ROUTE)
        for route, least in LEAST_ROLE_OF_ROUTE.items():
            method, path = route.split(" ")
            body = None if method in ("GET", "DELETE") else {}
            answer = await http.request(method, re.sub(r"\{\w+\}", ABSENT, path), json=body)
            assert (answer.status_code == 403) is not allows(role, least), f"{role} {route}: {answer.text}"
            assert answer.status_code != 401
            if answer.status_code == 403:
                assert answer.json()["code"] == "insufficient_scope"


async def test_strangers_have_no_route_that_is_not_for_them(shared: ServerProcess, members: dict[Role, Tenant]) -> None:
    async with Tenant(shared.url, "", "jsk_wrong", "").http() as wrong:
        document = (await wrong.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if "security" not in operation:
                    continue
                url = re.sub(r"\{\w+\}", ABSENT, path)
                for proof in ("Bearer jsk_wrong", "", "Bearer", "Basic eDp5"):
                    answer = await wrong.request(method.upper(), url, headers={"authorization": proof})
                    assert answer.status_code == 401, f"{method} {path}: {answer.text}"
                    assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert (await wrong.post("/mcp", json={})).status_code == 401
