"""An authorization server over a database of the test's own, and whoever asks it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import insert
from starlette.applications import Starlette
from starlette.routing import Route

from integrations.outbound_http import OutboundHttp
from server.auth.access import ACTOR
from server.auth.sessions import Sessions
from server.auth.tokens import AccessTokens
from server.oauth.assertions import Assertions
from server.oauth.client_authentication import ClientAuthentication
from server.oauth.clients import Clients
from server.oauth.documents import ClientDocuments
from server.oauth.grants import Grants
from server.oauth.hashes import hashed
from server.oauth.machines import Machines
from server.oauth.metadata import ResourceMetadata, ServerMetadata
from server.oauth.registration import Registration
from server.oauth.resources import Resources
from server.oauth.tokens import TokenEndpoint
from server.problems import handle_expected
from storage.account_tables import memberships, users, workspaces
from storage.clock import SystemClock
from storage.database import Database
from storage.ids import UuidFactory
from storage.oauth import AuthorizationCode, SqlAuthorizationCodes, SqlOAuthClients
from storage.sessions import SqlSessions
from storage.workspaces import SqlWorkspaces
from tests.support.databases import database_of
from workflow.errors import JobsprintError
from workflow.identity import ALL_SCOPES, Actor, Role, Scope
from workflow.items import JsonObject

BASE_URL = "https://jobsprint.example"
REDIRECT = "http://127.0.0.1:4000/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ADA = "ada"
WORKSPACE = "adas"
"""Ada's own workspace."""


@dataclass
class StandingClock:
    """A clock that goes on when told to."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        """The time."""
        return self.time

    def advance(self, **amount: float) -> None:
        """Let time pass."""
        self.time += timedelta(**amount)


class Notes:
    """An audit log that keeps its entries where tests see them."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, str]] = []

    def note(self, actor: Actor, action: str, subject: str, details: JsonObject | None = None) -> None:
        """Take an entry."""
        self.entries.append((actor.user_id, action, subject))

    async def written(self) -> None:
        """There is nothing to wait for."""


class Standing:
    """What members may do."""

    def __init__(self, workspaces: SqlWorkspaces) -> None:
        self._workspaces = workspaces

    async def standing(self, user_id: str, workspace_id: str) -> Role | None:
        """The role."""
        return await self._workspaces.role_of(workspace_id, user_id)


@dataclass
class OAuthServer:
    """The server's parts and a client to it. ``acting`` is who REST calls come from."""

    http: httpx2.AsyncClient
    clock: StandingClock
    store: SqlOAuthClients
    codes: SqlAuthorizationCodes
    sessions: Sessions
    clients: Clients
    notes: Notes
    acting: list[Actor]

    async def post(self, path: str, **form: Any) -> httpx2.Response:
        """Send a form."""
        return await self.http.post(path, data=form)

    async def token(self, **form: Any) -> dict[str, Any]:
        """The tokens."""
        response = await self.post("/oauth/token", **form)
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        content: dict[str, Any] = response.json()
        return content

    async def refusal(self, path: str = "/oauth/token", **form: Any) -> str:
        """The name of the error."""
        response = await self.post(path, **form)
        assert response.status_code in (400, 401), response.text
        assert response.headers["cache-control"] == "no-store"
        content = response.json()
        assert content["error_description"]
        return str(content["error"])

    async def register(self, **metadata: Any) -> dict[str, Any]:
        """A registered client."""
        response = await self.http.post("/oauth/register", json=registration(**metadata))
        assert response.status_code == 201, response.text
        content: dict[str, Any] = response.json()
        return content

    async def code(self, client_id: str, code: str = "code", **members: Any) -> str:
        """A code as Ada gave it to the client."""
        given: dict[str, Any] = {
            "hash": hashed(code),
            "client_id": client_id,
            "user_id": ADA,
            "workspace_id": WORKSPACE,
            "scopes": frozenset({Scope.WORKFLOWS_READ, Scope.EXECUTIONS_RUN}),
            "redirect_uri": REDIRECT,
            "code_challenge": CHALLENGE,
            "resource": f"{BASE_URL}/mcp",
            "expires_at": self.clock.now() + timedelta(seconds=60),
        }
        await self.codes.add(AuthorizationCode(**{**given, **members}), now=self.clock.now())
        return code


