"""API keys over HTTP, on every database: made, used, expired, revoked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from server.auth.keys.api_keys import KNOWN_AT_MOST, KNOWN_FOR, is_key, new_key
from storage.database.database import Database
from storage.tables.accounts import api_keys, memberships
from tests.support.accounts import NOW, disable
from tests.support.auth_app import AuthApp, populated_auth_app
from tests.support.databases import database_of
from workflow.identity import SCOPES_OF_ROLE, NotAuthenticatedError, Role, Scope
from workflow.redaction import HIDDEN, may_hold_secrets, redacted_text


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with the newest schema."""
    async with database_of(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def app(database: Database) -> AsyncIterator[AuthApp]:
    """Ada's workspace with a member in every role."""
    async with populated_auth_app(database) as app:
        yield app


async def make(app: AuthApp, user_id: str = "ada", **members: Any) -> dict[str, Any]:
    """A new key of somebody who has logged in."""
    body = {"name": "ci", "scopes": ["workflows:read", "executions:*"], **members}
    made: dict[str, Any] = await app.ok(await app.token(user_id), "POST", "/api/keys", body)
    return made


def test_a_key_has_a_form_that_scanners_can_know() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"jsk_[\w-]{43}[0-9A-Za-z]{6}", key) and is_key(key) for key in keys)


def test_a_changed_or_cut_key_is_none() -> None:
    key = new_key()
    changed = key[:10] + ("A" if key[10] != "A" else "B") + key[11:]
    assert not any(map(is_key, (changed, key[:-1], f"{key}x", f"{key}\n", "jsk_", "", key.replace("jsk_", "jsx_"))))


def test_keys_are_hidden_wherever_secrets_are() -> None:
    key = new_key()
    assert may_hold_secrets(key.encode())
    assert redacted_text(f"I was given {key}, you know") == f"I was given {HIDDEN}, you know"


async def test_a_key_is_shown_once_and_acts_for_its_user(app: AuthApp, database: Database) -> None:
    made = await make(app)
    assert is_key(made["key"])
    assert made["hint"] == made["key"][-4:]
    assert made["scopes"] == ["workflows:read", "executions:read", "executions:run"]
    assert made["expires_at"] == (app.clock.at + timedelta(days=90)).isoformat()
    listed = await app.ok(await app.token("ada"), "GET", "/api/keys")
    assert listed["keys"] == [{name: value for name, value in made.items() if name != "key"}]
    async with database.transaction() as connection:
        row = (await connection.execute(select(api_keys))).one()
    assert made["key"] not in str(row)
    actor = await app.api_keys.actor(made["key"])
    assert actor is not None
    assert (actor.user_id, actor.workspace_id, actor.client) == ("ada", "w", "API key ci")
    assert actor.scopes == {Scope.WORKFLOWS_READ, Scope.EXECUTIONS_READ, Scope.EXECUTIONS_RUN}


async def test_other_tokens_are_no_keys(app: AuthApp) -> None:
    assert await app.api_keys.actor(await app.token("ada")) is None


async def test_a_key_has_no_scope_that_its_maker_does_not_have(app: AuthApp) -> None:
    body = {"name": "x", "scopes": ["workflows:write"]}
    assert await app.refused(await app.token("vera"), "POST", "/api/keys", body) == (403, "insufficient_scope")
    narrow = await app.token("ada", scopes=SCOPES_OF_ROLE[Role.VIEWER])
    assert await app.refused(narrow, "POST", "/api/keys", body) == (403, "insufficient_scope")


async def test_a_key_loses_what_its_users_role_loses(app: AuthApp) -> None:
    made = await make(app, "eve", scopes=["workflows:write", "workflows:read"])
    await app.api_keys.actor(made["key"])
    await app.ok(await app.token("ada"), "PATCH", "/api/workspaces/w/members/eve", {"role": "viewer"})
    actor = await app.api_keys.actor(made["key"])
    assert actor is not None
    assert actor.scopes == {Scope.WORKFLOWS_READ}
    assert actor.attainable == SCOPES_OF_ROLE[Role.VIEWER]


