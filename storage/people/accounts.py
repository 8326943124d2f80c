"""Users, who vouches for them, and how they come in: every way into the table of users is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database
from storage.people.invitations import use_invitation
from storage.people.workspaces import add_member, add_workspace
from storage.tables.accounts import memberships, user_identities, users, workspaces
from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import LOCAL_ID, Role


class EmailTakenError(JobsprintError):
    """Somebody has an account with this e-mail address."""

    code = "email_taken"
    kind = ErrorKind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "There is an account with this e-mail address.", pointer="/email", fix="Log in, or take another address."
        )


class NotFirstError(JobsprintError):
    """The first account was to be made, and there is one."""

    code = "not_first"
    kind = ErrorKind.CONFLICT

    def __init__(self) -> None:
        super().__init__("There is an account already.", fix="Log in with it, or ask its user for an invitation.")


class UserNotFoundError(JobsprintError):
    """No user has this e-mail address or id."""

    code = "user_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no user {name!r:.300}.", fix="`jobsprint users list` shows those there are.")


@dataclass(slots=True, frozen=True, kw_only=True)
class User:
    """Somebody with an account. ``email`` is in lower case; ``password_hash`` is ``None`` where an identity provider
    signs them in. A disabled user cannot do anything."""

    id: str
    email: str
    name: str
    password_hash: str | None
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class OutsideIdentity:
    """What somebody else calls a user: ``subject`` is the same for ever at this issuer, and nobody else's."""

    issuer: str
    subject: str


@dataclass(slots=True, frozen=True, kw_only=True)
class Entry:
    """What a new user comes in by, and what else the new account gets.

    ``is_first`` makes it the first account or none. ``takes_local`` gives it the workspace of the local user, if that
    has nobody. ``invitation_hash`` is used up by it.
    """

    identity: OutsideIdentity | None = None
    invitation_hash: str | None = None
    is_first: bool = False
    takes_local: bool = False


