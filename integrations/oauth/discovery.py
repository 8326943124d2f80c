"""Where a user consents to the use of a resource: asked of the resource, then of its authorization server.

RFC 9728 (protected resource metadata), RFC 8414 and OpenID Connect Discovery (authorization server metadata), in the
order that the MCP specification gives.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from integrations.token_endpoint import json_in
from workflow.actions import ActionError
from workflow.credential_forms import https_address
from workflow.errors import OutboundError
from workflow.ports import HttpClient, HttpRequest, HttpResponse

SECONDS = 10.0
MOST_BYTES = 200_000
_PARAMETER = re.compile(r'(resource_metadata|scope)="([^"]*)"')


@dataclass(slots=True, frozen=True, kw_only=True)
class AuthorizationServer:
    """What an authorization server says of itself, as far as we need it."""

    issuer: str
    authorization_url: str
    token_url: str
    registration_url: str | None
    revocation_url: str | None
    client_authentications: Sequence[str]
    takes_client_documents: bool
    sends_issuer: bool


@dataclass(slots=True, frozen=True, kw_only=True)
class ProtectedResource:
    """A resource: how it calls itself (RFC 8707), its authorization server, the scopes to ask for."""

    resource: str
    server: AuthorizationServer
    scopes: Sequence[str]


class Discovery:
    """Asks resources and authorization servers. ``http`` checks every address before it connects."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def of(self, url: str) -> ProtectedResource:
        """What protects the resource at ``url``.

        Raises:
            ActionError: it has nothing that says so, or says something that cannot be right.
        """
        challenge = await self._challenge(url)
        named = challenge.get("resource_metadata")
        found = await self._first([named] if named else _well_known(url, "oauth-protected-resource"))
        origin = _origin(url)
        if found is None:
            # As before RFC 9728: the server of the resource is its authorization server, too.
            issuer, resource, supported = origin, url, None
        else:
            issuer = str((found.get("authorization_servers") or [origin])[0])
            resource, supported = str(found.get("resource") or url), found.get("scopes_supported")
            if _origin(resource) != origin or not urlsplit(url).path.startswith(urlsplit(resource).path.rstrip("/")):
                raise _wrong(url, f"it says that it is {resource!r:.200}, which is another one")
        scopes = challenge["scope"].split() if challenge.get("scope") else supported or []
        return ProtectedResource(
            resource=resource, server=await self._server(url, issuer), scopes=[str(scope) for scope in scopes]
        )

    async def _server(self, url: str, issuer: str) -> AuthorizationServer:
        path = urlsplit(issuer).path.rstrip("/")
        places = [*_well_known(issuer, "oauth-authorization-server"), *_well_known(issuer, "openid-configuration")]
        if path:
            places.append(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        content = await self._first(places)
        if content is None:
            raise ActionError(
                f"{urlsplit(url).hostname} does not say where a user could consent.",
                code="connection_unauthorized",
                is_unavailable=True,
                fix="Give the connection a token, or a credential of the workspace.",
            )
        if str(content.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
            raise _wrong(url, f"its authorization server {issuer!r:.200} calls itself something else")
        if "S256" not in (content.get("code_challenge_methods_supported") or []):
            raise _wrong(url, "its authorization server does not do PKCE with S256")
        return AuthorizationServer(
            issuer=issuer,
            authorization_url=_address(url, content, "authorization_endpoint"),
            token_url=_address(url, content, "token_endpoint"),
            registration_url=_optional_address(url, content, "registration_endpoint"),
            revocation_url=_optional_address(url, content, "revocation_endpoint"),
            client_authentications=content.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"],
            takes_client_documents=content.get("client_id_metadata_document_supported") is True,
            sends_issuer=content.get("authorization_response_iss_parameter_supported") is True,
        )

    async def _challenge(self, url: str) -> dict[str, str]:
        """What the resource answers to a request without a token."""
        answer = await self._asked(url, accept="application/json, text/event-stream")
        if answer is None or answer.status not in (401, 403):
            return {}
        return dict(_PARAMETER.findall(answer.headers.get("www-authenticate", "")))

    async def _first(self, places: Sequence[str]) -> dict[str, Any] | None:
        for place in places:
            answer = await self._asked(place, accept="application/json")
            if answer is not None and answer.status == 200 and (content := json_in(answer)):
                return content
        return None

    async def _asked(self, url: str, *, accept: str) -> HttpResponse | None:
        request = HttpRequest(
            method="GET",
            url=url,
            headers={"accept": accept, "mcp-protocol-version": "2025-11-25"},
            timeout_seconds=SECONDS,
            follow_redirects=False,
            max_response_bytes=MOST_BYTES,
        )
        try:
            return await self._http.send(request)
        except OutboundError as error:
            if error.outbound_code in ("response_too_large", "timeout", "bad_response"):
                return None
            raise ActionError(
                error.message, code="connection_failed", transient=error.transient, is_unavailable=True, fix=error.fix
            ) from error


def _well_known(url: str, name: str) -> list[str]:
    """Where a document about ``url`` may be: with its path, and at the root (RFC 8414, 3.1; RFC 9728, 3.1)."""
    path = urlsplit(url).path.rstrip("/")
    root = f"{_origin(url)}/.well-known/{name}"
    return [f"{root}{path}", root] if path else [root]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _address(url: str, content: dict[str, Any], name: str) -> str:
    try:
        return https_address(str(content.get(name) or ""))
    except ValueError as error:
        raise _wrong(url, f"the {name} of its authorization server is none: {error}") from error


def _optional_address(url: str, content: dict[str, Any], name: str) -> str | None:
    return _address(url, content, name) if content.get(name) else None


def _wrong(url: str, why: str) -> ActionError:
    return ActionError(
        f"{urlsplit(url).hostname} cannot be authorized: {why}.",
        code="connection_unauthorized",
        is_unavailable=True,
        fix="Tell its operator; or give the connection a token.",
    )
