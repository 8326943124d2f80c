"""Clients that introduce themselves."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from mcp.shared.auth import OAuthClientInformationFull
from starlette.applications import Starlette

from server.oauth.hashes import hashed
from server.oauth.registration import Registration
from tests.server.oauth.conftest import REDIRECT, OAuthServer, registration
from tests.server.oauth.keys import private_key, public_jwk


async def test_a_public_client_gets_an_id_and_no_secret(oauth: OAuthServer) -> None:
    registered = await oauth.register()
    assert registered["client_id"]
    assert "client_secret" not in registered
    assert registered["redirect_uris"] == [REDIRECT]
    OAuthClientInformationFull.model_validate(registered)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", None])
async def test_a_client_that_wants_a_secret_gets_one_that_only_its_hash_is_kept_of(
    oauth: OAuthServer, method: str | None
) -> None:
    registered = await oauth.register(token_endpoint_auth_method=method)
    assert registered["token_endpoint_auth_method"] == method or "client_secret_basic"
    assert registered["client_secret_expires_at"] == 0
    kept = await oauth.store.find(registered["client_id"])
    assert kept is not None
    assert kept.secret_hash == hashed(registered["client_secret"])
    assert registered["client_secret"] not in repr(kept)


async def test_what_the_standard_does_not_have_to_be_known_is_left_out(oauth: OAuthServer) -> None:
    registered = await oauth.register(
        logo_uri="https://app.example/logo.png", contacts=[], grant_types=["authorization_code", "client_credentials"]
    )
    assert "logo_uri" not in registered
    assert registered["grant_types"] == ["authorization_code"]


async def test_a_name_that_turns_the_page_around_is_made_plain(oauth: OAuthServer) -> None:
    registered = await oauth.register(client_name=" Cla\u202eude\u0000\n ")
    assert registered["client_name"] == "Claude"


async def test_a_client_without_a_name_is_called_by_where_it_is(oauth: OAuthServer) -> None:
    registered = await oauth.register(client_name="", redirect_uris=["https://app.example/callback"])
    kept = await oauth.store.find(registered["client_id"])
    assert kept is not None
    assert kept.name == "app.example"


@pytest.mark.parametrize(
    ("error", "changed"),
    [
        ("invalid_redirect_uri", {"redirect_uris": []}),
        ("invalid_redirect_uri", {"redirect_uris": None}),
        ("invalid_redirect_uri", {"redirect_uris": ["http://app.example/callback"]}),
        ("invalid_redirect_uri", {"redirect_uris": [REDIRECT, "https://*.example/"]}),
        ("invalid_redirect_uri", {"redirect_uris": ["https://app.example/#"]}),
        ("invalid_redirect_uri", {"redirect_uris": [f"https://app.example/{number}" for number in range(11)]}),
        ("invalid_client_metadata", {"client_name": "x" * 201}),
        ("invalid_client_metadata", {"client_name": ["x"]}),
        ("invalid_client_metadata", {"token_endpoint_auth_method": "tls_client_auth"}),
        ("invalid_client_metadata", {"token_endpoint_auth_method": "private_key_jwt"}),
        ("invalid_client_metadata", {"grant_types": ["client_credentials"]}),
        ("invalid_client_metadata", {"grant_types": ["implicit"]}),
        ("invalid_client_metadata", {"response_types": ["token"]}),
        ("invalid_client_metadata", {"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}),
        ("invalid_client_metadata", {"jwks": {"keys": []}}),
        ("invalid_client_metadata", {"jwks": {"keys": [{"kty": "RSA"}]}}),
        ("invalid_client_metadata", {"jwks": {"keys": [{**public_jwk(private_key()), "d": "x"}]}}),
        ("invalid_client_metadata", {"jwks_uri": "https://app.example/keys"}),
    ],
)
async def test_what_is_not_as_it_must_be_is_refused(oauth: OAuthServer, error: str, changed: dict[str, Any]) -> None:
    response = await oauth.http.post("/oauth/register", json=registration(**changed))
    assert (response.status_code, response.json()["error"]) == (400, error)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'"x"', b"{" * 5_000, b'{"a": "' + b"x" * 20_000 + b'"}'])
async def test_a_body_that_is_no_object_or_too_large_is_refused(oauth: OAuthServer, body: bytes) -> None:
    response = await oauth.http.post("/oauth/register", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"] in ("invalid_client_metadata", "invalid_request")


async def test_a_form_is_no_registration(oauth: OAuthServer) -> None:
    response = await oauth.post("/oauth/register", client_name="x")
    assert response.json()["error"] == "invalid_client_metadata"


async def test_one_address_registers_so_many_clients_an_hour(oauth: OAuthServer) -> None:
    for _ in range(30):
        await oauth.register()
    response = await oauth.http.post("/oauth/register", json=registration())
    assert (response.status_code, response.json()["error"]) == (429, "temporarily_unavailable")
    assert response.headers["retry-after"]
    oauth.clock.advance(hours=1)
    await oauth.register()


async def test_clients_that_nobody_lets_in_do_not_pile_up(oauth: OAuthServer) -> None:
    registration_route = Registration(
        clients=oauth.clients, store=oauth.store, clock=oauth.clock, new_id=oauth.new_id, max_unused=2
    )
    transport = httpx2.ASGITransport(app=Starlette(routes=registration_route.routes()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:

        async def register() -> httpx2.Response:
            return await http.post("/oauth/register", json=registration())

        first = await register()
        await oauth.clients.release_deferred(first.json()["client_id"])
        assert [(await register()).status_code for _ in range(3)] == [201, 201, 429]
        oauth.clock.advance(days=2)
        assert (await register()).status_code == 201


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
async def test_addresses_of_one_network_share_their_quota(
    oauth: OAuthServer, one: str, other: str, is_same: bool
) -> None:
    registration_route = Registration(
        clients=oauth.clients, store=oauth.store, clock=oauth.clock, new_id=oauth.new_id, times_an_hour=1
    )
    app = Starlette(routes=registration_route.routes())
    found = []
    for address in (one, other):
        transport = httpx2.ASGITransport(app=app, client=(address, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            found.append((await http.post("/oauth/register", json=registration())).status_code)
    assert found == [201, 429 if is_same else 201]


async def test_a_client_that_nobody_let_in_is_forgotten_after_a_day(oauth: OAuthServer) -> None:
    unused, used = await oauth.register(), await oauth.register()
    await oauth.clients.release_deferred(used["client_id"])
    oauth.clock.advance(days=2)
    await oauth.register()
    assert await oauth.store.find(unused["client_id"]) is None
    assert await oauth.store.find(used["client_id"]) is not None
