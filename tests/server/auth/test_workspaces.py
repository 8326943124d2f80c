"""Workspaces, members and invitations over HTTP, on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.auth_app import AuthApp, populated_auth_app
from tests.support.databases import database_of
from workflow.identity import SCOPES_OF_ROLE, Role

MEMBERS = "/api/workspaces/w/members"
INVITATIONS = "/api/workspaces/w/invitations"


@pytest.fixture(params=["sqlite", "postgresql"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AuthApp]:
    """Ada's workspace with a member in every role."""
    async with database_of(request.param, tmp_path) as database, populated_auth_app(database) as app:
        yield app


async def test_a_user_is_listed_their_workspaces_and_where_they_act(app: AuthApp) -> None:
    await app.workspaces.put_member("w", "mallory", Role.VIEWER, now=app.clock.at + timedelta(days=1))
    listed = await app.ok(await app.token("mallory", "m"), "GET", "/api/workspaces")
    assert listed["workspaces"] == [
        {"id": "m", "name": "Mallory's", "role": "owner", "is_current": True},
        {"id": "w", "name": "Ada's", "role": "viewer", "is_current": False},
    ]


async def test_a_machine_is_listed_the_workspace_that_it_works_in(app: AuthApp) -> None:
    token = await app.token("machine:robot", "w", client_id="robot")
    listed = await app.ok(token, "GET", "/api/workspaces")
    assert listed["workspaces"] == [{"id": "w", "name": "Ada's", "role": None, "is_current": True}]


async def test_the_maker_of_a_workspace_owns_it_and_can_log_in_for_it(app: AuthApp) -> None:
    made = await app.ok(await app.token("vera"), "POST", "/api/workspaces", {"name": "Vera's"})
    assert (made["name"], made["role"]) == ("Vera's", "owner")
    inside = await app.token("vera", made["id"])
    renamed = await app.ok(inside, "PATCH", f"/api/workspaces/{made['id']}", {"name": "Ours"})
    assert renamed == {"id": made["id"], "name": "Ours"}
    assert [each.action for each in await app.entries(made["id"])] == ["workspace.created", "workspace.renamed"]


async def test_members_are_listed_with_addresses_for_owners_only(app: AuthApp) -> None:
    by_ada = (await app.ok(await app.token("ada"), "GET", MEMBERS))["members"]
    by_vera = (await app.ok(await app.token("vera"), "GET", MEMBERS))["members"]
    assert [(each["user_id"], each["role"]) for each in by_ada] == [
        ("ada", "owner"),
        ("eve", "editor"),
        ("oscar", "operator"),
        ("vera", "viewer"),
    ]
    assert by_ada[0]["email"] == "ada@example.com"
    assert all("email" not in each for each in by_vera)


async def test_a_changed_role_holds_for_the_very_next_request(app: AuthApp) -> None:
    eve = await app.token("eve")
    assert await app.refused(eve, "GET", INVITATIONS) == (403, "insufficient_scope")
    await app.ok(await app.token("ada"), "PATCH", f"{MEMBERS}/eve", {"role": "owner"})
    assert await app.ok(await app.token("eve"), "GET", INVITATIONS) == {"invitations": []}
    ada = await app.token("ada")
    await app.ok(await app.token("eve"), "PATCH", f"{MEMBERS}/ada", {"role": "viewer"})
    assert await app.refused(ada, "PATCH", f"{MEMBERS}/eve", {"role": "viewer"}) == (403, "insufficient_scope")


async def test_a_removed_member_is_out_at_once_and_their_old_sessions_for_good(app: AuthApp) -> None:
    eve, ada = await app.token("eve"), await app.token("ada")
    await app.ok(eve, "GET", MEMBERS)
    await app.ok(ada, "DELETE", f"{MEMBERS}/eve")
    assert (await app.send(eve, "GET", MEMBERS)).status_code == 401
    await app.workspaces.put_member("w", "eve", Role.EDITOR, now=app.clock.at)
    assert (await app.send(eve, "GET", MEMBERS)).status_code == 401


