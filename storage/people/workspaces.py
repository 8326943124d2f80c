"""Workspaces and their members in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database
from storage.tables.accounts import api_keys, memberships, users, workspaces
from workflow.identity import Role
from workflow.workspaces import LastOwnerError, Member, MemberNotFoundError, WorkspaceNotFoundError
from workflow.workspaces import Membership as Membership


class SqlWorkspaces:
    """Workspaces; each has at least one owner, whatever comes at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, workspace_id: str, *, name: str, owner_id: str, now: datetime) -> None:
        """Make a workspace whose one member is its owner.

        Raises:
            StorageError: there is one of this id, or no such user.
        """
        async with self._database.transaction() as connection:
            await add_workspace(connection, workspace_id, name=name, owner_id=owner_id, now=now)

    async def rename(self, workspace_id: str, name: str) -> None:
        """Give a workspace another name.

        Raises:
            WorkspaceNotFoundError: there is no such workspace.
        """
        async with self._database.statement() as connection:
            renamed = await connection.execute(
                update(workspaces).where(workspaces.c.id == workspace_id).values(name=name)
            )
            if renamed.rowcount == 0:
                raise WorkspaceNotFoundError(workspace_id)

    async def name_of(self, workspace_id: str) -> str:
        """What a workspace is called.

        Raises:
            WorkspaceNotFoundError: there is no such workspace.
        """
        query = select(workspaces.c.name).where(workspaces.c.id == workspace_id)
        async with self._database.statement() as connection:
            name: str | None = (await connection.execute(query)).scalar_one_or_none()
        if name is None:
            raise WorkspaceNotFoundError(workspace_id)
        return name

    async def role_of(self, workspace_id: str, user_id: str) -> Role | None:
        """What the user is in the workspace; ``None`` where they do not belong to it, or there is none."""
        async with self._database.transaction() as connection:
            return await read_role(connection, workspace_id, user_id)

    async def of_user(self, user_id: str) -> Sequence[Membership]:
        """The workspaces that a user belongs to, the one they have belonged to longest first."""
        query = (
            select(memberships, workspaces.c.name)
            .join(workspaces, workspaces.c.id == memberships.c.workspace_id)
            .where(memberships.c.user_id == user_id)
            .order_by(memberships.c.created_at, memberships.c.workspace_id)
        )
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Membership(workspace_id=row.workspace_id, workspace_name=row.name, user_id=row.user_id, role=Role(row.role))
            for row in rows
        ]

    async def members(self, workspace_id: str) -> Sequence[Member]:
        """A workspace's members, the earliest first; none where there is no such workspace."""
        query = (
            select(memberships, users.c.name, users.c.email, users.c.disabled_at)
            .join(users, users.c.id == memberships.c.user_id)
            .where(memberships.c.workspace_id == workspace_id)
            .order_by(memberships.c.created_at, memberships.c.user_id)
        )
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Member(
                user_id=row.user_id,
                name=row.name,
                email=row.email,
                role=Role(row.role),
                since=row.created_at,
                is_disabled=row.disabled_at is not None,
            )
            for row in rows
        ]

    async def put_member(self, workspace_id: str, user_id: str, role: Role, *, now: datetime) -> None:
        """Make a user a member of a workspace, or give a member another role.

        Raises:
            WorkspaceNotFoundError: there is no such workspace.
            LastOwnerError: the workspace would be left without an owner.
            StorageError: there is no such user.
        """
        async with self._database.transaction() as connection:
            await add_member(connection, workspace_id, user_id, role, now=now)

    async def change_role(self, workspace_id: str, user_id: str, role: Role) -> Role:
        """Give a member another role, and return the one they had.

        Raises:
            WorkspaceNotFoundError: there is no such workspace.
            MemberNotFoundError: the user does not belong to it.
            LastOwnerError: the workspace would be left without an owner.
        """
        async with self._database.transaction() as connection:
            await _hold(connection, workspace_id)
            before = await _member_role(connection, workspace_id, user_id)
            await _write_role(connection, workspace_id, user_id, before=before, role=role)
        return before

    async def remove_member(self, workspace_id: str, user_id: str, *, now: datetime) -> None:
        """End a membership, and the API keys with which the member acted in the workspace.

        Raises:
            WorkspaceNotFoundError: there is no such workspace.
            MemberNotFoundError: the user does not belong to it.
            LastOwnerError: the workspace would be left without an owner.
        """
        async with self._database.transaction() as connection:
            await _hold(connection, workspace_id)
            if await _member_role(connection, workspace_id, user_id) is Role.OWNER:
                await _need_another_owner(connection, workspace_id, user_id)
            await connection.execute(delete(memberships).where(_is_membership(workspace_id, user_id)))
            # Else they would count again if the user came back.
            keys = (api_keys.c.workspace_id == workspace_id) & (api_keys.c.user_id == user_id)
            await connection.execute(
                update(api_keys).where(keys, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
            )


async def add_workspace(
    connection: AsyncConnection, workspace_id: str, *, name: str, owner_id: str, now: datetime
) -> None:
    """Make a workspace within a transaction; its one member is its owner."""
    await connection.execute(insert(workspaces).values(id=workspace_id, name=name, created_at=now))
    await connection.execute(
        insert(memberships).values(workspace_id=workspace_id, user_id=owner_id, role=Role.OWNER.value, created_at=now)
    )


async def add_member(
    connection: AsyncConnection, workspace_id: str, user_id: str, role: Role, *, now: datetime
) -> None:
    """Make a user a member within a transaction, or give a member another role.

    Raises:
        WorkspaceNotFoundError: there is no such workspace.
        LastOwnerError: the workspace would be left without an owner.
    """
    await _hold(connection, workspace_id)
    before = await read_role(connection, workspace_id, user_id)
    if before is None:
        await connection.execute(
            insert(memberships).values(workspace_id=workspace_id, user_id=user_id, role=role.value, created_at=now)
        )
    else:
        await _write_role(connection, workspace_id, user_id, before=before, role=role)


async def read_role(connection: AsyncConnection, workspace_id: str, user_id: str) -> Role | None:
    """What the user is in the workspace, within a transaction."""
    query = select(memberships.c.role).where(_is_membership(workspace_id, user_id))
    role: str | None = (await connection.execute(query)).scalar_one_or_none()
    return None if role is None else Role(role)


def _is_membership(workspace_id: str, user_id: str) -> ColumnElement[bool]:
    return (memberships.c.workspace_id == workspace_id) & (memberships.c.user_id == user_id)


async def _hold(connection: AsyncConnection, workspace_id: str) -> None:
    """Keep others from changing the members until the transaction ends, so that two owners cannot leave at once.

    A write that changes nothing does it on every database; SQLite has no locks for readers.
    """
    held = await connection.execute(
        update(workspaces).where(workspaces.c.id == workspace_id).values(name=workspaces.c.name)
    )
    if held.rowcount == 0:
        raise WorkspaceNotFoundError(workspace_id)


async def _member_role(connection: AsyncConnection, workspace_id: str, user_id: str) -> Role:
    role = await read_role(connection, workspace_id, user_id)
    if role is None:
        raise MemberNotFoundError(user_id)
    return role


async def _write_role(
    connection: AsyncConnection, workspace_id: str, user_id: str, *, before: Role, role: Role
) -> None:
    if before is Role.OWNER and role is not Role.OWNER:
        await _need_another_owner(connection, workspace_id, user_id)
    await connection.execute(update(memberships).where(_is_membership(workspace_id, user_id)).values(role=role.value))


async def _need_another_owner(connection: AsyncConnection, workspace_id: str, user_id: str) -> None:
    """Let the transaction go on if the workspace has another owner, who is not disabled."""
    query = (
        select(func.count())
        .select_from(memberships.join(users, users.c.id == memberships.c.user_id))
        .where(
            memberships.c.workspace_id == workspace_id,
            memberships.c.role == Role.OWNER.value,
            memberships.c.user_id != user_id,
            users.c.disabled_at.is_(None),
        )
    )
    if (await connection.execute(query)).scalar_one() == 0:
        raise LastOwnerError
