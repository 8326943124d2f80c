"""What is answered in front of the SDK is answered as the SDK does: each request goes both ways."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter, ValidationError

from tests.support.both_ways import (
    EXECUTION,
    NAMESPACE,
    WORKFLOW,
    BothWays,
    both_ways,
    plain_body,
    plain_headers,
)
from tests.support.server_process import ServerProcess
from tools.protocol.selection import Selection

GONE = object()
"""In place of a member's value: the member is left out."""


@pytest.fixture(scope="module")
async def ways(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BothWays]:
    """A server's application."""
    async with both_ways(tmp_path_factory.mktemp("data")) as ways:
        yield ways


def body(*path: str, to: Any) -> dict[str, Any]:
    """A plain call with one member changed."""
    made = copy.deepcopy(plain_body())
    owner = made
    for name in path[:-1]:
        owner = owner[name]
    if to is GONE:
        del owner[path[-1]]
    else:
        owner[path[-1]] = to
    return made


def arguments(**members: Any) -> dict[str, Any]:
    """A plain call with these arguments."""
    return body("params", "arguments", to=members)


def meta(name: str, value: Any) -> dict[str, Any]:
    """A plain call with one member of its envelope changed."""
    return body("params", "_meta", name, to=value)


CLIENT, CAPABILITIES, PROTOCOL = (NAMESPACE + name for name in ("clientInfo", "clientCapabilities", "protocolVersion"))

PLAIN: dict[str, dict[str, Any]] = {
    "as it should be": plain_body(),
    "id a string": body("id", to="a"),
    "id negative": body("id", to=-3),
    "no arguments": body("params", "arguments", to=GONE),
    "arguments null": body("params", "arguments", to=None),
    "unknown argument": arguments(execution=EXECUTION),
    "unknown execution": arguments(execution_id="absent"),
    "half a surrogate pair": arguments(execution_id="\ud800"),
    "no time to wait": arguments(execution_id=EXECUTION, wait_seconds=0),
    "one node": arguments(execution_id=EXECUTION, node="step"),
    "one node, cut": arguments(execution_id=EXECUTION, node="step", max_tokens=200),
    "node null": arguments(execution_id=EXECUTION, node=None),
    "unknown node": arguments(execution_id=EXECUTION, node="stp"),
    "immense number": arguments(execution_id=EXECUTION, max_tokens=10**30),
    "client not named": meta(CLIENT, GONE),
    "client can ask": meta(CAPABILITIES, {"elicitation": {"form": {}}}),
    "client takes tasks": meta(CAPABILITIES, {"extensions": {NAMESPACE + "tasks": {}}}),
    "client can what nobody knows": meta(CAPABILITIES, {"zzz": 3}),
    "level of logging": meta(NAMESPACE + "logLevel", "debug"),
    "trace": meta("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    "member of somebody's": meta("com.example/x", {"a": 1}),
}
ODD: dict[str, dict[str, Any]] = {
    "id a fraction": body("id", to=1.5),
    "id a whole fraction": body("id", to=1.0),
    "id true": body("id", to=True),
    "id null": body("id", to=None),
    "no id": body("id", to=GONE),
    "id not ASCII": body("id", to="é"),
    "id half a surrogate pair": body("id", to="\ud800"),
    "id beyond what JSON keeps": body("id", to=10**25),
    "arguments a list": body("params", "arguments", to=[]),
    "time to wait": arguments(execution_id=EXECUTION, wait_seconds=0.001),
    "time to wait a string": arguments(execution_id=EXECUTION, wait_seconds="soon"),
    "unknown parameter": body("params", "extra", to=1),
    "state of a request": body("params", "requestState", to="x"),
    "answers": body("params", "inputResponses", to={}),
    "task": body("params", "task", to={"ttl": 1}),
    "unknown member": body("extra", to=1),
    "params null": body("params", to=None),
    "params a list": body("params", to=[]),
    "JSON-RPC 1.0": body("jsonrpc", to="1.0"),
    "no JSON-RPC": body("jsonrpc", to=GONE),
    "another method": body("method", to="tools/list"),
    "another tool": body("params", "name", to="list_executions"),
    "tool null": body("params", "name", to=None),
    "no envelope": body("params", "_meta", to=GONE),
    "envelope a list": body("params", "_meta", to=[]),
    "client a string": meta(CLIENT, "x"),
    "client's name a number": meta(CLIENT, {"name": 1}),
    "no capabilities": meta(CAPABILITIES, GONE),
    "capabilities null": meta(CAPABILITIES, None),
    "capability a number": meta(CAPABILITIES, {"sampling": 3}),
    "another version": meta(PROTOCOL, "2025-11-25"),
    "version null": meta(PROTOCOL, None),
    "progress": meta("progressToken", 1),
    "unknown level of logging": meta(NAMESPACE + "logLevel", "loud"),
}
SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda plain: b"",
    "no JSON": lambda plain: plain[:-1],
    "a batch": lambda plain: b"[" + plain + b"]",
    "a string": lambda plain: b'"x"',
    "not a number": lambda plain: plain.replace(b'"id": 7', b'"id": NaN'),
    "digits without end": lambda plain: plain.replace(b'"id": 7', b'"id": ' + b"7" * 5_000),
    "nested without end": lambda plain: plain.replace(b'"id": 7', b'"id": ' + b"[" * 100_000),
    "not UTF-8": lambda plain: plain.replace(b'"test"', b'"\xff"'),
}
PLAIN_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "a mark in front": lambda plain: b"\xef\xbb\xbf" + plain,
    "UTF-16": lambda plain: plain.decode().encode("utf-16"),
    "the same member twice": lambda plain: plain.replace(b'"id": 7', b'"id": 8, "id": 7'),
}
ODD_HEADERS: dict[str, Mapping[str, str | None]] = {
    "no method": {"mcp-method": None},
    "another method": {"mcp-method": "tools/list"},
    "no name": {"mcp-name": None},
    "another tool's name": {"mcp-name": "list_executions"},
    "no tool's name": {"mcp-name": "absent"},
    "name in Base64": {"mcp-name": "=?base64?aW5zcGVjdF9leGVjdXRpb24=?="},
    "no version": {"mcp-protocol-version": None},
    "version of the future": {"mcp-protocol-version": "2027-01-01"},
    "version of the past": {"mcp-protocol-version": "2025-11-25"},
    "parameter": {"mcp-param-x": "1"},
    "no type": {"content-type": None},
    "another type": {"content-type": "text/plain"},
    "type in capitals": {"content-type": "Application/JSON"},
    "takes no stream": {"accept": "application/json"},
    "takes something like JSON": {"accept": "application/jsonx, text/event-stream"},
    "takes anything": {"accept": "*/*"},
    "takes nothing": {"accept": None},
}
PLAIN_HEADERS: dict[str, Mapping[str, str | None]] = {
    "session": {"mcp-session-id": "absent"},
    "type with its encoding": {"content-type": "application/json; charset=utf-8"},
    "types by preference": {"accept": "text/event-stream;q=0.5, text/html,application/json"},
}


