"""The REST API through HTTP."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

DEFINITION: dict[str, Any] = {
    "name": "rest",
    "nodes": {
        "start": {"type": "manual"},
        "double": {"type": "set", "parameters": {"fields": {"double": "={{ $json.n * 2 }}"}}},
    },
    "connections": [["start", "double"]],
}


async def create(http: httpx2.AsyncClient, definition: Any = None) -> str:
    """The id of a new workflow."""
    answer = await http.post("/api/workflows", json=definition or DEFINITION)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["workflow_id"])


async def test_a_workflow_is_made_read_changed_run_and_deleted(http: httpx2.AsyncClient) -> None:
    made = await http.post("/api/workflows", json=DEFINITION)
    assert made.status_code == 201
    location = made.headers["location"]
    read = await http.get(location)
    assert (read.status_code, read.headers["etag"]) == (200, '"1"')
    assert read.json()["definition"] == DEFINITION

    changed = await http.put(location, json={**DEFINITION, "name": "changed"}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (await http.get(location, params={"version": 1})).json()["name"] == "rest"

    ran = await http.post(f"{location}/execute", json={"input": {"n": 21}, "wait_seconds": 20})
    assert (ran.status_code, ran.json()["status"]) == (200, "succeeded")
    assert ran.json()["output"] == {"items": {"double": [{"n": 21, "double": 42}]}}
    execution = await http.get(ran.headers["location"])
    assert [node["node"] for node in execution.json()["nodes"]] == ["start", "double"]
    assert execution.json()["input"] == {"n": 21}

    assert (await http.delete(location)).status_code == 204
    assert (await http.get(location)).status_code == 404


async def test_executing_without_a_body_or_wait_answers_202_at_once(http: httpx2.AsyncClient) -> None:
    workflow_id = await create(http)
    answer = await http.post(f"/api/workflows/{workflow_id}/execute")
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/executions/{answer.json()['execution_id']}"


async def test_lists_are_paged_and_filtered(http: httpx2.AsyncClient) -> None:
    workflow_id = await create(http, {**DEFINITION, "name": "rest list"})
    listed = (await http.get("/api/workflows", params={"text": "REST LIST"})).json()
    assert [each["workflow_id"] for each in listed["workflows"]] == [workflow_id]
    for _ in range(3):
        await http.post(f"/api/workflows/{workflow_id}/execute", json={"input": {"n": 1}, "wait_seconds": 20})
    first = (await http.get("/api/executions", params={"workflow_id": workflow_id, "limit": 2})).json()
    rest = (
        await http.get(
            "/api/executions", params={"workflow_id": workflow_id, "limit": 2, "cursor": first["next_cursor"]}
        )
    ).json()
    assert (len(first["executions"]), len(rest["executions"]), rest["next_cursor"]) == (2, 1, None)


async def test_cancelling_what_has_ended_is_a_conflict(http: httpx2.AsyncClient) -> None:
    workflow_id = await create(http)
    ran = await http.post(f"/api/workflows/{workflow_id}/execute", json={"input": {"n": 1}, "wait_seconds": 20})
    answer = await http.post(f"/api/executions/{ran.json()['execution_id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition")


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("POST", "/api/workflows", {"content": b"{"}, 400, "invalid_arguments"),
        ("POST", "/api/workflows", {"content": b""}, 400, "invalid_arguments"),
        ("POST", "/api/workflows", {"content": b'{"a": 1, "a": 2}'}, 400, "invalid_definition"),
        ("POST", "/api/workflows", {"json": {"name": "x"}}, 400, "invalid_definition"),
        ("POST", "/api/workflows", {"json": [1]}, 400, "invalid_definition"),
        ("GET", "/api/workflows?limit=0", {}, 400, "invalid_arguments"),
        ("GET", "/api/workflows?colour=red", {}, 400, "invalid_arguments"),
        ("GET", "/api/workflows?cursor=x", {}, 400, "invalid_arguments"),
        ("GET", "/api/workflows/absent", {}, 404, "workflow_not_found"),
        ("GET", "/api/workflows/absent?version=x", {}, 400, "invalid_arguments"),
        ("PUT", "/api/workflows/absent", {"json": DEFINITION}, 404, "workflow_not_found"),
        ("PUT", "/api/workflows/absent", {"json": DEFINITION, "headers": {"if-match": "x"}}, 400, "invalid_arguments"),
        ("DELETE", "/api/workflows/absent", {}, 404, "workflow_not_found"),
        ("PATCH", "/api/workflows/absent", {"json": {}}, 404, "workflow_not_found"),
        ("POST", "/api/workflows?publish=perhaps", {"json": DEFINITION}, 400, "invalid_arguments"),
        ("POST", "/api/workflows/absent/publish", {}, 404, "workflow_not_found"),
        ("POST", "/api/workflows/absent/publish", {"json": {"tool": {"name": "X"}}}, 400, "invalid_arguments"),
        ("POST", "/api/workflows/absent/unpublish", {}, 404, "workflow_not_found"),
        ("POST", "/api/workflows/absent/restore", {}, 404, "workflow_not_found"),
        ("POST", "/api/workflows/absent/versions/1/restore", {}, 404, "workflow_not_found"),
        ("POST", "/api/workflows/absent/versions/x/restore", {}, 400, "invalid_arguments"),
        ("GET", "/api/workflows/absent/versions", {}, 404, "workflow_not_found"),
        ("GET", "/api/workflows/absent/difference?base_version=0", {}, 400, "invalid_arguments"),
        ("DELETE", "/api/workflows/absent/tool", {}, 404, "workflow_not_found"),
        ("POST", "/api/workflows/absent/execute", {}, 404, "workflow_not_found"),
        ("POST", "/api/workflows/absent/execute", {"json": {"inputs": 1}}, 400, "invalid_arguments"),
        ("GET", "/api/executions?status=done", {}, 400, "invalid_arguments"),
        ("GET", "/api/executions/absent", {}, 404, "execution_not_found"),
        ("POST", "/api/executions/absent/cancel", {}, 404, "execution_not_found"),
        ("PATCH", "/api/workflows", {}, 405, "method_not_allowed"),
        ("GET", "/nowhere", {}, 404, "no_such_route"),
    ],
)
async def test_a_bad_request_gets_a_problem_document(
    http: httpx2.AsyncClient, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = await http.request(method, path, **options)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]


async def test_a_version_that_is_not_current_is_a_conflict_and_changes_nothing(http: httpx2.AsyncClient) -> None:
    workflow_id = await create(http)
    answer = await http.put(f"/api/workflows/{workflow_id}", json=DEFINITION, headers={"if-match": '"7"'})
    assert (answer.status_code, answer.json()["code"]) == (409, "version_conflict")
    assert (await http.get(f"/api/workflows/{workflow_id}")).json()["version"] == 1


@pytest.mark.parametrize("data", ["text", 7, [1], [{"a": 1}, None]])
async def test_input_that_is_no_object_is_refused(http: httpx2.AsyncClient, data: Any) -> None:
    workflow_id = await create(http)
    answer = await http.post(f"/api/workflows/{workflow_id}/execute", json={"input": data})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_arguments")


async def test_a_number_that_no_store_keeps_is_refused(http: httpx2.AsyncClient) -> None:
    workflow_id = await create(http)
    body = b'{"input": {"n": 123456789012345678901234567890}}'
    answer = await http.post(f"/api/workflows/{workflow_id}/execute", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "unstorable_value")


async def test_health_and_readiness(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/healthz")).json()["status"] == "ok"
    assert (await http.get("/readyz")).json() == {"status": "ready"}


async def test_openapi_describes_every_route_of_the_api(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/openapi.json")
    assert "[hidden]" not in answer.text
    description = answer.json()
    assert description["openapi"].startswith("3.")
    assert description["paths"]["/auth/me"]["get"]["security"] == [{"caller": []}]
    assert "security" not in description["paths"]["/auth/login"]["post"]
    described = {(method, path) for path, methods in description["paths"].items() for method in methods}
    assert {
        ("post", "/api/workflows"),
        ("get", "/api/workflows/{workflow_id}"),
        ("put", "/api/workflows/{workflow_id}"),
        ("patch", "/api/workflows/{workflow_id}"),
        ("delete", "/api/workflows/{workflow_id}"),
        ("post", "/api/workflows/{workflow_id}/restore"),
        ("get", "/api/workflows/{workflow_id}/versions"),
        ("post", "/api/workflows/{workflow_id}/versions/{version}/restore"),
        ("get", "/api/workflows/{workflow_id}/difference"),
        ("post", "/api/workflows/{workflow_id}/publish"),
        ("post", "/api/workflows/{workflow_id}/unpublish"),
        ("delete", "/api/workflows/{workflow_id}/tool"),
        ("post", "/api/workflows/{workflow_id}/execute"),
        ("get", "/api/executions/{execution_id}"),
        ("post", "/webhooks/{path}"),
        ("get", "/healthz"),
        ("get", "/readyz"),
    } <= described
    schemas = description["components"]["schemas"]
    for methods in description["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                assert content["schema"]["$ref"].rpartition("/")[2] in schemas


async def test_a_workflow_is_patched_by_operations_json_patch_and_merge_patch(http: httpx2.AsyncClient) -> None:
    location = f"/api/workflows/{await create(http)}"
    operation = {"op": "rename_node", "name": "double", "new_name": "twice"}
    changed = await http.patch(location, json={"operations": [operation]}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert changed.json()["definition"]["connections"] == [["start", "twice"]]
    patched = await http.patch(location, json=[{"op": "replace", "path": "/name", "value": "patched"}])
    assert (patched.json()["version"], patched.json()["name"]) == (3, "patched")
    merged = await http.patch(location, json={"name": "merged", "settings": {"timeout_seconds": 5}})
    assert (merged.json()["version"], merged.json()["definition"]["settings"]) == (4, {"timeout_seconds": 5})
    removed = await http.patch(location, json={"settings": None})
    assert "settings" not in removed.json()["definition"]
    for body, status, code in (
        ({"operations": [{"op": "remove_node", "name": "absent"}]}, 400, "invalid_operation"),
        ([{"op": "remove", "path": "/absent"}], 400, "invalid_operation"),
        ({"nodes": {"start": None, "twice": None}}, 400, "invalid_definition"),
        ("text", 400, "invalid_arguments"),
    ):
        refused = await http.patch(location, json=body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    stale = await http.patch(location, json={"name": "late"}, headers={"if-match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (409, "version_conflict")
    assert (await http.get(location)).json()["version"] == 5


async def test_versions_are_listed_compared_published_and_restored(http: httpx2.AsyncClient) -> None:
    made = await http.post("/api/workflows", params={"publish": "true"}, json=DEFINITION)
    assert (made.json()["status"], made.json()["published_version"]) == ("published", 1)
    location = made.headers["location"]
    await http.patch(location, json={"name": "second"})
    listed = (await http.get(f"{location}/versions", params={"limit": 1})).json()
    assert [(each["version"], each["change"]) for each in listed["versions"]] == [(2, "Renamed to 'second'")]
    rest = (await http.get(f"{location}/versions", params={"cursor": listed["next_cursor"]})).json()
    assert [(each["version"], each["published"]) for each in rest["versions"]] == [(1, True)]

    between = (await http.get(f"{location}/difference")).json()
    assert between == {
        "version": 2,
        "base_version": 1,
        "changes": ["Renamed to 'second'"],
        "patch": [{"op": "replace", "path": "/name", "value": "second"}],
    }
    back = (await http.get(f"{location}/difference", params={"version": "published", "base_version": 2})).json()
    assert back["changes"] == ["Renamed to 'rest'"]

    published = await http.post(f"{location}/publish")
    assert (published.status_code, published.json()["published_version"]) == (200, 2)
    rolled_back = await http.post(f"{location}/publish", json={"version": 1})
    assert rolled_back.json()["published_version"] == 1
    assert (await http.get(location, params={"version": "published"})).json()["name"] == "rest"
    ran = await http.post(f"{location}/execute", json={"version": "published", "wait_seconds": 20})
    assert (ran.json()["workflow"], ran.json()["version"]) == ("rest", 1)

    restored = await http.post(f"{location}/versions/1/restore", headers={"if-match": '"2"'})
    assert (restored.json()["version"], restored.json()["name"]) == (3, "rest")
    unpublished = await http.post(f"{location}/unpublish")
    assert (unpublished.json()["status"], unpublished.json()["version"]) == ("draft", 3)
    again = await http.post(f"{location}/unpublish")
    assert (again.status_code, again.json()["code"]) == (409, "not_published")


async def test_a_workflow_is_made_a_tool_and_none_again(http: httpx2.AsyncClient) -> None:
    location = f"/api/workflows/{await create(http)}"
    tool = {"name": "rest_made_this", "description": "Doubles."}
    published = await http.post(f"{location}/publish", json={"tool": tool})
    assert published.json()["tool"] == "rest_made_this"
    other = f"/api/workflows/{await create(http)}"
    taken = await http.post(f"{other}/publish", json={"tool": tool})
    assert (taken.status_code, taken.json()["code"], taken.json()["pointer"]) == (409, "tool_name_taken", "/tool/name")
    assert (await http.delete(f"{location}/tool")).status_code == 204
    assert (await http.delete(f"{other}/tool")).status_code == 409
    moved = await http.post(f"{other}/publish", json={"tool": tool})
    assert moved.status_code == 200
    assert (await http.post(f"{other}/unpublish")).status_code == 200


async def test_a_deleted_workflow_is_listed_and_restored(http: httpx2.AsyncClient) -> None:
    workflow_id = await create(http, {**DEFINITION, "name": "to be restored"})
    assert (await http.delete(f"/api/workflows/{workflow_id}")).status_code == 204
    query = {"deleted": "true", "text": "to be restored"}
    (listed,) = (await http.get("/api/workflows", params=query)).json()["workflows"]
    assert (listed["workflow_id"], listed["status"]) == (workflow_id, "deleted")
    restored = await http.post(f"/api/workflows/{workflow_id}/restore")
    assert (restored.status_code, restored.json()["status"]) == (200, "draft")
    assert (await http.get(f"/api/workflows/{workflow_id}")).status_code == 200
    assert (await http.get("/api/workflows", params=query)).json()["workflows"] == []
