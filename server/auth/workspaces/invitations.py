"""Routes for invitations to a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth.accounts.accounts import checked_email
from server.auth.keys.shown_once import shown_once
from server.auth.sessions.own_login import require_own_login
from server.auth.sessions.tokens import new_token, token_hash
from server.auth.workspaces.routes import WorkspaceRoutes, in_workspace
from server.http.access import GuardedRoute, actor_of
from server.http.json import json_response, optional_json, validated
from storage.people.invitations import SqlInvitations
from workflow.identity import Role, Scope
from workflow.workspaces import Invitation

PREFIX = "jsi_"
USUAL_DAYS = 7
LONGEST_DAYS = 30


class InvitationBody(BaseModel):
    """Body of ``POST /api/workspaces/{id}/invitations``; with ``email`` only the user with that address may use it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    email: str | None = None
    expires_in_days: int = Field(default=USUAL_DAYS, ge=1, le=LONGEST_DAYS)


class AcceptBody(BaseModel):
    """Body of ``POST /api/invitations/accept``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: str = Field(min_length=1, max_length=200)


@dataclass(slots=True, frozen=True, kw_only=True)
class InvitationRoutes:
    """Routes of a workspace's invitations, and the one that accepts them."""

    invitations: SqlInvitations
    within: WorkspaceRoutes

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes the same ones."""
        path = "/api/workspaces/{workspace_id}/invitations"
        return [
            GuardedRoute(path, self.invite, methods=["POST"], scopes=[Scope.ADMIN]),
            GuardedRoute(path, self.list_invitations, methods=["GET"], scopes=[Scope.ADMIN]),
            GuardedRoute(f"{path}/{{invitation_id}}", self.revoke, methods=["DELETE"], scopes=[Scope.ADMIN]),
            GuardedRoute("/api/invitations/accept", self.accept, methods=["POST"], scopes=[]),
        ]

    async def invite(self, request: Request) -> Response:
        """201 with an invitation; its token is shown this once. Anybody who has the token can become a member."""
        actor, workspace_id = await self.within.in_it(request)
        body = validated(InvitationBody, await optional_json(request))
        now = self.within.clock.now()
        token = new_token(PREFIX)
        invitation = Invitation(
            id=self.within.new_id(),
            email=None if body.email is None else checked_email(body.email),
            workspace_id=workspace_id,
            role=body.role,
            invited_by=actor.user_id,
            created_at=now,
            expires_at=now + timedelta(days=body.expires_in_days),
        )
        await self.invitations.add(invitation, token_hash=token_hash(token))
        details = {"role": body.role.value, "email": invitation.email}
        self.within.audit.note(actor, "invitation.created", f"invitation:{invitation.id}", details)
        await self.within.audit.written()
        return shown_once({"token": token, **_shown(invitation)}, status=201)

    async def list_invitations(self, request: Request) -> Response:
        """The invitations that can still be used."""
        _, workspace_id = await self.within.in_it(request)
        listed = await self.invitations.of_workspace(workspace_id, now=self.within.clock.now())
        return json_response({"invitations": [_shown(each) for each in listed]})

    async def revoke(self, request: Request) -> Response:
        """204 when the invitation cannot be used any more."""
        actor, workspace_id = await self.within.in_it(request)
        invitation_id = request.path_params["invitation_id"]
        await self.invitations.revoke(workspace_id, invitation_id)
        self.within.audit.note(actor, "invitation.revoked", f"invitation:{invitation_id}")
        await self.within.audit.written()
        return Response(status_code=204)

    async def accept(self, request: Request) -> Response:
        """The workspace that you belong to now. Log in for it, or take a token for it, to act in it."""
        actor = actor_of(request)
        body = validated(AcceptBody, await optional_json(request))
        await require_own_login(actor, self.within.sessions)
        accepted = await self.invitations.accept(
            token_hash(body.token), user_id=actor.user_id, now=self.within.clock.now()
        )
        workspace_id = str(accepted.workspace_id)
        details = {"workspace": workspace_id, "role": accepted.role, "invitation": accepted.id}
        self.within.audit.note(in_workspace(actor, workspace_id), "member.joined", f"user:{actor.user_id}", details)
        await self.within.audit.written()
        name = await self.within.workspaces.name_of(workspace_id)
        return json_response({"id": workspace_id, "name": name, "role": accepted.role})


def _shown(invitation: Invitation) -> dict[str, Any]:
    """An invitation without its token."""
    return {
        "id": invitation.id,
        "role": invitation.role,
        "email": invitation.email,
        "invited_by": invitation.invited_by,
        "created_at": invitation.created_at.isoformat(),
        "expires_at": invitation.expires_at.isoformat(),
    }
