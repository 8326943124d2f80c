"""Secrets that are planted in credentials of every kind are found nowhere: no answer, no log, no row, no file.

Workflows use them against a service that repeats what it is sent wherever it can, and fail in every way they can.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from integrations import credential_headers
from integrations.scrubbing import Scrubber
from server.assembly.app import http_app
from server.assembly.composition import Services, running_services
from server.settings.settings import Settings
from tests.support.haystack import Haystack, logged, postgresql_of_ones_own
from tests.support.http_target import listening
from workflow.identity import LOCAL_ID

SECRETS = {
    "header": "pl4nted-header/&=+1",
    "basic": "pl4nted-basic:/&=+2",
    "basic pair": "ada:pl4nted-basic:/&=+2",
    "bearer": "pl4nted-bearer-3+/",
    "client secret": "pl4nted-client/&=+4",
    "access token": "pl4nted-access-5+/",
    "refresh token": "pl4nted-refresh-6+/",
    "next refresh token": "pl4nted-refresh-7+/",
    "database": "pl4nted-database-8",
    "refused client": "pl4nted-client/&=+9",
}
SENT = ("header", "basic", "bearer", "oauth2", "granted")
"""The names of the credentials that requests carry."""
ONCE = {"max_attempts": 2, "first_delay_seconds": 0.01}


@dataclass(slots=True)
class Parrot:
    """A service that repeats what it was sent: as it is, in headers, in base64; and gives out tokens."""

    url: str = ""
    received: list[str] = field(default_factory=list)

    def _repeated(self, request: Request) -> dict[str, Any]:
        headers = dict(request.headers)
        self.received.append(json.dumps(headers))
        sent = headers.get("authorization") or headers.get("x-api-key", "")
        return {"headers": headers, "said": sent, "in_an_address": f"{self.url}/?{httpx2.QueryParams({'q': sent})}"}

    async def echo(self, request: Request) -> Response:
        """What was sent, with the status in the path."""
        said = self._repeated(request)
        status = request.path_params["status"]
        return JSONResponse(said, status, {"x-said": said["said"], "set-cookie": f"session={said['said']}"})

    async def many(self, request: Request) -> Response:
        """What was sent, so often that it goes into a file of its own."""
        return JSONResponse([self._repeated(request)] * 400)

    async def large(self, request: Request) -> Response:
        """More than is read."""
        return JSONResponse([self._repeated(request)] * 4_000)

    async def elsewhere(self, request: Request) -> Response:
        """A redirect to a host where no credential may go, with what was sent in the address."""
        said = self._repeated(request)["said"]
        there = self.url.replace("127.0.0.1", "localhost")
        return RedirectResponse(str(httpx2.URL(f"{there}/echo/200", params={"stolen": said})))

    async def hold(self, request: Request) -> Response:
        """An answer that is too slow."""
        self._repeated(request)
        while not await request.is_disconnected():
            await request.receive()
        return Response()

    async def token(self, request: Request) -> Response:
        """A token; or a refusal that repeats the client's secret."""
        form = dict(await request.form())
        self.received.append(json.dumps([dict(request.headers), {name: str(value) for name, value in form.items()}]))
        if form.get("scope") == "refused":
            return JSONResponse({"error": "invalid_client", "error_description": str(form)}, 401)
        content = {"access_token": SECRETS["access token"], "expires_in": 3600, "you_said": str(form)}
        if form["grant_type"] == "refresh_token":
            content["refresh_token"] = SECRETS["next refresh token"]
        return JSONResponse(content)

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/echo/{status:int}", self.echo, methods=["GET", "POST"]),
                Route("/many", self.many),
                Route("/large", self.large),
                Route("/elsewhere", self.elsewhere),
                Route("/hold", self.hold),
                Route("/token", self.token, methods=["POST"]),
            ]
        )


