"""Real examples of the codes: wrong definitions, calls, runs and requests, made to a server in this process.

``examples`` gives what came back. Ids, hashes and ports, which differ from time to time, are written alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from engine.expressions.pool import Limits, limit_error
from engine.expressions.template import parse_template
from engine.nodes.manual import Manual
from engine.registry import NodeRegistry
from scripts.auth_examples import auth_examples
from scripts.connection_examples import connection_examples
from scripts.model_examples import model_examples
from scripts.prompt_examples import prompt_examples
from server.app import http_app
from server.auth.rate_limits import RateLimitedError
from server.composition import Services, running_services
from server.settings import Settings
from storage.group_commit import lost_lease
from storage.queue.broker_errors import mismatch, unavailable
from storage.vault_keys import keys_in
from tools.tool import error_content
from workflow.credentials import TooManyCredentialsError
from workflow.errors import JobsprintError, QueueFullError
from workflow.identity import LOCAL_ACTOR
from workflow.messages import Job

START = {"type": "manual"}
ID = "0198c0de-0000-7000-8000-000000000000"
Example = dict[str, Any]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH = re.compile(r"\b[0-9a-f]{32}\b")
_PORT = re.compile(r"127\.0\.0\.1:\d+")


def one(node: dict[str, Any], *, name: str = "example", **members: Any) -> dict[str, Any]:
    """A manual trigger and one node behind it."""
    return {"name": name, "nodes": {"start": START, "node": node}, "connections": [["start", "node"]], **members}


def fields(**values: Any) -> dict[str, Any]:
    """A set node."""
    return {"type": "set", "parameters": {"fields": values}}


def code(javascript: str) -> dict[str, Any]:
    """A code node."""
    return {"type": "code", "parameters": {"javascript": javascript}}


def request(url: str, **parameters: Any) -> dict[str, Any]:
    """A request that is tried once."""
    return {"type": "http_request", "parameters": {"url": url, **parameters}, "retry": {"max_attempts": 1}}


def branch(*connections: tuple[str, str]) -> dict[str, Any]:
    """An if node with two nodes behind it."""
    nodes = {
        "start": START,
        "check": {"type": "if", "parameters": {"condition": True}},
        "a": {"type": "no_op"},
        "b": {"type": "no_op"},
    }
    return {"name": "example", "nodes": nodes, "connections": [["start", "check"], *map(list, connections)]}


SPLIT = (("check.true", "a"), ("check.false", "b"))
HOOK = {"type": "webhook", "parameters": {"path": "taken"}}
NO_OP = {"type": "no_op"}

DEFINITIONS: dict[str, Any] = {
    "missing_field": {"nodes": {"start": START}},
    "unknown_field": one({"type": "no_op", "onError": "continue"}),
    "bad_value": one({"type": "no_op", "on_error": "contine"}),
    "missing_parameter": one({"type": "http_request"}),
    "unknown_parameter": one({"type": "limit", "parameters": {"max_itms": 3}}),
    "bad_parameter": one({"type": "limit", "parameters": {"max_items": "many"}}),
    "wrong_form": {**one(NO_OP), "connections": [{"from": "start", "to": "node"}]},
    "n8n_definition": {"name": "n", "nodes": [{"name": "S", "type": "n8n-nodes-base.set", "typeVersion": 3}]},
    "unknown_node_type": one({"type": "n8n-nodes-base.httpRequest", "parameters": {"url": "https://example.com"}}),
    "missing_node": branch(("check.true", "aa"), ("check.false", "b")),
    "unknown_output": branch(("check.yes", "a"), ("check.false", "b")),
    "unknown_input": branch(("check.true", "a.first"), ("check.false", "b")),
    "duplicate_connection": branch(*SPLIT, SPLIT[0]),
    "connection_into_trigger": branch(*SPLIT, ("a", "start")),
    "merged_branches": branch(("check", "a"), ("check", "b")),
    "no_trigger": {"name": "example", "nodes": {"a": NO_OP}},
    "cycle": branch(*SPLIT, ("b", "check")),
    "unreachable_node": {"name": "example", "nodes": {"start": START, "lost": NO_OP}},
    "duplicate_name": {"name": "example", "nodes": {"start": START, "Start": START}},
    "duplicate_webhook_path": {"name": "example", "nodes": {"a": HOOK, "b": HOOK}},
    "bad_schema": {"name": "example", "nodes": {"start": {**START, "parameters": {"input_schema": {"type": "array"}}}}},
    "object_as_text": one(fields(user="[object Object]")),
    "hidden_value": one(fields(password="[hidden]")),  # noqa: S106 - the mark itself
    "secret_in_parameters": one(request("https://example.com", headers={"X-Api-Key": "k-123"})),
    "unknown_credential": one(request("https://example.com", credential="cmr")),
    "bad_expression": one(fields(x="={{ $json. }}")),
    "unknown_node_reference": one(fields(x="={{ $('strat').item.json.x }}")),
    "unknown_variable": one(fields(x="={{ $jsn.x }}")),
    "expression_without_equals": one(fields(x="{{ $json.x }}")),
    "expression_without_braces": one(fields(x="$json.x")),
}

ASKS = {"type": "object", "properties": {"n": {"type": "string"}}}

RUNS: dict[str, Callable[[str], dict[str, Any]]] = {
    "expression_failed": lambda url: one(fields(x="={{ $json.user.name }}")),
    "expression_timeout": lambda url: one(code("while (true) {}")),
    "expression_memory": lambda url: one(code("const x = []; while (true) x.push('y'.repeat(1e6) + x.length);")),
    "expression_stack": lambda url: one(code("const f = () => f() + 1; return [{x: f()}];")),
    "object_in_text": lambda url: one(fields(x="=Dear {{ $json }}")),
    "promise_result": lambda url: one(fields(x="={{ (async () => 1)() }}")),
    "bad_text": lambda url: one(fields(x="={{ 'a\\ud800'.slice(0, 2) + $json.n }}")),
    "node_has_not_run": lambda url: (
        branch(SPLIT[0], SPLIT[1]) | {"nodes": {**branch()["nodes"], "a": fields(x="={{ $('b').first().json.n }}")}}
    ),
    "unknown_node": lambda url: one(code("return [{n: $('strat').first().json.n}];")),
    "pairing_unavailable": lambda url: {
        "name": "example",
        "nodes": {
            "start": START,
            "make": code("return [{}, {}, {}];"),
            "read": fields(x="={{ $('start').item.json.n }}"),
        },
        "connections": [["start", "make"], ["make", "read"]],
    },
    "multiple_matches": lambda url: {
        "name": "example",
        "nodes": {
            "start": START,
            "all": {"type": "aggregate"},
            "read": fields(x="={{ $('start').item.json.n }}"),
        },
        "connections": [["start", "all"], ["all", "read"]],
    },
    "stopped": lambda url: one({"type": "stop_and_error", "parameters": {"message": "=No customer {{ $json.n }}"}}),
    "cannot_compare": lambda url: one(
        {"type": "if", "parameters": {"comparisons": [{"left": "={{ $json.n }}", "operator": "less", "right": "9"}]}}
    ),
    "not_a_list": lambda url: one({"type": "split_out", "parameters": {"field": "n"}}),
    "not_a_number": lambda url: one(
        {"type": "aggregate", "parameters": {"summaries": {"sum": {"operation": "sum", "field": "text"}}}}
    ),
    "bad_code_result": lambda url: one(code("return [1];")),
    "sub_workflow_failed": lambda url: one(
        {"type": "execute_workflow", "parameters": {"workflow_id": "<stops>"}}, name="parent"
    ),
    "input_does_not_fit": lambda url: {
        "name": "example",
        "nodes": {"start": {**START, "parameters": {"input_schema": ASKS}}},
    },
    "node_timeout": lambda url: one({**request(f"{url}/slow"), "timeout_seconds": 0.05}),
    "execution_timeout": lambda url: one(request(f"{url}/slow"), settings={"timeout_seconds": 0.2}),
    "http_status": lambda url: one(request(f"{url}/absent")),
    "response_not_json": lambda url: one(request(f"{url}/text", response="json")),
    "response_too_large": lambda url: one(request(f"{url}/large")),
    "timeout": lambda url: one(request(f"{url}/slow", timeout_seconds=0.05)),
    "too_many_redirects": lambda url: one(request(f"{url}/circle")),
    "bad_response": lambda url: one(request(f"{url}/broken")),
    "address_not_allowed": lambda url: one(request("http://192.168.1.1/admin")),
    "invalid_request": lambda url: one(request("example.com/leads")),
    "credential_not_found": lambda url: one(request(f"{url}/text", credential="cmr")),
    "credential_not_usable": lambda url: one(request(f"{url}/text", credential="leads-db")),
    "credential_host_not_allowed": lambda url: one(request("https://example.com/leads", credential="crm")),
    "token_refused": lambda url: one(request(f"{url}/text", credential="crm")),
    "bad_vector": lambda url: one(
        {"type": "vector_store", "parameters": {"operation": "query", "collection": "handbook", "vector": [0, 0]}}
    ),
    "model_input_too_large": lambda url: one(
        {"type": "ai_chat", "parameters": {"prompt": "Summarise.", "input": "={{ 'x'.repeat(1100000) }}"}}
    ),
    "connection_failed": lambda url: one(request("http://127.0.0.1:1/")),
}
"""Run in this order with two items; the last one is repeated until its target is left alone."""


async def examples() -> dict[str, Example]:
    """An example of each code that can be provoked here, as the caller sees it."""
    found: dict[str, Example] = {}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        settings = Settings(
            data_dir=Path(folder),
            http_max_response_bytes=1_024,
            expression_cpu_seconds=1,
            expression_memory_bytes=16 << 20,
            request_max_bytes=1_000_000,
            request_max_members=1_000,
        )
        services = await stack.enter_async_context(running_services(settings, has_http=True))
        client = await stack.enter_async_context(Client(services.mcp))
        url = await stack.enter_async_context(_target())
        await _credentials(services, url, found)
        for name, definition in DEFINITIONS.items():
            report = await _content(client, "validate_workflow", definition=definition)
            found[name] = next(each for each in report["findings"] if each["code"] == name)
        await _calls(client, found)
        found |= await prompt_examples(client)
        found |= await connection_examples(services, client, url)
        await _runs(client, url, found)
        await _requests(settings, services, client, found)
    found |= await auth_examples()
    found |= await model_examples()
    found |= _made()
    for name, example in found.items():
        if f'"code": "{name}"' not in json.dumps(example):
            raise AssertionError(f"this is no example of {name}: {example}")
    return {name: _alike(example) for name, example in found.items()}


async def _credentials(services: Services, url: str, found: dict[str, Example]) -> None:
    """Credentials for the other examples, and what is wrong with making them."""
    oauth2 = {"token_url": f"{url}/absent", "client_id": "jobsprint", "client_secret": "not a real one"}
    crm = {"name": "crm", "kind": "oauth2", **oauth2, "allowed_hosts": ["127.0.0.1"]}
    leads = {"name": "leads-db", "kind": "database", "url": "postgresql://db.example.com/leads"}
    for each in (crm, leads, leads):
        try:
            await services.credentials.create(LOCAL_ACTOR, each)
        except JobsprintError as error:
            found[error.code] = error_content(error)


async def _calls(client: Client, found: dict[str, Example]) -> None:
    made = await _content(client, "create_workflow", definition=one(NO_OP))
    await _content(client, "create_workflow", definition={"name": "hook", "nodes": {"hook": HOOK}}, publish=True)
    known = {"workflow_id": made["workflow_id"]}
    ended = await _content(client, "execute_workflow", **known, input={})
    execution = {"execution_id": ended["execution_id"]}
    rename = {"op": "rename_node", "name": "nod", "new_name": "step"}
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("execute_workflow", {**known, "wait_seconds": 500}),
        ("create_workflow", {"definition": one({"type": "noop"})}),
        ("update_workflow", {**known, "expected_version": 1, "operations": [rename]}),
        ("update_workflow", {**known, "expected_version": 7, "definition": one(NO_OP)}),
        ("get_workflow", {"workflow_id": "example"}),
        ("inspect_execution", {"execution_id": ID}),
        ("inspect_execution", {**execution, "node": "nod"}),
        ("create_workflow", {"definition": {"name": "other", "nodes": {"hook": HOOK}}, "publish": True}),
        ("execute_workflow", {**known, "version": "published"}),
        ("publish_workflow", {**known, "tool": {"name": "find_nodes", "description": "Does it again."}}),
        ("control_execution", {**execution, "action": "cancel"}),
        ("control_execution", {**execution, "action": "resume"}),
        ("execute_workflow", {**known, "input": {"n": 1}, "plan_hash": "0" * 32}),
    ]
    for tool, arguments in wrong:
        error = await _error(client, tool, arguments)
        found.setdefault(error["code"], error)
    try:
        await client.read_resource("workflows://all")
    except MCPError as error:
        found["resource_not_found"] = error.error.model_dump(mode="json", exclude_none=True)


async def _runs(client: Client, url: str, found: dict[str, Example]) -> None:
    items = [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}]
    stops = await _content(client, "create_workflow", definition=RUNS["stopped"](url))
    for name, definition in RUNS.items():
        text = json.dumps(definition(url)).replace("<stops>", stops["workflow_id"])
        # Several requests leave at once, and which one fails first is chance.
        found[name] = await _run(client, json.loads(text), items[:1] if '"http_request"' in text else items)
    found["agent_step_limit"] = await _step_limit(client)
    for _ in range(5):
        found["circuit_open"] = await _run(client, RUNS["connection_failed"](url), items[:1])


async def _step_limit(client: Client) -> Example:
    """The connected assistant, asked in place of a model, wants nothing but tools."""
    tool = {
        "name": "look_up",
        "description": "Looks into the handbook.",
        "policy": "allow",
        "node": "vector_store",
        "parameters": {"operation": "query", "collection": "handbook", "vector": [1, 0]},
    }
    parameters = {"prompt": "Answer the customer.", "models": ["agent"], "max_steps": 1, "tools": [tool]}
    made = await _content(client, "create_workflow", definition=one({"type": "ai_agent", "parameters": parameters}))
    ran = await _content(client, "execute_workflow", workflow_id=made["workflow_id"])
    wish = {"tool_calls": [{"name": "look_up", "arguments": {}}]}
    execution_id = ran["execution_id"]
    await _content(client, "control_execution", execution_id=execution_id, action="resume", data=wish)
    seen = await _content(client, "inspect_execution", execution_id=execution_id, wait_seconds=20)
    error: Example = seen["error"]
    return error


async def _run(client: Client, definition: dict[str, Any], items: list[Any]) -> Example:
    made = await _content(client, "create_workflow", definition=definition)
    ran = await _content(client, "execute_workflow", workflow_id=made["workflow_id"], input=items)
    error: Example = ran["error"]
    return error


async def _requests(settings: Settings, services: Services, client: Client, found: dict[str, Example]) -> None:
    fails = {"hook": {"type": "webhook", "parameters": {"path": "fails"}}, "stop": {"type": "stop_and_error"}}
    fails["stop"]["parameters"] = {"message": "No."}
    nodes = {**fails, "answer": {"type": "respond"}}
    connections = [["hook", "stop"], ["stop", "answer"]]
    failing = {"name": "f", "nodes": nodes, "connections": connections}
    await _content(client, "create_workflow", definition=failing, publish=True)
    signed = {"type": "webhook", "parameters": {"path": "signed", "signature": {"secret": "github"}}}
    await _content(client, "create_workflow", definition={"name": "signed", "nodes": {"hook": signed}}, publish=True)
    busy = one(
        {"type": "wait", "parameters": {"seconds": 60}}, settings={"concurrency": {"limit": 1, "policy": "reject"}}
    )
    made = await _content(client, "create_workflow", definition=busy)
    run = f"/api/workflows/{made['workflow_id']}/execute"
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/healthz", {"headers": {"host": "evil.example"}}),
        ("GET", "/healthz", {"headers": {"origin": "https://evil.example"}}),
        ("POST", "/api/workflows", {"content": b"x" * 1_000_001}),
        ("POST", "/api/workflows", {"content": b"[" * 200}),
        ("POST", "/api/workflows", {"content": b"[" + b"1," * 1_000 + b"1]"}),
        ("POST", "/api/workflows", {"content": b"", "headers": {"content-encoding": "gzip"}}),
        ("GET", f"/api/workflows?text={'a' * 9_000}", {}),
        ("GET", "/healthz", {"headers": {f"x-{number}": "" for number in range(100)}}),
        ("GET", "/api/nothing", {}),
        ("GET", "/api/conversations/user:42", {}),
        ("DELETE", "/healthz", {}),
        ("POST", "/webhooks/absent", {}),
        ("POST", "/webhooks/signed", {"json": {}}),
        ("POST", "/webhooks/fails", {"json": {}}),
        ("GET", f"/resume/{ID}?token=changed", {}),
        ("POST", run, {"json": {}}),
        ("POST", run, {"json": {}}),
    ]
    async with http_app(settings, services) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765") as http:
            for method, path, options in asked:
                answer = await http.request(method, path, **options)
                if answer.status_code >= 400:
                    found.setdefault(answer.json()["code"], answer.json())


def _made() -> dict[str, Example]:
    """Failures that would take a broken machine or package to provoke: raised by the code that raises them."""

    def raised(cause: Callable[[], Any]) -> Example:
        try:
            cause()
        except JobsprintError as error:
            return {**error_content(error), "code": getattr(error, "expression_code", error.code)}
        raise AssertionError("nothing was raised")

    template = "={{ $json.n"

    def crash() -> None:
        raise limit_error("expression_crashed", Limits())

    return {
        "rate_limited": error_content(RateLimitedError(6_000, retry_after_seconds=1)),
        "queue_unavailable": error_content(unavailable(ConnectionRefusedError("Connection refused"))),
        "unfit_broker": error_content(mismatch(ValueError("inequivalent arg 'x-queue-type' for queue"))),
        "malformed_job": raised(lambda: Job.from_message({"type": "workflow.execute", "version": "1.0"})),
        "lease_lost": error_content(lost_lease("01968f6e-1f2a-7c3b-8d4e-5f6a7b8c9d0e")),
        "queue_full": error_content(QueueFullError(10_000)),
        "bad_node_type": raised(lambda: NodeRegistry([Manual, Manual])),
        "bad_vault_key": raised(lambda: keys_in("short", source="JOBSPRINT_VAULT_KEYS")),
        "too_many_credentials": error_content(TooManyCredentialsError()),
        "bad_settings": raised(lambda: Settings.load(port=70_000)),
        "bad_template": raised(lambda: parse_template(template)),
        "expression_crashed": raised(crash),
    }


async def _content(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    if result.is_error or result.structured_content is None:
        raise AssertionError(f"{tool} failed: {result.content}")
    content: dict[str, Any] = result.structured_content
    return content


async def _error(client: Client, tool: str, arguments: dict[str, Any]) -> Example:
    result = await client.call_tool(tool, arguments)
    (text,) = [part for part in result.content if isinstance(part, types.TextContent)]
    error: Example = json.loads(text.text)["error"]
    return error


@asynccontextmanager
async def _target() -> AsyncIterator[str]:
    """An HTTP server with an answer for each way to fail."""
    answers = {
        "/absent": b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
        "/private/user": b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno",
        "/text": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "/large": b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b"x" * 2_000,
        "/broken": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
        "/circle": b"HTTP/1.1 302 Found\r\nlocation: /circle\r\ncontent-length: 0\r\n\r\n",
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split()[1].decode()
                if path in answers:
                    writer.write(answers[path])
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


def _alike(example: Example) -> Example:
    text = json.dumps(example, ensure_ascii=False)
    text = _HASH.sub("0" * 32, _UUID.sub(ID, text))
    made: Example = json.loads(_PORT.sub("127.0.0.1:8080", text))
    return made
