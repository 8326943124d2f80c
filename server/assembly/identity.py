"""Puts together authentication: accounts, sharing, the authorization server, outside identity providers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.routing import Route

from engine.executions.duties import Duty
from server.assembly.duties import FORGETTING_SECONDS, duties_at_work
from server.auth.leftovers import Leftovers
from server.auth.outside.assembly import ways_in
from server.auth.pages.browser_sessions import PageSessions
from server.auth.services import running_auth
from server.auth.sessions.first_run import FirstRun, require_authentication
from server.auth.sharing import running_sharing
from server.http.access import TokenVerifier
from server.oauth.services import EmbeddedServer, oauth_routes
from server.settings.settings import Settings
from storage.database.database import Database
from storage.people.audit import SqlAuditLog
from storage.people.invitations import SqlInvitations
from workflow.ports import Clock, HttpClient, NewId


@dataclass(slots=True, frozen=True, kw_only=True)
class IdentityParts:
    """What the edges need of authentication: verifiers of tokens and of browser sessions, and the routes that open
    either."""

    first_run: FirstRun
    pages: PageSessions
    verifiers: Sequence[TokenVerifier]
    routes: Sequence[Route]


@asynccontextmanager
async def running_identity(
    settings: Settings,
    database: Database,
    *,
    secret: bytes,
    http: HttpClient,
    audit: SqlAuditLog,
    clock: Clock,
    new_id: NewId,
) -> AsyncIterator[IdentityParts]:
    """All of it over a migrated database, until the context is left.

    Raises:
        BadSettingsError: other machines can reach the server, and it has no way to authenticate them; or a setting
            that another one needs is missing.
        StorageError: sessions are to be kept in Redis, and it does not answer.
    """
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(
            running_auth(settings, database, secret=secret, audit=audit, clock=clock, new_id=new_id)
        )
        require_authentication(settings, has_users=await auth.users.has_any())
        sharing = await stack.enter_async_context(
            running_sharing(database, auth=auth, audit=audit, clock=clock, new_id=new_id)
        )
        leftovers = Leftovers(sessions=auth.session_store, invitations=SqlInvitations(database), clock=clock)
        old = Duty("old sessions and invitations", FORGETTING_SECONDS, leftovers.forget)
        await stack.enter_async_context(duties_at_work(old, database=database, clock=clock, new_id=new_id))
        outside = ways_in(settings, auth, secret=secret, http=http, clock=clock)
        embedded = EmbeddedServer(
            settings, auth=auth, database=database, http=http, audit=audit, clock=clock, new_id=new_id
        )
        yield IdentityParts(
            first_run=auth.first_run,
            pages=auth.pages,
            verifiers=[sharing.keys, auth.sessions, *outside.verifiers],
            routes=[
                *outside.api.routes(),
                *outside.routes,
                *sharing.routes,
                *oauth_routes(settings, embedded),
            ],
        )
