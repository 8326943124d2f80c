"""Invitations, over every database."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from storage.database.database import Database
from storage.people.invitations import SqlInvitations, use_invitation
from storage.people.workspaces import SqlWorkspaces
from tests.support.accounts import NOW, add_users
from workflow.identity import Role
from workflow.workspaces import AlreadyMemberError, Invitation, InvitationNotFoundError

DAY = timedelta(days=1)


@pytest.fixture
async def invitations(database: Database) -> SqlInvitations:
    """With Ada's workspace, and ben and cleo who belong to none."""
    await add_users(database, "ada", "ben", "cleo")
    await SqlWorkspaces(database).create("w", name="Ada's", owner_id="ada", now=NOW)
    return SqlInvitations(database)


def invitation(name: str = "i", **members: object) -> Invitation:
    """An invitation to Ada's workspace."""
    given = {
        "id": name,
        "email": None,
        "workspace_id": "w",
        "role": Role.EDITOR,
        "invited_by": "ada",
        "created_at": NOW,
        "expires_at": NOW + DAY,
    }
    return Invitation(**{**given, **members})  # type: ignore[arg-type]


async def test_who_accepts_an_invitation_is_a_member(invitations: SqlInvitations, database: Database) -> None:
    await invitations.add(invitation(), token_hash="h")
    accepted = await invitations.accept("h", user_id="ben", now=NOW)
    assert accepted == invitation()
    assert await SqlWorkspaces(database).role_of("w", "ben") is Role.EDITOR


async def test_an_invitation_counts_once(invitations: SqlInvitations, database: Database) -> None:
    await invitations.add(invitation(), token_hash="h")
    ended = await asyncio.gather(
        *(invitations.accept("h", user_id=each, now=NOW) for each in ("ben", "cleo")),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in ended) == ["Invitation", "InvitationNotFoundError"]
    assert len(await SqlWorkspaces(database).members("w")) == 2


async def test_an_invitation_counts_until_its_time_is_over(invitations: SqlInvitations) -> None:
    await invitations.add(invitation(), token_hash="h")
    with pytest.raises(InvitationNotFoundError):
        await invitations.accept("h", user_id="ben", now=NOW + DAY)
    assert await invitations.of_workspace("w", now=NOW + DAY) == []


async def test_an_invitation_with_an_address_is_for_its_owner(invitations: SqlInvitations) -> None:
    await invitations.add(invitation(email="ben@example.com"), token_hash="h")
    with pytest.raises(InvitationNotFoundError):
        await invitations.accept("h", user_id="cleo", now=NOW)
    await invitations.accept("h", user_id="ben", now=NOW)


async def test_a_member_does_not_use_an_invitation_up(invitations: SqlInvitations, database: Database) -> None:
    await invitations.add(invitation(role=Role.VIEWER), token_hash="h")
    with pytest.raises(AlreadyMemberError):
        await invitations.accept("h", user_id="ada", now=NOW)
    assert await SqlWorkspaces(database).role_of("w", "ada") is Role.OWNER
    await invitations.accept("h", user_id="ben", now=NOW)


async def test_an_invitation_to_no_workspace_makes_no_member_and_is_not_used_up(
    invitations: SqlInvitations, database: Database
) -> None:
    await invitations.add(invitation(workspace_id=None, role=None, email="new@example.com"), token_hash="h")
    with pytest.raises(InvitationNotFoundError):
        await invitations.accept("h", user_id="ben", now=NOW)
    async with database.transaction() as connection:
        assert (await use_invitation(connection, "h", email="New@Example.com", now=NOW)).id == "i"


async def test_open_invitations_are_listed_and_can_be_taken_back(invitations: SqlInvitations) -> None:
    for name in ("a", "b"):
        await invitations.add(invitation(name), token_hash=name)
    assert [each.id for each in await invitations.of_workspace("w", now=NOW)] == ["a", "b"]
    await invitations.revoke("w", "a")
    with pytest.raises(InvitationNotFoundError):
        await invitations.accept("a", user_id="ben", now=NOW)
    await invitations.accept("b", user_id="ben", now=NOW)
    assert await invitations.of_workspace("w", now=NOW) == []


async def test_only_the_workspace_itself_takes_an_open_invitation_back(invitations: SqlInvitations) -> None:
    await invitations.add(invitation(), token_hash="h")
    for workspace, name in (("other", "i"), ("w", "none")):
        with pytest.raises(InvitationNotFoundError):
            await invitations.revoke(workspace, name)
    await invitations.accept("h", user_id="ben", now=NOW)
    with pytest.raises(InvitationNotFoundError):
        await invitations.revoke("w", "i")


async def test_somebody_without_an_account_cannot_accept(invitations: SqlInvitations) -> None:
    await invitations.add(invitation(), token_hash="h")
    with pytest.raises(InvitationNotFoundError):
        await invitations.accept("h", user_id="local", now=NOW)


async def test_old_invitations_are_let_go_of(invitations: SqlInvitations) -> None:
    await invitations.add(invitation(), token_hash="h")
    assert await invitations.prune(expired_before=NOW, limit=10) == 0
    assert await invitations.prune(expired_before=NOW + 2 * DAY, limit=10) == 1
