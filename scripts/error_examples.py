"""Real examples of the codes: wrong definitions, calls, runs and requests, sent to a server in this process.

``examples`` returns the answers. Ids, hashes and ports, which differ each time, are replaced by fixed ones.
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

from engine.executions.intake import IdempotencyMismatchError
from engine.executions.tries import TooManyTriesError
from engine.expressions.pool import SandboxLimits, limit_error
from engine.expressions.template import parse_template
from engine.nodes.manual import Manual
from engine.nodes.registry import NodeRegistry
from scripts.auth_examples import auth_examples
from scripts.connection_examples import connection_examples
from scripts.error_definitions import DEFINITIONS, HOOK, NO_OP, RUNS, one
from scripts.model_examples import model_examples
from scripts.prompt_examples import prompt_examples
from server.assembly.app import http_app
from server.assembly.composition import Services, running_services
from server.settings.settings import Settings
from server.walls.rate_limits import RateLimitedError
from storage.backups.archive import ArchiveReader
from storage.executions.group_commit import lost_lease
from storage.queue.broker_errors import mismatch, unavailable
from storage.secrets.keys import keys_in
from tools.executions.views import WorkflowFailedError
from tools.protocol.tool import error_content
from tools.skills import SkillNotFoundError
from workflow.agent_questions import PeopleOnlyError
from workflow.credentials import TooManyCredentialsError
from workflow.errors import JobsprintError, NextCall, QueueFullError
from workflow.executions import ErrorRecord
from workflow.identity import LOCAL_ACTOR
from workflow.lost_data import LostDataError
from workflow.messages import Job
from workflow.names import AmbiguousNameError
from workflow.plans import PlanExpiredError

ID = "0198c0de-0000-7000-8000-000000000000"
Example = dict[str, Any]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASH = re.compile(r"\b[0-9a-f]{32}\b")
_PORT = re.compile(r"127\.0\.0\.1:\d+")


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
            sub_workflow_depth=2,
            sub_workflow_calls=5,
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
    used = (await _content(client, "plan_execution", **known, input={"n": 1}))["plan_hash"]
    await _content(client, "execute_workflow", **known, input={"n": 1}, plan_hash=used)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("execute_workflow", {**known, "wait_seconds": 500}),
        ("create_workflow", {"definition": one({"type": "noop"})}),
        ("update_workflow", {**known, "expected_version": 1, "operations": [rename]}),
        ("update_workflow", {**known, "expected_version": 7, "definition": one(NO_OP)}),
        ("get_workflow", {"workflow_id": "exampel"}),
        ("inspect_execution", {"execution_id": ID}),
        ("inspect_execution", {**execution, "node": "nod"}),
        ("create_workflow", {"definition": {"name": "other", "nodes": {"hook": HOOK}}, "publish": True}),
        ("execute_workflow", {**known, "version": "published"}),
        ("publish_workflow", {**known, "tool": {"name": "find_nodes", "description": "Does it again."}}),
        ("control_execution", {**execution, "action": "cancel"}),
        ("control_execution", {**execution, "action": "resume"}),
        ("execute_workflow", {**known, "input": {"n": 1}, "plan_hash": "0" * 32}),
        ("execute_workflow", {**known, "input": {"n": 1}, "plan_hash": used}),
    ]
    for tool, arguments in wrong:
        error = await _error(client, tool, arguments)
        found.setdefault(error["code"], error)
    asks = {"type": "ai_chat", "parameters": {"prompt": "Say hello.", "models": ["agent"]}}
    tried = await _content(client, "execute_workflow", definition={"nodes": {"ask": asks}})
    found["try_cannot_wait"] = tried["error"]
    try:
        await client.read_resource("workflows://all")
    except MCPError as error:
        found["resource_not_found"] = error.error.model_dump(mode="json", exclude_none=True)


async def _runs(client: Client, url: str, found: dict[str, Example]) -> None:
    items = [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}]
    stops = await _content(client, "create_workflow", definition=RUNS["stopped"](url))
    for name, definition in RUNS.items():
        text = json.dumps(definition(url)).replace("<stops>", stops["workflow_id"])
        # Several requests leave at once, and it is chance which one fails first.
        found[name] = await _run(client, json.loads(text), items[:1] if '"http_request"' in text else items)
    found["agent_step_limit"] = await _step_limit(client)
    await _chains(client, found)
    for _ in range(5):
        found["circuit_open"] = await _run(client, RUNS["connection_failed"](url), items[:1])


async def _chains(client: Client, found: dict[str, Example]) -> None:
    """A workflow that calls itself, and one that calls another for each of too many items."""
    made = await _content(client, "create_workflow", definition=one(NO_OP))
    known = {"workflow_id": made["workflow_id"]}
    for_each = {"type": "for_each", "parameters": {**known, "concurrency": 1}}
    found["too_many_calls"] = await _run(client, one(for_each, name="parent"), [{"n": n} for n in range(6)])
    again = one({"type": "execute_workflow", "parameters": known})
    await _content(client, "update_workflow", **known, expected_version=1, definition=again)
    await _content(client, "execute_workflow", **known, wait_seconds=20)
    listed = await _content(client, "list_executions", **known, status="failed")
    for each in listed["executions"]:
        seen = await _content(client, "inspect_execution", execution_id=each["execution_id"])
        found.setdefault(seen["error"]["code"], seen["error"])


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
    known = {"workflow_id": made["workflow_id"]}
    ran = await _content(client, "execute_workflow", **known, input=items, wait_seconds=50)
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
        ("GET", f"/api/schedules/{ID}", {}),
        ("POST", f"/api/schedules/{await _ended_schedule(client)}/pause", {}),
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


async def _ended_schedule(client: Client) -> str:
    nodes = {"every_day": {"type": "schedule", "parameters": {"at": ["08:30"]}}}
    made = await _content(client, "create_workflow", definition={"name": "daily", "nodes": nodes}, publish=True)
    known = {"workflow_id": made["workflow_id"]}
    await _content(client, "publish_workflow", **known, action="unpublish")
    (schedule,) = (await _content(client, "get_workflow", **known, view="schedules"))["schedules"]
    return str(schedule["schedule_id"])


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
        raise limit_error("expression_crashed", SandboxLimits())

    def return_much() -> None:
        raise limit_error("result_too_large", SandboxLimits())

    return {
        "plan_expired": error_content(PlanExpiredError(plan_again=NextCall("plan_execution", {"workflow_id": ID}))),
        "too_many_tries": error_content(TooManyTriesError()),
        "rate_limited": error_content(RateLimitedError(6_000, retry_after_seconds=1)),
        "queue_unavailable": error_content(unavailable(ConnectionRefusedError("Connection refused"))),
        "unfit_broker": error_content(mismatch(ValueError("inequivalent arg 'x-queue-type' for queue"))),
        "malformed_job": raised(lambda: Job.from_message({"type": "workflow.execute", "version": "1.0"})),
        "lost_data": error_content(
            LostDataError("01968f6e-1f2a-7c3b-8d4e-5f6a7b8c9d0e", "entry 3 of its journal: it is damaged")
        ),
        "lease_lost": error_content(lost_lease("01968f6e-1f2a-7c3b-8d4e-5f6a7b8c9d0e")),
        "skill_not_found": error_content(SkillNotFoundError("skill://absent/SKILL.md")),
        "workflow_failed": error_content(
            WorkflowFailedError(
                "01968f6e-1f2a-7c3b-8d4e-5f6a7b8c9d0e",
                ErrorRecord(code="missing_field", message="The item has no field 'rate'.", node="convert"),
            )
        ),
        "ambiguous_name": error_content(AmbiguousNameError("Orders")),
        "idempotency_mismatch": error_content(
            IdempotencyMismatchError("01968f6e-1f2a-7c3b-8d4e-5f6a7b8c9d0e", ["input"])
        ),
        "people_only": error_content(PeopleOnlyError("01968f6e-1f2a-7c3b-8d4e-5f6a7b8c9d0e", "approve")),
        "queue_full": error_content(QueueFullError(10_000)),
        "bad_node_type": raised(lambda: NodeRegistry([Manual, Manual])),
        "bad_vault_key": raised(lambda: keys_in("short", source="JOBSPRINT_VAULT_KEYS")),
        "too_many_credentials": error_content(TooManyCredentialsError()),
        "backup_failed": raised(lambda: ArchiveReader(Path("absent.backup")).checked()),
        "bad_settings": raised(lambda: Settings.load(port=70_000)),
        "bad_template": raised(lambda: parse_template(template)),
        "expression_crashed": raised(crash),
        "result_too_large": raised(return_much),
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
