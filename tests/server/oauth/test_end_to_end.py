"""The whole of it against a real server: from the first 401 to the last."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from tests.server.oauth.conftest import PASSWORD, REDIRECT, exchange, registration
from tests.server.oauth.forms_in_pages import Form
from tests.server.oauth.keys import private_key, public_jwk
from tests.server.oauth.test_authorization import asking
from tests.support.server_process import ServerProcess

EMAIL = "ada@example.org"


class Memory:
    """Where the SDK keeps what it got."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        """The tokens."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep them."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Nothing: machines know who they are."""
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with one account."""
    settings = {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "info"}
    with ServerProcess(tmp_path_factory.mktemp("shared"), settings) as server:
        response = httpx2.post(f"{server.url}/auth/register", json={"email": EMAIL, "password": PASSWORD})
        assert response.status_code == 201, response.text
        yield server


@pytest.fixture
async def browser(shared: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """Ada's, logged in on the page."""
    async with httpx2.AsyncClient(base_url=shared.url, headers={"origin": shared.url}) as http:
        form = Form((await http.get("/auth/login")).text)
        assert (await form.send(http, email=EMAIL, password=PASSWORD)).status_code == 303
        yield http


async def release_deferred(browser: httpx2.AsyncClient, base_url: str, **asked: Any) -> tuple[str, dict[str, Any]]:
    """A client's id and its tokens."""
    registered = await browser.post("/oauth/register", json=registration())
    client_id = registered.json()["client_id"]
    form = Form((await browser.get(asking(client_id, resource=f"{base_url}/mcp", **asked))).text)
    back = await form.send(browser, decision="allow")
    assert back.headers["location"].startswith(REDIRECT)
    redirected = dict(parse_qsl(urlsplit(back.headers["location"]).query))
    assert redirected["iss"] == base_url
    form_of_code = exchange(client_id, redirected["code"], resource=f"{base_url}/mcp")
    response = await browser.post("/oauth/token", data=form_of_code)
    assert response.status_code == 200, response.text
    return client_id, response.json()


async def tools_with(url: str, auth: OAuthClientProvider | None = None, token: str | None = None) -> set[str]:
    """The names of the tools that a client is offered."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(auth=auth, headers=headers, timeout=30) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        return {tool.name for tool in (await client.list_tools()).tools}


async def test_a_stranger_finds_the_way_from_the_endpoint(shared: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=shared.url) as http:
        refused = await http.post("/mcp", json={})
        assert refused.status_code == 401
        challenge = refused.headers["www-authenticate"]
        address = challenge.partition('resource_metadata="')[2].partition('"')[0]
        resource = (await http.get(address)).json()
        assert resource["resource"] == f"{shared.url}/mcp"
        (issuer,) = resource["authorization_servers"]
        server = (await http.get(f"{issuer}/.well-known/oauth-authorization-server")).json()
        assert server["issuer"] == issuer == shared.url
        for name in ("authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"):
            assert server[name].startswith(f"{shared.url}/oauth/")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_a_client_finds_and_uses_the_server_under_each_of_its_names(
    shared: ServerProcess, name: str, path: str
) -> None:
    base = shared.url.replace("127.0.0.1", name)
    async with httpx2.AsyncClient(base_url=base, headers={"origin": base}) as http:
        refused = await http.post(path, json={})
        assert refused.status_code == 401
        address = refused.headers["www-authenticate"].partition('resource_metadata="')[2].partition('"')[0]
        assert address == f"{base}/.well-known/oauth-protected-resource{path}"
        resource = (await http.get(address)).json()
        assert (resource["resource"], resource["authorization_servers"]) == (f"{base}{path}", [base])
        form = Form((await http.get("/auth/login")).text)
        assert (await form.send(http, email=EMAIL, password=PASSWORD)).status_code == 303
        _, tokens = await release_deferred(http, base)
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(f"{base}{path}", http_client=http)) as client,
    ):
        assert (await client.list_tools()).tools
        assert not (await client.call_tool("list_workflows", {})).is_error


async def test_a_client_has_the_tools_of_its_scopes_until_it_gives_its_token_back(
    shared: ServerProcess, browser: httpx2.AsyncClient
) -> None:
    client_id, tokens = await release_deferred(browser, shared.url)
    offered = await tools_with(shared.url, token=tokens["access_token"])
    assert "list_workflows" in offered
    # What its user could give it is offered too, so that it can ask for that.
    assert {"execute_workflow", "create_workflow"} <= offered
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await browser.get("/api/workflows", headers=headers)).status_code == 200
    assert (await browser.post("/api/workflows", json={}, headers=headers)).status_code == 403
    revoked = await browser.post("/oauth/revoke", data={"client_id": client_id, "token": tokens["refresh_token"]})
    assert revoked.status_code == 200
    assert (await browser.get("/api/workflows", headers=headers)).status_code == 401
    assert (await browser.post("/mcp", json={}, headers=headers)).status_code == 401


async def test_no_secret_of_the_way_is_in_the_log(shared: ServerProcess, browser: httpx2.AsyncClient) -> None:
    _, tokens = await release_deferred(browser, shared.url)
    await tools_with(shared.url, token=tokens["access_token"])
    text = "".join(shared.log)
    for secret in (tokens["access_token"], tokens["refresh_token"], PASSWORD):
        assert secret not in text


@pytest.mark.parametrize("proof", ["secret", "signature"])
async def test_the_sdks_machine_gets_in_by_itself_and_is_shut_out(shared: ServerProcess, proof: str) -> None:
    async with httpx2.AsyncClient(base_url=shared.url) as http:
        login = (await http.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})).json()
        headers = {"authorization": f"Bearer {login['access_token']}"}
        key = private_key()
        body: dict[str, Any] = {"name": "Nightly", "scopes": ["workflows:read"]}
        if proof == "signature":
            body["jwks"] = {"keys": [public_jwk(key)]}
        machine = (await http.post("/api/machines", json=body, headers=headers)).json()
        memory, given = Memory(), {"server_url": f"{shared.url}/mcp", "client_id": machine["client_id"]}
        provider: OAuthClientProvider
        if proof == "secret":
            provider = ClientCredentialsOAuthProvider(
                **given, storage=memory, client_secret=machine["client_secret"], issuer=shared.url
            )
        else:
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
            signed = SignedJWTParameters(
                issuer=machine["client_id"],
                subject=machine["client_id"],
                signing_key=pem,
                signing_algorithm="ES256",
            )
            provider = PrivateKeyJWTOAuthProvider(
                **given, storage=memory, assertion_provider=signed.create_assertion_provider(), issuer=shared.url
            )
        offered = await tools_with(shared.url, auth=provider)
        assert "list_workflows" in offered
        assert "execute_workflow" not in offered
        assert memory.tokens is not None
        assert memory.tokens.scope == "workflows:read"
        removed = await http.delete(f"/api/machines/{machine['client_id']}", headers=headers)
        assert removed.status_code == 204
        refused = await http.get("/api/workflows", headers={"authorization": f"Bearer {memory.tokens.access_token}"})
        assert refused.status_code == 401


async def test_with_an_outside_issuer_ours_is_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {"JOBSPRINT_OAUTH_ISSUER": "https://login.example", "JOBSPRINT_OAUTH_SCOPE_PREFIX": "jobsprint/"}
    with ServerProcess(tmp_path_factory.mktemp("outside"), settings) as server:
        async with httpx2.AsyncClient(base_url=server.url) as http:
            for suffix in ("", "/mcp"):
                resource = (await http.get(f"/.well-known/oauth-protected-resource{suffix}")).json()
                assert resource["authorization_servers"] == ["https://login.example"]
                assert "jobsprint/workflows:read" in resource["scopes_supported"]
            for path in ("/.well-known/oauth-authorization-server", "/oauth/authorize", "/api/grants"):
                assert (await http.get(path)).status_code == 404
            for path in ("/oauth/register", "/oauth/token", "/oauth/revoke"):
                assert (await http.post(path, json={})).status_code == 404
