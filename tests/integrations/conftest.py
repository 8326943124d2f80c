"""A vault with a client that uses it, and services to send credentials to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from integrations.addresses import AddressRules
from integrations.credential_headers import CredentialHeaders
from integrations.credential_http import CredentialHttpClient
from integrations.outbound_http import OutboundHttp
from storage.ids import UuidFactory
from storage.secrets.connections import SqlConnections
from storage.secrets.keys import VaultKeys
from storage.secrets.vault import SqlVault
from tests.support.databases import database_of
from tests.support.engine import FixedClock
from tests.support.http_target import listening
from workflow.credential_forms import FORMS
from workflow.credentials import CredentialRef
from workflow.ports import HttpRequest, HttpResponse

OWNER = "mine"
RULES = AddressRules(allowed=(), is_loopback_allowed=True)


@dataclass(slots=True)
class Service:
    """A service that remembers what it was asked, and repeats it wherever it can.

    ``url`` is at 127.0.0.1, ``other_url`` the same at localhost, which is another origin and another host.
    """

    url: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)
    redirects_to: str = ""
    redirect_status: int = 302
    refuses: set[str] = field(default_factory=set)

    @property
    def other_url(self) -> str:
        """The same service under another name."""
        return self.url.replace("127.0.0.1", "localhost")

    async def echo(self, request: Request) -> Response:
        """What was sent, as JSON and in headers; 401 where the authorization is one that it refuses."""
        received = await self._noted(request)
        authorization = request.headers.get("authorization", "")
        status = 401 if authorization in self.refuses else 200
        headers = {"x-echo": authorization, "set-cookie": f"session={request.headers.get('x-api-key', '')}"}
        return JSONResponse(received, status, headers)

    async def redirect(self, request: Request) -> Response:
        """Somewhere else."""
        await self._noted(request)
        return RedirectResponse(self.redirects_to, self.redirect_status)

    async def large(self, request: Request) -> Response:
        """Too much."""
        await self._noted(request)
        return Response(b"x" * 200_000)

    async def _noted(self, request: Request) -> dict[str, Any]:
        received = {
            "host": request.headers["host"].partition(":")[0],
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "headers": dict(request.headers),
            "body": (await request.body()).decode(),
        }
        self.received.append(received)
        return received

    def authorizations(self) -> list[str | None]:
        """What each request had in the header."""
        return [each["headers"].get("authorization") for each in self.received]

    def app(self) -> Starlette:
        """The application."""
        methods = ["GET", "POST", "PUT"]
        return Starlette(
            routes=[
                Route("/echo", self.echo, methods=methods),
                Route("/redirect", self.redirect, methods=methods),
                Route("/large", self.large),
            ]
        )


@dataclass(slots=True)
class Senders:
    """The client under test and its vault."""

    vault: SqlVault
    client: CredentialHttpClient
    inner: OutboundHttp
    clock: FixedClock
    claims: SqlConnections

    async def keep(self, kind: str, name: str = "it", **members: Any) -> CredentialRef:
        """Keep a credential; by default it may go to 127.0.0.1."""
        ref = CredentialRef(owner=OWNER, name=name)
        hosts = {} if kind == "database" else {"allowed_hosts": ["127.0.0.1"]}
        await self.vault.create(ref, FORMS[kind].model_validate({"kind": kind, **hosts, **members}), created_by="ada")
        return ref

    async def send(self, url: str, ref: CredentialRef | None, **members: Any) -> HttpResponse:
        """Send a request, GET by default."""
        return await self.client.send(HttpRequest(**{"method": "GET", "url": url, "credential": ref, **members}))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """The service, listening."""
    service = Service()
    async with listening(service.app()) as service.url:
        yield service


@pytest.fixture
async def senders(tmp_path: Path) -> AsyncIterator[Senders]:
    """The client over a vault in a database of its own."""
    clock = FixedClock()
    async with (
        database_of("sqlite", tmp_path) as database,
        OutboundHttp(rules=RULES, max_connections=10, max_response_bytes=100_000, user_agent="test") as inner,
    ):
        keys = VaultKeys(lambda: [b"k" * 32])
        vault = SqlVault(database, keys=keys, clock=clock, new_id=UuidFactory(clock=clock))
        claims = SqlConnections(database, keys=keys)
        headers = CredentialHeaders.over(inner, vault=vault, claims=claims, clock=clock)
        yield Senders(vault, CredentialHttpClient(inner, vault=vault, headers=headers), inner, clock, claims)
