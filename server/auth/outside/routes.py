"""Routes to sign in through outside identity providers: OpenID Connect for browsers, Puter for pages with its SDK."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from server.auth.outside.oidc import TIME_TO_SIGN_IN, OidcSignIn
from server.auth.outside.puter import MAX_LENGTH, Puter
from server.auth.outside.vouching import VouchedUsers
from server.auth.pages.browser_sessions import ACCOUNT_PATH, LOGIN_PATH, PageSessions, caller_of, own_path
from server.auth.pages.html import element, page
from server.auth.routes import AuthApi
from server.http.json import validated
from server.http.problems import STATUS_BY_KIND
from workflow.errors import InvalidArgumentsError, JobsprintError
from workflow.schemas.documents import parse_document

START_PATH = "/auth/oidc/start"
CALLBACK_PATH = "/auth/oidc/callback"
PUTER_PATH = "/auth/puter"
COOKIE = "jobsprint_sign_in"
MAX_INVITATION_LENGTH = 200


class OidcRoutes:
    """``name`` is the issuer's name for people; cookies are for https only where ``is_secure``."""

    def __init__(
        self,
        *,
        sign_in: OidcSignIn,
        name: str,
        users: VouchedUsers,
        pages: PageSessions,
        may_register: bool,
        is_secure: bool,
    ) -> None:
        self.name = name
        self._sign_in = sign_in
        self._users = users
        self._pages = pages
        self._may_register = may_register
        self._is_secure = is_secure
        # Other servers under the same domain cannot set a cookie of such a name, so they cannot make a browser finish
        # a sign-in of theirs (RFC 6265bis, 4.1.3.2).
        self._cookie = f"__Host-{COOKIE}" if is_secure else COOKIE

    def routes(self) -> Sequence[Route]:
        """The two routes; neither needs a token."""
        return [Route(START_PATH, self.start, methods=["GET"]), Route(CALLBACK_PATH, self.callback, methods=["GET"])]

    async def start(self, request: Request) -> Response:
        """Redirect the browser to the issuer; afterwards it continues at ``next``, a path of ours."""
        next_path = own_path(request.query_params.get("next")) or ACCOUNT_PATH
        invitation = request.query_params.get("invitation") or None
        try:
            departure = await self._sign_in.depart(
                next_path, invitation=None if invitation is None else invitation[:MAX_INVITATION_LENGTH]
            )
        except JobsprintError as error:
            return self._failed(error)
        response = RedirectResponse(departure.url, 303)
        response.set_cookie(
            self._cookie,
            departure.cookie,
            max_age=int(TIME_TO_SIGN_IN.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=self._is_secure,
        )
        return _not_kept(response)

    async def callback(self, request: Request) -> Response:
        """Open a session for the person who comes back from the issuer, and redirect; a page says why not."""
        try:
            arrival = await self._sign_in.arrive(request.query_params, request.cookies.get(self._cookie))
            user = await self._users.user(
                arrival.person,
                may_register=self._may_register,
                invitation=arrival.invitation,
                client=caller_of(request, through="browser").client,
            )
            response = await self._pages.release_deferred(user, request, next_path=arrival.next)
        except JobsprintError as error:
            response = self._failed(error)
        response.delete_cookie(self._cookie, httponly=True, samesite="lax", secure=self._is_secure)
        return _not_kept(response)

    def _failed(self, error: JobsprintError) -> Response:
        return page(
            f"You are not signed in through {self.name}",
            element("p", {"class": "wrong"}, error.message),
            element("p", None, error.fix or ""),
            element("p", None, element("a", {"href": LOGIN_PATH}, "To the page to sign in")),
            status=STATUS_BY_KIND[error.kind],
        )


class PuterBody(BaseModel):
    """Body of ``POST /auth/puter``: the token that ``puter.auth.signIn()`` resolved to.

    ``invitation`` is the token that an owner of a workspace gave.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: str = Field(max_length=MAX_LENGTH)
    invitation: str | None = None


class PuterRoutes:
    """Lets users of Puter in, with tokens that its browser SDK gave a page."""

    def __init__(self, *, puter: Puter, users: VouchedUsers, api: AuthApi, pages: PageSessions) -> None:
        self._puter = puter
        self._users = users
        self._api = api
        self._pages = pages

    def routes(self) -> Sequence[Route]:
        """The one route; it needs no token."""
        return [Route(PUTER_PATH, self.sign_in, methods=["POST"])]

    async def sign_in(self, request: Request) -> Response:
        """200 with the user and the tokens of a new session, and the session as the browser's on our pages."""
        # Only JSON: pages of other sites can send forms without a CORS preflight, and would sign their visitors in
        # with an account of the attacker's.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise InvalidArgumentsError(
                "The body is not sent as JSON.", pointer="", fix="Send it with Content-Type: application/json."
            )
        body = validated(PuterBody, parse_document(await request.body())[0])
        caller = caller_of(request, through="Puter")
        person = await self._puter.person(body.token)
        user = await self._users.user(person, may_register=False, invitation=body.invitation, client=caller.client)
        tokens = await self._api.logins.open(user, caller=caller)
        return self._pages.with_session(await self._api.release_deferred(user, tokens, 200), tokens.session_id)


def _not_kept(response: Response) -> Response:
    """The response with headers: not cached, and its address (with the code) sent to no other site."""
    response.headers["cache-control"] = "no-store"
    response.headers["referrer-policy"] = "no-referrer"
    return response
