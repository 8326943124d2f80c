"""``/oauth/authorize``: a client sends its user here, who allows or refuses it (OAuth 2.1, 4.1)."""

from __future__ import annotations

import secrets
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from server.auth.pages.browser_sessions import ForgedFormError, login_redirect
from server.oauth.authorization_requests import (
    AuthorizationRequest,
    AuthorizationRequests,
    NoReturnError,
    ReturnedError,
)
from server.oauth.consent import (
    DECISION_FIELD,
    SCOPE_FIELD,
    WORKSPACE_FIELD,
    attainable,
    consent_page,
    refusal_page,
    wrong_request_page,
)
from server.oauth.errors import NO_STORE, OAuthError
from server.oauth.forms import Parameters, form_in, one
from server.oauth.hashes import hashed
from server.oauth.metadata import listed
from server.oauth.visitors import Visitor, Visitors
from server.settings.addresses import Addresses
from storage.people.oauth import AuthorizationCode, SqlAuthorizationCodes
from workflow.audit import AuditLog
from workflow.identity import SCOPES_OF_ROLE, Actor, Scopes
from workflow.ports import Clock

CODE_LIFETIME = timedelta(seconds=60)
"""A client exchanges its code at once; OAuth 2.1 (4.1.2) has it end within ten minutes."""


class Authorization:
    """Asks users for consent, each time anew: a client that has registered itself may be anybody."""

    def __init__(
        self,
        *,
        requests: AuthorizationRequests,
        addresses: Addresses,
        visitors: Visitors,
        codes: SqlAuthorizationCodes,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._requests = requests
        self._addresses = addresses
        self._visitors = visitors
        self._codes = codes
        self._audit = audit
        self._clock = clock

    def routes(self) -> list[Route]:
        """The page, and the target of its form."""
        path = "/oauth/authorize"
        return [Route(path, self.ask, methods=["GET"]), Route(path, self.decide, methods=["POST"])]

    async def ask(self, request: Request) -> Response:
        """The consent page, or a redirect to the login page."""
        visitor = await self._visitors.visitor(request)
        if visitor is None:
            return login_redirect(request)
        try:
            asked = await self._read(request, visitor)
        except NoReturnError as error:
            return _refusal(error)
        except ReturnedError as error:
            return _returned(error)
        return self._page(request, asked, visitor)

    async def decide(self, request: Request) -> Response:
        """Redirect to the client with a code, or with a refusal."""
        visitor = await self._visitors.visitor(request)
        if visitor is None:
            return login_redirect(request)
        try:
            form = await form_in(request)
            self._visitors.require_own_form(visitor, request, form)
            asked = await self._read(request, visitor)
        except ForgedFormError as error:
            return refusal_page("This form does not count", f"{error.message} {error.fix}", status=403)
        except OAuthError as error:
            return refusal_page("This form cannot be read", error.description)
        except NoReturnError as error:
            return _refusal(error)
        except ReturnedError as error:
            return _returned(error)
        way = self._requests.way_back(asked)
        if one(form, DECISION_FIELD) != "allow":
            return _redirect(way.with_error(OAuthError("access_denied", "The user did not let the client in.")))
        workspace_id, granted = _allowed(asked, visitor, form)
        if workspace_id is None or not granted:
            wrong = "Nothing of what you chose can be allowed there. Choose something that you may do yourself."
            return self._page(request, asked, visitor, wrong=wrong)
        return _redirect(way.with_code(await self._code(asked, visitor, workspace_id, granted)))

    async def _read(self, request: Request, visitor: Visitor) -> AuthorizationRequest:
        asked = await self._requests.read(
            request.url.query, user_id=visitor.user_id, issuer=self._addresses.asked(request.scope)
        )
        if not asked.scopes & attainable(visitor):
            error = OAuthError("access_denied", "The user has none of the scopes that the client asks for.")
            raise ReturnedError(error, self._requests.way_back(asked))
        return asked

    def _page(
        self, request: Request, asked: AuthorizationRequest, visitor: Visitor, *, wrong: str | None = None
    ) -> Response:
        field, cookie = self._visitors.field(visitor, request)
        response = consent_page(asked, visitor, field=field, query=request.url.query, wrong=wrong)
        return self._visitors.with_cookie(response, cookie)

    async def _code(self, asked: AuthorizationRequest, visitor: Visitor, workspace_id: str, granted: Scopes) -> str:
        code, now = secrets.token_urlsafe(32), self._clock.now()
        kept = AuthorizationCode(
            hash=hashed(code),
            client_id=asked.client.id,
            user_id=visitor.user_id,
            workspace_id=workspace_id,
            scopes=granted,
            redirect_uri=asked.redirect_uri,
            code_challenge=asked.code_challenge,
            resource=asked.resource,
            expires_at=now + CODE_LIFETIME,
        )
        await self._codes.add(kept, now=now)
        actor = Actor(
            user_id=visitor.user_id, workspace_id=workspace_id, scopes=granted, attainable=granted, client="browser"
        )
        details = {"client": asked.client.id, "name": asked.client.name, "scopes": listed(granted)}
        self._audit.note(actor, "grant.made", f"user:{visitor.user_id}", details)
        await self._audit.written()
        return code


def _allowed(asked: AuthorizationRequest, visitor: Visitor, form: Parameters) -> tuple[str | None, Scopes]:
    """The chosen workspace, and the client's scopes there: asked for, left checked, and held by the user."""
    chosen = one(form, WORKSPACE_FIELD)
    membership = next((each for each in visitor.memberships if each.workspace_id == chosen), None)
    if membership is None:
        return None, frozenset()
    left = frozenset(each for each in asked.scopes if each.value in form.get(SCOPE_FIELD, []))
    return membership.workspace_id, left & SCOPES_OF_ROLE[membership.role]


def _refusal(error: NoReturnError) -> Response:
    return refusal_page("This client cannot be let in", error.cause.description)


def _returned(error: ReturnedError) -> Response:
    """Redirect to a program on the user's device at once; show a link to a site instead: anybody can register one, and
    make links of ours redirect there without a question (RFC 9700, 4.11.2)."""
    if error.location.startswith("https:"):
        return wrong_request_page(error.cause.description, error.location)
    return _redirect(error.location)


def _redirect(location: str) -> Response:
    return RedirectResponse(location, status_code=303, headers={**NO_STORE, "referrer-policy": "no-referrer"})
