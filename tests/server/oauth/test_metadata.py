"""What clients find out before they ask, as the SDK's own models read it."""

from __future__ import annotations

import pytest
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata

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
