"""The REST API of credentials: secrets go in and never out, and each workspace has its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from integrations.addresses import AddressRules
from integrations.credential_headers import CredentialHeaders
from integrations.credential_http import CredentialHttpClient
from integrations.credentials import Credentials
from integrations.outbound_http import OutboundHttp
from server.http.access import ACTOR
from server.http.problems import handle_expected
from server.rest.credentials import CredentialRoutes
from storage.clock import SystemClock
from storage.ids import UuidFactory
from storage.people.audit import AuditFilter, SqlAuditLog
from storage.secrets.connections import SqlConnections
from storage.secrets.keys import VaultKeys
from storage.secrets.vault import SqlVault
from tests.support.databases import database_of
from tests.support.mcp_caller import McpCaller
from workflow.errors import JobsprintError
from workflow.identity import LOCAL_ACTOR, SCOPES_OF_ROLE, Actor, Role

SECRET = "pl4nted-s3cret-1"
CRM: dict[str, Any] = {"name": "crm", "kind": "bearer", "token": SECRET, "allowed_hosts": ["api.example.com"]}


@dataclass(slots=True)
class Acting:
    """Puts an actor in front of an application, as authentication does; a test may change who it is."""

    app: ASGIApp
    actor: Actor = LOCAL_ACTOR

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self.app({**scope, ACTOR: self.actor}, receive, send)


@dataclass(slots=True)
class Rooms:
    """The routes with all that is behind them."""

    acting: Acting
    http: httpx2.AsyncClient
    audit: SqlAuditLog

    async def made(self, **changes: Any) -> httpx2.Response:
        """The answer to making a credential."""
        return await self.http.post("/api/credentials", json={**CRM, **changes})


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    """The routes over a database of their own."""
    clock = SystemClock()
    new_id = UuidFactory(clock=clock)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(database_of("sqlite", tmp_path))
        rules = AddressRules(allowed=(), is_loopback_allowed=True)
        outbound = OutboundHttp(rules=rules, max_connections=2, max_response_bytes=10_000, user_agent="test")
        await stack.enter_async_context(outbound)
        audit = await stack.enter_async_context(SqlAuditLog(database, clock=clock, new_id=new_id))
        keys = VaultKeys(lambda: [b"k" * 32])
        vault = SqlVault(database, keys=keys, clock=clock, new_id=new_id)
        claims = SqlConnections(database, keys=keys)
        headers = CredentialHeaders.over(outbound, vault=vault, claims=claims, clock=clock)
        credentials = Credentials(
            vault=vault, http=CredentialHttpClient(outbound, vault=vault, headers=headers), audit=audit
        )
        app = Starlette(
            routes=CredentialRoutes(credentials).routes(), exception_handlers={JobsprintError: handle_expected}
        )
        acting = Acting(app)
        transport = httpx2.ASGITransport(app=acting)
        http = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1")
        yield Rooms(acting, await stack.enter_async_context(http), audit)


async def test_a_credential_is_made_read_renamed_replaced_and_deleted_without_its_secret(rooms: Rooms) -> None:
    made = await rooms.made()
    assert (made.status_code, made.headers["location"]) == (201, "/api/credentials/crm")
    content = made.json()
    expected = {"name": "crm", "kind": "bearer", "allowed_hosts": ["api.example.com"], "created_by": "local"}
    assert content == expected | {name: content[name] for name in ("created_at", "updated_at")}
    http = rooms.http
    assert (await http.get("/api/credentials/crm")).json() == content
    assert (await http.get("/api/credentials")).json() == {"credentials": [content]}
    renamed = await http.patch("/api/credentials/crm", json={"name": "sales"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "sales")
    body = {"kind": "database", "url": f"postgresql://ada:{SECRET}@db.example.com/x"}
    replaced = await http.put("/api/credentials/sales", json=body)
    assert replaced.json()["database"] == "postgresql://db.example.com/x"
    assert (await http.delete("/api/credentials/sales")).status_code == 204
    gone = await http.get("/api/credentials/sales")
    assert (gone.status_code, gone.json()["code"]) == (404, "credential_not_found")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": "No Name"}, "/name"),
        ({"name": None}, "/name"),
        ({"kind": "password"}, "/kind"),
        ({"kind": [SECRET]}, "/kind"),
        ({"token": f"{SECRET}\nx"}, "/token"),
        ({"token": None}, "/token"),
        ({"token": [SECRET]}, "/token"),
        ({"allowed_hosts": [f"https://{SECRET}/"]}, "/allowed_hosts/0"),
        ({"allowed_hosts": []}, "/allowed_hosts"),
        ({"password": SECRET}, "/password"),
    ],
)
async def test_what_is_wrong_is_said_without_repeating_it(rooms: Rooms, changes: dict[str, Any], pointer: str) -> None:
    answer = await rooms.made(**changes)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_arguments")
    assert answer.json()["pointer"] == pointer
    assert answer.json()["fix"]
    assert SECRET not in answer.text
    assert (await rooms.http.get("/api/credentials")).json() == {"credentials": []}


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b"{", b"null"])
async def test_what_is_no_object_is_refused(rooms: Rooms, body: bytes) -> None:
    assert (await rooms.http.post("/api/credentials", content=body)).status_code == 400


async def test_a_name_is_taken_once(rooms: Rooms) -> None:
    await rooms.made()
    assert (await rooms.made()).json()["code"] == "credential_name_taken"
    await rooms.made(name="other")
    renamed = await rooms.http.patch("/api/credentials/other", json={"name": "crm"})
    assert (renamed.status_code, renamed.json()["code"]) == (409, "credential_name_taken")


async def test_another_workspace_finds_nothing(rooms: Rooms) -> None:
    await rooms.made()
    rooms.acting.actor = replace(LOCAL_ACTOR, workspace_id="theirs")
    http = rooms.http
    assert (await http.get("/api/credentials")).json() == {"credentials": []}
    answers = [
        await http.get("/api/credentials/crm"),
        await http.put("/api/credentials/crm", json={name: CRM[name] for name in CRM if name != "name"}),
        await http.patch("/api/credentials/crm", json={"name": "mine"}),
        await http.delete("/api/credentials/crm"),
        await http.post("/api/credentials/crm/check"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5
    assert all("Did you mean" not in answer.text for answer in answers)
    assert (await rooms.made()).status_code == 201


@pytest.mark.parametrize("role", Role)
async def test_everybody_in_the_workspace_reads_and_editors_write(rooms: Rooms, role: Role) -> None:
    await rooms.made()
    scopes = SCOPES_OF_ROLE[role]
    rooms.acting.actor = replace(LOCAL_ACTOR, scopes=scopes, attainable=scopes)
    may_write = role in (Role.EDITOR, Role.OWNER)
    http = rooms.http
    content = {name: CRM[name] for name in CRM if name != "name"}
    assert (await http.get("/api/credentials")).status_code == 200
    assert (await http.get("/api/credentials/crm")).status_code == 200
    assert (await rooms.made(name="new")).status_code == (201 if may_write else 403)
    assert (await http.put("/api/credentials/crm", json=content)).status_code == (200 if may_write else 403)
    assert (await http.patch("/api/credentials/crm", json={"name": "crm2"})).status_code == (200 if may_write else 403)
    assert (await http.post("/api/credentials/crm2/check")).status_code == (200 if may_write else 403)
    assert (await http.delete("/api/credentials/crm2")).status_code == (204 if may_write else 403)


async def test_a_check_says_what_is_wrong_in_its_answer(rooms: Rooms) -> None:
    await rooms.made()
    assert (await rooms.http.post("/api/credentials/crm/check")).json() == {"is_usable": True}
    oauth2 = {"kind": "oauth2", "token": None, "token_url": "http://127.0.0.1:1/t", "client_id": "us"}
    changes = {name: value for name, value in oauth2.items() if value is not None}
    body = {name: value for name, value in CRM.items() if name != "token"} | changes
    answer = await rooms.http.post("/api/credentials", json=body | {"name": "idp", "client_secret": SECRET})
    assert answer.status_code == 201, answer.text
    checked = (await rooms.http.post("/api/credentials/idp/check")).json()
    assert (checked["is_usable"], checked["error"]["code"]) == (False, "connection_failed")
    assert SECRET not in str(checked)


async def test_every_change_is_in_the_audit_log_without_the_secret(rooms: Rooms) -> None:
    await rooms.made()
    content = {name: CRM[name] for name in CRM if name != "name"}
    await rooms.http.put("/api/credentials/crm", json=content)
    await rooms.http.patch("/api/credentials/crm", json={"name": "sales"})
    await rooms.http.delete("/api/credentials/sales")
    page = await rooms.audit.page("local", AuditFilter(), limit=10, cursor=None)
    actions = [entry.action for entry in reversed(page.items)]
    assert actions == [f"credential.{what}" for what in ("created", "replaced", "renamed", "deleted")]
    assert {entry.details["name"] for entry in page.items if entry.details} == {"crm", "sales"}
    assert SECRET not in str(page)


async def test_agents_see_names_and_are_warned_of_those_that_are_not_there(
    mcp_http: McpCaller, http: httpx2.AsyncClient
) -> None:
    name = f"crm-{uuid.uuid4().hex[:8]}"
    assert (await http.post("/api/credentials", json={**CRM, "name": name})).status_code == 201
    found = await mcp_http.call("find_nodes", name="http_request")
    shown = {"name": name, "kind": "bearer", "allowed_hosts": ["api.example.com"]}
    assert shown in found["nodes"][0]["credentials"]
    assert SECRET not in str(found)
    assert "credentials" not in (await mcp_http.call("find_nodes", name="set"))["nodes"][0]

    def naming(credential: str) -> dict[str, Any]:
        call = {"type": "http_request", "parameters": {"url": "https://api.example.com/", "credential": credential}}
        nodes = {"start": {"type": "manual"}, "call": call}
        return {"name": "calls", "nodes": nodes, "connections": [["start", "call"]]}

    assert (await mcp_http.call("validate_workflow", definition=naming(name)))["findings"] == []
    report = await mcp_http.call("validate_workflow", definition=naming(f"{name}x"))
    (finding,) = report["findings"]
    assert (report["valid"], finding["code"], finding["severity"]) == (True, "unknown_credential", "warning")
    assert finding["patch"][0]["value"] == name
    made = await mcp_http.call("create_workflow", definition=naming(name))
    planned = await mcp_http.call("plan_execution", workflow_id=made["workflow_id"])
    assert planned["effects"][0]["parameters"]["credential"] == name
