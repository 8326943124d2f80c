"""Credentials in the database: what may be shown as it is, the secret encrypted and bound to its row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database
from storage.secrets.keys import TamperedError, UnknownKeyError, VaultKeys
from storage.tables.accounts import credentials
from workflow.credential_forms import CredentialForm, form_of
from workflow.credentials import (
    MOST_CREDENTIALS,
    CredentialNameTakenError,
    CredentialNotFoundError,
    CredentialNotUsableError,
    CredentialRef,
    OpenCredential,
    StoredCredential,
    TooManyCredentialsError,
)
from workflow.ports import Clock, NewId

BATCH = 50
"""Rows that are re-encrypted in one transaction."""

_SHOWN = [column for column in credentials.c if column.name not in ("sealed", "key_id")]


@dataclass(slots=True, frozen=True)
class _Broken:
    """Why a row cannot be decrypted, and what to do about it."""

    why: str
    fix: str


@dataclass(slots=True)
class Rotation:
    """What re-encrypting did: how many rows, and those that could not be (their workspace and name)."""

    done: int = 0
    failed: list[CredentialRef] = field(default_factory=list)


class SqlVault:
    """Implements :class:`workflow.credentials.Vault`."""

    def __init__(self, database: Database, *, keys: VaultKeys, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._new_id = new_id

    async def of_workspace(self, owner: str) -> Sequence[StoredCredential]:
        """All of a workspace's by name; see the port."""
        query = select(*_SHOWN).where(credentials.c.owner == owner).order_by(credentials.c.name)
        async with self._database.statement() as connection:
            return [_stored(row) for row in await connection.execute(query)]

    async def create(self, ref: CredentialRef, form: CredentialForm, *, created_by: str) -> StoredCredential:
        """Keep a new one; see the port."""
        row_id, now = self._new_id(), self._clock.now()
        async with self._database.transaction() as connection:
            count = select(func.count()).where(credentials.c.owner == ref.owner)
            if (await connection.execute(count)).scalar_one() >= MOST_CREDENTIALS:
                raise TooManyCredentialsError
            values = {
                "id": row_id,
                "owner": ref.owner,
                "name": ref.name,
                "created_by": created_by,
                "created_at": now,
                "updated_at": now,
                **self._sealed(ref.owner, row_id, form),
            }
            try:
                async with connection.begin_nested():
                    await connection.execute(insert(credentials).values(values))
            except IntegrityError as error:
                raise CredentialNameTakenError(ref.name) from error
            return _stored(await self._row(connection, ref))

    async def get(self, ref: CredentialRef) -> StoredCredential:
        """One without its secret; see the port."""
        async with self._database.transaction() as connection:
            return _stored(await self._row(connection, ref))

    async def open(self, ref: CredentialRef) -> OpenCredential:
        """One with its secret; see the port."""
        async with self._database.transaction() as connection:
            row = await self._row(connection, ref)
        found = self._opened(row)
        if isinstance(found, _Broken) and row.key_id not in self._keys.ids:
            # Another process may have made the key meanwhile.
            await asyncio.to_thread(self._keys.reload)
            found = self._opened(row)
        if isinstance(found, _Broken):
            raise CredentialNotUsableError(ref.name, found.why, fix=found.fix)
        return OpenCredential(id=row.id, ref=ref, form=found, revision=row.updated_at.isoformat())

    async def replace(self, ref: CredentialRef, form: CredentialForm) -> StoredCredential:
        """Keep something else under the name; see the port."""
        async with self._database.transaction() as connection:
            row = await self._row(connection, ref)
            values = {**self._sealed(ref.owner, row.id, form), "updated_at": self._clock.now()}
            await connection.execute(update(credentials).where(credentials.c.id == row.id).values(values))
            return _stored(await self._row(connection, ref))

    async def put_back(self, opened: OpenCredential, form: CredentialForm) -> None:
        """Keep ``form`` unless it has changed since; see the port."""
        async with self._database.statement() as connection:
            # The time stays: it says when somebody last changed it, and this was not somebody.
            same = (credentials.c.id == opened.id, credentials.c.updated_at == datetime.fromisoformat(opened.revision))
            values = self._sealed(opened.ref.owner, opened.id, form)
            await connection.execute(update(credentials).where(*same).values(values))

    async def rename(self, ref: CredentialRef, name: str) -> StoredCredential:
        """Give it another name; see the port."""
        renamed = CredentialRef(owner=ref.owner, name=name)
        async with self._database.transaction() as connection:
            row = await self._row(connection, ref)
            values = {"name": name, "updated_at": self._clock.now()}
            try:
                async with connection.begin_nested():
                    await connection.execute(update(credentials).where(credentials.c.id == row.id).values(values))
            except IntegrityError as error:
                raise CredentialNameTakenError(name) from error
            return _stored(await self._row(connection, renamed))

    async def delete(self, ref: CredentialRef) -> None:
        """Forget it; see the port."""
        async with self._database.transaction() as connection:
            row = await self._row(connection, ref)
            await connection.execute(delete(credentials).where(credentials.c.id == row.id))

    async def rotate(self) -> Rotation:
        """Encrypt everything with the first key that is not yet.

        Each batch is a transaction of its own, and the rows show what is still to do: a rotation that was stopped
        continues where it stopped. What is changed meanwhile stays as it was changed.
        """
        rotation, after = Rotation(), ""
        while True:
            async with self._database.transaction() as connection:
                query = (
                    select(credentials)
                    .where(credentials.c.key_id != self._keys.current_id, credentials.c.id > after)
                    .order_by(credentials.c.id)
                    .limit(BATCH)
                )
                rows = (await connection.execute(query)).all()
                for row in rows:
                    await self._reseal(connection, row, rotation)
            if not rows:
                return rotation
            after = rows[-1].id

    async def count_by_key(self) -> dict[str, int]:
        """How many credentials each key encrypts, by the keys' ids."""
        query = select(credentials.c.key_id, func.count()).group_by(credentials.c.key_id)
        async with self._database.statement() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def _reseal(self, connection: AsyncConnection, row: Row[Any], rotation: Rotation) -> None:
        form = self._opened(row)
        if isinstance(form, _Broken):
            rotation.failed.append(CredentialRef(owner=row.owner, name=row.name))
            return
        same = (credentials.c.id == row.id, credentials.c.sealed == row.sealed)
        values = self._sealed(row.owner, row.id, form)
        rotation.done += (await connection.execute(update(credentials).where(*same).values(values))).rowcount

    async def _row(self, connection: AsyncConnection, ref: CredentialRef) -> Row[Any]:
        query = select(credentials).where(credentials.c.owner == ref.owner, credentials.c.name == ref.name)
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            names = select(credentials.c.name).where(credentials.c.owner == ref.owner).order_by(credentials.c.name)
            known = (await connection.execute(names)).scalars().all()
            raise CredentialNotFoundError(ref.name, known=known)
        return row

    def _sealed(self, owner: str, row_id: str, form: CredentialForm) -> dict[str, Any]:
        details = form.details()
        context = _context(owner, row_id, form.kind, details)
        key_id, sealed = self._keys.seal(orjson.dumps(form.secrets()), context)
        return {"kind": form.kind, "details": details, "key_id": key_id, "sealed": sealed}

    def _opened(self, row: Row[Any]) -> CredentialForm | _Broken:
        context = _context(row.owner, row.id, row.kind, row.details)
        try:
            secrets = orjson.loads(self._keys.open(row.key_id, row.sealed, context))
            return form_of(row.kind, row.details, secrets)
        except UnknownKeyError:
            return _Broken(
                f"the server does not have the key {row.key_id} that it is encrypted with",
                "Give the server that key again (JOBSPRINT_VAULT_KEYS, JOBSPRINT_VAULT_KEY_FILE or "
                "JOBSPRINT_VAULT_KEYRING), or replace the credential.",
            )
        except TamperedError:
            return _Broken(
                "what is stored is not what was encrypted", "Replace the credential, and find out who changed it."
            )
        except ValueError:
            return _Broken("it does not have the form that its kind has now", "Replace the credential.")


def _context(owner: str, row_id: str, kind: str, details: Any) -> bytes:
    """What the secret is bound to. The details are part of it: they say where it may be sent."""
    return orjson.dumps(["credential", owner, row_id, kind, details], option=orjson.OPT_SORT_KEYS)


def _stored(row: Row[Any]) -> StoredCredential:
    return StoredCredential(
        id=row.id,
        owner=row.owner,
        name=row.name,
        kind=row.kind,
        details=row.details,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
