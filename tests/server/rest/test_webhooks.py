"""Webhooks: who may start what, what the workflow sees, and what the sender gets."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import Any

import httpx2
import pytest

from tests.conftest import WEBHOOK_SECRET
from tests.support.mcp_caller import McpCaller


async def listen(mcp: McpCaller, respond: dict[str, Any] | None = None, **parameters: Any) -> str:
    """The path of a new webhook that listens."""
    path = f"hook-{uuid.uuid4().hex[:8]}"
    nodes: dict[str, Any] = {"hook": {"type": "webhook", "parameters": {"path": path, **parameters}}}
    if respond is None:
        await mcp.create(nodes, publish=True)
    else:
        answer = {"type": "respond", "parameters": respond}
        await mcp.create({**nodes, "answer": answer}, ("hook", "answer"), publish=True)
    return path


async def seen(mcp: McpCaller, execution_id: str) -> dict[str, Any]:
    """The webhook's item."""
    inside = await mcp.call("inspect_execution", execution_id=execution_id, node="hook", wait_seconds=20)
    item: dict[str, Any] = inside["runs"][0]["outputs"]["main"][0]
    return item


async def test_a_webhook_is_accepted_with_202_and_runs(mcp_http: McpCaller, http: httpx2.AsyncClient) -> None:
    path = await listen(mcp_http)
    answer = await http.post(
        f"/webhooks/{path}?a=1&b=2&b=3", json={"n": 1}, headers={"X-Mine": "me", "Authorization": "Bearer secret"}
    )
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    item = await seen(mcp_http, answer.json()["execution_id"])
    assert (item["body"], item["query"], item["method"], item["path"]) == (
        {"n": 1},
        {"a": "1", "b": ["2", "3"]},
        "POST",
        path,
    )
    assert item["headers"]["x-mine"] == "me"
    assert "authorization" not in item["headers"]


@pytest.mark.parametrize(
    ("content", "content_type", "body"),
    [
        (b"a=1&a=2&b=", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": ""}),
        (b'{"a":[1]}', "application/vnd.x+json; charset=utf-8", {"a": [1]}),
        ("héllo".encode(), "text/plain", "héllo"),
        (b"", "application/json", None),
    ],
)
async def test_bodies_are_read_as_they_say_they_are(
    mcp_http: McpCaller, http: httpx2.AsyncClient, content: bytes, content_type: str, body: Any
) -> None:
    path = await listen(mcp_http)
    answer = await http.post(f"/webhooks/{path}", content=content, headers={"content-type": content_type})
    assert (await seen(mcp_http, answer.json()["execution_id"]))["body"] == body


async def test_a_respond_node_answers_the_sender(mcp_http: McpCaller, http: httpx2.AsyncClient) -> None:
    respond = {"status": 201, "headers": {"X-Kind": "lead"}, "body": {"got": "={{ $json.body.n }}"}}
    path = await listen(mcp_http, respond)
    answer = await http.post(f"/webhooks/{path}", json={"n": 5})
    assert (answer.status_code, answer.headers["x-kind"], answer.json()) == (201, "lead", {"got": 5})
    text = await listen(mcp_http, {"body": "plain"})
    plain = await http.post(f"/webhooks/{text}")
    assert (plain.text, plain.headers["content-type"]) == ("plain", "text/plain; charset=utf-8")


async def test_a_workflow_that_fails_before_it_answers_is_a_500_that_names_the_execution(
    mcp_http: McpCaller, http: httpx2.AsyncClient
) -> None:
    path = await listen(mcp_http, {"body": "={{ $json.body.a.b }}"})
    answer = await http.post(f"/webhooks/{path}", json={})
    assert (answer.status_code, answer.json()["code"]) == (500, "execution_failed")
    failed = await mcp_http.call("inspect_execution", execution_id=answer.json()["execution_id"])
    assert failed["status"] == "failed"


async def test_a_signed_webhook_starts_only_with_its_signature(mcp_http: McpCaller, http: httpx2.AsyncClient) -> None:
    path = await listen(mcp_http, signature={"secret": "github"})
    body = b"Hello, World!"
    # The example of GitHub's own documentation on validating webhook deliveries.
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signature == "sha256=" + hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    good = await http.post(f"/webhooks/{path}", content=body, headers={"X-Hub-Signature-256": signature})
    assert good.status_code == 202
    for headers in ({}, {"X-Hub-Signature-256": signature[:-1] + "8"}, {"X-Hub-Signature-256": "sha256="}):
        bad = await http.post(f"/webhooks/{path}", content=body, headers=headers)
        assert (bad.status_code, bad.json()["code"]) == (403, "webhook_signature_invalid")


async def test_a_workspaces_own_secret_counts_before_the_servers(mcp_http: McpCaller, http: httpx2.AsyncClient) -> None:
    own = {"name": "own-signature", "kind": "signature", "secret": "a secret of the workspace"}
    assert (await http.post("/api/credentials", json=own)).status_code == 201
    path, body = await listen(mcp_http, signature={"secret": "own-signature"}), b"Hello, World!"
    digest = hmac.new(b"a secret of the workspace", body, hashlib.sha256).hexdigest()
    good = await http.post(f"/webhooks/{path}", content=body, headers={"X-Hub-Signature-256": f"sha256={digest}"})
    assert good.status_code == 202
    bad = await http.post(f"/webhooks/{path}", content=body, headers={"X-Hub-Signature-256": "sha256=00"})
    assert (bad.status_code, "own-signature" in bad.text) == (403, False)
    sent = {"name": "for-sending", "kind": "bearer", "token": "a-bearer-token-1", "allowed_hosts": ["example.com"]}
    assert (await http.post("/api/credentials", json=sent)).status_code == 201
    path = await listen(mcp_http, signature={"secret": "for-sending"})
    refused = await http.post(f"/webhooks/{path}", content=body)
    assert (refused.status_code, "kind bearer" in refused.text) == (403, True)


async def test_a_secret_that_the_server_does_not_have_lets_nobody_in(
    mcp_http: McpCaller, http: httpx2.AsyncClient
) -> None:
    path = await listen(mcp_http, signature={"secret": "absent"})
    answer = await http.post(f"/webhooks/{path}", content=b"")
    assert answer.status_code == 403
    assert "JOBSPRINT_WEBHOOK_SECRETS" in answer.json()["fix"]


async def test_wrong_paths_methods_and_bodies_are_refused(mcp_http: McpCaller, http: httpx2.AsyncClient) -> None:
    path = await listen(mcp_http, methods=["PUT", "GET"])
    assert (await http.post("/webhooks/absent")).status_code == 404
    refused = await http.post(f"/webhooks/{path}")
    assert (refused.status_code, refused.headers["allow"]) == (405, "PUT, GET, HEAD, OPTIONS")
    assert (await http.get(f"/webhooks/{path}")).status_code == 202
    bad = await http.put(f"/webhooks/{path}", content=b"{", headers={"content-type": "application/json"})
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_arguments")


async def test_one_path_belongs_to_one_published_workflow(mcp_http: McpCaller) -> None:
    path = await listen(mcp_http)
    nodes = {"hook": {"type": "webhook", "parameters": {"path": path}}}
    error = await mcp_http.fail("create_workflow", definition={"name": "second", "nodes": nodes}, publish=True)
    assert error["code"] == "webhook_path_taken"
    draft = await mcp_http.create(nodes)
    error = await mcp_http.fail("publish_workflow", workflow_id=draft)
    assert error["code"] == "webhook_path_taken"