@dataclass(slots=True)
class Story:
    """A server with its clients, and all that they saw."""

    http: httpx2.AsyncClient
    mcp: Client
    parrot: Parrot
    haystack: Haystack
    services: Services
    workflow_ids: list[str] = field(default_factory=list)
    execution_ids: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    async def rest(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """A request over REST."""
        answer = await self.http.request(method, path, **options)
        self.haystack.add(f"{method} {path}", answer.content + str(answer.headers).encode())
        return answer

    async def tool(self, name: str, arguments: Mapping[str, Any]) -> None:
        """A call of a tool."""
        result = await self.mcp.call_tool(name, dict(arguments))
        self.haystack.add(f"tool {name}", result.model_dump_json())

    async def workflow(self, nodes: Mapping[str, Any], *connections: list[str], **members: Any) -> str:
        """A new workflow's id."""
        definition = {"name": "uses credentials", "nodes": nodes, "connections": list(connections), **members}
        answer = await self.rest("POST", "/api/workflows?publish=true", json=definition)
        assert answer.status_code == 201, answer.text
        self.workflow_ids.append(answer.json()["workflow_id"])
        return self.workflow_ids[-1]

    async def run(self, workflow_id: str, **body: Any) -> None:
        """An execution, to its end."""
        body = {"input": {"n": 1}, "wait_seconds": 30, **body}
        answer = await self.rest("POST", f"/api/workflows/{workflow_id}/execute", json=body)
        assert answer.status_code in (200, 202), answer.text
        self.execution_ids.append(answer.json()["execution_id"])
        self.states.append(answer.json()["status"])

    async def request(self, path: str, credential: str, *, base: str | None = None, **members: Any) -> str:
        """A workflow that sends one request with a credential, and its id."""
        parameters = {"url": f"{base or self.parrot.url}{path}", "credential": credential, **members.pop("with_", {})}
        nodes = {
            "start": {"type": "manual"},
            "call": {"type": "http_request", "parameters": parameters, "retry": ONCE, **members.pop("node", {})},
            "keep": {"type": "set", "parameters": {"fields": {"said": "={{ JSON.stringify($json) }}"}}},
        }
        return await self.workflow(nodes, ["start", "call"], ["call", "keep"], **members)


@asynccontextmanager
async def opened_story(kind: str, data_dir: Path, haystack: Haystack) -> AsyncIterator[Story]:
    """A server on the kind of database; what it leaves behind falls into the haystack at the end."""
    async with AsyncExitStack() as stack:
        members: dict[str, Any] = {
            "data_dir": data_dir,
            "http_max_response_bytes": 1_000_000,
            "rate_limit_per_minute": None,
        }
        if kind == "postgresql":
            members["database_url"] = await stack.enter_async_context(postgresql_of_ones_own())
        stack.enter_context(logged(haystack))
        settings = Settings(**members)
        parrot = Parrot()
        parrot.url = await stack.enter_async_context(listening(parrot.app()))
        async with running_services(settings, has_http=True) as services, http_app(settings, services) as app:
            transport = httpx2.ASGITransport(app=app)
            async with (
                httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765", timeout=60) as http,
                Client(services.mcp) as mcp,
            ):
                yield Story(http, mcp, parrot, haystack, services)
                # The write-ahead log is still there now.
                haystack.add_folder(data_dir)
        haystack.add_folder(data_dir)
        if kind == "postgresql":
            await haystack.add_postgresql(members["database_url"])


async def plant(story: Story) -> None:
    """A credential of each kind, and what goes wrong while they are made."""
    hosts = {"allowed_hosts": ["127.0.0.1"]}
    oauth2 = {"kind": "oauth2", "token_url": f"{story.parrot.url}/token", "client_id": "us", **hosts}
    oauth2["client_authentication"] = "body"
    planted = [
        {"name": "header", "kind": "header", "header": "X-Api-Key", "value": SECRETS["header"], **hosts},
        {"name": "basic", "kind": "basic", "username": "ada", "password": SECRETS["basic"], **hosts},
        {"name": "bearer", "kind": "bearer", "token": SECRETS["bearer"], **hosts},
        {"name": "oauth2", **oauth2, "client_secret": SECRETS["client secret"]},
        {"name": "granted", **oauth2, "grant": "refresh_token", "refresh_token": SECRETS["refresh token"]},
        {"name": "refused", **oauth2, "client_secret": SECRETS["refused client"], "scope": "refused"},
        {"name": "database", "kind": "database", "url": f"postgresql://ada:{SECRETS['database']}@db.example.com/x"},
    ]
    for each in planted:
        answer = await story.rest("POST", "/api/credentials", json=each)
        assert answer.status_code == 201, answer.text
        # The name is taken now; the other ways to be wrong are in the body.
        assert (await story.rest("POST", "/api/credentials", json=each)).status_code == 409
        for wrong in ({"kind": "nothing"}, {"allowed_hosts": "no list"}, {"name": "No Name"}, {"extra": 1}):
            assert (await story.rest("POST", "/api/credentials", json={**each, **wrong})).status_code == 400
        content = {name: value for name, value in each.items() if name != "name"}
        assert (await story.rest("PUT", f"/api/credentials/{each['name']}", json=content)).status_code == 200
        assert (await story.rest("PUT", f"/api/credentials/{each['name']}", json=each)).status_code == 400
        assert (await story.rest("PUT", "/api/credentials/none", json=content)).status_code == 404


async def live_through(story: Story, credentials: Sequence[str]) -> None:
    """Each of the credentials in every situation."""
    fallen = await story.workflow({"start": {"type": "manual"}, "keep": {"type": "no_op"}}, ["start", "keep"])
    after = {"settings": {"error_workflow": fallen}}
    for number, credential in enumerate(credentials, start=1):
        good = await story.request("/echo/200", credential)
        await story.run(good)
        await story.run(good, mode="test")
        await story.run(await story.request("/many", credential))
        await story.run(await story.request("/echo/401", credential, **after))
        await story.run(await story.request("/echo/503", credential, **after))
        await story.run(await story.request("/echo/403", credential, node={"on_error": "continue"}))
        await story.run(await story.request("/large", credential, **after))
        await story.run(await story.request("/elsewhere", credential))
        await story.run(await story.request("/elsewhere", credential, with_={"follow_redirects": False}))
        await story.run(await story.request("/hold", credential, with_={"timeout_seconds": 0.2}))
        await story.run(await story.request("/", credential, base=f"http://127.0.0.1:{number}"))
        await story.run(await story.request("/echo/200", credential, base="http://localhost:1"))
        child = {"type": "execute_workflow", "parameters": {"workflow_id": good}}
        await story.run(await story.workflow({"start": {"type": "manual"}, "child": child}, ["start", "child"]))
        await hook(story, credential)
    await story.run(await story.request("/echo/200", "refused"))
    await story.run(await story.request("/echo/200", "database"))
    await story.run(await story.request("/echo/200", "missing"))


async def hook(story: Story, credential: str) -> None:
    """A webhook whose answer is what the service said, in its headers too."""
    url, path = f"{story.parrot.url}/echo/200", f"hook-{credential}"
    answer = {"body": "={{ $json }}", "headers": {"x-said": "={{ $json.body.said }}"}}
    nodes: dict[str, Any] = {
        "hook": {"type": "webhook", "parameters": {"path": path}},
        "call": {"type": "http_request", "parameters": {"url": url, "credential": credential}},
        "answer": {"type": "respond", "parameters": answer},
    }
    await story.workflow(nodes, ["hook", "call"], ["call", "answer"])
    answered = await story.rest("POST", f"/webhooks/{path}", json={"n": 1})
    assert "said" in answered.text, answered.text
    nodes["hook"] = {"type": "webhook", "parameters": {"path": f"{path}-dead"}}
    nodes["call"]["parameters"] = {"url": f"{story.parrot.url}/echo/503", "credential": credential}
    del nodes["answer"]
    nodes["call"]["retry"] = ONCE
    await story.workflow(nodes, ["hook", "call"])
    accepted = await story.rest("POST", f"/webhooks/{path}-dead", json={"n": 1})
    assert accepted.status_code == 202, accepted.text
    story.execution_ids.append(accepted.json()["execution_id"])
    await story.services.reader.wait(LOCAL_ID, story.execution_ids[-1], timeout_seconds=30)
    story.states.append((await story.rest("GET", f"/api/executions/{story.execution_ids[-1]}")).json()["status"])


async def look_everywhere(story: Story) -> None:
    """Every route that reads, every tool, every resource and prompt, for all that there is now."""
    document = (await story.rest("GET", "/openapi.json")).json()
    places = {
        "workflow_id": story.workflow_ids,
        "execution_id": story.execution_ids,
        "name": [*SENT, "refused", "database"],
        "version": ["1"],
        "workspace_id": [LOCAL_ID],
    }
    for path, operations in document["paths"].items():
        for filled in _filled(path, places):
            if "get" in operations:
                assert (await story.rest("GET", filled)).status_code != 429
    for credential in (*SENT, "refused", "database"):
        checked = await story.rest("POST", f"/api/credentials/{credential}/check")
        assert checked.json()["is_usable"] is (credential != "refused"), checked.text
    await look_with_tools(story)
    resources, cursor = [], None
    while True:
        page = await story.mcp.list_resources(cursor=cursor)
        resources += [str(each.uri) for each in page.resources]
        cursor = page.next_cursor
        if cursor is None:
            break
    for execution_id in story.execution_ids:
        resources += [f"execution://{execution_id}", f"execution://{execution_id}/nodes/start"]
        resources += [f"execution://{execution_id}/nodes/call"]
    for workflow_id in story.workflow_ids:
        resources += [f"workflow://{workflow_id}", f"workflow://{workflow_id}/versions/1"]
    for uri in dict.fromkeys(resources):
        try:
            read = await story.mcp.read_resource(uri)
        except Exception as error:
            story.haystack.add(f"resource {uri}", str(error))
        else:
            story.haystack.add(f"resource {uri}", read.model_dump_json())


def _filled(path: str, places: Mapping[str, list[str]]) -> list[str]:
    paths = [path]
    for name, values in places.items():
        if f"{{{name}}}" in path:
            paths = [each.replace(f"{{{name}}}", value) for each in paths for value in values]
    return paths if "{" not in paths[0] else []


async def look_with_tools(story: Story) -> None:
    """Every tool; a new one has to be added here."""
    every_execution = [{"execution_id": each} for each in story.execution_ids]
    every_workflow = [{"workflow_id": each} for each in story.workflow_ids]
    one, first = every_workflow[-1], every_workflow[1]
    secret_typed_in = {"url": "https://example.com", "credential": "heder", "headers": {"X-Api-Key": "typed-in-1"}}
    asks = {"definition": {"name": "n", "nodes": {"call": {"type": "http_request", "parameters": secret_typed_in}}}}
    calls: dict[str, list[dict[str, Any]]] = {
        "find_nodes": [{"name": "http_request"}, {"query": "http"}],
        "validate_workflow": [asks],
        "create_workflow": [asks],
        "update_workflow": [{**first, "expected_version": 1, "operations": [{"op": "rename_workflow", "name": "new"}]}],
        "list_workflows": [{}],
        "get_workflow": [*every_workflow, {**first, "view": "versions"}],
        "publish_workflow": [{**first, "tool": {"name": "call_parrot", "description": "Calls it."}}],
        "plan_execution": [{**each, "input": {"n": 1}} for each in every_workflow],
        "execute_workflow": [{**first, "input": {"n": 1}}],
        "list_executions": [{}, {"status": "dead"}, {"text": "answered"}],
        "inspect_execution": [*every_execution, *({**each, "node": "call"} for each in every_execution)],
        "control_execution": [
            *({**each, "action": "retry"} for each in every_execution[:4]),
            *({**each, "action": "discard"} for each in every_execution),
        ],
        "delete_workflow": [one],
        "save_prompt": [
            {"name": "planted", "template": {"title": "Planted", "messages": [{"role": "user", "content": "Hello"}]}}
        ],
        "render_prompt": [{}, {"name": "planted", "view": "template"}],
        "find_actions": [{}],
        "run_action": [{"connection": "absent", "action": "absent"}],
        "connect_integration": [{"name": "absent", "do": "check"}],
    }
    offered = {tool.name for tool in (await story.mcp.list_tools()).tools}
    assert offered <= calls.keys(), "add the new tools to this test"
    for name, arguments in calls.items():
        for each in arguments:
            await story.tool(name, each)
    story.haystack.add("tools", (await story.mcp.list_tools()).model_dump_json())
    await story.tool("call_parrot", {"n": 1})


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("kind", "credentials"), [("sqlite", SENT), ("postgresql", ("basic", "granted"))])
async def test_planted_secrets_are_found_nowhere(kind: str, credentials: Sequence[str], data_dir: Path) -> None:
    haystack = Haystack()
    async with opened_story(kind, data_dir, haystack) as story:
        await plant(story)
        await live_through(story, credentials)
        await look_everywhere(story)
    at_the_service = Haystack([("the service", "\n".join(story.parrot.received).encode())])
    # The service was given them, so they were really in use.
    used = {name for name in SECRETS if at_the_service.found({name: SECRETS[name]})}
    never_sent = {"database", "basic"} | ({"header", "bearer"} - set(credentials))
    assert used == SECRETS.keys() - never_sent
    assert set(story.states) == {"succeeded", "failed", "dead"}
    if kind == "sqlite":
        assert any("blobs" in where for where, _ in haystack.pieces), "nothing was large enough for a file of its own"
    assert haystack.found(SECRETS) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_the_search_finds_what_is_not_hidden(kind: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what hides them the same search finds them, in the answers and on the disk."""

    class Nothing(Scrubber):
        def __init__(self, secrets: Any) -> None:
            super().__init__([])

    monkeypatch.setattr(credential_headers, "Scrubber", Nothing)
    haystack = Haystack()
    async with opened_story(kind, data_dir, haystack) as story:
        await plant(story)
        for credential in SENT:
            await story.run(await story.request("/echo/200", credential))
            seen = await story.rest("GET", f"/api/executions/{story.execution_ids[-1]}")
            logging.getLogger("story").warning("%s", seen.text)
    places = haystack.found(SECRETS)
    assert any("log, line" in each for each in places)
    for name in ("header", "basic pair", "bearer", "access token"):
        assert any(each.startswith(f"{name} in ") and "execute" in each for each in places)
        stored = "file jobsprint.db" if kind == "sqlite" else "executions."
        assert any(each.startswith(f"{name} in ") and stored in each for each in places), places
