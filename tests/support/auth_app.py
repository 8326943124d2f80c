"""The routes of workspaces, keys, invitations and the audit log over a database, without the rest of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
from starlette.applications import Starlette

from server.auth.keys.api_keys import ApiKeys
from server.auth.services import AuthServices, running_auth
from server.auth.sessions.authentication import Authentication
from server.auth.sharing import Sharing, running_sharing
from server.http.problems import handle_expected
from server.settings.settings import Settings
from storage.database.database import Database
from storage.ids import UuidFactory
from storage.people.audit import AuditFilter, SqlAuditLog
from storage.people.workspaces import SqlWorkspaces
from tests.support.accounts import NOW, SetClock, add_users
from tests.support.auth import QUICK, SECRET
from workflow.audit import AuditEntry
from workflow.errors import JobsprintError
from workflow.identity import SCOPES_OF_ROLE, Role, Scopes

BASE_URL = "http://127.0.0.1"


@dataclass(slots=True, kw_only=True)
class AuthApp:
    """The routes, and what stands behind them."""

    clock: SetClock
    auth: AuthServices
    sharing: Sharing
    log: SqlAuditLog
    http: httpx2.AsyncClient

    @property
    def workspaces(self) -> SqlWorkspaces:
        """The workspaces in the database."""
        return self.auth.workspaces

    @property
    def api_keys(self) -> ApiKeys:
        """What verifies keys."""
        return self.sharing.keys

    async def token(
        self,
        user_id: str,
        workspace_id: str = "w",
        *,
        scopes: Scopes = SCOPES_OF_ROLE[Role.OWNER],
        client_id: str | None = None,
    ) -> str:
        """An access token of somebody who has logged in, or who has let a client in."""
        tokens = await self.auth.sessions.open(
            user_id=user_id,
            workspace_id=workspace_id,
            scopes=scopes,
            client_id=client_id,
            client_name="a browser" if client_id is None else client_id,
            lifetime=timedelta(hours=24),
        )
        return tokens.access_token

    async def send(self, token: str | None, method: str, path: str, body: Any = None) -> httpx2.Response:
        """One request."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return await self.http.request(method, path, json=body, headers=headers)

    async def ok(self, token: str, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request that succeeds."""
        response = await self.send(token, method, path, body)
        assert response.is_success, response.text
        return response.json() if response.content else None

    async def refused(self, token: str | None, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and code of a refusal."""
        response = await self.send(token, method, path, body)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()["code"]

    async def entries(self, workspace_id: str = "w") -> list[AuditEntry]:
        """What was noted of a workspace, the oldest first."""
        page = await self.log.page(workspace_id, AuditFilter(), limit=500, cursor=None)
        return list(reversed(page.items))


@asynccontextmanager
async def auth_app(database: Database) -> AsyncIterator[AuthApp]:
    """The routes over a database with the newest schema."""
    clock = SetClock()
    new_id = UuidFactory(clock=clock)
    settings = Settings(public_url=BASE_URL, _env_file=None)
    async with (
        SqlAuditLog(database, clock=clock, new_id=new_id) as log,
        running_auth(settings, database, secret=SECRET, audit=log, clock=clock, new_id=new_id, hasher=QUICK) as auth,
        running_sharing(database, auth=auth, audit=log, clock=clock, new_id=new_id) as sharing,
    ):
        front = Authentication(
            Starlette(routes=sharing.routes, exception_handlers={JobsprintError: handle_expected}),
            verifiers=[sharing.keys, auth.sessions],
            first_run=auth.first_run,
            base_url=BASE_URL,
        )
        transport = httpx2.ASGITransport(app=front)
        async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as http:
            yield AuthApp(clock=clock, auth=auth, sharing=sharing, log=log, http=http)


@asynccontextmanager
async def populated_auth_app(database: Database) -> AsyncIterator[AuthApp]:
    """The same with Ada's workspace ``w``, which has a member in every role, and Mallory's ``m``.

    Owner is ada, editor eve, operator oscar, viewer vera.
    """
    await add_users(database, "ada", "eve", "oscar", "vera", "mallory", "newton")
    async with auth_app(database) as app:
        await app.workspaces.create("w", name="Ada's", owner_id="ada", now=NOW)
        await app.workspaces.create("m", name="Mallory's", owner_id="mallory", now=NOW)
        await app.workspaces.create("n", name="Newton's", owner_id="newton", now=NOW)
        for user_id, role in (("eve", Role.EDITOR), ("oscar", Role.OPERATOR), ("vera", Role.VIEWER)):
            await app.workspaces.put_member("w", user_id, role, now=NOW + timedelta(seconds=1))
        yield app
