"""A user looks at the clients that they have let in, and shuts them out."""

from __future__ import annotations

from typing import Any

import pytest

from server.auth.sessions.tokens import InvalidTokenError
from tests.server.oauth.conftest import WORKSPACE, OAuthServer, ada, add_user, exchange, logged_in


async def release_deferred(oauth: OAuthServer, name: str) -> dict[str, Any]:
    """The tokens of a new client."""
    client_id = (await oauth.register(client_name=name))["client_id"]
    await oauth.code(client_id, name)
    return await oauth.token(**exchange(client_id, name))


async def test_a_user_shuts_out_a_client(oauth: OAuthServer) -> None:
    claude, other = await release_deferred(oauth, "Claude"), await release_deferred(oauth, "Other")
    oauth.acting.append(await ada(oauth))
    grants = (await oauth.http.get("/api/grants")).json()["grants"]
    assert {each["client_name"] for each in grants} == {"Claude", "Other"}
    assert grants[0]["workspace_id"] == WORKSPACE
    assert grants[0]["scopes"] == ["workflows:read", "executions:run"]
    mine = next(each["id"] for each in grants if each["client_name"] == "Claude")
    assert (await oauth.http.delete(f"/api/grants/{mine}")).status_code == 204
    with pytest.raises(InvalidTokenError):
        await oauth.sessions.actor(claude["access_token"])
    assert await oauth.sessions.actor(other["access_token"])
    again = await oauth.http.delete(f"/api/grants/{mine}")
    assert (again.status_code, again.json()["code"]) == (404, "grant_not_found")
    assert oauth.notes.entries == [("ada", "grant.revoked", f"grant:{mine}")]


async def test_nobody_sees_or_ends_the_grants_of_others(oauth: OAuthServer) -> None:
    await release_deferred(oauth, "Claude")
    oauth.acting.append(await ada(oauth))
    (grant,) = (await oauth.http.get("/api/grants")).json()["grants"]
    await add_user(oauth, "bob")
    oauth.acting.append(await logged_in(oauth, "bob"))
    assert (await oauth.http.get("/api/grants")).json() == {"grants": []}
    assert (await oauth.http.delete(f"/api/grants/{grant['id']}")).status_code == 404
    oauth.acting.clear()
    assert (await oauth.http.get("/api/grants")).status_code == 401


async def test_a_client_sees_and_ends_no_grants(oauth: OAuthServer) -> None:
    claude = await release_deferred(oauth, "Claude")
    oauth.acting.append(await ada(oauth))
    (grant,) = (await oauth.http.get("/api/grants")).json()["grants"]
    actor = await oauth.sessions.actor(claude["access_token"])
    assert actor is not None
    oauth.acting.append(actor)
    for response in (await oauth.http.get("/api/grants"), await oauth.http.delete(f"/api/grants/{grant['id']}")):
        assert (response.status_code, response.json()["code"]) == (403, "own_login_needed")
