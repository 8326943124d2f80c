"""``/api/grants``: lists and revokes the clients that a user has allowed."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth.sessions.sessions import Sessions
from server.http.access import GuardedRoute, actor_of
from server.oauth.errors import json_answer
from server.oauth.metadata import listed
from server.oauth.own_login import require_user
from workflow.audit import AuditLog
from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import Actor
from workflow.ports import Clock
from workflow.sessions import Session, SessionStore


class GrantNotFoundError(JobsprintError):
    """The user has no grant of this id, or it has ended."""

    code = "grant_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, grant_id: str) -> None:
        super().__init__(
            f"There is no grant {grant_id!r:.60}.", pointer="/grant_id", fix="GET /api/grants lists those there are."
        )


class Grants:
    """The routes. Each grant is the session of a client; its id is the session's."""

    def __init__(self, *, store: SessionStore, sessions: Sessions, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._sessions = sessions
        self._audit = audit
        self._clock = clock

    def routes(self) -> list[Route]:
        """The routes; every user manages their own grants, without a scope."""
        return [
            GuardedRoute("/api/grants", self.list_grants, methods=["GET"], scopes=[]),
            GuardedRoute("/api/grants/{grant_id}", self.revoke_grant, methods=["DELETE"], scopes=[]),
        ]

    async def list_grants(self, request: Request) -> Response:
        """The clients that the user has allowed, the latest first."""
        grants = [
            {
                "id": each.id,
                "client_id": each.client_id,
                "client_name": each.client_name,
                "workspace_id": each.workspace_id,
                "scopes": listed(each.scopes),
                "created_at": each.created_at.isoformat(),
                "expires_at": each.expires_at.isoformat(),
            }
            for each in await self._of(actor_of(request))
        ]
        return json_answer({"grants": grants})

    async def revoke_grant(self, request: Request) -> Response:
        """204 when the client's tokens are revoked."""
        actor, grant_id = actor_of(request), request.path_params["grant_id"]
        if grant_id not in [each.id for each in await self._of(actor)]:
            raise GrantNotFoundError(grant_id)
        await self._sessions.end(grant_id)
        self._audit.note(actor, "grant.revoked", f"grant:{grant_id}")
        await self._audit.written()
        return Response(status_code=204)

    async def _of(self, actor: Actor) -> Sequence[Session]:
        """The user's grants; for the users themselves only, so that no client sees or revokes the others.

        Raises:
            OwnLoginNeededError: the actor is not a user who logged in.
        """
        await require_user(actor, self._sessions)
        found = await self._store.of_user(actor.user_id, now=self._clock.now())
        return [each for each in found if each.client_id is not None]