def registration(**metadata: Any) -> dict[str, Any]:
    """What a client sends; a public one by default."""
    return {
        "client_name": "Example",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        **metadata,
    }


def exchange(client_id: str, code: str = "code", **form: Any) -> dict[str, Any]:
    """The form that exchanges a code."""
    return {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        "resource": f"{BASE_URL}/mcp",
        **form,
    }


def ada(**members: Any) -> Actor:
    """Ada, who owns her workspace."""
    given = {"user_id": ADA, "workspace_id": WORKSPACE, "scopes": ALL_SCOPES, "attainable": ALL_SCOPES, "client": "x"}
    return Actor(**{**given, **members})


@pytest.fixture
async def oauth(tmp_path: Path) -> AsyncIterator[OAuthServer]:
    """The server; it may fetch from this machine, as a local one may."""
    clock = StandingClock()
    new_id = UuidFactory(clock=SystemClock())
    async with (
        database_of("sqlite", tmp_path) as database,
        OutboundHttp(max_connections=10, max_response_bytes=1 << 20, user_agent="test") as http,
    ):
        await _settle(database, clock)
        store, codes, notes = SqlOAuthClients(database), SqlAuthorizationCodes(database), Notes()
        session_store = SqlSessions(database)
        sessions = Sessions(
            store=session_store,
            standing=Standing(SqlWorkspaces(database)),
            access_tokens=AccessTokens(key=b"k" * 32, base_url=BASE_URL),
            clock=clock,
            new_id=new_id,
        )
        documents = ClientDocuments(http=http, clock=clock, allows_loopback=True)
        clients = Clients(store=store, documents=documents, clock=clock)
        metadata = ServerMetadata(base_url=BASE_URL)
        assertions = Assertions(store=store, http=http, clock=clock, audiences=(BASE_URL, metadata.token_endpoint))
        tokens = TokenEndpoint(
            clients=clients,
            authentication=ClientAuthentication(clients=clients, assertions=assertions),
            codes=codes,
            sessions=sessions,
            resources=Resources(BASE_URL),
            clock=clock,
        )
        routes: list[Route] = [
            *ResourceMetadata(base_url=BASE_URL, issuers=(BASE_URL,)).routes(),
            *metadata.routes(),
            *Registration(clients=clients, store=store, clock=clock, new_id=new_id).routes(),
            *tokens.routes(),
            *Machines(store=store, sessions=sessions, audit=notes, clock=clock, new_id=new_id).routes(),
            *Grants(store=session_store, sessions=sessions, audit=notes, clock=clock).routes(),
        ]
        app = Starlette(routes=routes, exception_handlers={JobsprintError: handle_expected})
        acting: list[Actor] = []

        async def authenticated(scope: Any, receive: Any, send: Any) -> None:
            if acting:
                scope[ACTOR] = acting[-1]
            await app(scope, receive, send)

        transport = httpx2.ASGITransport(app=authenticated)
        async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as client:
            yield OAuthServer(client, clock, store, codes, sessions, clients, notes, acting)


async def _settle(database: Database, clock: StandingClock) -> None:
    """Ada and her workspace."""
    now = clock.now()
    async with database.transaction() as connection:
        await connection.execute(insert(users).values(id=ADA, email="ada@example.org", name="Ada", created_at=now))
        await connection.execute(insert(workspaces).values(id=WORKSPACE, name="Ada's", created_at=now))
        await connection.execute(
            insert(memberships).values(workspace_id=WORKSPACE, user_id=ADA, role=Role.OWNER.value, created_at=now)
        )
