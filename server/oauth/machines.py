"""``/api/machines``: OAuth clients without a user, in one workspace, with scopes that an admin gave them."""

from __future__ import annotations

import secrets
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth.sessions.sessions import Sessions
from server.http.access import GuardedRoute, actor_of
from server.http.json import definition_in, validated
from server.oauth.client_metadata import check_keys
from server.oauth.errors import OAuthError, json_answer
from server.oauth.hashes import hashed
from server.oauth.metadata import listed
from server.oauth.own_login import require_user
from server.oauth.tokens import machine_user
from storage.people.oauth import OAuthClient, SqlOAuthClients
from workflow.audit import AuditLog
from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError
from workflow.identity import Scope, scopes_in
from workflow.items import JsonObject
from workflow.ports import Clock, NewId


class MachineNotFoundError(JobsprintError):
    """The workspace has no machine of this id."""

    code = "machine_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, machine_id: str) -> None:
        super().__init__(
            f"There is no machine {machine_id!r:.60}.", pointer="/machine_id", fix="GET /api/machines lists them."
        )


class MachineBody(BaseModel):
    """Body of ``POST /api/machines``; with ``jwks`` the machine signs its requests and has no secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    scopes: list[str] = Field(min_length=1, max_length=20)
    jwks: dict[str, Any] | None = None


class Machines:
    """Makes, lists and revokes machines."""

    def __init__(
        self, *, store: SqlOAuthClients, sessions: Sessions, audit: AuditLog, clock: Clock, new_id: NewId
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    def routes(self) -> list[Route]:
        """The routes; all for admins of the workspace."""
        path, scopes = "/api/machines", [Scope.ADMIN]
        return [
            GuardedRoute(path, self.create_machine, methods=["POST"], scopes=scopes),
            GuardedRoute(path, self.list_machines, methods=["GET"], scopes=scopes),
            GuardedRoute(f"{path}/{{machine_id}}", self.revoke_machine, methods=["DELETE"], scopes=scopes),
        ]

    async def create_machine(self, request: Request) -> Response:
        """201 with the machine and its secret, which cannot be read again."""
        actor = actor_of(request)
        await require_user(actor, self._sessions)
        body = validated(MachineBody, await definition_in(request))
        scopes = scopes_in(body.scopes)
        # Nobody may grant more than they have.
        actor.require(scopes)
        metadata: JsonObject = {
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_method": "client_secret_basic" if body.jwks is None else "private_key_jwt",
        }
        if body.jwks is not None:
            try:
                check_keys(body.jwks)
            except OAuthError as error:
                raise InvalidArgumentsError(
                    error.description, pointer="/jwks", fix="Send the machine's public keys as a JSON Web Key Set."
                ) from error
            metadata["jwks"] = body.jwks
        secret = None if body.jwks is not None else secrets.token_urlsafe(32)
        machine = OAuthClient(
            id=self._new_id(),
            kind="machine",
            name=body.name,
            metadata=metadata,
            created_at=self._clock.now(),
            secret_hash=None if secret is None else hashed(secret),
            created_by=actor.user_id,
            workspace_id=actor.workspace_id,
            scopes=scopes,
        )
        await self._store.add(machine)
        self._audit.note(actor, "machine.created", f"machine:{machine.id}", {"scopes": listed(scopes)})
        await self._audit.written()
        content = _content(machine)
        if secret is not None:
            content["client_secret"] = secret
        return json_answer(content, status=201)

    async def list_machines(self, request: Request) -> Response:
        """The machines of the workspace, oldest first."""
        machines = await self._store.machines(actor_of(request).workspace_id)
        return json_answer({"machines": [_content(each) for each in machines]})

    async def revoke_machine(self, request: Request) -> Response:
        """204 when the machine and its tokens are revoked."""
        actor, machine_id = actor_of(request), request.path_params["machine_id"]
        now = self._clock.now()
        if not await self._store.revoke_machine(machine_id, workspace_id=actor.workspace_id, now=now):
            raise MachineNotFoundError(machine_id)
        await self._sessions.end_all(machine_user(machine_id))
        self._audit.note(actor, "machine.revoked", f"machine:{machine_id}")
        await self._audit.written()
        return Response(status_code=204)


def _content(machine: OAuthClient) -> dict[str, Any]:
    return {
        "client_id": machine.id,
        "name": machine.name,
        "scopes": listed(machine.scopes or frozenset()),
        "token_endpoint_auth_method": machine.metadata["token_endpoint_auth_method"],
        "created_by": machine.created_by,
        "created_at": machine.created_at.isoformat(),
    }
