"""Routes for workspaces and their members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth.sessions.own_login import OpenSessions, require_own_login, require_person_or_admin, sees_people
from server.auth.workspaces.role_changes import RoleChanges
from server.http.access import GuardedRoute, actor_of
from server.http.json import json_response, optional_json, validated
from storage.people.workspaces import SqlWorkspaces
from workflow.audit import AuditLog
from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import Actor, Role, Scope
from workflow.ports import Clock, NewId
from workflow.workspaces import Member, WorkspaceNotFoundError

LONGEST_NAME = 100


class OtherWorkspaceError(JobsprintError):
    """The caller belongs to the workspace, but this token acts in another one."""

    code = "other_workspace"
    kind = ErrorKind.CONFLICT

    def __init__(self, workspace_id: str, current: str) -> None:
        super().__init__(
            f"You act in workspace {current!r} with this token, not in {workspace_id!r}.",
            fix=f'Log in with "workspace_id": "{workspace_id}", or take a token or API key for that workspace.',
        )


class WorkspaceBody(BaseModel):
    """Body of ``POST /api/workspaces`` and ``PATCH /api/workspaces/{id}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=LONGEST_NAME)


class RoleBody(BaseModel):
    """Body of ``PATCH /api/workspaces/{id}/members/{user_id}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role


@dataclass(slots=True, frozen=True, kw_only=True)
class WorkspaceRoutes:
    """Routes under ``/api/workspaces``. Those of one workspace are for tokens that act in it."""

    workspaces: SqlWorkspaces
    sessions: OpenSessions
    role_changes: RoleChanges
    audit: AuditLog
    clock: Clock
    new_id: NewId

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes the same ones."""
        one, member = "/api/workspaces/{workspace_id}", "/api/workspaces/{workspace_id}/members/{user_id}"
        return [
            GuardedRoute("/api/workspaces", self.list_workspaces, methods=["GET"], scopes=[]),
            GuardedRoute("/api/workspaces", self.make_workspace, methods=["POST"], scopes=[]),
            GuardedRoute(one, self.rename_workspace, methods=["PATCH"], scopes=[Scope.ADMIN]),
            GuardedRoute(f"{one}/members", self.list_members, methods=["GET"], scopes=[]),
            GuardedRoute(member, self.change_member, methods=["PATCH"], scopes=[Scope.ADMIN]),
            GuardedRoute(member, self.remove_member, methods=["DELETE"], scopes=[]),
        ]

    async def list_workspaces(self, request: Request) -> Response:
        """The workspaces that you belong to; ``is_current`` marks the one in which you act with this token. Keys and
        clients without the scope admin see that one alone."""
        actor = actor_of(request)
        listed: list[dict[str, Any]] = [
            {"id": each.workspace_id, "name": each.workspace_name, "role": each.role.value}
            for each in await self.workspaces.of_user(actor.user_id)
            if each.workspace_id == actor.workspace_id or sees_people(actor)
        ]
        # The local user and machines act in their workspace without being members.
        if all(each["id"] != actor.workspace_id for each in listed):
            name = await self.workspaces.name_of(actor.workspace_id)
            listed.append({"id": actor.workspace_id, "name": name, "role": None})
        return json_response(
            {"workspaces": [{**each, "is_current": each["id"] == actor.workspace_id} for each in listed]}
        )

    async def make_workspace(self, request: Request) -> Response:
        """201 with a new workspace that you own. Log in for it, or take a token for it, to act in it."""
        actor = actor_of(request)
        body = validated(WorkspaceBody, await optional_json(request))
        await require_own_login(actor, self.sessions)
        workspace_id = self.new_id()
        await self.workspaces.create(workspace_id, name=body.name, owner_id=actor.user_id, now=self.clock.now())
        self.audit.note(
            in_workspace(actor, workspace_id), "workspace.created", f"workspace:{workspace_id}", {"name": body.name}
        )
        await self.audit.written()
        return json_response({"id": workspace_id, "name": body.name, "role": Role.OWNER.value}, 201)

    async def rename_workspace(self, request: Request) -> Response:
        """The workspace with its new name."""
        actor, workspace_id = await self.in_it(request)
        body = validated(WorkspaceBody, await optional_json(request))
        await self.workspaces.rename(workspace_id, body.name)
        self.audit.note(actor, "workspace.renamed", f"workspace:{workspace_id}", {"name": body.name})
        await self.audit.written()
        return json_response({"id": workspace_id, "name": body.name})

    async def list_members(self, request: Request) -> Response:
        """Who belongs to the workspace; the scope admin is shown e-mail addresses too."""
        actor, workspace_id = await self.in_it(request)
        require_person_or_admin(actor)
        has_addresses = Scope.ADMIN in actor.scopes
        members = await self.workspaces.members(workspace_id)
        return json_response({"members": [_shown(each, has_addresses=has_addresses) for each in members]})

    async def change_member(self, request: Request) -> Response:
        """The member in another role. It applies from their next request on."""
        actor, workspace_id = await self.in_it(request)
        user_id = request.path_params["user_id"]
        role = validated(RoleBody, await optional_json(request)).role
        before = await self.workspaces.change_role(workspace_id, user_id, role)
        self.role_changes.changed(user_id)
        details = {"workspace": workspace_id, "role": role.value, "before": before.value}
        self.audit.note(actor, "member.changed", f"user:{user_id}", details)
        await self.audit.written()
        return json_response({"user_id": user_id, "role": role.value})

    async def remove_member(self, request: Request) -> Response:
        """204 when they do not belong to it any more. Every user who has logged in themselves may leave."""
        actor, workspace_id = await self.in_it(request)
        user_id = request.path_params["user_id"]
        if user_id != actor.user_id:
            actor.require(frozenset({Scope.ADMIN}))
        else:
            await require_own_login(actor, self.sessions)
        await self.workspaces.remove_member(workspace_id, user_id, now=self.clock.now())
        await self.role_changes.left(user_id, workspace_id)
        action = "member.left" if user_id == actor.user_id else "member.removed"
        self.audit.note(actor, action, f"user:{user_id}", {"workspace": workspace_id})
        await self.audit.written()
        return Response(status_code=204)

    async def in_it(self, request: Request) -> tuple[Actor, str]:
        """The actor and the workspace of the path, in which they act.

        Raises:
            OtherWorkspaceError: they belong to it, but act in another one.
            WorkspaceNotFoundError: they do not belong to it, or there is none.
        """
        actor, workspace_id = actor_of(request), request.path_params["workspace_id"]
        if workspace_id == actor.workspace_id:
            return actor, workspace_id
        if await self.workspaces.role_of(workspace_id, actor.user_id) is not None:
            raise OtherWorkspaceError(workspace_id, actor.workspace_id)
        raise WorkspaceNotFoundError(workspace_id)


def in_workspace(actor: Actor, workspace_id: str) -> Actor:
    """The actor as the audit log of another workspace names them; they have no rights there by this."""
    return Actor(
        user_id=actor.user_id,
        workspace_id=workspace_id,
        scopes=frozenset(),
        attainable=frozenset(),
        client=actor.client,
        session_id=actor.session_id,
    )


def _shown(member: Member, *, has_addresses: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "user_id": member.user_id,
        "name": member.name,
        "role": member.role.value,
        "since": member.since.isoformat(),
    }
    if has_addresses:
        shown["email"] = member.email
    if member.is_disabled:
        shown["is_disabled"] = True
    return shown
