"""A double of Puter's API, as far as its browser SDK asks it who somebody is.

Made from ``@heyputer/puter.js`` 2.6.3 (``src/modules/Auth.js``, ``src/index.js``: ``GET {api}/whoami`` with a bearer
token, whose payload names the app as ``app_uid``, or shortened as ``au``) and from what the open server answers.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.http_target import listening

SECRET = "the secret that Puter signs with, and nobody else has"
NAMESPACE = uuid.UUID("33de3768-8ee0-43e9-9e73-db192b97a5d8")


@dataclass(slots=True)
class PuterUser:
    """A user of Puter; ``lets_apps_read_email`` is what the permission ``user:…:email:read`` gives."""

    username: str = "jane_puter"
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    email: str | None = "jane@example.com"
    is_email_confirmed: bool = True
    lets_apps_read_email: bool = False
    is_suspended: bool = False


@dataclass(slots=True)
class PuterDouble:
    """``asked`` are the ``Authorization`` headers that came to ``/whoami``."""

    url: str = ""
    users: dict[str, PuterUser] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    status: int | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    asked: list[str | None] = field(default_factory=list)

    def signed_in(self, user: PuterUser, origin: str) -> str:
        """The token that ``puter.auth.signIn()`` resolves to on a page of this origin."""
        return self._token(user, t="au", au=_short(app_id(origin)[4:]))

    def in_full(self, user: PuterUser, origin: str) -> str:
        """The same, as Puter wrote tokens before it shortened them."""
        return self._token(user, type="app-under-user", app_uid=app_id(origin))

    def session(self, user: PuterUser) -> str:
        """The token of somebody who is at Puter itself: it may do everything."""
        return self._token(user, t="s")

    def delegated(self, user: PuterUser, origin: str) -> str:
        """A token with which the origin's app lets others at a file of the user's (``puter.fs.getReadURL``)."""
        return self._token(user, t="t", au=_short(app_id(origin)[4:]), token_uid=str(uuid.uuid4()))

    def forged(self, user: PuterUser, origin: str) -> str:
        """What anybody can make up."""
        claims = {"t": "au", "v": "2", "uu": _short(user.uuid), "au": _short(app_id(origin)[4:])}
        return jwt.encode(claims, "a secret that somebody made up for this", algorithm="HS256", headers={"kid": "v2"})

    def app(self) -> Starlette:
        """The application."""
        return Starlette(routes=[Route("/whoami", self._whoami)])

    async def _whoami(self, request: Request) -> Response:
        header = request.headers.get("authorization")
        self.asked.append(header)
        if self.status is not None:
            return JSONResponse({"code": "internal_error", "message": "No."}, status_code=self.status)
        token = (header or "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, SECRET, algorithms=["HS256"])
        except jwt.PyJWTError:
            return JSONResponse({"code": "token_auth_failed", "message": "Authentication failed."}, status_code=401)
        if token in self.revoked:
            return JSONResponse({"code": "reauth_required", "reason": "session_revoked"}, status_code=401)
        user = self.users[str(uuid.UUID(bytes=base64.b64decode(claims["uu"])))]
        if user.is_suspended:
            return JSONResponse({"code": "account_suspended", "message": "Account suspended"}, status_code=403)
        app = claims.get("app_uid") or (
            f"app-{uuid.UUID(bytes=base64.b64decode(claims['au']))}" if "au" in claims else None
        )
        answer: dict[str, Any] = {
            "username": user.username,
            "uuid": user.uuid,
            "email": user.email,
            "unconfirmed_email": user.email,
            "email_confirmed": 1 if user.is_email_confirmed else 0,
            "is_temp": user.email is None,
            "feature_flags": {},
        }
        if app is None:
            answer["is_user_token"] = True
        else:
            answer["app_name"] = app
            if not user.lets_apps_read_email:
                del answer["email"], answer["unconfirmed_email"]
        return JSONResponse(answer | self.changes)

    def _token(self, user: PuterUser, **claims: Any) -> str:
        self.users[user.uuid] = user
        claims |= {"v": "2", "uu": _short(user.uuid), "su": _short(str(uuid.uuid4()))}
        return jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "v2"})


def app_id(origin: str) -> str:
    """The id that Puter gives a site that is not registered as an app."""
    return f"app-{uuid.uuid5(NAMESPACE, origin)}"


@asynccontextmanager
async def answering(double: PuterDouble) -> AsyncIterator[PuterDouble]:
    """The double, listening on a free port until the context is left."""
    async with listening(double.app()) as double.url:
        yield double


def _short(identifier: str) -> str:
    return base64.b64encode(uuid.UUID(identifier).bytes).decode()
