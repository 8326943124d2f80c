"""A double of an OAuth 2.1 authorization server, as stands in front of other people's MCP servers.

Discovery (RFC 9728, RFC 8414), dynamic registration (RFC 7591), a page with Allow and Deny, PKCE, refresh tokens that
rotate and end the grant when an old one is shown (RFC 9700, 4.14.2), revocation (RFC 7009).
"""

from __future__ import annotations

import base64
import hashlib
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route


@dataclass(slots=True)
class Grant:
    """What a user let a client do. ``access`` has its access tokens and when they end, ``refresh`` is its one good
    refresh token."""

    client_id: str
    scope: str
    resource: str
    access: dict[str, float] = field(default_factory=dict)
    refresh: str = ""
    spent: set[str] = field(default_factory=set)
    is_over: bool = False


@dataclass(slots=True)
class AuthorizationServer:
    """The server. ``requests`` counts requests by path, and those for tokens by what is granted for.

    ``expires_in`` is how long access tokens are good, in seconds by ``clock``; None: for ever, and it says nothing.
    ``breaks`` are statuses that the token endpoint answers next; ``path`` is the resource's, at the same origin.
    """

    url: str = ""
    path: str = "/mcp"
    expires_in: int | None = 3600
    clock: Callable[[], float] = time.monotonic
    sends_issuer: bool = True
    does_pkce: bool = True
    registers: bool = True
    issuer_said: str | None = None
    breaks: list[int] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)

    def is_good(self, authorization: str) -> bool:
        """Whether it is a good access token of some grant."""
        token, now = authorization.removeprefix("Bearer "), self.clock()
        return any(each.access.get(token, now) > now for each in self.grants if not each.is_over)

    def expire(self) -> None:
        """Every access token ends now, without notice to anybody."""
        for each in self.grants:
            each.access.clear()

    def end(self) -> None:
        """Every grant ends now: users have thought better of it."""
        for each in self.grants:
            each.is_over = True

    def challenge(self) -> str:
        """The header WWW-Authenticate of the resource."""
        place = f"{self.url}/.well-known/oauth-protected-resource{self.path}"
        return f'Bearer resource_metadata="{place}", scope="mcp:use"'

    def routes(self) -> list[Route]:
        """Its endpoints, at the resource's own origin."""
        return [
            Route(f"/.well-known/oauth-protected-resource{self.path}", self.resource),
            Route("/.well-known/oauth-authorization-server", self.metadata),
            Route("/register", self.register, methods=["POST"]),
            Route("/authorize", self.authorize, methods=["GET", "POST"]),
            Route("/token", self.token, methods=["POST"]),
            Route("/revoke", self.revoke, methods=["POST"]),
        ]

    async def resource(self, request: Request) -> Response:
        """RFC 9728."""
        self.requests["resource"] += 1
        content = {"resource": f"{self.url}{self.path}", "authorization_servers": [self.url]}
        return JSONResponse({**content, "scopes_supported": ["mcp:use"]})

    async def metadata(self, request: Request) -> Response:
        """RFC 8414."""
        self.requests["metadata"] += 1
        content: dict[str, Any] = {
            "issuer": self.issuer_said or self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": self.sends_issuer,
        }
        if self.registers:
            content["registration_endpoint"] = f"{self.url}/register"
        if self.does_pkce:
            content["code_challenge_methods_supported"] = ["S256"]
        return JSONResponse(content)

    async def register(self, request: Request) -> Response:
        """RFC 7591."""
        self.requests["register"] += 1
        asked = await request.json()
        if not asked.get("redirect_uris"):
            return JSONResponse({"error": "invalid_redirect_uri"}, 400)
        client = {"client_name": "A client", **asked, "client_id": secrets.token_urlsafe(9)}
        self.clients[client["client_id"]] = client
        return JSONResponse(client, 201)

    async def authorize(self, request: Request) -> Response:
        """The page, and what its buttons do."""
        self.requests["authorize"] += 1
        asked = dict(request.query_params)
        client = self.clients.get(asked.get("client_id", ""))
        if client is None or asked.get("redirect_uri") not in client["redirect_uris"]:
            return HTMLResponse("<h1>Unknown client</h1>", 400)
        answer = {"state": asked.get("state", ""), **({"iss": self.url} if self.sends_issuer else {})}
        is_pkce = asked.get("code_challenge") and asked.get("code_challenge_method") == "S256"
        if asked.get("response_type") != "code" or not is_pkce:
            # OAuth 2.1: no code without PKCE.
            return self._back(asked, {**answer, "error": "invalid_request"})
        if request.method == "GET":
            return HTMLResponse(
                f"<!doctype html><title>Let a client in?</title><h1>Let {escape(client['client_name'])} in?</h1>"
                "<form method=post>"
                "<button name=decision value=allow>Allow</button>"
                "<button name=decision value=deny>Deny</button></form>"
            )
        form = dict(parse_qsl((await request.body()).decode()))
        if form.get("decision") == "allow":
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            answer["code"] = code
        else:
            answer["error"] = "access_denied"
        return self._back(asked, answer)

    async def token(self, request: Request) -> Response:
        """RFC 6749, for codes and refresh tokens."""
        form = dict(parse_qsl((await request.body()).decode()))
        self.requests[form.get("grant_type", "token")] += 1
        if self.breaks:
            return Response("broken", self.breaks.pop(0))
        if form.get("grant_type") == "authorization_code":
            asked = self.codes.pop(form.get("code", ""), None)
            verifier = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            fits = asked is not None and verifier.rstrip(b"=").decode() == asked["code_challenge"]
            same = ("client_id", "redirect_uri")
            if asked is None or not fits or any(form.get(name) != asked[name] for name in same):
                return JSONResponse({"error": "invalid_grant"}, 400)
            grant = Grant(asked["client_id"], asked.get("scope", ""), asked.get("resource", ""))
            self.grants.append(grant)
            return self._tokens(grant)
        if form.get("grant_type") != "refresh_token":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        shown = form.get("refresh_token", "")
        for grant in self.grants:
            if shown in grant.spent:
                grant.is_over = True
            if shown == grant.refresh and not grant.is_over and form.get("client_id") == grant.client_id:
                grant.spent.add(shown)
                return self._tokens(grant)
        return JSONResponse({"error": "invalid_grant"}, 400)

    async def revoke(self, request: Request) -> Response:
        """RFC 7009."""
        self.requests["revoke"] += 1
        shown = dict(parse_qsl((await request.body()).decode())).get("token")
        for grant in self.grants:
            if shown == grant.refresh or shown in grant.access:
                grant.is_over = True
        return Response(status_code=200)

    def _back(self, asked: dict[str, str], answer: dict[str, str]) -> Response:
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 303)

    def _tokens(self, grant: Grant) -> Response:
        access = f"access-{secrets.token_urlsafe(16)}"
        grant.refresh = f"refresh-{secrets.token_urlsafe(16)}"
        grant.access[access] = math.inf if self.expires_in is None else self.clock() + self.expires_in
        content: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "scope": grant.scope}
        content["refresh_token"] = grant.refresh
        if self.expires_in is not None:
            content["expires_in"] = self.expires_in
        return JSONResponse(content)