async def test_only_owners_make_keys_for_good(app: AuthApp) -> None:
    assert (await make(app, expires_in_days="never"))["expires_at"] is None
    body = {"name": "x", "scopes": ["workflows:read"], "expires_in_days": "never"}
    assert await app.refused(await app.token("eve"), "POST", "/api/keys", body) == (400, "invalid_arguments")


async def test_keys_and_clients_make_no_keys(app: AuthApp) -> None:
    body = {"name": "x", "scopes": ["workflows:read"]}
    made = await make(app, scopes=["admin", "workflows:read"])
    client = await app.token("ada", client_id="https://client.example")
    machine = await app.token("machine:robot", client_id="robot")
    for token in (made["key"], client, machine):
        assert await app.refused(token, "POST", "/api/keys", body) == (403, "own_login_needed")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "scopes": ["workflows:read"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["workflows:fly"]},
        {"name": "x", "scopes": ["workflows:read"], "expires_in_days": 366},
        {"name": "x", "scopes": ["workflows:read"], "expires_in_days": 0},
        {"name": "x"},
        {},
    ],
)
async def test_a_wrong_body_is_refused(app: AuthApp, body: Any) -> None:
    assert await app.refused(await app.token("ada"), "POST", "/api/keys", body) == (400, "invalid_arguments")


async def test_a_key_counts_until_its_time_is_over(app: AuthApp) -> None:
    made = await make(app, expires_in_days=1)
    await app.ok(made["key"], "GET", "/api/workspaces")
    app.clock.at += timedelta(days=1)
    assert await app.refused(made["key"], "GET", "/api/workspaces") == (401, "not_authenticated")


async def test_a_revoked_key_does_not_count_at_once(app: AuthApp) -> None:
    made = await make(app)
    await app.ok(await app.token("ada"), "DELETE", f"/api/keys/{made['id']}")
    assert await app.refused(made["key"], "GET", "/api/workspaces") == (401, "not_authenticated")


async def test_a_removed_or_disabled_users_keys_do_not_count(app: AuthApp, database: Database) -> None:
    eve, vera = await make(app, "eve"), await make(app, "vera", scopes=["workflows:read"])
    for each in (eve, vera):
        await app.ok(each["key"], "GET", "/api/workspaces")
    await app.ok(await app.token("ada"), "DELETE", "/api/workspaces/w/members/eve")
    await disable(database, "vera")
    app.sharing.role_changes.changed("vera")
    for each in (eve, vera):
        assert await app.refused(each["key"], "GET", "/api/workspaces") == (401, "not_authenticated")


async def test_what_another_process_did_is_seen_within_seconds(app: AuthApp, database: Database) -> None:
    made = await make(app, "eve")
    await app.ok(made["key"], "GET", "/api/workspaces")
    async with database.transaction() as connection:
        await connection.execute(
            update(memberships).where(memberships.c.user_id == "eve").values(role=Role.VIEWER.value)
        )
        await connection.execute(update(api_keys).values(revoked_at=app.clock.at))
    await app.ok(made["key"], "GET", "/api/workspaces")
    app.clock.at += KNOWN_FOR
    assert await app.refused(made["key"], "GET", "/api/workspaces") == (401, "not_authenticated")


async def test_unknown_keys_and_half_ones_do_not_count(app: AuthApp) -> None:
    for token in (new_key(), new_key()[:-1], "jsk_", "jsk_\u00fc"):
        with pytest.raises(NotAuthenticatedError):
            await app.api_keys.actor(token)


async def test_the_memory_of_keys_is_bounded(app: AuthApp) -> None:
    made = await make(app)
    known = app.api_keys._known
    await app.api_keys.actor(made["key"])
    (entry,) = known.values()
    for number in range(KNOWN_AT_MOST):
        known[str(number)] = entry
    app.clock.at += KNOWN_FOR
    await app.api_keys.actor(made["key"])
    assert len(known) <= KNOWN_AT_MOST + 1


