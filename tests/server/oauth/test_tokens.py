"""Codes and refresh tokens become tokens, once; tokens end."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from server.auth.sessions.tokens import InvalidTokenError
from tests.server.oauth.conftest import ADA, BASE_URL, VERIFIER, WORKSPACE, OAuthServer, exchange
from workflow.identity import Scope

FORM = {"content-type": "application/x-www-form-urlencoded"}


async def public_client(oauth: OAuthServer, **metadata: Any) -> str:
    """The id of a client that registered."""
    return str((await oauth.register(**metadata))["client_id"])


async def release_deferred(oauth: OAuthServer) -> tuple[str, dict[str, Any]]:
    """A client's id and its tokens."""
    client_id = await public_client(oauth)
    await oauth.code(client_id)
    return client_id, await oauth.token(**exchange(client_id))


async def counts(oauth: OAuthServer, tokens: dict[str, Any]) -> bool:
    """Whether the access token does."""
    try:
        return await oauth.sessions.actor(tokens["access_token"]) is not None
    except InvalidTokenError:
        return False


async def test_a_code_becomes_tokens_for_what_the_user_allowed(oauth: OAuthServer) -> None:
    _, tokens = await release_deferred(oauth)
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 900
    assert tokens["scope"] == "workflows:read executions:run"
    actor = await oauth.sessions.actor(tokens["access_token"])
    assert actor is not None
    assert (actor.user_id, actor.workspace_id, actor.client) == (ADA, WORKSPACE, "Example")
    assert actor.scopes == {Scope.WORKFLOWS_READ, Scope.EXECUTIONS_RUN}


async def test_a_client_that_does_not_refresh_gets_no_refresh_token(oauth: OAuthServer) -> None:
    client_id = await public_client(oauth, grant_types=["authorization_code"])
    await oauth.code(client_id)
    assert "refresh_token" not in await oauth.token(**exchange(client_id))


@pytest.mark.parametrize(
    ("error", "changed"),
    [
        ("invalid_grant", {"code": "another"}),
        ("invalid_grant", {"redirect_uri": "http://127.0.0.1:4001/callback"}),
        ("invalid_grant", {"code_verifier": "w" * 43}),
        ("invalid_grant", {"code_verifier": "v" * 42}),
        ("invalid_grant", {"code_verifier": "v" * 129}),
        ("invalid_grant", {"code_verifier": "ü" * 43}),
        ("invalid_request", {"code_verifier": ""}),
        ("invalid_request", {"code": ""}),
        ("invalid_request", {"grant_type": ""}),
        ("invalid_request", {"client_id": ""}),
        ("invalid_client", {"client_id": "another"}),
        ("invalid_client", {"client_secret": "a guess"}),
        ("unsupported_grant_type", {"grant_type": "password"}),
        ("unauthorized_client", {"grant_type": "client_credentials"}),
        ("invalid_target", {"resource": "https://other.example/mcp"}),
        ("invalid_target", {"resource": [f"{BASE_URL}/mcp", "https://other.example/mcp"]}),
        ("invalid_target", {"resource": BASE_URL}),
    ],
)
async def test_an_exchange_that_is_wrong_is_refused_and_leaves_the_code_to_whom_it_belongs(
    oauth: OAuthServer, error: str, changed: dict[str, Any]
) -> None:
    client_id = await public_client(oauth)
    await oauth.code(client_id)
    assert await oauth.refusal(**{**exchange(client_id), **changed}) == error
    await oauth.token(**exchange(client_id))


async def test_a_code_of_another_client_is_unknown(oauth: OAuthServer) -> None:
    mine, other = await public_client(oauth), await public_client(oauth)
    await oauth.code(mine)
    assert await oauth.refusal(**exchange(other)) == "invalid_grant"
    tokens = await oauth.token(**exchange(mine))
    # Nor does it end anything when it is shown by another after its use.
    assert await oauth.refusal(**exchange(other)) == "invalid_grant"
    assert await counts(oauth, tokens)


async def test_a_code_is_over_after_its_time(oauth: OAuthServer) -> None:
    client_id = await public_client(oauth)
    await oauth.code(client_id)
    oauth.clock.advance(seconds=60)
    assert await oauth.refusal(**exchange(client_id)) == "invalid_grant"


async def test_a_code_that_is_shown_twice_ends_what_came_of_it(oauth: OAuthServer) -> None:
    client_id, tokens = await release_deferred(oauth)
    assert await counts(oauth, tokens)
    # The finder does not have the verifier: that it was found at all is enough.
    assert await oauth.refusal(**exchange(client_id, code_verifier="w" * 43)) == "invalid_grant"
    assert not await counts(oauth, tokens)
    refresh = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": tokens["refresh_token"]}
    assert await oauth.refusal(**refresh) == "invalid_grant"


async def test_of_many_exchanges_at_once_at_most_one_succeeds_and_what_came_of_it_has_ended(oauth: OAuthServer) -> None:
    client_id = await public_client(oauth)
    await oauth.code(client_id)
    answers = await asyncio.gather(*(oauth.post("/oauth/token", **exchange(client_id)) for _ in range(5)))
    good = [each.json() for each in answers if each.status_code == 200]
    assert len(good) <= 1
    assert [await counts(oauth, tokens) for tokens in good] == [False] * len(good)


