"""A server's door: the routes to sign in, and what finds out who is calling, over a database and real services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.types import ASGIApp

from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from server.auth.outside.assembly import ways_in
from server.auth.services import AuthServices, running_auth
from server.auth.sessions.authentication import Authentication
from server.http.problems import handle_expected
from server.settings.settings import Settings
from storage.clock import SystemClock
from storage.database.database import Database
from storage.ids import UuidFactory
from storage.migrations.runner import migrate
from storage.people.audit import SqlAuditLog
from tests.doubles.issuer import IssuerDouble
from tests.support.auth import QUICK
from tests.support.databases import put_newest
from workflow.errors import JobsprintError
from workflow.ports import Clock

US = "https://jobsprint.example"
AUDIENCE = f"{US}/mcp"
ACCOUNT = {"email": "ada@example.com", "password": "correct horse battery staple"}


@dataclass(slots=True, frozen=True)
class Site:
    """A server, and a client at its door that keeps cookies."""

    http: httpx2.AsyncClient
    door: ASGIApp
    auth: AuthServices
    database: Database
    clock: Clock

    async def me(self, token: str) -> httpx2.Response:
        """What the server says to the bearer of a token of who they are."""
        return await self.http.get("/auth/me", headers={"authorization": f"Bearer {token}"})

    async def known(self, token: str) -> dict[str, Any]:
        """The same of somebody whom it knows."""
        answer = await self.me(token)
        assert answer.status_code == 200, answer.text
        known: dict[str, Any] = answer.json()
        return known

    async def back_from(self, issuer: IssuerDouble, start: str = "/auth/oidc/start") -> httpx2.Response:
        """The answer to a browser that starts to sign in, goes to the issuer, and comes back."""
        return await self.http.get(await self.way_back(start))

    async def way_back(self, start: str = "/auth/oidc/start") -> str:
        """The address that the issuer sends a browser to that starts to sign in."""
        leaving = await self.http.get(start)
        assert leaving.status_code == 303, leaving.text
        async with httpx2.AsyncClient() as browser:
            location: str = (await browser.get(leaving.headers["location"])).headers["location"]
        assert location.startswith(f"{US}/auth/oidc/callback?")
        return location


@asynccontextmanager
async def opened(data_dir: Path, clock: Clock, *, url: str = US, **settings: Any) -> AsyncIterator[Site]:
    """A server with these settings, which clients reach by ``url``."""
    chosen = Settings(data_dir=data_dir, public_url=url, **settings)
    if chosen.database_url is None:
        await put_newest(data_dir / "jobsprint.db")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(chosen.effective_database_url))
        await migrate(database)
        new_id = UuidFactory(clock=SystemClock())
        audit = await stack.enter_async_context(SqlAuditLog(database, clock=clock, new_id=new_id))
        auth = await stack.enter_async_context(
            running_auth(chosen, database, secret=b"s" * 32, audit=audit, clock=clock, new_id=new_id, hasher=QUICK)
        )
        rules = AddressRules(allowed=(), is_loopback_allowed=True)
        http = await stack.enter_async_context(
            OutboundHttp(rules=rules, max_connections=10, max_response_bytes=1 << 20, user_agent="test")
        )
        outside = ways_in(chosen, auth, secret=b"s" * 32, http=http, clock=clock)
        app = Starlette(
            routes=[*outside.api.routes(), *outside.routes], exception_handlers={JobsprintError: handle_expected}
        )
        door = Authentication(
            app, verifiers=[auth.sessions, *outside.verifiers], first_run=auth.first_run, base_url=url
        )
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=door), base_url=url)
        yield Site(await stack.enter_async_context(client), door, auth, database, clock)
