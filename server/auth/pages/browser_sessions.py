"""Whose browser it is: the cookie that names a session, and the tokens that keep other sites from using it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from server.auth.accounts.logins import Caller, Logins
from server.auth.pages.html import Html, hidden
from server.auth.sessions.sessions import LOGIN_LIFETIME
from storage.people.accounts import SqlAccounts, User
from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError
from workflow.identity import SCOPES_OF_ROLE, Actor

SESSION_COOKIE = "jobsprint_session"
FORM_COOKIE = "jobsprint_form"
LOGIN_PATH = "/auth/login"
ACCOUNT_PATH = "/auth/account"
MAX_FIELDS = 50
CSRF_FIELD = "csrf_token"

R = TypeVar("R", bound=Response)


class ForgedFormError(JobsprintError):
    """The form was not made for this browser, or has expired."""

    code = "forged_form"
    kind = ErrorKind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__(
            "The form was not made for this browser, or cookies are off.", fix="Load the page again, and send it again."
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class PageUser:
    """The user who is logged in with a browser, and the session that they are in."""

    user_id: str
    email: str
    name: str
    session_id: str
    workspace_id: str


class PageSessions:
    """Sessions of browsers. ``key`` is 32 bytes; cookies are for https only where ``is_secure``."""

    def __init__(self, *, logins: Logins, accounts: SqlAccounts, key: bytes, is_secure: bool) -> None:
        self._logins = logins
        self._accounts = accounts
        self._key = key
        self._is_secure = is_secure

    async def page_user(self, request: Request) -> PageUser | None:
        """Whose browser it is, if they are logged in."""
        session_id, _, proof = request.cookies.get(SESSION_COOKIE, "").partition(".")
        if not self._is_proof("session", session_id, proof):
            return None
        session = await self._logins.sessions.get(session_id)
        user = None if session is None else await self._accounts.get(session.user_id)
        if session is None or user is None or user.disabled_at is not None:
            return None
        return PageUser(
            user_id=user.id,
            email=user.email,
            name=user.name,
            session_id=session.id,
            workspace_id=session.workspace_id,
        )

    async def person(self, request: Request, workspace_id: str) -> Actor | None:
        """The user who is logged in with the browser, with what their role in the workspace lets them do.

        ``None`` where nobody is logged in, or the user does not belong to the workspace.
        """
        user = await self.page_user(request)
        role = None if user is None else await self._logins.role(user.user_id, workspace_id)
        if user is None or role is None:
            return None
        scopes = SCOPES_OF_ROLE[role]
        return Actor(
            user_id=user.user_id,
            workspace_id=workspace_id,
            scopes=scopes,
            attainable=scopes,
            client="a browser",
            session_id=user.session_id,
            is_person=True,
        )

    async def release_deferred(self, user: User, request: Request, *, next_path: str | None) -> Response:
        """Redirect a user who has just authenticated, with a session for their browser."""
        tokens = await self._logins.open(user, caller=caller_of(request, through="browser"), has_refresh=False)
        return self.with_session(RedirectResponse(own_path(next_path) or ACCOUNT_PATH, 303), tokens.session_id)

    def with_session(self, response: R, session_id: str) -> R:
        """The response, with the cookie of the session."""
        response.set_cookie(
            SESSION_COOKIE,
            f"{session_id}.{self._proof('session', session_id)}",
            max_age=int(LOGIN_LIFETIME.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=self._is_secure,
        )
        return response

    def without_session(self, response: R) -> R:
        """The response, which deletes the session's cookie."""
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax", secure=self._is_secure)
        return response

    def csrf_token(self, user: PageUser) -> str:
        """The token that forms of this user's session carry."""
        return self._proof("csrf", user.session_id)

    def csrf_field(self, user: PageUser) -> Html:
        """The hidden field with that token."""
        return hidden(CSRF_FIELD, self.csrf_token(user))

    def require_csrf(self, user: PageUser, form: dict[str, str]) -> None:
        """Check that the form was made for this user's session.

        Raises:
            ForgedFormError: it was not.
        """
        if not self._is_proof("csrf", user.session_id, form.get(CSRF_FIELD, "")):
            raise ForgedFormError

    def strangers_form(self, request: Request) -> tuple[Html, str]:
        """The field of a form for somebody who is not logged in, and the cookie that it goes with."""
        cookie = request.cookies.get(FORM_COOKIE, "")
        if len(cookie) < 20:
            cookie = secrets.token_urlsafe(24)
        return hidden(CSRF_FIELD, self._proof("form", cookie)), cookie

    def with_form(self, response: R, cookie: str, *, path: str = "/auth") -> R:
        """The response, with the cookie of its form."""
        response.set_cookie(FORM_COOKIE, cookie, httponly=True, samesite="lax", secure=self._is_secure, path=path)
        return response

    def require_strangers_form(self, request: Request, form: dict[str, str]) -> None:
        """Check that the form was made with the browser's cookie.

        Raises:
            ForgedFormError: it does not.
        """
        if not self._is_proof("form", request.cookies.get(FORM_COOKIE, ""), form.get(CSRF_FIELD, "")):
            raise ForgedFormError

    def _proof(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()

    def _is_proof(self, purpose: str, text: str, proof: str) -> bool:
        return bool(text) and hmac.compare_digest(self._proof(purpose, text).encode(), proof.encode())


def login_redirect(request: Request) -> Response:
    """Send somebody who is not logged in to the login page, and back here afterwards."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{LOGIN_PATH}?{urlencode({'next': here})}", 303)


def own_path(path: str | None) -> str | None:
    """The path if it is one of ours, and not the login page itself; browsers take ``//host`` and ``/\\host`` for other
    sites."""
    if path is not None and path.partition("?")[0] == LOGIN_PATH:
        return None
    if path is None or not path.startswith("/") or path.startswith("//") or "\\" in path:
        return None
    return path if all("!" <= character <= "~" for character in path) else None


def caller_of(request: Request, *, through: str) -> Caller:
    """Where a request comes from: its address, and its client with the first product of its User-Agent."""
    agent = "".join(filter(str.isprintable, request.headers.get("user-agent", "")))[:80]
    address = request.client.host if request.client else ""
    return Caller(address=address, client=f"{through} ({agent})" if agent else through)


async def form_in(request: Request) -> dict[str, str]:
    """The fields of a form; where a name is repeated, the last value.

    Raises:
        InvalidArgumentsError: the body is not a form.
    """
    body = await request.body()
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
    except ValueError as error:
        raise InvalidArgumentsError(
            "The body is no form of a few fields in UTF-8.", pointer="", fix="Send the form as the page has it."
        ) from error


def is_form(request: Request) -> bool:
    """Whether a browser's form was sent, and not JSON."""
    return request.headers.get("content-type", "").partition(";")[0].strip() == "application/x-www-form-urlencoded"
