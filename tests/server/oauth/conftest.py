"""An authorization server over a database of the test's own, and clients of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from server.auth.services import AuthServices, running_auth
from server.auth.sessions.sessions import Sessions
from server.http.access import ACTOR
from server.http.problems import handle_expected
from server.oauth.clients import Clients
from server.oauth.hashes import hashed
from server.oauth.services import EmbeddedServer
from server.settings.settings import Settings
from storage.clock import SystemClock
from storage.ids import UuidFactory
from storage.people.accounts import User
from storage.people.oauth import AuthorizationCode, SqlAuthorizationCodes, SqlOAuthClients
from tests.support.auth import QUICK
from tests.support.databases import database_of
from workflow.errors import JobsprintError
from workflow.identity import ALL_SCOPES, Actor, Scope
from workflow.items import JsonObject

BASE_URL = "http://127.0.0.1:8765"
REDIRECT = "http://127.0.0.1:4000/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ADA = "ada"
WORKSPACE = ADA
"""Ada's own workspace."""
LOCAL = AddressRules(allowed=(), is_loopback_allowed=True)
PASSWORD = "correct horse battery staple"


@dataclass
class StandingClock:
    """A clock that stands still until a test moves it."""

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

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Nothing is old."""
        return 0


@dataclass
class OAuthServer:
    """The server's parts and a client to it. ``acting`` is who REST calls come from."""

    http: httpx2.AsyncClient
    clock: StandingClock
    server: EmbeddedServer
    auth: AuthServices
    notes: Notes
    acting: list[Actor]
    new_id: UuidFactory

    @property
    def store(self) -> SqlOAuthClients:
        """The clients that are kept."""
        return self.server.store

    @property
    def codes(self) -> SqlAuthorizationCodes:
        """The codes that are kept."""
        return self.server.codes

    @property
    def clients(self) -> Clients:
        """The clients."""
        return self.server.clients

    @property
    def sessions(self) -> Sessions:
        """The sessions."""
        return self.auth.sessions

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


async def ada(oauth: OAuthServer, **members: Any) -> Actor:
    """Ada, who owns her workspace and has logged in."""
    return await logged_in(oauth, ADA, **members)


async def logged_in(oauth: OAuthServer, name: str, **members: Any) -> Actor:
    """A user who has logged in."""
    tokens = await oauth.sessions.open(
        user_id=name, workspace_id=name, scopes=ALL_SCOPES, client_name="login", lifetime=timedelta(hours=24)
    )
    actor = await oauth.sessions.actor(tokens.access_token)
    assert actor is not None
    return replace(actor, **members)


async def add_user(oauth: OAuthServer, name: str) -> None:
    """A user with the password, whose workspace has the same id as they have."""
    await oauth.auth.users.add(
        User(
            id=name,
            email=f"{name}@example.org",
            name=name.title(),
            password_hash=QUICK.hash(PASSWORD),
            created_at=oauth.clock.now(),
        )
    )


@pytest.fixture
async def oauth(tmp_path: Path) -> AsyncIterator[OAuthServer]:
    """The server, as on somebody's own machine; Ada has an account there."""
    async with oauth_server(tmp_path) as oauth:
        await add_user(oauth, ADA)
        yield oauth


@asynccontextmanager
async def oauth_server(folder: Path) -> AsyncIterator[OAuthServer]:
    """The server; nobody has an account."""
    clock, notes = StandingClock(), Notes()
    new_id = UuidFactory(clock=SystemClock())
    settings = Settings(data_dir=folder, _env_file=None)
    assert settings.base_url == BASE_URL
    async with (
        database_of("sqlite", folder) as database,
        OutboundHttp(rules=LOCAL, max_connections=10, max_response_bytes=1 << 20, user_agent="test") as http,
        running_auth(
            settings, database, secret=b"s" * 32, audit=notes, clock=clock, new_id=new_id, hasher=QUICK
        ) as auth,
    ):
        server = EmbeddedServer(
            settings, auth=auth, database=database, http=http, audit=notes, clock=clock, new_id=new_id
        )
        app = Starlette(
            routes=[*server.routes(), *auth.api().routes()], exception_handlers={JobsprintError: handle_expected}
        )
        acting: list[Actor] = []

        async def authenticated(scope: Any, receive: Any, send: Any) -> None:
            if acting:
                scope[ACTOR] = acting[-1]
            await app(scope, receive, send)

        transport = httpx2.ASGITransport(app=authenticated)
        async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as client:
            yield OAuthServer(client, clock, server, auth, notes, acting, new_id)
