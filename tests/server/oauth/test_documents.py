"""Clients that are known by a document of theirs, fetched from a real server on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from integrations.addresses import AddressRules
from integrations.outbound_http import OutboundHttp
from server.oauth.documents import ClientDocuments
from server.oauth.errors import OAuthError
from tests.server.oauth.conftest import LOCAL, REDIRECT, OAuthServer, exchange
from tests.server.oauth.keys import assertion, private_key, public_jwk
from tests.support.http_target import listening


@dataclass
class ClientSite:
    """A client's own site. ``document`` is what it says; ``fetched`` counts who asked."""

    url: str = ""
    document: dict[str, Any] | bytes = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    fetched: int = 0

    @property
    def client_id(self) -> str:
        """The document's address."""
        return f"{self.url}/client.json"

    async def show(self, request: Request) -> Response:
        """The document."""
        self.fetched += 1
        body = self.document if isinstance(self.document, bytes) else orjson.dumps(self.document)
        headers = {"content-type": "application/json", **self.headers}
        return Response(body, status_code=self.status, headers=headers)

    async def redirect(self, request: Request) -> Response:
        """To the document."""
        return RedirectResponse("/client.json")

    async def jwks(self, request: Request) -> Response:
        """The keys."""
        self.fetched += 1
        return Response(orjson.dumps(self.keys), media_type="application/json")


@pytest.fixture
async def site() -> AsyncIterator[ClientSite]:
    """A site with a document as it should be."""
    site = ClientSite()
    routes = [Route("/client.json", site.show), Route("/moved.json", site.redirect), Route("/keys", site.jwks)]
    async with listening(Starlette(routes=routes)) as site.url:
        site.document = {
            "client_id": site.client_id,
            "client_name": "Example",
            "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "refresh_token"],
        }
        yield site


async def refusal(oauth: OAuthServer, client_id: str) -> str:
    """The name of the error."""
    with pytest.raises(OAuthError) as caught:
        await oauth.clients.asked_for(client_id, user_id="ada")
    return caught.value.name


async def test_a_client_is_what_its_document_says(oauth: OAuthServer, site: ClientSite) -> None:
    client = await oauth.clients.asked_for(site.client_id, user_id="ada")
    assert (client.id, client.kind, client.name) == (site.client_id, "document", "Example")
    assert client.metadata["redirect_uris"] == [REDIRECT]
    assert client.metadata["token_endpoint_auth_method"] == "none"
    await oauth.code(site.client_id)
    assert (await oauth.token(**exchange(site.client_id)))["refresh_token"]


@pytest.mark.parametrize(
    ("cache_control", "kept_seconds"),
    [("", 3_600), ("max-age=600", 600), ("no-store", 60), ("max-age=0", 60), ("public, max-age=999999999", 86_400)],
)
async def test_a_document_is_kept_as_long_as_its_server_says_within_bounds(
    oauth: OAuthServer, site: ClientSite, cache_control: str, kept_seconds: int
) -> None:
    site.headers["cache-control"] = cache_control
    await oauth.clients.asked_for(site.client_id, user_id="ada")
    oauth.clock.advance(seconds=kept_seconds - 1)
    await oauth.clients.asked_for(site.client_id, user_id="ada")
    assert site.fetched == 1
    oauth.clock.advance(seconds=1)
    assert isinstance(site.document, dict)
    site.document["client_name"] = "Renamed"
    assert (await oauth.clients.asked_for(site.client_id, user_id="ada")).name == "Renamed"
    assert site.fetched == 2


async def test_the_token_endpoint_fetches_nothing_for_strangers(oauth: OAuthServer, site: ClientSite) -> None:
    assert await oauth.refusal(**exchange(site.client_id)) == "invalid_client"
    assert site.fetched == 0


@pytest.mark.parametrize(
    ("error", "changed"),
    [
        ("invalid_client", {"client_id": "https://other.example/client.json"}),
        ("invalid_client", {"client_id": None}),
        ("invalid_redirect_uri", {"redirect_uris": []}),
        ("invalid_redirect_uri", {"redirect_uris": ["http://app.example/"]}),
        ("invalid_client_metadata", {"client_secret": "x"}),
        ("invalid_client_metadata", {"token_endpoint_auth_method": "client_secret_basic"}),
        ("invalid_client_metadata", {"token_endpoint_auth_method": "private_key_jwt"}),
        ("invalid_client_metadata", {"jwks_uri": "http://app.example/keys"}),
    ],
)
async def test_a_document_that_is_not_as_it_must_be_is_refused(
    oauth: OAuthServer, site: ClientSite, error: str, changed: dict[str, Any]
) -> None:
    assert isinstance(site.document, dict)
    site.document |= changed
    assert await refusal(oauth, site.client_id) == error
    assert await oauth.store.find(site.client_id) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"no json", b"{", b"[" * 10_000, b'{"a": "' + b"x" * 20_000 + b'"}'])
