"""Workspaces, members, invitations, API keys and the audit log put together for the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.routing import Route

from server.auth.keys.api_keys import ApiKeys
from server.auth.keys.routes import KeyRoutes
from server.auth.services import AuthServices
from server.auth.workspaces.audit_routes import AuditRoutes
from server.auth.workspaces.invitations import InvitationRoutes
from server.auth.workspaces.role_changes import RoleChanges
from server.auth.workspaces.routes import WorkspaceRoutes
from storage.database.database import Database
from storage.people.api_keys import SqlApiKeys
from storage.people.audit import SqlAuditLog
from storage.people.invitations import SqlInvitations
from workflow.ports import Clock, NewId


@dataclass(slots=True, frozen=True, kw_only=True)
class Sharing:
    """What lets several people work in one workspace. ``keys`` verifies API keys."""

    keys: ApiKeys
    role_changes: RoleChanges
    routes: list[Route]


@asynccontextmanager
async def running_sharing(
    database: Database, *, auth: AuthServices, audit: SqlAuditLog, clock: Clock, new_id: NewId
) -> AsyncIterator[Sharing]:
    """The services over a migrated database, until the context is left."""
    store = SqlApiKeys(database)
    keys = ApiKeys(store=store, clock=clock)
    role_changes = RoleChanges(sessions=auth.sessions, store=auth.session_store, keys=keys, clock=clock)
    within = WorkspaceRoutes(
        workspaces=auth.workspaces,
        sessions=auth.sessions,
        role_changes=role_changes,
        audit=audit,
        clock=clock,
        new_id=new_id,
    )
    invitations = InvitationRoutes(invitations=SqlInvitations(database), within=within)
    of_keys = KeyRoutes(store=store, keys=keys, sessions=auth.sessions, audit=audit, clock=clock, new_id=new_id)
    routes = [*within.routes(), *invitations.routes(), *of_keys.routes(), *AuditRoutes(log=audit).routes()]
    async with keys.noting_uses():
        yield Sharing(keys=keys, role_changes=role_changes, routes=routes)
