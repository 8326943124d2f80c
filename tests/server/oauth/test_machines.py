"""Machines: an admin makes them, they prove themselves, they work in one workspace with what they were given."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from mcp.client.auth.extensions.client_credentials import SignedJWTParameters

from server.auth.sessions.tokens import InvalidTokenError
from tests.server.oauth.conftest import BASE_URL, WORKSPACE, OAuthServer, ada, exchange
from tests.server.oauth.keys import assertion, private_key, public_jwk, rsa_key
from workflow.identity import ALL_SCOPES, SCOPES_OF_ROLE, Role, Scope

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
READING = ["workflows:read", "executions:read"]


async def made(oauth: OAuthServer, **body: Any) -> dict[str, Any]:
    """A new machine."""
    oauth.acting.append(await ada(oauth))
    response = await oauth.http.post("/api/machines", json={"name": "Nightly", "scopes": READING, **body})
    oauth.acting.pop()
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    content: dict[str, Any] = response.json()
    return content


async def signing(oauth: OAuthServer, key: Any = None) -> str:
    """The id of a machine that signs."""
    return str((await made(oauth, jwks={"keys": [public_jwk(key or private_key())]}))["client_id"])


def signed(token: str, **form: Any) -> dict[str, Any]:
    """The form of a machine that signs."""
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": token,
        **form,
    }


async def test_a_machine_gets_tokens_for_its_secret(oauth: OAuthServer) -> None:
    machine = await made(oauth)
    tokens = await oauth.token(
        grant_type="client_credentials", client_id=machine["client_id"], client_secret=machine["client_secret"]
    )
    assert tokens["scope"] == "workflows:read executions:read"
    assert "refresh_token" not in tokens
    actor = await oauth.sessions.actor(tokens["access_token"])
    assert actor is not None
    assert (actor.user_id, actor.workspace_id) == (f"machine:{machine['client_id']}", WORKSPACE)
    assert actor.scopes == {Scope.WORKFLOWS_READ, Scope.EXECUTIONS_READ}


async def test_a_machine_gets_no_more_than_it_was_given(oauth: OAuthServer) -> None:
    machine = await made(oauth)
    proof = {
        "grant_type": "client_credentials",
        "client_id": machine["client_id"],
        "client_secret": machine["client_secret"],
    }
    assert (await oauth.token(**proof, scope="workflows:read admin"))["scope"] == "workflows:read"
    assert await oauth.refusal(**proof, scope="admin") == "invalid_scope"
    everything = (await oauth.token(**proof))["scope"]
    assert (await oauth.token(**proof, scope="openid nonsense"))["scope"] == everything
    assert await oauth.refusal(**{**proof, "client_secret": "wrong"}) == "invalid_client"
    assert await oauth.refusal(**proof, resource="https://other.example") == "invalid_target"


async def test_a_machine_exchanges_no_codes(oauth: OAuthServer) -> None:
    machine = await made(oauth)
    form = exchange(machine["client_id"], client_secret=machine["client_secret"])
    assert await oauth.refusal(**form) == "invalid_grant"


async def test_a_machine_signs_instead_of_showing_a_secret(oauth: OAuthServer) -> None:
    for number, (key, algorithm) in enumerate([(private_key(), "ES256"), (rsa_key(), "RS256"), (rsa_key(), "PS256")]):
        client_id = await signing(oauth, key)
        for audience in (BASE_URL, f"{BASE_URL}/oauth/token", [BASE_URL]):
            jti = f"{number}-{audience}"
            token = assertion(client_id, key, oauth.clock.now(), algorithm=algorithm, aud=audience, jti=jti)
            assert (await oauth.token(**signed(token)))["scope"] == "workflows:read executions:read"


async def test_the_sdks_own_assertion_counts(oauth: OAuthServer) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    client_id = await signing(oauth)
    pem = private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    parameters = SignedJWTParameters(issuer=client_id, subject=client_id, signing_key=pem, signing_algorithm="ES256")
    token = await parameters.create_assertion_provider()(BASE_URL)
    await oauth.token(**signed(token, client_id=client_id))


async def test_an_assertion_counts_once(oauth: OAuthServer) -> None:
    client_id = await signing(oauth)
    token = assertion(client_id, private_key(), oauth.clock.now())
    await oauth.token(**signed(token))
    assert await oauth.refusal(**signed(token)) == "invalid_client"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "another"},
        {"sub": "another"},
        {"aud": "https://other.example"},
        {"aud": [BASE_URL, "https://other.example"]},
        {"aud": None},
        {"jti": None},
        {"exp": None},
        {"exp": 1},
        {"exp": 1 << 60},
        {"nbf": 1 << 32},
        {"kid": "another"},
    ],
)
async def test_an_assertion_that_is_not_for_us_now_is_refused(oauth: OAuthServer, claims: dict[str, Any]) -> None:
    key = private_key()
    machine = await made(oauth, jwks={"keys": [public_jwk(key, kid="one")]})
    token = assertion(machine["client_id"], key, oauth.clock.now(), **claims)
    assert await oauth.refusal(**signed(token, client_id=machine["client_id"])) == "invalid_client"


async def test_an_assertion_of_another_key_or_of_no_key_is_refused(oauth: OAuthServer) -> None:
    client_id = await signing(oauth, rsa_key())
    now = oauth.clock.now()
    other = assertion(client_id, private_key(2), now)
    with_public_key_as_secret = assertion(client_id, "x" * 32, now, algorithm="HS256")
    unsigned = assertion(client_id, None, now, algorithm="none")
    for token in (other, with_public_key_as_secret, unsigned, "no.jwt.atall", "x" * 20_000):
        assert await oauth.refusal(**signed(token, client_id=client_id)) == "invalid_client"
    assert await oauth.refusal(**signed(other, client_assertion_type="saml", client_id=client_id)) == "invalid_request"


async def test_a_machine_that_signs_has_no_secret_and_the_other_way_round(oauth: OAuthServer) -> None:
    client_id = await signing(oauth)
    form = {"grant_type": "client_credentials", "client_id": client_id}
    assert await oauth.refusal(**form, client_secret="x") == "invalid_client"
    # No secret is kept, so that the empty one must not fit either.
    response = await oauth.http.post(
        "/oauth/token",
        content=f"grant_type=client_credentials&client_id={client_id}&client_secret=",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert response.json()["error"] == "invalid_client"
    machine = await made(oauth)
    token = assertion(machine["client_id"], private_key(), oauth.clock.now())
    assert await oauth.refusal(**signed(token)) == "invalid_client"


async def test_a_revoked_machine_is_let_in_no_more_at_once(oauth: OAuthServer) -> None:
    machine = await made(oauth)
    form = {
        "grant_type": "client_credentials",
        "client_id": machine["client_id"],
        "client_secret": machine["client_secret"],
    }
    tokens = await oauth.token(**form)
    assert await oauth.sessions.actor(tokens["access_token"])
    oauth.acting.append(await ada(oauth))
    assert (await oauth.http.delete(f"/api/machines/{machine['client_id']}")).status_code == 204
    with pytest.raises(InvalidTokenError):
        await oauth.sessions.actor(tokens["access_token"])
    assert await oauth.refusal(**form) == "invalid_client"
    again = await oauth.http.delete(f"/api/machines/{machine['client_id']}")
    assert (again.status_code, again.json()["code"]) == (404, "machine_not_found")
    assert [entry[1] for entry in oauth.notes.entries] == ["machine.created", "machine.revoked"]


async def test_machines_are_listed_without_their_secrets_and_in_their_workspace_only(oauth: OAuthServer) -> None:
    machine = await made(oauth)
    oauth.acting.append(await ada(oauth))
    listed = (await oauth.http.get("/api/machines")).json()["machines"]
    assert [each["client_id"] for each in listed] == [machine["client_id"]]
    assert "client_secret" not in listed[0]
    oauth.acting.append(await ada(oauth, workspace_id="local"))
    assert (await oauth.http.get("/api/machines")).json() == {"machines": []}
    assert (await oauth.http.delete(f"/api/machines/{machine['client_id']}")).status_code == 404


async def test_only_admins_make_machines(oauth: OAuthServer) -> None:
    assert (await oauth.http.get("/api/machines")).status_code == 401
    editor = SCOPES_OF_ROLE[Role.EDITOR]
    oauth.acting.append(await ada(oauth, scopes=editor, attainable=editor))
    for response in (
        await oauth.http.get("/api/machines"),
        await oauth.http.post("/api/machines", json={"name": "x", "scopes": READING}),
        await oauth.http.delete("/api/machines/x"),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")


async def test_neither_clients_nor_machines_make_machines(oauth: OAuthServer) -> None:
    client = await oauth.sessions.open(
        user_id="ada",
        workspace_id=WORKSPACE,
        scopes=ALL_SCOPES,
        client_id="client",
        client_name="Client",
        lifetime=timedelta(hours=1),
    )
    actor = await oauth.sessions.actor(client.access_token)
    assert actor is not None
    oauth.acting += [actor]
    response = await oauth.http.post("/api/machines", json={"name": "x", "scopes": READING})
    assert (response.status_code, response.json()["code"]) == (403, "own_login_needed")


async def test_nobody_gives_a_machine_more_than_they_have(oauth: OAuthServer) -> None:
    oauth.acting.append(await ada(oauth, scopes=frozenset({Scope.ADMIN, Scope.WORKFLOWS_READ})))
    response = await oauth.http.post("/api/machines", json={"name": "x", "scopes": READING})
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "", "scopes": READING},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "scopes": READING, "secret": "mine"},
        {"name": "x", "scopes": READING, "jwks": {"keys": [{"kty": "oct", "k": "eA"}]}},
        {"name": "x", "scopes": READING, "jwks": {"keys": "x"}},
        {"name": "x", "scopes": READING, "jwks": {"keys": [public_jwk(rsa_key(1_024))]}},
    ],
)
async def test_a_machine_that_is_described_wrongly_is_refused(oauth: OAuthServer, body: dict[str, Any]) -> None:
    oauth.acting.append(await ada(oauth))
    response = await oauth.http.post("/api/machines", json=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_arguments"), response.text
