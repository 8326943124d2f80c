"""Which links to enter a secret were used, in the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from storage.database.database import Database
from storage.tables.connections import used_secret_links
from workflow.secret_links import SecretLink, UsedLink

_USED = used_secret_links.c


class SqlUsedLinks:
    """Implements :class:`workflow.secret_links.UsedLinks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def use(self, link: SecretLink, *, by: str, at: datetime) -> bool:
        """Note that it is used; see the port."""
        values = {
            "id": link.id,
            "owner": link.owner,
            "credential": link.credential,
            "used_by": by,
            "used_at": at,
            "expires_at": link.expires_at,
        }
        async with self._database.transaction() as transaction:
            try:
                async with transaction.begin_nested():
                    await transaction.execute(insert(used_secret_links).values(values))
            except IntegrityError:
                return False
        return True

    async def release(self, link: SecretLink) -> None:
        """Forget it again; see the port."""
        async with self._database.statement() as statement:
            await statement.execute(delete(used_secret_links).where(_USED.id == link.id, _USED.owner == link.owner))

    async def used(self, link: SecretLink) -> UsedLink | None:
        """Who has used it; see the port."""
        query = select(_USED.used_by, _USED.used_at).where(_USED.id == link.id, _USED.owner == link.owner)
        async with self._database.statement() as statement:
            row = (await statement.execute(query)).one_or_none()
        return None if row is None else UsedLink(used_by=row.used_by, used_at=row.used_at)

    async def forget(self, *, expired_before: datetime) -> None:
        """Delete what is refused by its age; see the port."""
        async with self._database.statement() as statement:
            await statement.execute(delete(used_secret_links).where(_USED.expires_at < expired_before))
