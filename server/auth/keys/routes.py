"""Routes for API keys: everybody's own, and for the workspace's owners all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth.keys.api_keys import HINT_LENGTH, ApiKeys, new_key
from server.auth.keys.shown_once import shown_once
from server.auth.sessions.own_login import OpenSessions, require_own_login, require_person_or_admin
from server.auth.sessions.tokens import token_hash
from server.http.access import GuardedRoute, actor_of
from server.http.json import json_response, optional_json, query_in, validated
from storage.people.api_keys import ApiKey, SqlApiKeys
from workflow.audit import AuditLog
from workflow.errors import InvalidArgumentsError
from workflow.identity import Actor, Scope, scopes_in, scopes_text
from workflow.ports import Clock, NewId

LONGEST_DAYS = 365
USUAL_DAYS = 90


class KeyBody(BaseModel):
    """Body of ``POST /api/keys``; with ``never`` for the days an owner's key is valid until it is revoked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100)
    scopes: list[str] = Field(min_length=1, max_length=50)
    expires_in_days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] | Literal["never"] = USUAL_DAYS


class KeysQuery(BaseModel):
    """Query of ``GET /api/keys``; ``all`` lists the whole workspace's, for its owners."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    all: bool = False
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class KeyRoutes:
    """Routes under ``/api/keys``. A key acts in the workspace in which it was made."""

    store: SqlApiKeys
    keys: ApiKeys
    sessions: OpenSessions
    audit: AuditLog
    clock: Clock
    new_id: NewId

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes the same ones."""
        return [
            GuardedRoute("/api/keys", self.make_key, methods=["POST"], scopes=[]),
            GuardedRoute("/api/keys", self.list_keys, methods=["GET"], scopes=[]),
            GuardedRoute("/api/keys/{key_id}", self.revoke_key, methods=["DELETE"], scopes=[]),
        ]

    async def make_key(self, request: Request) -> Response:
        """201 with a new key, which is shown this once. Users make keys when they have logged in themselves."""
        actor = actor_of(request)
        body = validated(KeyBody, await optional_json(request))
        await require_own_login(actor, self.sessions)
        scopes = scopes_in(body.scopes)
        actor.require(scopes)
        now = self.clock.now()
        text = new_key()
        key = ApiKey(
            id=self.new_id(),
            name=body.name,
            hint=text[-HINT_LENGTH:],
            user_id=actor.user_id,
            workspace_id=actor.workspace_id,
            scopes=scopes,
            created_at=now,
            expires_at=None if body.expires_in_days == "never" else now + timedelta(days=body.expires_in_days),
        )
        if key.expires_at is None and Scope.ADMIN not in actor.attainable:
            raise InvalidArgumentsError(
                "Only an owner of the workspace makes keys whose time is never over.",
                pointer="/expires_in_days",
                fix=f"Give a number of days up to {LONGEST_DAYS}.",
            )
        await self.store.add(key, key_hash=token_hash(text))
        expires_at = None if key.expires_at is None else key.expires_at.isoformat()
        details = {"name": key.name, "scopes": scopes_text(key.scopes), "expires_at": expires_at}
        self.audit.note(actor, "key.created", f"key:{key.id}", details)
        await self.audit.written()
        return shown_once({"key": text, **_shown(key)}, status=201)

    async def list_keys(self, request: Request) -> Response:
        """A page of valid keys, newest first: your own, or with ``?all=true`` the workspace's."""
        actor = actor_of(request)
        require_person_or_admin(actor)
        query = query_in(request, KeysQuery)
        if query.all:
            actor.require(frozenset({Scope.ADMIN}))
        page = await self.store.page(
            actor.workspace_id,
            user_id=None if query.all else actor.user_id,
            now=self.clock.now(),
            limit=query.limit,
            cursor=query.cursor,
        )
        return json_response({"keys": [_shown(key) for key in page.items], "next_cursor": page.next_cursor})

    async def revoke_key(self, request: Request) -> Response:
        """204 when the key is revoked. Owners may revoke everybody's."""
        actor = actor_of(request)
        require_person_or_admin(actor)
        key = await self.store.revoke(
            actor.workspace_id,
            request.path_params["key_id"],
            user_id=None if _is_admin(actor) else actor.user_id,
            now=self.clock.now(),
        )
        self.keys.forget(key_id=key.id)
        self.audit.note(actor, "key.revoked", f"key:{key.id}", {"name": key.name, "of": key.user_id})
        await self.audit.written()
        return Response(status_code=204)


def _is_admin(actor: Actor) -> bool:
    return Scope.ADMIN in actor.scopes


def _shown(key: ApiKey) -> dict[str, Any]:
    """A key without its secret."""
    times = {"created_at": key.created_at, "expires_at": key.expires_at, "last_used_at": key.last_used_at}
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "user_id": key.user_id,
        "workspace_id": key.workspace_id,
        "scopes": scopes_text(key.scopes).split(),
        **{name: None if at is None else at.isoformat() for name, at in times.items()},
    }
