"""The audit log over HTTP, and what the routes of workspaces and keys note in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.accounts import actor
from tests.support.auth_app import AuthApp, populated_auth_app
from tests.support.databases import database_of

MEMBERS = "/api/workspaces/w/members"
INVITATIONS = "/api/workspaces/w/invitations"


@pytest.fixture(params=["sqlite", "postgresql"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AuthApp]:
    """Ada's workspace with a member in every role."""
    async with database_of(request.param, tmp_path) as database, populated_auth_app(database) as app:
        yield app


async def test_owners_read_the_log_of_their_workspace_and_no_other(app: AuthApp) -> None:
    app.log.note(actor("eve"), "workflow.published", "workflow:1", {"version": 2})
    app.log.note(actor("mallory", "m"), "workflow.published", "workflow:2")
    (entry,) = (await app.ok(await app.token("ada"), "GET", "/api/audit"))["entries"]
    assert {name: value for name, value in entry.items() if name != "id"} == {
        "at": app.clock.at.isoformat(),
        "user_id": "eve",
        "client": "a test",
        "action": "workflow.published",
        "subject": "workflow:1",
        "details": {"version": 2},
    }


async def test_the_log_can_be_narrowed_and_paged(app: AuthApp) -> None:
    for number in range(4):
        app.log.note(actor("eve"), "workflow.updated", f"workflow:{number}")
        app.clock.at += timedelta(hours=1)
    app.log.note(actor("vera"), "execution.started", "execution:1")
    ada = await app.token("ada")

    async def subjects(query: str) -> list[str]:
        return [each["subject"] for each in (await app.ok(ada, "GET", f"/api/audit?{query}"))["entries"]]

    assert await subjects("action=workflow.&user_id=eve&limit=2") == ["workflow:3", "workflow:2"]
    assert await subjects("subject=execution:1") == ["execution:1"]
    assert await subjects("user_id=vera") == ["execution:1"]
    assert await subjects("after=2024-01-06T12:30:00Z&before=2024-01-06T13:30:00%2B00:00") == ["workflow:1"]
    first = await app.ok(ada, "GET", "/api/audit?limit=3")
    second = await app.ok(ada, "GET", f"/api/audit?limit=3&cursor={first['next_cursor']}")
    assert [len(first["entries"]), len(second["entries"]), second["next_cursor"]] == [3, 2, None]
    for wrong in ("after=yesterday", "after=2024-01-06T12:30:00", "limit=0", "cursor=x", "more=1"):
        assert await app.refused(ada, "GET", f"/api/audit?{wrong}") == (400, "invalid_arguments")


async def test_every_change_of_workspaces_members_invitations_and_keys_is_noted_once(app: AuthApp) -> None:
    ada, newton = await app.token("ada"), await app.token("newton", "n")
    made = await app.ok(ada, "POST", "/api/workspaces", {"name": "Second"})
    await app.ok(ada, "PATCH", "/api/workspaces/w", {"name": "First"})
    await app.ok(ada, "PATCH", f"{MEMBERS}/eve", {"role": "operator"})
    await app.ok(ada, "DELETE", f"{MEMBERS}/eve")
    invitation = await app.ok(ada, "POST", INVITATIONS, {"role": "viewer"})
    other = await app.ok(ada, "POST", INVITATIONS, {"role": "viewer"})
    await app.ok(ada, "DELETE", f"{INVITATIONS}/{other['id']}")
    await app.ok(newton, "POST", "/api/invitations/accept", {"token": invitation["token"]})
    await app.ok(await app.token("newton"), "DELETE", f"{MEMBERS}/newton")
    key = await app.ok(ada, "POST", "/api/keys", {"name": "ci", "scopes": ["workflows:read"]})
    await app.ok(ada, "DELETE", f"/api/keys/{key['id']}")
    noted = [(each.user_id, each.action, each.subject) for each in await app.entries()]
    assert noted == [
        ("ada", "workspace.renamed", "workspace:w"),
        ("ada", "member.changed", "user:eve"),
        ("ada", "member.removed", "user:eve"),
        ("ada", "invitation.created", f"invitation:{invitation['id']}"),
        ("ada", "invitation.created", f"invitation:{other['id']}"),
        ("ada", "invitation.revoked", f"invitation:{other['id']}"),
        ("newton", "member.joined", "user:newton"),
        ("newton", "member.left", "user:newton"),
        ("ada", "key.created", f"key:{key['id']}"),
        ("ada", "key.revoked", f"key:{key['id']}"),
    ]
    assert [each.action for each in await app.entries(made["id"])] == ["workspace.created"]
    secrets = (invitation["token"], other["token"], key["key"])
    noted_text = str(await app.entries())
    assert not any(secret in noted_text for secret in secrets)


async def test_what_was_refused_is_not_noted(app: AuthApp) -> None:
    vera = await app.token("vera")
    await app.refused(vera, "PATCH", "/api/workspaces/w", {"name": "x"})
    await app.refused(await app.token("ada"), "DELETE", f"{MEMBERS}/ada")
    await app.refused(await app.token("mallory", "m"), "DELETE", f"{MEMBERS}/eve")
    assert await app.entries() == []