async def test_everybody_may_leave_but_the_last_owner(app: AuthApp) -> None:
    await app.ok(await app.token("vera"), "DELETE", f"{MEMBERS}/vera")
    assert await app.workspaces.role_of("w", "vera") is None
    assert await app.refused(await app.token("ada"), "DELETE", f"{MEMBERS}/ada") == (409, "last_owner")
    assert await app.refused(await app.token("ada"), "PATCH", f"{MEMBERS}/ada", {"role": "editor"}) == (
        409,
        "last_owner",
    )


async def test_a_client_that_was_let_in_cannot_make_its_user_leave(app: AuthApp) -> None:
    client = await app.token("vera", client_id="https://client.example")
    assert await app.refused(client, "DELETE", f"{MEMBERS}/vera") == (403, "own_login_needed")
    assert await app.refused(client, "POST", "/api/workspaces", {"name": "x"}) == (403, "own_login_needed")


async def test_who_is_no_member_cannot_be_changed_or_removed(app: AuthApp) -> None:
    ada = await app.token("ada")
    for method, body in (("PATCH", {"role": "viewer"}), ("DELETE", None)):
        assert await app.refused(ada, method, f"{MEMBERS}/mallory", body) == (404, "member_not_found")


async def test_a_stranger_cannot_tell_whether_a_workspace_exists(app: AuthApp) -> None:
    mallory = await app.token("mallory", "m")
    for tail, method, body in (
        ("", "PATCH", {"name": "x"}),
        ("/members", "GET", None),
        ("/members/ada", "PATCH", {"role": "viewer"}),
        ("/members/ada", "DELETE", None),
        ("/members/mallory", "DELETE", None),
        ("/invitations", "GET", None),
        ("/invitations", "POST", {"role": "owner"}),
        ("/invitations/x", "DELETE", None),
    ):
        real, invented = [await app.send(mallory, method, f"/api/workspaces/{name}{tail}", body) for name in "wx"]
        assert real.status_code == invented.status_code == 404
        assert real.text.replace("'w'", "'x'") == invented.text


async def test_a_member_who_acts_in_another_workspace_learns_how_to_get_there(app: AuthApp) -> None:
    await app.workspaces.put_member("m", "vera", Role.VIEWER, now=app.clock.at)
    response = await app.send(await app.token("vera", "m"), "GET", MEMBERS)
    assert (response.status_code, response.json()["code"]) == (409, "other_workspace")
    assert '"workspace_id": "w"' in response.json()["fix"]


async def test_an_invitation_is_shown_once_and_makes_a_member(app: AuthApp) -> None:
    ada = await app.token("ada")
    made = await app.ok(ada, "POST", INVITATIONS, {"role": "editor", "email": "Newton@Example.com"})
    assert made["token"].startswith("jsi_")
    (listed,) = (await app.ok(ada, "GET", INVITATIONS))["invitations"]
    assert listed == {name: value for name, value in made.items() if name != "token"}
    mallory, newton = await app.token("mallory", "m"), await app.token("newton", "n")
    accept = ("POST", "/api/invitations/accept", {"token": made["token"]})
    assert await app.refused(mallory, *accept) == (404, "invitation_not_found")
    assert await app.ok(newton, *accept) == {"id": "w", "name": "Ada's", "role": "editor"}
    assert await app.refused(newton, *accept) == (404, "invitation_not_found")
    inside = await app.ok(await app.token("newton", "w"), "GET", "/api/workspaces")
    assert [each["is_current"] for each in inside["workspaces"]] == [False, True]


async def test_an_answer_with_a_secret_is_kept_by_nobody(app: AuthApp) -> None:
    response = await app.send(await app.token("ada"), "POST", INVITATIONS, {"role": "viewer"})
    assert response.headers["cache-control"] == "no-store"


async def test_an_invitation_that_is_over_or_taken_back_counts_no_more(app: AuthApp) -> None:
    ada = await app.token("ada")
    first = await app.ok(ada, "POST", INVITATIONS, {"role": "viewer"})
    second = await app.ok(ada, "POST", INVITATIONS, {"role": "viewer", "expires_in_days": 1})
    await app.ok(ada, "DELETE", f"{INVITATIONS}/{first['id']}")
    assert await app.refused(ada, "DELETE", f"{INVITATIONS}/{first['id']}") == (404, "invitation_not_found")
    app.clock.at += timedelta(days=1)
    newton = await app.token("newton", "n")
    for each in (first, second):
        refusal = await app.refused(newton, "POST", "/api/invitations/accept", {"token": each["token"]})
        assert refusal == (404, "invitation_not_found")


