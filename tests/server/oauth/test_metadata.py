"""What clients find out before they ask, as the SDK's own models read it."""

from __future__ import annotations

import pytest
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata

from server.oauth.errors import OAuthError
from server.oauth.resources import ResourceIndicators
from server.settings.addresses import Addresses, asked_base_url
from server.settings.settings import Settings
from server.walls.guards import allowed_hosts
from tests.server.oauth.conftest import BASE_URL, OAuthServer


@pytest.mark.parametrize("suffix", ["", "/mcp"])
async def test_the_resource_names_its_authorization_server(oauth: OAuthServer, suffix: str) -> None:
    response = await oauth.http.get(f"/.well-known/oauth-protected-resource{suffix}")
    document = response.json()
    assert document["resource"] == f"{BASE_URL}/mcp"
    assert document["authorization_servers"] == [BASE_URL]
    assert document["bearer_methods_supported"] == ["header"]
    # Clients take the list for what they need: administration is asked for by name only.
    assert "workflows:read" in document["scopes_supported"]
    assert "admin" not in document["scopes_supported"]
    ProtectedResourceMetadata.model_validate(document)


@pytest.mark.parametrize("name", ["oauth-authorization-server", "openid-configuration"])
async def test_the_authorization_server_says_what_it_can(oauth: OAuthServer, name: str) -> None:
    document = (await oauth.http.get(f"/.well-known/{name}")).json()
    assert document["issuer"] == BASE_URL
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["response_types_supported"] == ["code"]
    assert document["client_id_metadata_document_supported"] is True
    assert document["authorization_response_iss_parameter_supported"] is True
    assert set(document["token_endpoint_auth_methods_supported"]) == {
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    }
    assert document["grant_types_supported"] == ["authorization_code", "refresh_token", "client_credentials"]
    assert "admin" in document["scopes_supported"]
    read = OAuthMetadata.model_validate(document)
    assert str(read.token_endpoint) == f"{BASE_URL}/oauth/token"


def _scope(host: str) -> dict[str, object]:
    return {"headers": [(b"host", host.encode())]}


@pytest.mark.parametrize(
    ("configured", "host", "named"),
    [
        ("http://127.0.0.1:9502", "127.0.0.1:9502", "http://127.0.0.1:9502"),
        ("http://127.0.0.1:9502", "localhost:9502", "http://localhost:9502"),
        ("http://127.0.0.1:9502", "[::1]:9502", "http://[::1]:9502"),
        ("http://0.0.0.0:9502", "localhost:9502", "http://localhost:9502"),
        ("https://jobs.example/base", "jobs.example", "https://jobs.example/base"),
        ("https://jobs.example", "alias.example", "https://alias.example"),
        # A proxy that does not pass the Host on.
        ("https://jobs.example", "127.0.0.1:8765", "https://jobs.example"),
        ("https://jobs.example", "", "https://jobs.example"),
    ],
)
def test_a_client_is_told_the_address_that_it_has_asked(configured: str, host: str, named: str) -> None:
    assert asked_base_url(configured, _scope(host)) == named


@pytest.mark.parametrize("host", ["localhost:8765", "[::1]:8765", "127.0.0.1:8765"])
async def test_all_documents_name_the_host_that_was_asked(oauth: OAuthServer, host: str) -> None:
    base, headers = f"http://{host}", {"host": host}
    for end in ("", "/"):
        resource = await oauth.http.get(f"/.well-known/oauth-protected-resource/mcp{end}", headers=headers)
        assert resource.json()["resource"] == f"{base}/mcp{end}"
        assert resource.json()["authorization_servers"] == [base]
    server = (await oauth.http.get("/.well-known/oauth-authorization-server", headers=headers)).json()
    assert server["issuer"] == base
    assert all(server[name].startswith(f"{base}/oauth/") for name in server if name.endswith("_endpoint"))


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        ("http://127.0.0.1:8765/mcp", True),
        ("http://127.0.0.1:8765/mcp/", True),
        ("http://127.0.0.1:8765", True),
        ("http://localhost:8765/mcp", True),
        ("http://[::1]:8765/mcp", True),
        ("https://alias.example/mcp", False),
        ("http://alias.example/mcp", True),
        ("http://alias.example.evil/mcp", False),
        ("http://localhost:8765/mcp?x=1", False),
        ("http://localhost:8765/other", False),
        ("http://user@localhost:8765/mcp", False),
        ("http://localhost@evil.example/mcp", False),
        ("http://[::1/mcp", False),
        ("mcp", False),
    ],
)
def test_resources_of_the_allowed_hosts_are_ours(name: str, is_ours: bool) -> None:
    settings = Settings(allowed_hosts=["alias.example"], _env_file=None)
    resources = ResourceIndicators(Addresses(settings.base_url, allowed_hosts(settings)))
    if is_ours:
        resources.check([name])
    else:
        with pytest.raises(OAuthError):
            resources.check([name])