async def test_a_parameter_that_is_there_twice_is_refused(oauth: OAuthServer) -> None:
    client_id = await public_client(oauth)
    body = f"grant_type=authorization_code&client_id={client_id}&client_id={client_id}"
    response = await oauth.http.post("/oauth/token", content=body, headers=FORM)
    assert response.json()["error"] == "invalid_request"


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("{}", "application/json"),
        ("", FORM["content-type"]),
        ("client_id=%ff", FORM["content-type"]),
        ("a=" + "x" * 40_000, FORM["content-type"]),
        ("&".join(f"p{number}=1" for number in range(60)), FORM["content-type"]),
    ],
)
async def test_a_body_that_is_no_form_of_bounded_size_is_refused(
    oauth: OAuthServer, path: str, body: str, kind: str
) -> None:
    response = await oauth.http.post(path, content=body, headers={"content-type": kind})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_a_refresh_token_is_exchanged_once_and_its_theft_ends_the_session(oauth: OAuthServer) -> None:
    client_id, tokens = await release_deferred(oauth)
    refresh = {"grant_type": "refresh_token", "client_id": client_id}
    fresh = await oauth.token(**refresh, refresh_token=tokens["refresh_token"])
    assert fresh["refresh_token"] != tokens["refresh_token"]
    assert fresh["scope"] == tokens["scope"]
    assert await oauth.refusal(**refresh, refresh_token=tokens["refresh_token"]) == "invalid_grant"
    assert not await counts(oauth, fresh)
    assert await oauth.refusal(**refresh, refresh_token=fresh["refresh_token"]) == "invalid_grant"


async def test_a_refresh_narrows_scopes_and_never_widens_them(oauth: OAuthServer) -> None:
    client_id, tokens = await release_deferred(oauth)
    refresh = {"grant_type": "refresh_token", "client_id": client_id}
    narrow = await oauth.token(**refresh, refresh_token=tokens["refresh_token"], scope="workflows:read admin")
    assert narrow["scope"] == "workflows:read"
    actor = await oauth.sessions.actor(narrow["access_token"])
    assert actor is not None
    assert actor.scopes == {Scope.WORKFLOWS_READ}
    wide = await oauth.token(**refresh, refresh_token=narrow["refresh_token"])
    assert wide["scope"] == tokens["scope"]
    again = await oauth.token(**refresh, refresh_token=wide["refresh_token"], scope="openid nonsense")
    assert again["scope"] == tokens["scope"]


async def test_a_refresh_token_of_another_client_is_unknown(oauth: OAuthServer) -> None:
    client_id, tokens = await release_deferred(oauth)
    other = await public_client(oauth)
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert await oauth.refusal(**refresh, client_id=other) == "invalid_grant"
    await oauth.token(**refresh, client_id=client_id)


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
async def test_a_client_revokes_its_session_by_either_token(oauth: OAuthServer, kind: str) -> None:
    client_id, tokens = await release_deferred(oauth)
    other = await public_client(oauth)
    form = {"token": tokens[kind], "token_type_hint": kind}
    # Another client's revocation says the same and does nothing (RFC 7009, 2.1).
    assert (await oauth.post("/oauth/revoke", client_id=other, **form)).status_code == 200
    assert await counts(oauth, tokens)
    assert (await oauth.post("/oauth/revoke", client_id=client_id, **form)).status_code == 200
    assert not await counts(oauth, tokens)
    for unknown in (form["token"], "nothing"):
        assert (await oauth.post("/oauth/revoke", client_id=client_id, token=unknown)).status_code == 200
    assert await oauth.refusal("/oauth/revoke", client_id="unknown", **form) == "invalid_client"


def basic(client_id: str, secret: str) -> dict[str, str]:
    """The header of a client with a secret."""
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def test_a_client_with_a_secret_proves_itself_in_the_header_or_in_the_form(oauth: OAuthServer) -> None:
    registered = await oauth.register(token_endpoint_auth_method="client_secret_basic")
    client_id, secret = registered["client_id"], registered["client_secret"]
    await oauth.code(client_id, "first")
    form = exchange(client_id, "first")
    assert await oauth.refusal(**form) == "invalid_client"
    assert await oauth.refusal(**form, client_secret="wrong") == "invalid_client"
    wrong = await oauth.http.post("/oauth/token", data=form, headers=basic(client_id, "wrong"))
    assert wrong.status_code == 401
    assert wrong.headers["www-authenticate"].startswith("Basic ")
    good = await oauth.http.post("/oauth/token", data=form, headers=basic(client_id, secret))
    assert good.status_code == 200
    await oauth.code(client_id, "second")
    await oauth.token(**exchange(client_id, "second"), client_secret=secret)


async def test_a_client_does_not_prove_itself_in_two_ways_or_as_two(oauth: OAuthServer) -> None:
    registered = await oauth.register(token_endpoint_auth_method="client_secret_basic")
    client_id, secret = registered["client_id"], registered["client_secret"]
    both = {**exchange(client_id), "client_secret": secret}
    response = await oauth.http.post("/oauth/token", data=both, headers=basic(client_id, secret))
    assert response.json()["error"] == "invalid_request"
    other = await public_client(oauth)
    response = await oauth.http.post("/oauth/token", data=exchange(other), headers=basic(client_id, secret))
    assert response.json()["error"] == "invalid_request"


@pytest.mark.parametrize("header", ["Bearer x", "Basic", "Basic ???", "Basic eDo=", "Basic eA==", "Basic /w=="])
async def test_a_header_that_proves_nothing_is_refused(oauth: OAuthServer, header: str) -> None:
    response = await oauth.http.post("/oauth/token", data={"grant_type": "x"}, headers={"authorization": header})
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


async def test_a_user_who_was_put_out_of_the_workspace_lets_nobody_in(oauth: OAuthServer) -> None:
    client_id = await public_client(oauth)
    await oauth.code(client_id, workspace_id="local")
    assert await oauth.refusal(**exchange(client_id)) == "invalid_grant"


def test_the_verifier_of_these_tests_is_as_short_as_may_be() -> None:
    assert len(VERIFIER) == 43