async def test_a_member_does_not_need_an_invitation(app: AuthApp) -> None:
    made = await app.ok(await app.token("ada"), "POST", INVITATIONS, {"role": "owner"})
    refusal = await app.refused(await app.token("vera"), "POST", "/api/invitations/accept", {"token": made["token"]})
    assert refusal == (409, "already_member")


async def test_wrong_bodies_are_refused_with_their_place(app: AuthApp) -> None:
    ada = await app.token("ada")
    for method, path, body in (
        ("POST", "/api/workspaces", {"name": ""}),
        ("POST", "/api/workspaces", {"name": "x", "more": 1}),
        ("PATCH", f"{MEMBERS}/eve", {"role": "king"}),
        ("POST", INVITATIONS, {"role": "viewer", "expires_in_days": 31}),
        ("POST", INVITATIONS, {"role": "viewer", "email": "nobody"}),
        ("POST", "/api/invitations/accept", {}),
    ):
        response = await app.send(ada, method, path, body)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_arguments")
        assert response.json()["pointer"].startswith("/")


ALL = {"owner", "editor", "operator", "viewer"}
MATRIX = {
    ("GET", "/api/workspaces"): ALL,
    ("POST", "/api/workspaces"): ALL,
    ("PATCH", "/api/workspaces/w"): {"owner"},
    ("GET", MEMBERS): ALL,
    ("PATCH", f"{MEMBERS}/oscar"): {"owner"},
    ("DELETE", f"{MEMBERS}/oscar"): {"owner", "operator"},  # the operator is he himself
    ("POST", INVITATIONS): {"owner"},
    ("GET", INVITATIONS): {"owner"},
    ("DELETE", f"{INVITATIONS}/x"): {"owner"},
    ("POST", "/api/invitations/accept"): ALL,
    ("GET", "/api/keys"): ALL,
    ("GET", "/api/keys?all=true"): {"owner"},
    ("POST", "/api/keys"): ALL,
    ("DELETE", "/api/keys/x"): ALL,
    ("GET", "/api/audit"): {"owner"},
}
BODIES = {
    "/api/workspaces": {"name": "x"},
    "/api/workspaces/w": {"name": "x"},
    f"{MEMBERS}/oscar": {"role": "operator"},
    INVITATIONS: {"role": "viewer"},
    "/api/invitations/accept": {"token": "x"},
    "/api/keys": {"name": "x", "scopes": ["workflows:read"]},
}


@pytest.mark.parametrize(("method", "path"), MATRIX)
async def test_every_route_lets_in_exactly_the_roles_that_it_is_for(app: AuthApp, method: str, path: str) -> None:
    assert (await app.send(None, method, path, BODIES.get(path))).status_code == 401
    users = {"viewer": "vera", "operator": "oscar", "editor": "eve", "owner": "ada"}
    release_deferred = set()
    for role, user_id in users.items():
        response = await app.send(await app.token(user_id), method, path, BODIES.get(path))
        assert response.status_code < 500, response.text
        if response.status_code not in (401, 403):
            release_deferred.add(role)
        if (method, path) == ("DELETE", f"{MEMBERS}/oscar") and response.status_code == 204:
            await app.workspaces.put_member("w", "oscar", Role.OPERATOR, now=app.clock.at)
    assert release_deferred == MATRIX[method, path]


async def test_an_owners_client_without_the_scope_admin_cannot_do_what_needs_it(app: AuthApp) -> None:
    token = await app.token("ada", scopes=SCOPES_OF_ROLE[Role.EDITOR], client_id="https://client.example")
    for method, path in (("PATCH", "/api/workspaces/w"), ("POST", INVITATIONS), ("GET", "/api/audit")):
        assert await app.refused(token, method, path, BODIES.get(path)) == (403, "insufficient_scope")
