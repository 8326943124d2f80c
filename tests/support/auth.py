"""Accounts and sessions over a database of their own, and their routes without the rest of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.auth.services import AuthServices, running_auth
from server.auth.sessions.authentication import Authentication
from server.http.access import GuardedRoute, actor_of
from server.http.problems import handle_expected
from server.settings.settings import Settings
from storage.database.database import Database
from storage.ids import UuidFactory
from storage.people.audit import SqlAuditLog
from tests.support.databases import database_of
from tests.support.engine import FixedClock
from workflow.errors import JobsprintError

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SECRET = b"a secret of the tests, long enough"
PASSWORD = "correct horse battery"


@dataclass(slots=True, frozen=True, kw_only=True)
class AuthHarness:
    """The services, and what a test moves or looks into."""

    auth: AuthServices
    settings: Settings
    database: Database
    audit: SqlAuditLog
    clock: FixedClock

    async def add_user(self, name: str = "ada") -> str:
        """The id of a user with the password of the tests, who does not take over what the local user had."""
        registered = await self.auth.accounts.add(
            email=f"{name}@example.com", password=PASSWORD, name=name.title(), client="test"
        )
        return registered.id

    def app(self) -> Authentication:
        """The routes under ``/auth``, and one behind them that tells who called."""

        async def who(request: Request) -> Response:
            actor = actor_of(request)
            return JSONResponse({"user_id": actor.user_id, "workspace_id": actor.workspace_id})

        async def health(request: Request) -> Response:
            return JSONResponse({"status": "ok"})

        routes: list[Route] = [
            *self.auth.api().routes(),
            GuardedRoute("/api/who", who, methods=["GET"], scopes=[]),
            Route("/healthz", health),
        ]
        app = Starlette(routes=routes, exception_handlers={JobsprintError: handle_expected})
        return Authentication(
            app, verifiers=[self.auth.sessions], first_run=self.auth.first_run, base_url=self.settings.base_url
        )

    def client(self, **options: Any) -> httpx2.AsyncClient:
        """A client of :meth:`app`."""
        transport = httpx2.ASGITransport(app=self.app(), client=("192.0.2.1", 1234))
        return httpx2.AsyncClient(transport=transport, base_url=self.settings.base_url, **options)


@asynccontextmanager
async def auth_harness(folder: Path, **settings: Any) -> AsyncIterator[AuthHarness]:
    """Over SQLite, with the time standing still."""
    chosen = Settings(data_dir=folder, **settings)
    clock = FixedClock()
    new_id = UuidFactory(clock=clock)
    async with (
        database_of("sqlite", folder) as database,
        SqlAuditLog(database, clock=clock, new_id=new_id) as audit,
        running_auth(chosen, database, secret=SECRET, audit=audit, clock=clock, new_id=new_id, hasher=QUICK) as auth,
    ):
        yield AuthHarness(auth=auth, settings=chosen, database=database, audit=audit, clock=clock)
