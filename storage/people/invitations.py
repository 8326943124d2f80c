"""Invitations in the database. Of a token only its SHA-256 is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database
from storage.people.workspaces import add_member, read_role
from storage.tables.accounts import invitations, users
from workflow.identity import Role
from workflow.workspaces import AlreadyMemberError, Invitation, InvitationNotFoundError


class SqlInvitations:
    """Invitations; each is used once, also where several people use it at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, invitation: Invitation, *, token_hash: str) -> None:
        """Keep an invitation.

        Raises:
            StorageError: there is no such workspace.
        """
        async with self._database.statement() as connection:
            await connection.execute(
                insert(invitations).values(
                    id=invitation.id,
                    token_hash=token_hash,
                    email=invitation.email,
                    workspace_id=invitation.workspace_id,
                    role=invitation.role,
                    invited_by=invitation.invited_by,
                    created_at=invitation.created_at,
                    expires_at=invitation.expires_at,
                )
            )

    async def of_workspace(self, workspace_id: str, *, now: datetime) -> Sequence[Invitation]:
        """The invitations to a workspace that can still be used, the oldest first."""
        query = (
            select(invitations)
            .where(
                invitations.c.workspace_id == workspace_id,
                invitations.c.used_at.is_(None),
                invitations.c.expires_at > now,
            )
            .order_by(invitations.c.created_at, invitations.c.id)
        )
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).all()
        return [_invitation(row) for row in rows]

    async def revoke(self, workspace_id: str, invitation_id: str) -> None:
        """Take an invitation back that was not used.

        Raises:
            InvitationNotFoundError: the workspace has none of this id.
        """
        async with self._database.statement() as connection:
            revoked = await connection.execute(
                delete(invitations).where(
                    invitations.c.id == invitation_id,
                    invitations.c.workspace_id == workspace_id,
                    invitations.c.used_at.is_(None),
                )
            )
        if revoked.rowcount == 0:
            raise InvitationNotFoundError

    async def accept(self, token_hash: str, *, user_id: str, now: datetime) -> Invitation:
        """Make a user a member of the workspace that they were invited to.

        Raises:
            InvitationNotFoundError: it does not count (any more), not for this user, or is to no workspace.
            AlreadyMemberError: the user belongs to the workspace; it can still be used.
        """
        async with self._database.transaction() as connection:
            address = await connection.execute(select(users.c.email).where(users.c.id == user_id))
            email: str | None = address.scalar_one_or_none()
            if email is None:
                raise InvitationNotFoundError
            invitation = await use_invitation(connection, token_hash, email=email, now=now)
            if invitation.workspace_id is None or invitation.role is None:
                raise InvitationNotFoundError
            current = await read_role(connection, invitation.workspace_id, user_id)
            if current is not None:
                raise AlreadyMemberError(current)
            await add_member(connection, invitation.workspace_id, user_id, invitation.role, now=now)
        return invitation

    async def prune(self, *, expired_before: datetime, limit: int) -> int:
        """Delete up to ``limit`` invitations whose time was over before then; how many that was."""
        due = select(invitations.c.id).where(invitations.c.expires_at < expired_before).limit(limit)
        async with self._database.statement() as connection:
            gone = await connection.execute(delete(invitations).where(invitations.c.id.in_(due)))
        return gone.rowcount


async def use_invitation(connection: AsyncConnection, token_hash: str, *, email: str, now: datetime) -> Invitation:
    """Use an invitation up within a transaction; if that is rolled back, it can be used again.

    Raises:
        InvitationNotFoundError: it does not count (any more), or not for this address.
    """
    used = await connection.execute(
        update(invitations)
        .where(
            invitations.c.token_hash == token_hash,
            invitations.c.used_at.is_(None),
            invitations.c.expires_at > now,
            invitations.c.email.is_(None) | (invitations.c.email == email.lower()),
        )
        .values(used_at=now)
        .returning(*invitations.c)
    )
    row = used.one_or_none()
    if row is None:
        raise InvitationNotFoundError
    return _invitation(row)


def _invitation(row: Any) -> Invitation:
    return Invitation(
        id=row.id,
        email=row.email,
        workspace_id=row.workspace_id,
        role=None if row.role is None else Role(row.role),
        invited_by=row.invited_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
