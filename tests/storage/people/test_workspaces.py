"""Workspaces and their members, over every database."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from storage.database.database import Database
from storage.people.api_keys import SqlApiKeys
from storage.people.workspaces import Membership, SqlWorkspaces
from tests.storage.people.test_api_keys import key
from tests.support.accounts import NOW, add_users, disable
from workflow.errors import StorageError
from workflow.identity import Role
from workflow.workspaces import LastOwnerError, MemberNotFoundError, WorkspaceNotFoundError

DAY = timedelta(days=1)


@pytest.fixture
async def workspaces(database: Database) -> SqlWorkspaces:
    """Ada's workspace, and users ben and cleo who belong to none."""
    await add_users(database, "ada", "ben", "cleo")
    found = SqlWorkspaces(database)
    await found.create("w", name="Ada's", owner_id="ada", now=NOW)
    return found


async def test_the_maker_of_a_workspace_owns_it(workspaces: SqlWorkspaces) -> None:
    assert await workspaces.role_of("w", "ada") is Role.OWNER
    mine = Membership(workspace_id="w", workspace_name="Ada's", user_id="ada", role=Role.OWNER)
    assert await workspaces.of_user("ada") == [mine]


async def test_nobody_else_belongs_to_it(workspaces: SqlWorkspaces) -> None:
    assert await workspaces.role_of("w", "ben") is None
    assert await workspaces.role_of("none", "ada") is None
    assert await workspaces.of_user("ben") == []
    assert await workspaces.members("none") == []


async def test_a_member_is_listed_with_name_role_and_time(workspaces: SqlWorkspaces) -> None:
    await workspaces.put_member("w", "ben", Role.VIEWER, now=NOW + DAY)
    ada, ben = await workspaces.members("w")
    assert (ada.user_id, ada.role, ada.since) == ("ada", Role.OWNER, NOW)
    assert (ben.name, ben.email, ben.role, ben.since) == ("Ben", "ben@example.com", Role.VIEWER, NOW + DAY)


async def test_the_workspaces_of_a_user_come_in_the_order_they_joined(workspaces: SqlWorkspaces) -> None:
    await workspaces.create("a", name="Second", owner_id="ben", now=NOW + DAY)
    await workspaces.put_member("a", "ada", Role.EDITOR, now=NOW + 2 * DAY)
    assert [each.workspace_id for each in await workspaces.of_user("ada")] == ["w", "a"]


async def test_putting_a_member_again_changes_the_role_only(workspaces: SqlWorkspaces) -> None:
    await workspaces.put_member("w", "ben", Role.VIEWER, now=NOW)
    await workspaces.put_member("w", "ben", Role.EDITOR, now=NOW + DAY)
    _, ben = await workspaces.members("w")
    assert (ben.role, ben.since) == (Role.EDITOR, NOW)


async def test_a_change_of_role_tells_the_role_before(workspaces: SqlWorkspaces) -> None:
    await workspaces.put_member("w", "ben", Role.VIEWER, now=NOW)
    assert await workspaces.change_role("w", "ben", Role.OPERATOR) is Role.VIEWER
    assert await workspaces.role_of("w", "ben") is Role.OPERATOR


async def test_a_removed_member_has_no_role_any_more(workspaces: SqlWorkspaces) -> None:
    await workspaces.put_member("w", "ben", Role.EDITOR, now=NOW)
    await workspaces.remove_member("w", "ben", now=NOW)
    assert await workspaces.role_of("w", "ben") is None


async def test_a_removed_members_keys_there_are_over_for_good(workspaces: SqlWorkspaces, database: Database) -> None:
    await workspaces.create("b", name="Ben's", owner_id="ben", now=NOW)
    await workspaces.put_member("w", "ben", Role.EDITOR, now=NOW)
    keys = SqlApiKeys(database)
    for place in ("w", "b"):
        await keys.add(key(place, user_id="ben", workspace_id=place), key_hash=place)
    await workspaces.remove_member("w", "ben", now=NOW + DAY)
    await workspaces.put_member("w", "ben", Role.EDITOR, now=NOW + DAY)
    held = {place: await keys.holder(place) for place in ("w", "b")}
    assert {place: each and each.key.revoked_at for place, each in held.items()} == {"w": NOW + DAY, "b": None}


async def test_who_does_not_belong_cannot_be_changed_or_removed(workspaces: SqlWorkspaces) -> None:
    with pytest.raises(MemberNotFoundError):
        await workspaces.change_role("w", "ben", Role.OWNER)
    with pytest.raises(MemberNotFoundError):
        await workspaces.remove_member("w", "ben", now=NOW)


async def test_a_workspace_that_is_not_there_takes_no_members(workspaces: SqlWorkspaces) -> None:
    with pytest.raises(WorkspaceNotFoundError):
        await workspaces.put_member("none", "ben", Role.VIEWER, now=NOW)
    with pytest.raises(WorkspaceNotFoundError):
        await workspaces.remove_member("none", "ada", now=NOW)


async def test_a_user_who_is_not_there_becomes_no_member(workspaces: SqlWorkspaces) -> None:
    with pytest.raises(StorageError):
        await workspaces.put_member("w", "nobody", Role.VIEWER, now=NOW)


async def test_the_last_owner_can_neither_leave_nor_be_less(workspaces: SqlWorkspaces) -> None:
    await workspaces.put_member("w", "ben", Role.EDITOR, now=NOW)
    with pytest.raises(LastOwnerError):
        await workspaces.remove_member("w", "ada", now=NOW)
    with pytest.raises(LastOwnerError):
        await workspaces.change_role("w", "ada", Role.EDITOR)
    with pytest.raises(LastOwnerError):
        await workspaces.put_member("w", "ada", Role.VIEWER, now=NOW)
    assert await workspaces.role_of("w", "ada") is Role.OWNER


async def test_an_owner_may_leave_when_there_is_another(workspaces: SqlWorkspaces) -> None:
    await workspaces.put_member("w", "ben", Role.OWNER, now=NOW)
    await workspaces.remove_member("w", "ada", now=NOW)
    assert [each.user_id for each in await workspaces.members("w")] == ["ben"]


async def test_a_disabled_owner_does_not_count_as_another(workspaces: SqlWorkspaces, database: Database) -> None:
    await workspaces.put_member("w", "ben", Role.OWNER, now=NOW)
    await disable(database, "ben")
    with pytest.raises(LastOwnerError):
        await workspaces.remove_member("w", "ada", now=NOW)
    assert [each.is_disabled for each in await workspaces.members("w")] == [False, True]


async def test_of_owners_who_all_leave_at_once_one_stays(workspaces: SqlWorkspaces) -> None:
    for name in ("ben", "cleo"):
        await workspaces.put_member("w", name, Role.OWNER, now=NOW)
    ended = await asyncio.gather(
        *(workspaces.remove_member("w", name, now=NOW) for name in ("ada", "ben", "cleo")), return_exceptions=True
    )
    assert [type(each) for each in ended if each is not None] == [LastOwnerError]
    assert len(await workspaces.members("w")) == 1


async def test_a_workspace_can_be_renamed(workspaces: SqlWorkspaces) -> None:
    await workspaces.rename("w", "Ours")
    assert await workspaces.name_of("w") == "Ours"
    with pytest.raises(WorkspaceNotFoundError):
        await workspaces.rename("none", "Ours")
    with pytest.raises(WorkspaceNotFoundError):
        await workspaces.name_of("none")
