"""Arguments as clients send them: blanks for what they leave out, idempotency keys, opaque values made by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.client.client import Client

from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess
from tools.executions.running import ExecuteWorkflow, PlanExecution
from tools.protocol.arguments import without_blanks, without_unfit_blanks
from tools.workflows.publishing import PublishWorkflow

START = {"type": "manual"}
BLANKS = (None, "")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server without accounts for all of these."""
    with ServerProcess(tmp_path_factory.mktemp("shared")) as server:
        yield server


@pytest.fixture
async def mcp(shared: ServerProcess) -> AsyncIterator[McpCaller]:
    """A client of its tools."""
    async with Client(f"{shared.url}/mcp", mode="auto") as client:
        yield McpCaller(client)


@pytest.fixture
async def http(shared: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of its REST API."""
    async with httpx2.AsyncClient(base_url=shared.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def plain(shared: ServerProcess) -> Iterator[httpx2.Client]:
    """A client for tests that are no coroutines."""
    with httpx2.Client(base_url=shared.url, timeout=30) as client:
        yield client


def _required(tool: str, workflow_id: str, execution_id: str) -> dict[str, Any]:
    definition = {"name": "x", "nodes": {"start": START}}
    return {
        "validate_workflow": {"definition": definition},
        "create_workflow": {"definition": definition},
        "update_workflow": {"workflow_id": workflow_id, "expected_version": 1, "definition": definition},
        "save_prompt": {
            "name": f"p{uuid.uuid4().hex[:8]}",
            "template": {"messages": [{"role": "user", "content": "Hi"}]},
        },
        "render_prompt": {},
        "inspect_execution": {"execution_id": execution_id},
        "control_execution": {"execution_id": execution_id, "action": "rerun"},
        "run_action": {"connection": "absent", "action": "absent"},
        "connect_integration": {"name": "absent", "do": "check"},
        "find_nodes": {},
        "find_actions": {},
        "list_workflows": {},
        "list_executions": {},
    }.get(tool, {"workflow_id": workflow_id})


class TestBlanks:
    @pytest.mark.parametrize("blank", BLANKS)
    async def test_every_optional_argument_of_every_tool_may_be_blank(self, mcp: McpCaller, blank: Any) -> None:
        async def required(tool: str) -> dict[str, Any]:
            workflow_id = await mcp.create({"start": START})
            execution_id = (await mcp.call("execute_workflow", workflow_id=workflow_id))["execution_id"]
            return _required(tool, workflow_id, execution_id)

        looked_at = 0
        for tool in (await mcp.client.list_tools()).tools:
            plain = await mcp.client.call_tool(tool.name, await required(tool.name))
            given = await required(tool.name)
            needed = {*tool.input_schema.get("required", ()), *given}
            optional = tool.input_schema["properties"].keys() - needed
            looked_at += len(optional)
            blanks = await mcp.client.call_tool(tool.name, {**given, **dict.fromkeys(optional, blank)})
            assert blanks.is_error == plain.is_error, f"{tool.name}: {blanks.content}"
        assert looked_at > 40

    @pytest.mark.parametrize("blank", BLANKS)
    async def test_blank_filters_filter_nothing(self, mcp: McpCaller, http: httpx2.AsyncClient, blank: Any) -> None:
        workflow_id = await mcp.create({"start": START})
        await mcp.call("execute_workflow", workflow_id=workflow_id)
        listed = await mcp.call(
            "list_executions", workflow_id=blank, status=blank, text=blank, cursor=blank, limit=blank
        )
        assert listed["executions"]
        if blank == "":
            query = "?workflow_id=&status=&text=&cursor=&limit=&created_after="
            answer = await http.get(f"/api/executions{query}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["executions"]

    @pytest.mark.parametrize("blank", BLANKS)
    async def test_optional_members_of_bodies_may_be_blank(self, http: httpx2.AsyncClient, blank: Any) -> None:
        made = await http.post("/api/workflows", json={"name": "x", "nodes": {"start": START}})
        path = f"/api/workflows/{made.json()['workflow_id']}"
        names = ("input", "version", "trigger", "wait_seconds", "mode", "pins", "priority")
        ran = await http.post(f"{path}/execute", json=dict.fromkeys(names, blank), headers={"idempotency-key": ""})
        assert ran.status_code == 202, ran.text
        again = await http.post(f"{path}/execute", json={"input": {"n": 1}}, headers={"idempotency-key": ""})
        assert again.json()["execution_id"] != ran.json()["execution_id"]
        published = await http.post(f"{path}/publish", json={"version": blank, "tool": blank})
        assert published.status_code == 200, published.text

    def test_what_is_required_or_a_users_own_is_left_as_it_is(self) -> None:
        given = {"workflow_id": "", "input": {"a": None, "b": ""}, "trigger": None}
        assert without_blanks(PlanExecution, given) == {"workflow_id": "", "input": {"a": None, "b": ""}}
        plain = {"workflow_id": "w"}
        assert without_blanks(ExecuteWorkflow, plain) is plain

    def test_models_within_the_arguments_are_treated_the_same(self) -> None:
        tool = {"name": "n", "description": "", "input_schema": None, "prompt": ""}
        found = without_blanks(PublishWorkflow, {"workflow_id": "w", "action": "", "tool": tool})
        assert found == {"workflow_id": "w", "tool": {"name": "n", "description": ""}}

    @pytest.mark.parametrize(
        ("member", "blank", "stays"),
        [
            ({"type": "string"}, None, False),
            ({"type": "string"}, "", True),
            ({"type": ["string", "null"]}, None, True),
            ({"type": "integer"}, "", False),
            ({"enum": ["a", "b"]}, "", False),
            ({"enum": ["a", None]}, None, True),
            ({"type": "string", "minLength": 1}, "", False),
            ({"type": "string", "format": "date"}, "", False),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, True),
            ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, None, False),
            ({"$ref": "#/$defs/x"}, None, True),
            (True, None, True),
        ],
    )
    def test_of_a_users_own_tool_blanks_stay_where_its_schema_takes_them(
        self, member: Any, blank: Any, stays: bool
    ) -> None:
        schema = {"type": "object", "properties": {"x": member, "y": {"type": "integer"}}}
        assert ("x" in without_unfit_blanks(schema, {"x": blank, "y": 1})) is stays
        assert without_unfit_blanks({**schema, "required": ["x"]}, {"x": blank}) == {"x": blank}

    async def test_a_published_workflow_is_called_with_blanks(self, mcp: McpCaller) -> None:
        workflow_id = await mcp.create({"start": START})
        properties = {"n": {"type": "integer"}, "day": {"type": "string", "format": "date"}, "note": {"type": "string"}}
        offer = {
            "name": "take_blanks",
            "description": "Takes blanks.",
            "input_schema": {"type": "object", "properties": properties},
        }
        await mcp.call("publish_workflow", workflow_id=workflow_id, tool=offer)
        ran = await mcp.call("take_blanks", n=None, day="", note="")
        assert ran == {"note": ""}


class TestIdempotencyKeys:
    async def test_another_request_with_the_same_key_is_refused_with_what_differs(
        self, mcp: McpCaller, http: httpx2.AsyncClient
    ) -> None:
        workflow_id, key = await mcp.create({"start": START}), uuid.uuid4().hex
        arguments = {"workflow_id": workflow_id, "idempotency_key": key}
        first = await mcp.call("execute_workflow", **arguments, input={"n": 1, "m": 2})
        for other, differing in (
            ({"input": {"n": 2}}, ["input"]),
            ({}, ["input"]),
            ({"input": {"n": 1, "m": 2}, "mode": "test"}, ["mode"]),
            ({"input": {"n": 1, "m": 2}, "trigger": "start"}, ["trigger"]),
        ):
            refused = await mcp.fail("execute_workflow", **arguments, **other)
            assert refused["code"] == "idempotency_mismatch"
            assert [each["pointer"] for each in refused["findings"]] == [f"/{each}" for each in differing]
            assert refused["next"]["arguments"] == {"execution_id": first["execution_id"]}
        path = f"/api/workflows/{workflow_id}/execute"
        over_rest = await http.post(path, json={"input": {"n": 3}}, headers={"idempotency-key": key})
        assert (over_rest.status_code, over_rest.json()["code"]) == (409, "idempotency_mismatch")
        assert "input" in over_rest.json()["title"]
        # The order of members says nothing.
        again = await mcp.call("execute_workflow", **arguments, input={"m": 2, "n": 1})
        assert (again["execution_id"], again["repeated"]) == (first["execution_id"], True)
        assert len((await mcp.call("list_executions", workflow_id=workflow_id))["executions"]) == 1

    async def test_another_version_is_another_request(self, mcp: McpCaller) -> None:
        workflow_id, key = await mcp.create({"start": START}), uuid.uuid4().hex
        await mcp.call("execute_workflow", workflow_id=workflow_id, idempotency_key=key)
        change = [{"op": "set_workflow", "name": "y"}]
        await mcp.call("update_workflow", workflow_id=workflow_id, expected_version=1, operations=change)
        refused = await mcp.fail("execute_workflow", workflow_id=workflow_id, idempotency_key=key)
        assert [each["pointer"] for each in refused["findings"]] == ["/version"]
        again = await mcp.call("execute_workflow", workflow_id=workflow_id, idempotency_key=key, version=1)
        assert again["repeated"] is True

    async def test_a_failed_run_keeps_its_key_and_a_refused_request_does_not(self, mcp: McpCaller) -> None:
        stop = {"type": "stop_and_error", "parameters": {"message": "No."}}
        workflow_id, key = await mcp.create({"start": START, "stop": stop}, ("start", "stop")), uuid.uuid4().hex
        failed = await mcp.call("execute_workflow", workflow_id=workflow_id, idempotency_key=key)
        again = await mcp.call("execute_workflow", workflow_id=workflow_id, idempotency_key=key)
        assert (failed["status"], again["execution_id"], again["repeated"]) == ("failed", failed["execution_id"], True)
        key = uuid.uuid4().hex
        refused = await mcp.fail("execute_workflow", workflow_id=workflow_id, idempotency_key=key, trigger="absent")
        assert refused["code"] == "node_not_found"
        mended = await mcp.call("execute_workflow", workflow_id=workflow_id, idempotency_key=key, trigger="start")
        assert "repeated" not in mended

    async def test_many_at_once_are_one_execution(self, mcp: McpCaller, http: httpx2.AsyncClient) -> None:
        workflow_id, key = await mcp.create({"start": START}), uuid.uuid4().hex
        path = f"/api/workflows/{workflow_id}/execute"
        answers = await asyncio.gather(
            *(http.post(path, json={"input": {"n": 1}}, headers={"idempotency-key": key}) for _ in range(12))
        )
        assert {each.status_code for each in answers} == {202}
        assert len({each.json()["execution_id"] for each in answers}) == 1
        assert sum(not each.json().get("repeated", False) for each in answers) == 1

    @pytest.mark.parametrize("key", ["\0", "a\nb", "é" * 200, " "])
    async def test_any_text_is_a_key(self, mcp: McpCaller, key: str) -> None:
        workflow_id = await mcp.create({"start": START})
        arguments = {"workflow_id": workflow_id, "idempotency_key": key}
        first = await mcp.call("execute_workflow", **arguments)
        assert (await mcp.call("execute_workflow", **arguments))["execution_id"] == first["execution_id"]


PARTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**80), max_value=2**80),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["workflows", "executions", "tools", "prompts", "", "2024-01-06T00:00:00+00:00", "\0"]),
    st.lists(st.integers(), max_size=2),
)
BY_HAND = st.lists(PARTS, max_size=4).map(
    lambda parts: base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
)
"""Cursors as somebody makes them who has looked at ours."""
NESTED = st.tuples(st.integers(0, 3), BY_HAND).map(
    lambda parts: base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
)
OPAQUE = st.one_of(BY_HAND, NESTED, st.text(min_size=1, max_size=60), st.binary(max_size=40).map(repr))
LISTS = (
    "/api/workflows",
    "/api/executions",
    "/api/exchanges",
    "/api/conversations",
    "/api/prompts",
    "/api/keys",
    "/api/audit",
)
VERSION = "2026-07-28"
TRIED = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def _rpc(http: httpx2.Client, method: str, params: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}},
    }
    headers = {
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": VERSION,
        "mcp-method": method,
    }
    if name is not None:
        encoded = base64.b64encode(name.encode("utf-8", "surrogatepass")).decode()
        headers["mcp-name"] = f"=?base64?{encoded}?="
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    answer = http.post("/mcp", content=json.dumps(body).encode(), headers=headers)
    assert answer.status_code < 500, answer.text
    text = answer.text if answer.text.startswith("{") else answer.text.split("data: ")[-1]
    return dict(json.loads(text))


class TestOpaqueValues:
    """What a client makes by hand in place of what it was given is its own mistake, never the server's."""

    @TRIED
    @given(cursor=OPAQUE)
    def test_a_cursor_in_a_query(self, plain: httpx2.Client, cursor: str) -> None:
        text = quote(cursor.encode("utf-8", "surrogatepass"), safe="")
        for path in LISTS:
            assert plain.get(f"{path}?cursor={text}").status_code in (200, 400)

    @TRIED
    @given(cursor=OPAQUE)
    def test_a_cursor_of_the_protocol(self, plain: httpx2.Client, cursor: str) -> None:
        for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list"):
            answer = _rpc(plain, method, {"cursor": cursor})
            assert answer.get("error", {"code": -32602})["code"] in (-32602, -32600), answer

    @TRIED
    @given(value=OPAQUE)
    def test_a_cursor_or_id_of_a_tool(self, plain: httpx2.Client, value: str) -> None:
        for tool, argument in (
            ("list_workflows", "cursor"),
            ("list_executions", "cursor"),
            ("list_executions", "workflow_id"),
            ("inspect_execution", "execution_id"),
            ("get_workflow", "workflow_id"),
            ("find_nodes", "name"),
            ("control_execution", "execution_id"),
        ):
            more = {"action": "cancel"} if tool == "control_execution" else {}
            answer = _rpc(plain, "tools/call", {"name": tool, "arguments": {argument: value, **more}}, tool)
            assert answer.get("error", {"code": -32602})["code"] in (-32602, -32600), answer

    @TRIED
    @given(value=OPAQUE)
    def test_an_id_or_state_of_the_protocol(self, plain: httpx2.Client, value: str) -> None:
        answers = [
            _rpc(plain, "tasks/get", {"taskId": value}, value),
            _rpc(plain, "tasks/cancel", {"taskId": value}, value),
            _rpc(plain, "resources/read", {"uri": value}, value),
            _rpc(
                plain,
                "tools/call",
                {"name": "list_workflows", "arguments": {}, "requestState": value},
                "list_workflows",
            ),
        ]
        for answer in answers:
            assert answer.get("error", {"code": -32602})["code"] != -32603, answer

    @TRIED
    @given(value=OPAQUE.filter(lambda text: text.strip("/.") != ""))
    def test_an_id_in_a_path(self, plain: httpx2.Client, value: str) -> None:
        text = quote(value.encode("utf-8", "surrogatepass"), safe="")
        for path in (
            f"/api/workflows/{text}",
            f"/api/executions/{text}",
            f"/api/prompts/{text}",
            f"/api/credentials/{text}",
            f"/api/conversations/{text}",
            f"/resume/{text}?token={text}",
            f"/connect/{text}",
        ):
            for method in ("GET", "DELETE") if path.startswith("/api") else ("GET", "POST"):
                assert plain.request(method, path).status_code < 500, path

    @pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
    def test_half_a_surrogate_pair_comes_back_replaced(self, plain: httpx2.Client, text: str) -> None:
        answer = _rpc(plain, "tools/call", {"name": "find_nodes", "arguments": {"name": text}}, "find_nodes")
        assert answer["result"]["isError"]
        assert "\ufffd" in answer["result"]["content"][0]["text"]

    @pytest.mark.parametrize("parts", [[0, ""], [2, ""], [-1, ""], [0, "x"], ["tools", 0], [1, "W10"]])
    def test_a_cursor_of_another_list_is_refused(self, plain: httpx2.Client, parts: list[Any]) -> None:
        cursor = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
        answer = _rpc(plain, "resources/list", {"cursor": cursor})
        if parts in ([0, ""], [2, ""]):
            assert "result" in answer
        else:
            assert answer["error"]["code"] == -32602
