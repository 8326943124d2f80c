"""The server's metadata for clients: protected resource (RFC 9728) and authorization server (RFC 8414)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.oauth.errors import json_answer
from server.settings.addresses import MCP_PATH, Addresses
from workflow.identity import ALL_SCOPES, Scope, Scopes

KEPT = {"cache-control": "public, max-age=300"}
TOKEN_AUTHENTICATION = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")
SIGNING_ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
ASKED_BY_DEFAULT: Scopes = ALL_SCOPES - {Scope.ADMIN}
"""The scopes that the resource lists: clients without other knowledge ask for all of them."""


def listed(scopes: Scopes) -> list[str]:
    """The scopes, always in the same order."""
    return [each.value for each in Scope if each in scopes]


@dataclass(slots=True, frozen=True, kw_only=True)
class ResourceMetadata:
    """The metadata of the MCP endpoint, under the address that the client has asked.

    With an outside ``issuer`` it is the configured address, for which that one makes its tokens; it may put a prefix
    before the names of our scopes.
    """

    addresses: Addresses
    issuer: str | None = None
    scope_prefix: str = ""

    def routes(self) -> list[Route]:
        """The path for the endpoint (RFC 9728, 3.1), and the root's, for clients that look there."""
        path = "/.well-known/oauth-protected-resource"
        return [Route(each, self.show, methods=["GET"]) for each in (path, f"{path}{MCP_PATH}", f"{path}{MCP_PATH}/")]

    async def show(self, request: Request) -> Response:
        """The document."""
        end = "/" if request.url.path.endswith("/") else ""
        if self.issuer is not None:
            return json_answer(self.document(self.addresses.base_url, self.issuer), headers=KEPT)
        asked = self.addresses.asked(request.scope)
        return json_answer(self.document(asked, asked, end=end), headers=KEPT)

    def document(self, base_url: str, issuer: str, *, end: str = "") -> dict[str, Any]:
        """RFC 9728's members."""
        return {
            "resource": f"{base_url}{MCP_PATH}{end}",
            "authorization_servers": [issuer],
            "scopes_supported": [f"{self.scope_prefix}{name}" for name in listed(ASKED_BY_DEFAULT)],
            "bearer_methods_supported": ["header"],
            "resource_name": "Jobsprint",
        }


def token_endpoint(base_url: str) -> str:
    """The token endpoint of our authorization server."""
    return f"{base_url}/oauth/token"


@dataclass(slots=True, frozen=True, kw_only=True)
class ServerMetadata:
    """Our own authorization server; its issuer is the base URL that the client has asked."""

    addresses: Addresses

    def routes(self) -> list[Route]:
        """The paths where OAuth's and OpenID's clients look."""
        return [
            Route("/.well-known/oauth-authorization-server", self.show, methods=["GET"]),
            Route("/.well-known/openid-configuration", self.show, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The document."""
        return json_answer(self.document(self.addresses.asked(request.scope)), headers=KEPT)

    def document(self, base_url: str) -> dict[str, Any]:
        """RFC 8414's members, and those of RFC 9207 and of client id metadata documents."""
        return {
            "issuer": base_url,
            "authorization_endpoint": f"{base_url}/oauth/authorize",
            "token_endpoint": token_endpoint(base_url),
            "registration_endpoint": f"{base_url}/oauth/register",
            "revocation_endpoint": f"{base_url}/oauth/revoke",
            "scopes_supported": listed(ALL_SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "token_endpoint_auth_methods_supported": list(TOKEN_AUTHENTICATION),
            "token_endpoint_auth_signing_alg_values_supported": list(SIGNING_ALGORITHMS),
            "revocation_endpoint_auth_methods_supported": list(TOKEN_AUTHENTICATION),
            "revocation_endpoint_auth_signing_alg_values_supported": list(SIGNING_ALGORITHMS),
            "code_challenge_methods_supported": ["S256"],
            "client_id_metadata_document_supported": True,
            "authorization_response_iss_parameter_supported": True,
        }
