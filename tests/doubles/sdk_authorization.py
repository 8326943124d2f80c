"""The MCP SDK's own authorization server in front of one of its servers, with a login page of its example's kind."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from mcp.server import Server
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    OAuthAuthorizationServerProvider,
    ProviderTokenVerifier,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.doubles.mcp_server import McpDouble
from tests.support.http_target import listening

USER, PASSWORD = "demo", "demo"
SCOPE = "user"
HOUR = 3600


class Provider(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """Keeps everything in memory, and asks for a name and a password."""

    def __init__(self) -> None:
        self.url = ""
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.waiting: dict[str, tuple[OAuthClientInformationFull, AuthorizationParams]] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        self.access: dict[str, AccessToken] = {}
        self.refreshing: dict[str, RefreshToken] = {}
        self.refreshed = 0
        self.resource: str | None = None

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        assert client_info.client_id is not None
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        key = secrets.token_urlsafe(16)
        self.waiting[key] = client, params
        return f"{self.url}/login?key={key}"

    async def login(self, request: Request) -> Response:
        """The page on which a user says who they are."""
        client, params = self.waiting[request.query_params["key"]]
        if request.method == "GET":
            return HTMLResponse(
                "<h1>Sign in</h1><form method=post><input name=username><input name=password type=password>"
                "<button>Sign in</button></form>"
            )
        form = dict(parse_qsl((await request.body()).decode()))
        if (form.get("username"), form.get("password")) != (USER, PASSWORD):
            return HTMLResponse("<h1>No</h1>", 401)
        assert client.client_id is not None
        code = AuthorizationCode(
            code=secrets.token_urlsafe(20),
            scopes=[SCOPE],
            expires_at=time.time() + 60,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        self.codes[code.code] = code
        return RedirectResponse(
            construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state), 303
        )

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del self.codes[authorization_code.code]
        self.resource = authorization_code.resource
        return self._tokens(authorization_code.client_id, authorization_code.resource)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        return self.refreshing.get(refresh_token)

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        del self.refreshing[refresh_token.token]
        self.refreshed += 1
        return self._tokens(refresh_token.client_id, self.resource)

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        self.access.clear()
        self.refreshing.clear()

    def _tokens(self, client_id: str, resource: str | None) -> OAuthToken:
        access, refresh = secrets.token_urlsafe(20), secrets.token_urlsafe(20)
        ends = int(time.time()) + HOUR
        self.access[access] = AccessToken(
            token=access, client_id=client_id, scopes=[SCOPE], expires_at=ends, resource=resource
        )
        self.refreshing[refresh] = RefreshToken(token=refresh, client_id=client_id, scopes=[SCOPE])
        return OAuthToken(access_token=access, refresh_token=refresh, expires_in=HOUR, scope=SCOPE)


@asynccontextmanager
async def running_sdk_server() -> AsyncIterator[tuple[Provider, str]]:
    """The provider, and the address of the MCP server that it protects."""
    provider, double = Provider(), McpDouble()
    app: Any = None

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    async with listening(serve) as url:
        provider.url = url
        server: Server[Any] = double.server()
        app = server.streamable_http_app(
            auth=AuthSettings(
                issuer_url=AnyHttpUrl(url),
                resource_server_url=AnyHttpUrl(f"{url}/mcp"),
                required_scopes=[SCOPE],
                validate_token_resource=True,
                client_registration_options=ClientRegistrationOptions(
                    enabled=True, valid_scopes=[SCOPE], default_scopes=[SCOPE]
                ),
                revocation_options=RevocationOptions(enabled=True),
            ),
            auth_server_provider=provider,
            token_verifier=ProviderTokenVerifier(provider),
            custom_starlette_routes=[Route("/login", provider.login, methods=["GET", "POST"])],
        )
        async with app.router.lifespan_context(app):
            yield provider, f"{url}/mcp"
