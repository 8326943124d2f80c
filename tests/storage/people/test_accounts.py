"""Users in the database: who they are, what comes with an account, and that each comes in once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from storage.database.database import Database
from storage.people.accounts import (
    EmailTakenError,
    Entry,
    NotFirstError,
    OutsideIdentity,
    SqlAccounts,
    User,
    UserNotFoundError,
)
from storage.people.workspaces import SqlWorkspaces
from storage.tables.accounts import invitations
from workflow.identity import LOCAL_ID, Role
from workflow.workspaces import InvitationNotFoundError

NOW = datetime(2024, 1, 6, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
GOOGLE = OutsideIdentity(issuer="https://issuer.example", subject="42")


@pytest.fixture
def accounts(database: Database) -> SqlAccounts:
    """No users."""
    return SqlAccounts(database)


def user(name: str) -> User:
    """A user with a password."""
    return User(
        id=f"id-{name}", email=f"{name}@example.com", name=name.title(), password_hash="$argon2id$…", created_at=NOW
    )


async def invite(database: Database, name: str, **values: object) -> None:
    """An invitation whose token's hash is its name."""
    defaults = {"id": name, "token_hash": name, "invited_by": "id-ada", "created_at": NOW, "expires_at": NOW + DAY}
    async with database.transaction() as connection:
        await connection.execute(insert(invitations).values(**{**defaults, **values}))


async def test_a_user_is_found_by_id_address_and_identity(accounts: SqlAccounts) -> None:
    assert not await accounts.has_any()
    await accounts.add(user("ada"), Entry(identity=GOOGLE))
    await accounts.add(user("ben"))
    assert await accounts.has_any()
    assert await accounts.get("id-ada") == user("ada")
    assert await accounts.by_email("ada@example.com") == user("ada")
    assert await accounts.by_identity(GOOGLE) == user("ada")
    assert await accounts.all() == [user("ada"), user("ben")]
    assert await accounts.get("none") is None
    assert await accounts.by_email("Ada@example.com") is None
    assert await accounts.by_identity(OutsideIdentity(issuer=GOOGLE.issuer, subject="43")) is None
    assert await accounts.by_identity(OutsideIdentity(issuer="https://other.example", subject="42")) is None


async def test_a_user_has_a_workspace_of_their_own(accounts: SqlAccounts, database: Database) -> None:
    assert await accounts.add(user("ada")) == "id-ada"
    (own,) = await SqlWorkspaces(database).of_user("id-ada")
    assert (own.workspace_id, own.workspace_name, own.role) == ("id-ada", "Ada", Role.OWNER)
    assert await accounts.home("id-ada") == "id-ada"


async def test_the_local_users_workspace_is_taken_once(accounts: SqlAccounts, database: Database) -> None:
    assert await accounts.add(user("ada"), Entry(is_first=True, takes_local=True)) == LOCAL_ID
    assert await accounts.add(user("ben"), Entry(takes_local=True)) == "id-ben"
    workspaces = SqlWorkspaces(database)
    assert [each.workspace_id for each in await workspaces.of_user("id-ada")] == [LOCAL_ID]
    assert await workspaces.role_of(LOCAL_ID, "id-ben") is None
    assert (await accounts.home("id-ada"), await accounts.home("id-ben")) == (LOCAL_ID, "id-ben")


async def test_of_many_who_want_to_be_first_at_once_one_is(accounts: SqlAccounts) -> None:
    first = Entry(is_first=True, takes_local=True)
    made = await asyncio.gather(
        *(accounts.add(user(f"user{number}"), first) for number in range(5)), return_exceptions=True
    )
    assert made.count(LOCAL_ID) == 1
    assert sum(isinstance(each, NotFirstError) for each in made) == 4
    assert len(await accounts.all()) == 1


async def test_an_address_has_one_account_when_two_register_at_once(accounts: SqlAccounts) -> None:
    made = await asyncio.gather(
        *(accounts.add(User(**{**_values(user("ada")), "id": f"id-{number}"})) for number in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, EmailTakenError) for each in made) == 3
    assert len(await accounts.all()) == 1


async def test_an_invitation_makes_a_member_and_is_used_up(accounts: SqlAccounts, database: Database) -> None:
    await accounts.add(user("ada"))
    await invite(database, "once", workspace_id="id-ada", role="editor")
    await accounts.add(user("ben"), Entry(invitation_hash="once"))
    workspaces = SqlWorkspaces(database)
    assert await workspaces.role_of("id-ada", "id-ben") is Role.EDITOR
    assert await workspaces.role_of("id-ben", "id-ben") is Role.OWNER
    with pytest.raises(InvitationNotFoundError):
        await accounts.add(user("cleo"), Entry(invitation_hash="once"))
    assert await accounts.get("id-cleo") is None


async def test_an_invitation_may_be_for_an_account_only(accounts: SqlAccounts, database: Database) -> None:
    await invite(database, "plain")
    await accounts.add(user("ben"), Entry(invitation_hash="plain"))
    assert [each.workspace_id for each in await SqlWorkspaces(database).of_user("id-ben")] == ["id-ben"]


async def test_an_invitation_that_does_not_count_makes_nobody(accounts: SqlAccounts, database: Database) -> None:
    await invite(database, "over", expires_at=NOW)
    await invite(database, "bens", email="ben@example.com")
    for name in ("over", "bens", "unknown"):
        with pytest.raises(InvitationNotFoundError):
            await accounts.add(user("ada"), Entry(invitation_hash=name))
    assert await accounts.all() == []
    await accounts.add(user("ben"), Entry(invitation_hash="bens"))
    async with database.transaction() as connection:
        used = await connection.execute(select(invitations.c.id).where(invitations.c.used_at.is_not(None)))
        assert used.scalars().all() == ["bens"]


async def test_what_a_user_may_do_follows_their_role_and_ends_when_they_are_disabled(
    accounts: SqlAccounts, database: Database
) -> None:
    await accounts.add(user("ada"))
    await accounts.add(user("ben"))
    await SqlWorkspaces(database).put_member("id-ada", "id-ben", Role.VIEWER, now=NOW)
    assert await accounts.standing("id-ada", "id-ada") is Role.OWNER
    assert await accounts.standing("id-ben", "id-ada") is Role.VIEWER
    assert await accounts.standing("id-ada", "id-ben") is None
    assert await accounts.standing("none", "id-ada") is None
    await accounts.set_disabled("id-ben", NOW)
    assert await accounts.standing("id-ben", "id-ada") is None
    assert (await accounts.get("id-ben") or user("x")).disabled_at == NOW
    await accounts.set_disabled("id-ben", None)
    assert await accounts.standing("id-ben", "id-ada") is Role.VIEWER


async def test_a_password_is_changed_and_ends_when_an_issuer_vouches_for_the_address(accounts: SqlAccounts) -> None:
    await accounts.add(user("ada"))
    await accounts.set_password("id-ada", "$argon2id$other")
    assert (await accounts.get("id-ada") or user("x")).password_hash == "$argon2id$other"
    await accounts.adopt("id-ada", GOOGLE, now=NOW)
    found = await accounts.by_identity(GOOGLE)
    assert found is not None
    assert (found.id, found.password_hash) == ("id-ada", None)
    with pytest.raises(UserNotFoundError):
        await accounts.set_password("none", "x")


def _values(user: User) -> dict[str, object]:
    return {name: getattr(user, name) for name in User.__dataclass_fields__}
