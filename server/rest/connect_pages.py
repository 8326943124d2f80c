"""The pages where a user consents to a connection: the redirect, the callback, and our client metadata."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.connections import Connections
from integrations.oauth.authorizations import (
    CALLBACK_PATH,
    CONNECT_PATH,
    DOCUMENT_PATH,
    LIFETIME,
    Authorizations,
    ConsentError,
)
from integrations.oauth.registration import client_metadata
from server.auth.pages.browser_sessions import PageSessions, login_redirect
from server.auth.pages.html import element, page
from server.http.json import json_response
from workflow.connections import PendingAuthorization
from workflow.errors import JobsprintError
from workflow.identity import LOCAL_ID, Actor, Scope

COOKIE = "jobsprint_connect"
AGAIN = "Ask your assistant (or POST /api/integrations/{name}/authorize) for a new link."


@dataclass(slots=True, frozen=True, kw_only=True)
class ConnectPages:
    """The pages, for a server that is reached at ``base_url``."""

    authorizations: Authorizations
    connections: Connections
    sessions: PageSessions
    base_url: str

    def routes(self) -> list[Route]:
        """Every route; people open them in browsers."""
        return [
            Route(f"{CONNECT_PATH}/{{state}}", self.leave, methods=["GET"]),
            Route(CALLBACK_PATH, self.come_back, methods=["GET"]),
            Route(DOCUMENT_PATH, self.document, methods=["GET"]),
        ]

    async def leave(self, request: Request) -> Response:
        """The link to the other side, for the user who began; only they may come back, with this browser."""
        state = request.path_params["state"]
        pending = await self.authorizations.waiting(state)
        if pending is None:
            return _refusal("This link has been used, or is older than ten minutes.")
        if pending.user_id != LOCAL_ID:
            user = await self.sessions.page_user(request)
            if user is None:
                return login_redirect(request)
            if user.user_id != pending.user_id:
                return _refusal("Somebody else has begun this connection. Nobody can consent for another person.", 403)
        browser, location = secrets.token_urlsafe(32), pending.details["location"]
        await self.authorizations.leave(state, browser)
        # A link, not a redirect: the form-action policy of our login form forbids redirects to other sites.
        response = page(
            "Connect",
            element(
                "p",
                None,
                element("strong", None, pending.details["connection"]),
                f" is to be connected to {pending.details['host']}. There you are asked whether you allow it.",
            ),
            element("p", None, element("a", {"href": location}, f"Go on to {pending.details['host']}")),
            element("p", {"class": "fine"}, "Go on only if you have just asked for this."),
        )
        response.set_cookie(
            COOKIE,
            browser,
            max_age=int(LIFETIME.total_seconds()),
            path=CALLBACK_PATH,
            httponly=True,
            samesite="lax",
            secure=self.base_url.startswith("https://"),
        )
        return response

    async def come_back(self, request: Request) -> Response:
        """The callback of the other side: store what was granted."""
        try:
            pending, form = await self.authorizations.exchanged(
                dict(request.query_params), browser=request.cookies.get(COOKIE)
            )
        except ConsentError as error:
            return _refusal(str(error))
        try:
            made = await self.connections.granted(_actor(pending), pending.details["connection"], form)
        except JobsprintError as error:
            return _refusal(error.message)
        if made.problem is not None:
            return _refusal(f"It was allowed, but does not work yet: {made.problem.message}")
        response = page(
            "Connected",
            element(
                "p",
                None,
                element("strong", None, made.connection.name),
                f" is connected to {pending.details['host']}, with {len(made.actions)} actions.",
            ),
            element("p", None, "You can close this window."),
        )
        response.delete_cookie(COOKIE, path=CALLBACK_PATH)
        return response

    async def document(self, request: Request) -> Response:
        """Our client metadata, for authorization servers that fetch it (OAuth Client ID Metadata Document)."""
        metadata = client_metadata(self.base_url, f"{self.base_url}{CALLBACK_PATH}")
        proof = {"token_endpoint_auth_method": "none"}  # a public client has no secret  # nosec B105
        return json_response({"client_id": f"{self.base_url}{DOCUMENT_PATH}", **proof, **metadata})


def _actor(pending: PendingAuthorization) -> Actor:
    """An actor with the identity of the user who began, for this purpose only."""
    scopes = frozenset({Scope.INTEGRATIONS_WRITE})
    return Actor(
        user_id=pending.user_id, workspace_id=pending.owner, scopes=scopes, attainable=scopes, client="a browser"
    )


def _refusal(message: str, status: int = 400) -> Response:
    return page(
        "Not connected",
        element("p", {"role": "alert", "class": "wrong"}, message),
        element("p", None, AGAIN),
        status=status,
    )
