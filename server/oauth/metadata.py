"""The server's metadata for clients: protected resource (RFC 9728) and authorization server (RFC 8414)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.oauth.errors import json_answer
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
    """The metadata of the MCP endpoint. ``issuers`` are ours or outside ones, which may put a prefix before the names
    of our scopes."""

    base_url: str
    issuers: tuple[str, ...]
    scope_prefix: str = ""

    @property
    def resource(self) -> str:
        """The MCP endpoint."""
        return f"{self.base_url}/mcp"

    def routes(self) -> list[Route]:
        """The path for the endpoint (RFC 9728, 3.1), and the root's, for clients that look there."""
        path = "/.well-known/oauth-protected-resource"
        return [Route(path, self.show, methods=["GET"]), Route(f"{path}/mcp", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The document."""
        return json_answer(self.document(), headers=KEPT)

    def document(self) -> dict[str, Any]:
        """RFC 9728's members."""
        return {
            "resource": self.resource,
            "authorization_servers": list(self.issuers),
            "scopes_supported": [f"{self.scope_prefix}{name}" for name in listed(ASKED_BY_DEFAULT)],
            "bearer_methods_supported": ["header"],
            "resource_name": "Jobsprint",
        }


@dataclass(slots=True, frozen=True, kw_only=True)
class ServerMetadata:
    """Our own authorization server; its issuer is the base URL."""

    base_url: str

    @property
    def token_endpoint(self) -> str:
        """The token endpoint."""
        return f"{self.base_url}/oauth/token"

    def routes(self) -> list[Route]:
        """The paths where OAuth's and OpenID's clients look."""
        return [
            Route("/.well-known/oauth-authorization-server", self.show, methods=["GET"]),
            Route("/.well-known/openid-configuration", self.show, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The document."""
        return json_answer(self.document(), headers=KEPT)

    def document(self) -> dict[str, Any]:
        """RFC 8414's members, and those of RFC 9207 and of client id metadata documents."""
        return {
            "issuer": self.base_url,
            "authorization_endpoint": f"{self.base_url}/oauth/authorize",
            "token_endpoint": self.token_endpoint,
            "registration_endpoint": f"{self.base_url}/oauth/register",
            "revocation_endpoint": f"{self.base_url}/oauth/revoke",
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
