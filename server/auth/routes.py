"""``/auth``: accounts and sessions over JSON. Forms of the pages come to the same addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth.accounts.accounts import Accounts
from server.auth.accounts.logins import Logins
from server.auth.pages.browser_sessions import caller_of, is_form
from server.auth.pages.routes import AuthPages
from server.auth.sessions.first_run import FirstRun
from server.auth.sessions.own_login import sees_people
from server.auth.sessions.sessions import Tokens
from server.http.access import GuardedRoute, actor_of
from server.http.json import optional_json, validated
from storage.people.accounts import User
from workflow.identity import LOCAL_ID, scopes_in, scopes_text
from workflow.schemas.documents import parse_document

NO_STORE = {"cache-control": "no-store"}


class RegisterBody(BaseModel):
    """Body of ``POST /auth/register``. ``invitation`` is the token that an owner of a workspace gave."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    email: str = Field(max_length=1_000)
    password: str
    name: str | None = None
    invitation: str | None = None


class LoginBody(BaseModel):
    """Body of ``POST /auth/login``. The session acts in one workspace, by default the user's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    email: str = Field(max_length=1_000)
    password: str
    workspace_id: str | None = None


class RefreshBody(BaseModel):
    """Body of ``POST /auth/refresh``. ``scope`` narrows the new access token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refresh_token: str
    scope: str | None = None


class LogoutBody(BaseModel):
    """Body of ``POST /auth/logout``: the session's refresh token, where no access token is in the header."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refresh_token: str | None = None


class PasswordBody(BaseModel):
    """Body of ``POST /auth/password``. A user without a password leaves ``current_password`` out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    current_password: str | None = None
    new_password: str


@dataclass(slots=True, frozen=True, kw_only=True)
class AuthApi:
    """Routes under ``/auth``."""

    accounts: Accounts
    logins: Logins
    first_run: FirstRun
    pages: AuthPages

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes those that take JSON."""
        return [
            Route("/auth/register", self.register, methods=["POST"]),
            Route("/auth/login", self.log_in, methods=["POST"]),
            Route("/auth/refresh", self.refresh, methods=["POST"]),
            Route("/auth/logout", self.log_out, methods=["POST"]),
            GuardedRoute("/auth/me", self.me, methods=["GET"], scopes=[]),
            GuardedRoute("/auth/password", self.change_password, methods=["POST"], scopes=[]),
            *self.pages.routes(),
        ]

    async def register(self, request: Request) -> Response:
        """201 with the new user and the tokens of a session.

        On a server that only this machine reaches, the first account may be made whatever the settings say.
        """
        if is_form(request):
            return await self.pages.register(request)
        body = validated(RegisterBody, await _json_in(request))
        caller = caller_of(request, through="login")
        user = await self.accounts.register(
            email=body.email,
            password=body.password,
            name=body.name,
            invitation=body.invitation,
            is_first=await self.first_run.is_on(),
            client=caller.client,
        )
        self.first_run.end()
        return await self.release_deferred(user, await self.logins.open(user, caller=caller), 201)

    async def log_in(self, request: Request) -> Response:
        """200 with the user and the tokens of a new session, which is kept for a day."""
        if is_form(request):
            return await self.pages.log_in(request)
        body = validated(LoginBody, await _json_in(request))
        caller = caller_of(request, through="login")
        user, tokens = await self.logins.log_in(
            body.email, body.password, caller=caller, workspace_id=body.workspace_id
        )
        return await self.release_deferred(user, tokens, 200)

    async def refresh(self, request: Request) -> Response:
        """200 with new tokens; the old refresh token is spent, and ends the session if it is used again."""
        body = validated(RefreshBody, await _json_in(request))
        scopes = None if body.scope is None else scopes_in(body.scope)
        tokens = await self.logins.sessions.refresh(body.refresh_token, scopes=scopes)
        return _answer(_tokens_content(tokens))

    async def log_out(self, request: Request) -> Response:
        """204 when the session of the token has ended, or there was none."""
        if is_form(request):
            return await self.pages.log_out(request)
        body = validated(LogoutBody, await optional_json(request))
        caller = caller_of(request, through="login")
        scheme, _, access_token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            await self.logins.end_of_token(access_token.strip(), caller=caller)
        if body.refresh_token is not None:
            await self.logins.end_of_token(body.refresh_token, caller=caller)
        return Response(status_code=204, headers=NO_STORE)

    async def me(self, request: Request) -> Response:
        """Who is calling, in which workspace, with which rights, and until when."""
        actor = actor_of(request)
        user = await self.accounts.store.get(actor.user_id)
        session = None if actor.session_id is None else await self.logins.sessions.get(actor.session_id)
        memberships = await self.logins.memberships(actor.user_id)
        workspaces = [
            {"workspace_id": each.workspace_id, "name": each.workspace_name, "role": each.role}
            for each in memberships
            if each.workspace_id == actor.workspace_id or sees_people(actor)
        ]
        if actor.user_id == LOCAL_ID:
            workspaces = [{"workspace_id": LOCAL_ID, "name": "Local", "role": "owner"}]
        return _answer(
            {
                "user_id": actor.user_id,
                "email": user.email if user else None,
                "name": user.name if user else None,
                "workspace_id": actor.workspace_id,
                "workspaces": workspaces,
                "scope": scopes_text(actor.scopes),
                "attainable_scope": scopes_text(actor.attainable),
                "client": actor.client,
                "session": session and {"session_id": session.id, "expires_at": session.expires_at},
            }
        )

    async def change_password(self, request: Request) -> Response:
        """204 when the password is changed and the user's other sessions have ended."""
        body = validated(PasswordBody, await _json_in(request))
        await self.logins.change_password(
            actor_of(request), body.current_password, body.new_password, caller=caller_of(request, through="login")
        )
        return Response(status_code=204, headers=NO_STORE)

    async def release_deferred(self, user: User, tokens: Tokens, status: int) -> Response:
        """The answer to a user who has just authenticated: the user, and the tokens of the session."""
        session = await self.logins.sessions.get(tokens.session_id)
        content = {
            "user_id": user.id,
            "email": user.email,
            "name": user.name,
            "workspace_id": session and session.workspace_id,
            "session_expires_at": session and session.expires_at,
            **_tokens_content(tokens),
        }
        return _answer(content, status)


async def _json_in(request: Request) -> Any:
    return parse_document(await request.body())[0]


def _tokens_content(tokens: Tokens) -> dict[str, Any]:
    """The tokens as OAuth names them (RFC 6749, 5.1)."""
    return {
        "access_token": tokens.access_token,
        "token_type": "Bearer",  # the kind of it  # nosec B105
        "expires_in": tokens.expires_in_seconds,
        "refresh_token": tokens.refresh_token,
        "scope": scopes_text(tokens.scopes),
        "session_id": tokens.session_id,
    }


def _answer(content: dict[str, Any], status: int = 200) -> Response:
    """JSON with the caller's own secrets: not redacted, and not cached."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(body, status_code=status, media_type="application/json", headers=NO_STORE)