class SqlAccounts:
    """Users in the database. E-mail addresses come in lower case."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, user: User, entry: Entry = Entry()) -> str:
        """Keep a new user, with everything that comes with the account, or nothing of it; their own workspace's id.

        That is "local" where they take it, else one of their own with their id.

        Raises:
            EmailTakenError, InvitationNotFoundError, NotFirstError: see there.
        """
        async with self._database.transaction() as connection:
            # Those who come in take turns, so that there is one first, and one who takes the local workspace. A write
            # that changes nothing does it on every database.
            await connection.execute(
                update(workspaces).where(workspaces.c.id == LOCAL_ID).values(name=workspaces.c.name)
            )
            if entry.is_first and await _has_any(connection):
                raise NotFirstError
            await _insert(connection, user)
            if entry.identity is not None:
                await _vouch(connection, user.id, entry.identity, now=user.created_at)
            own = user.id
            if entry.takes_local and not await _has_members(connection, LOCAL_ID):
                own = LOCAL_ID
                await add_member(connection, own, user.id, Role.OWNER, now=user.created_at)
            else:
                await add_workspace(connection, own, name=user.name, owner_id=user.id, now=user.created_at)
            if entry.invitation_hash is not None:
                await _take_invitation(connection, entry.invitation_hash, user)
        return own

    async def home(self, user_id: str) -> str:
        """The id of the workspace that the user has belonged to longest; their own, where they never left it."""
        query = (
            select(memberships.c.workspace_id)
            .where(memberships.c.user_id == user_id)
            .order_by(memberships.c.created_at, memberships.c.role != Role.OWNER.value)
            .limit(1)
        )
        async with self._database.statement() as connection:
            home: str | None = (await connection.execute(query)).scalar_one_or_none()
        return home or user_id

    async def has_any(self) -> bool:
        """Whether there is any user, disabled or not."""
        async with self._database.transaction() as connection:
            return await _has_any(connection)

    async def get(self, user_id: str) -> User | None:
        """The user with an id."""
        return await self._one(users.c.id == user_id)

    async def by_email(self, email: str) -> User | None:
        """The user with an e-mail address."""
        return await self._one(users.c.email == email)

    async def by_identity(self, identity: OutsideIdentity) -> User | None:
        """The user whom somebody else calls so."""
        return await self._one(
            users.c.id.in_(
                select(user_identities.c.user_id).where(
                    user_identities.c.issuer == identity.issuer, user_identities.c.subject == identity.subject
                )
            )
        )

    async def all(self) -> Sequence[User]:
        """Every user, the oldest first."""
        async with self._database.statement() as connection:
            rows = await connection.execute(select(users).order_by(users.c.created_at, users.c.id))
            return [_user(row) for row in rows]

    async def standing(self, user_id: str, workspace_id: str) -> Role | None:
        """What the user may do in the workspace now; see :class:`server.auth.sessions.sessions.Standing`."""
        query = (
            select(memberships.c.role)
            .join(users, users.c.id == memberships.c.user_id)
            .where(
                memberships.c.workspace_id == workspace_id,
                memberships.c.user_id == user_id,
                users.c.disabled_at.is_(None),
            )
        )
        async with self._database.statement() as connection:
            role: str | None = (await connection.execute(query)).scalar_one_or_none()
        return None if role is None else Role(role)

    async def set_password(self, user_id: str, password_hash: str | None) -> None:
        """Keep another password's hash, or none.

        Raises:
            UserNotFoundError: there is no such user.
        """
        await self._change(user_id, password_hash=password_hash)

    async def set_disabled(self, user_id: str, at: datetime | None) -> None:
        """Disable a user, or let them in again with ``None``.

        Raises:
            UserNotFoundError: there is no such user.
        """
        await self._change(user_id, disabled_at=at)

    async def adopt(self, user_id: str, identity: OutsideIdentity, *, now: datetime) -> None:
        """Make an identity the user's only one. Their password ends: the person who chose it has not shown that the
        address is theirs, as the issuer has."""
        async with self._database.transaction() as connection:
            await _vouch(connection, user_id, identity, now=now)
            await connection.execute(update(users).where(users.c.id == user_id).values(password_hash=None))

    async def _one(self, where: Any) -> User | None:
        async with self._database.statement() as connection:
            row = (await connection.execute(select(users).where(where))).one_or_none()
        return None if row is None else _user(row)

    async def _change(self, user_id: str, **values: Any) -> None:
        async with self._database.statement() as connection:
            changed = await connection.execute(update(users).where(users.c.id == user_id).values(**values))
            if changed.rowcount == 0:
                raise UserNotFoundError(user_id)


async def _has_any(connection: AsyncConnection) -> bool:
    return bool((await connection.execute(select(exists(select(users.c.id))))).scalar_one())


async def _has_members(connection: AsyncConnection, workspace_id: str) -> bool:
    count = select(func.count()).select_from(memberships).where(memberships.c.workspace_id == workspace_id)
    return bool((await connection.execute(count)).scalar_one())


async def _insert(connection: AsyncConnection, user: User) -> None:
    try:
        await connection.execute(
            insert(users).values(
                id=user.id,
                email=user.email,
                name=user.name,
                password_hash=user.password_hash,
                created_at=user.created_at,
                disabled_at=user.disabled_at,
            )
        )
    except IntegrityError as error:
        raise EmailTakenError from error


async def _vouch(connection: AsyncConnection, user_id: str, identity: OutsideIdentity, *, now: datetime) -> None:
    await connection.execute(
        insert(user_identities).values(
            issuer=identity.issuer, subject=identity.subject, user_id=user_id, created_at=now
        )
    )


async def _take_invitation(connection: AsyncConnection, token_hash: str, user: User) -> None:
    invitation = await use_invitation(connection, token_hash, email=user.email, now=user.created_at)
    if invitation.workspace_id is not None and invitation.role is not None:
        await add_member(connection, invitation.workspace_id, user.id, invitation.role, now=user.created_at)


def _user(row: Any) -> User:
    return User(
        id=row.id,
        email=row.email,
        name=row.name,
        password_hash=row.password_hash,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )
