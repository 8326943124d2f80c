"""API keys, over every database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage.database.database import Database
from storage.people.api_keys import ApiKey, ApiKeyNotFoundError, SqlApiKeys
from storage.people.workspaces import SqlWorkspaces
from tests.support.accounts import NOW, add_users, disable
from workflow.errors import InvalidArgumentsError
from workflow.identity import Role, Scope

DAY = timedelta(days=1)


@pytest.fixture
async def keys(database: Database) -> SqlApiKeys:
    """With Ada's workspace, where ben is a viewer."""
    await add_users(database, "ada", "ben")
    workspaces = SqlWorkspaces(database)
    await workspaces.create("w", name="Ada's", owner_id="ada", now=NOW)
    await workspaces.put_member("w", "ben", Role.VIEWER, now=NOW)
    return SqlApiKeys(database)


def key(name: str = "k", **members: object) -> ApiKey:
    """A key of Ada's."""
    given = {
        "id": name,
        "name": f"key {name}",
        "hint": "abcd",
        "user_id": "ada",
        "workspace_id": "w",
        "scopes": frozenset({Scope.WORKFLOWS_READ, Scope.EXECUTIONS_RUN}),
        "created_at": NOW,
        "expires_at": NOW + DAY,
    }
    return ApiKey(**{**given, **members})  # type: ignore[arg-type]


async def test_a_key_is_found_by_its_hash_with_what_its_user_is_now(keys: SqlApiKeys, database: Database) -> None:
    await keys.add(key(user_id="ben"), key_hash="h")
    held = await keys.holder("h")
    assert held is not None
    assert (held.key, held.is_disabled, held.role) == (key(user_id="ben"), False, Role.VIEWER)
    await SqlWorkspaces(database).remove_member("w", "ben", now=NOW)
    await disable(database, "ben")
    held = await keys.holder("h")
    assert held is not None
    assert (held.is_disabled, held.role) == (True, None)


async def test_no_key_has_an_unknown_hash(keys: SqlApiKeys) -> None:
    assert await keys.holder("h") is None


async def test_keys_are_listed_newest_first_page_by_page(keys: SqlApiKeys) -> None:
    for name in ("a", "b", "c"):
        await keys.add(key(name), key_hash=name)
    first = await keys.page("w", user_id="ada", now=NOW, limit=2, cursor=None)
    second = await keys.page("w", user_id="ada", now=NOW, limit=2, cursor=first.next_cursor)
    assert [each.id for each in [*first.items, *second.items]] == ["c", "b", "a"]
    assert second.next_cursor is None
    with pytest.raises(InvalidArgumentsError):
        await keys.page("w", user_id="ada", now=NOW, limit=2, cursor="x")


async def test_a_user_is_shown_their_own_and_the_workspace_all(keys: SqlApiKeys) -> None:
    await keys.add(key("a"), key_hash="a")
    await keys.add(key("b", user_id="ben"), key_hash="b")
    shown = {
        who: [each.id for each in (await keys.page("w", user_id=who, now=NOW, limit=9, cursor=None)).items]
        for who in ("ada", "ben", None)
    }
    assert shown == {"ada": ["a"], "ben": ["b"], None: ["b", "a"]}
    assert (await keys.page("other", user_id=None, now=NOW, limit=9, cursor=None)).items == []


async def test_keys_that_count_no_more_are_not_listed(keys: SqlApiKeys) -> None:
    await keys.add(key("old"), key_hash="a")
    await keys.add(key("gone", expires_at=None), key_hash="b")
    await keys.add(key("lasting", expires_at=None), key_hash="c")
    await keys.revoke("w", "gone", user_id="ada", now=NOW)
    page = await keys.page("w", user_id="ada", now=NOW + DAY, limit=9, cursor=None)
    assert [each.id for each in page.items] == ["lasting"]


async def test_a_key_is_revoked_once_by_its_user_or_by_the_workspace(keys: SqlApiKeys) -> None:
    await keys.add(key(), key_hash="h")
    for workspace, user in (("w", "ben"), ("other", None)):
        with pytest.raises(ApiKeyNotFoundError):
            await keys.revoke(workspace, "k", user_id=user, now=NOW)
    assert (await keys.revoke("w", "k", user_id=None, now=NOW)).revoked_at == NOW
    with pytest.raises(ApiKeyNotFoundError):
        await keys.revoke("w", "k", user_id="ada", now=NOW)


async def test_when_keys_were_used_is_kept(keys: SqlApiKeys) -> None:
    for name in ("a", "b"):
        await keys.add(key(name), key_hash=name)
    await keys.used({})
    await keys.used({"a": NOW + DAY, "b": NOW})
    page = await keys.page("w", user_id="ada", now=NOW, limit=9, cursor=None)
    assert {each.id: each.last_used_at for each in page.items} == {"a": NOW + DAY, "b": NOW}