def each(corpus: Mapping[str, Any]) -> Any:
    """One case for every member."""
    return pytest.mark.parametrize("case", corpus.values(), ids=corpus.keys())


def lines(changes: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Plain headers with changes; ``None`` leaves one out."""
    return [(name, value) for name, value in {**plain_headers(), **changes}.items() if value is not None]


@each(PLAIN)
async def test_a_plain_call_is_answered_directly_as_the_sdk_does(ways: BothWays, case: dict[str, Any]) -> None:
    answer, is_direct = await ways.compared(json.dumps(case), lines({}))
    assert is_direct
    assert answer.status == 200
    assert answer.body["id"] == case["id"]
    assert "result" in answer.body


@each(ODD)
async def test_whatever_is_odd_is_left_to_the_sdk(ways: BothWays, case: dict[str, Any]) -> None:
    _, is_direct = await ways.compared(json.dumps(case), lines({}))
    assert not is_direct


@each(SPOILT)
async def test_what_is_no_request_is_left_to_the_sdk(ways: BothWays, case: Callable[[bytes], bytes]) -> None:
    answer, is_direct = await ways.compared(case(json.dumps(plain_body()).encode()), lines({}))
    assert not is_direct
    assert answer.status == 400


@each(PLAIN_BYTES)
async def test_json_is_read_as_the_sdk_reads_it(ways: BothWays, case: Callable[[bytes], bytes]) -> None:
    filled = json.dumps(plain_body()).replace(EXECUTION, ways.execution_id)
    answer, is_direct = await ways.compared(case(filled.encode()), lines({}))
    assert is_direct
    assert answer.body["id"] == 7


@each(ODD_HEADERS)
async def test_odd_headers_are_left_to_the_sdk(ways: BothWays, case: Mapping[str, str | None]) -> None:
    _, is_direct = await ways.compared(json.dumps(plain_body()), lines(case))
    assert not is_direct


@each(PLAIN_HEADERS)
async def test_headers_that_mean_nothing_do_no_harm(ways: BothWays, case: Mapping[str, str | None]) -> None:
    answer, is_direct = await ways.compared(json.dumps(plain_body()), lines(case))
    assert is_direct
    assert answer.status == 200


@pytest.mark.parametrize("name", ["mcp-name", "mcp-protocol-version", "host", "accept"])
async def test_a_header_that_comes_twice_is_left_to_the_sdk(ways: BothWays, name: str) -> None:
    twice = [*lines({}), (name, {**plain_headers(), "host": "localhost"}[name])]
    _, is_direct = await ways.compared(json.dumps(plain_body()), twice)
    assert not is_direct


async def test_a_body_that_comes_in_parts_reaches_the_sdk_whole(ways: BothWays) -> None:
    answer, is_direct = await ways.compared(json.dumps(plain_body()), lines({}), parts=3)
    assert not is_direct
    assert answer.body["result"]["structuredContent"]["execution_id"] == ways.execution_id


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("find_nodes", {"name": "http_request"}),
        ("validate_workflow", {"definition": {"name": "x", "nodes": {"a": {"type": "manul"}}}}),
        ("get_workflow", {"workflow_id": WORKFLOW}),
        ("list_workflows", {"limit": 1}),
        ("inspect_execution", {"execution_id": EXECUTION}),
        ("list_executions", {"workflow_id": WORKFLOW}),
    ],
)
async def test_every_quick_tool_is_called_directly(ways: BothWays, tool: str, given: dict[str, Any]) -> None:
    answer, is_direct = await ways.compared(json.dumps(plain_body(tool, given)), [*plain_headers(tool).items()])
    assert is_direct
    assert answer.body["result"]["isError"] is False


@pytest.mark.parametrize("tool", ["execute_workflow", "control_execution", "create_workflow", "no_such_tool"])
async def test_other_tools_are_left_to_the_sdk(ways: BothWays, tool: str) -> None:
    _, is_direct = await ways.compared(json.dumps(plain_body(tool, {})), [*plain_headers(tool).items()])
    assert not is_direct


@pytest.mark.parametrize(
    ("selection", "expected"),
    [(Selection.of("authoring", read_only=False), False), (Selection.of("running", read_only=True), True)],
)
async def test_a_tool_that_the_settings_hide_is_not_called_directly(
    ways: BothWays, selection: Selection, expected: bool
) -> None:
    offers = replace(ways.services.offers, selection=selection)
    _, is_direct = await ways.compared(json.dumps(plain_body()), lines({}), offers=offers)
    assert is_direct is expected


def invalid(value: str) -> ValidationError:
    """pydantic's error for a value that is no number."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python(value)
    return caught.value


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("secret"), 200),
        (MCPError(types.METHOD_NOT_FOUND, "no such thing", {"why": "é"}), 404),
        (MCPError(types.INTERNAL_ERROR, "broken"), 200),
        (invalid("secret"), 400),
    ],
    ids=["fault", "not found", "internal", "invalid"],
)
async def test_what_no_tool_should_raise_is_told_by_the_sdk(
    ways: BothWays, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async def fail(owner: str, execution_id: str) -> None:
        raise error

    monkeypatch.setattr(ways.services.reader, "inspect", fail)
    answer, is_direct = await ways.compared(json.dumps(plain_body()), lines({}))
    assert not is_direct
    assert answer.status == status
    assert "error" in answer.body
    assert "secret" not in str(answer.body)


async def test_a_real_server_answers_the_same_either_way(server: ServerProcess) -> None:
    content = json.dumps(plain_body("find_nodes", {"name": "set"})).encode()

    async def chunks() -> AsyncIterator[bytes]:
        yield content[:100]
        yield content[100:]

    async with httpx2.AsyncClient(base_url=server.url, headers=plain_headers("find_nodes")) as http:
        direct = await http.post("/mcp", content=content)
        assert direct.json()["result"]["structuredContent"]["nodes"][0]["type"] == "set"
        for other in (http.post("/mcp?way=sdk", content=content), http.post("/mcp", content=chunks())):
            answer = await other
            assert (answer.status_code, answer.json()) == (direct.status_code, direct.json())
