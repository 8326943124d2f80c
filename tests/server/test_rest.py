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
    description = (await http.get("/openapi.json")).json()
    assert description["openapi"].startswith("3.")
    described = {(method, path) for path, methods in description["paths"].items() for method in methods}
    assert {
        ("post", "/api/workflows"),
        ("get", "/api/workflows/{workflow_id}"),
        ("put", "/api/workflows/{workflow_id}"),
        ("delete", "/api/workflows/{workflow_id}"),
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