async def test_owners_see_and_revoke_everybodys_keys_and_others_their_own(app: AuthApp) -> None:
    mine, eves = await make(app), await make(app, "eve")
    ada, eve = await app.token("ada"), await app.token("eve")
    everybodys = (await app.ok(ada, "GET", "/api/keys?all=true"))["keys"]
    assert [each["id"] for each in everybodys] == [eves["id"], mine["id"]]
    assert await app.refused(eve, "GET", "/api/keys?all=true") == (403, "insufficient_scope")
    assert await app.refused(eve, "DELETE", f"/api/keys/{mine['id']}") == (404, "api_key_not_found")
    mallory = await app.token("mallory", "m")
    assert await app.refused(mallory, "DELETE", f"/api/keys/{mine['id']}") == (404, "api_key_not_found")
    await app.ok(ada, "DELETE", f"/api/keys/{eves['id']}")
    assert await app.ok(eve, "GET", "/api/keys") == {"keys": [], "next_cursor": None}


async def test_keys_are_listed_page_by_page(app: AuthApp) -> None:
    made = [(await make(app))["id"] for _ in range(3)]
    ada = await app.token("ada")
    first = await app.ok(ada, "GET", "/api/keys?limit=2")
    second = await app.ok(ada, "GET", f"/api/keys?limit=2&cursor={first['next_cursor']}")
    assert [each["id"] for each in [*first["keys"], *second["keys"]]] == made[::-1]


async def test_when_a_key_was_used_is_written_later_and_once(app: AuthApp, database: Database) -> None:
    made = await make(app)
    for _ in range(3):
        app.clock.at += timedelta(seconds=1)
        await app.api_keys.actor(made["key"])
    used = select(api_keys.c.last_used_at)
    async with database.transaction() as connection:
        assert (await connection.execute(used)).scalar_one() is None
    async with app.api_keys.noting_uses():
        pass
    async with database.transaction() as connection:
        assert (await connection.execute(used)).scalar_one() == app.clock.at


async def test_times_of_use_that_cannot_be_written_stay_noted(
    app: AuthApp, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    made = await make(app)
    await app.api_keys.actor(made["key"])
    async with database.transaction() as connection:
        await connection.execute(text("ALTER TABLE api_keys RENAME TO elsewhere"))
    async with app.api_keys.noting_uses():
        pass
    assert "when API keys were used could not be written" in caplog.text
    async with database.transaction() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO api_keys"))
    await app.api_keys.write_uses()
    async with database.transaction() as connection:
        assert (await connection.execute(select(func.count(api_keys.c.last_used_at)))).scalar_one() == 1


async def test_making_and_revoking_is_noted_without_the_key(app: AuthApp) -> None:
    made = await make(app)
    await app.ok(await app.token("ada"), "DELETE", f"/api/keys/{made['id']}")
    created, revoked = await app.entries()
    assert (created.action, created.subject, created.user_id) == ("key.created", f"key:{made['id']}", "ada")
    assert (revoked.action, revoked.subject, revoked.client) == ("key.revoked", f"key:{made['id']}", "a browser")
    assert created.details is not None
    assert created.details["scopes"] == "workflows:read executions:read executions:run"
    assert made["key"] not in str([created, revoked])


async def test_programs_read_no_keys_and_members_without_the_scope_admin(app: AuthApp) -> None:
    """A key or client that may only look at workflows learns nothing of who else there is."""
    made = await make(app, scopes=["workflows:read", "executions:*"])
    client = await app.token("ada", client_id="https://client.example", scopes=frozenset({Scope.WORKFLOWS_READ}))
    admins = await make(app, scopes=["admin"])
    for path in ("/api/keys", "/api/keys?all=true", "/api/workspaces/w/members"):
        for token in (made["key"], client):
            assert await app.refused(token, "GET", path) == (403, "own_login_needed")
        assert await app.ok(admins["key"], "GET", path)
    for token in (made["key"], client):
        path = f"/api/keys/{made['id']}"
        assert await app.refused(token, "DELETE", path) == (403, "own_login_needed")
    await app.workspaces.create("other", name="Ada's other", owner_id="ada", now=NOW)
    seen = await app.ok(made["key"], "GET", "/api/workspaces")
    assert [each["id"] for each in seen["workspaces"]] == ["w"]