async def test_what_is_no_small_json_object_is_refused(oauth: OAuthServer, site: ClientSite, body: bytes) -> None:
    site.document = body
    assert await refusal(oauth, site.client_id) == "invalid_client"


async def test_a_document_that_is_not_there_or_no_json_is_refused(oauth: OAuthServer, site: ClientSite) -> None:
    site.headers["content-type"] = "text/html"
    assert await refusal(oauth, site.client_id) == "invalid_client"
    site.headers["content-type"], site.status = "application/json", 404
    assert await refusal(oauth, site.client_id) == "invalid_client"
    assert await refusal(oauth, f"{site.url}/moved.json") == "invalid_client"


@pytest.mark.parametrize(
    "client_id",
    [
        "https://app.example",
        "https://app.example/",
        "https://app.example/a/../client.json",
        "https://app.example/client.json#part",
        "https://user@app.example/client.json",
        "https://app.example:port/client.json",
        "https:///client.json",
        "https://ünïcode.example/client.json",
        "http://app.example/client.json",
        "http://10.0.0.1/client.json",
        "https://app.example/" + "x" * 2_000,
    ],
)
async def test_an_address_that_must_not_be_a_documents_is_not_fetched(oauth: OAuthServer, client_id: str) -> None:
    assert await refusal(oauth, client_id) == "invalid_client"


async def test_a_server_that_others_can_reach_fetches_nothing_from_its_own_machine(
    oauth: OAuthServer, site: ClientSite
) -> None:
    async with OutboundHttp(rules=LOCAL, max_connections=1, max_response_bytes=1_000, user_agent="test") as http:
        documents = ClientDocuments(http=http, clock=oauth.clock, allows_loopback=False)
        with pytest.raises(OAuthError):
            await documents.fetch(site.client_id)
    assert site.fetched == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254"]
)
async def test_a_document_in_a_private_network_is_not_fetched(oauth: OAuthServer, host: str) -> None:
    rules = AddressRules(allowed=(), is_loopback_allowed=False)
    async with OutboundHttp(rules=rules, max_connections=1, max_response_bytes=1_000, user_agent="test") as http:
        documents = ClientDocuments(http=http, clock=oauth.clock, allows_loopback=False)
        with pytest.raises(OAuthError, match="address_not_allowed"):
            await documents.fetch(f"https://{host}/client.json")


async def test_a_user_has_so_many_documents_fetched_an_hour(oauth: OAuthServer, site: ClientSite) -> None:
    for number in range(60):
        assert await refusal(oauth, f"{site.url}/absent/{number}") == "invalid_client"
    assert await refusal(oauth, site.client_id) == "temporarily_unavailable"
    oauth.clock.advance(hours=1)
    await oauth.clients.asked_for(site.client_id, user_id="ada")


async def test_a_client_signs_with_keys_that_stand_beside_its_document(oauth: OAuthServer, site: ClientSite) -> None:
    key, next_key = private_key(), private_key(2)
    site.keys = {"keys": [public_jwk(key, kid="one")]}
    # A document's keys have to be on https; here the address is put in after the check.
    assert isinstance(site.document, dict)
    site.document |= {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example/keys"}
    client = await oauth.clients.asked_for(site.client_id, user_id="ada")
    client.metadata["jwks_uri"] = f"{site.url}/keys"
    await oauth.store.put(client)

    async def try_with(signer: Any, code: str) -> int:
        await oauth.code(site.client_id, code)
        form = exchange(site.client_id, code)
        form |= {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion(site.client_id, signer, oauth.clock.now(), jti=code),
        }
        return (await oauth.post("/oauth/token", **form)).status_code

    assert await oauth.refusal(**exchange(site.client_id)) == "invalid_client"
    assert await try_with(key, "first") == 200
    assert await try_with(next_key, "second") == 401
    site.keys = {"keys": [public_jwk(next_key)]}
    oauth.clock.advance(minutes=10)
    assert await try_with(next_key, "third") == 200
    assert await try_with(key, "fourth") == 401
