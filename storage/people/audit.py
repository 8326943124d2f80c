"""The audit log in the database. Entries are written in batches: while one is on its way the next one gathers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Self

import orjson
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.batch_loop import BatchLoop, settle
from storage.database.columns import EPOCH, MICROSECOND
from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.database import Database
from storage.tables.accounts import audit_entries
from workflow.audit import AuditEntry
from workflow.errors import StorageError
from workflow.identity import Actor
from workflow.items import JsonObject
from workflow.ports import Clock, NewId, Page
from workflow.redaction import redacted

logger = logging.getLogger(__name__)

LAZY_SECONDS = 0.02
"""How long an entry may wait that nobody waits for."""
RETRY_SECONDS = 0.5
"""How long after a failed batch it is tried again."""
BATCH = 500
"""Entries of one transaction; more go into the next, so that none holds other writers up for long."""
KEPT = 10_000
"""Entries kept in memory while the database fails, some ten megabytes; those beyond go to the server's log."""
COLUMNS = tuple(AuditEntry.__dataclass_fields__)
LONGEST_TEXT = 300
LONGEST_ACTION = 40
"""Characters; longer ones are cut."""


@dataclass(slots=True, frozen=True, kw_only=True)
class AuditFilter:
    """Which entries to list; ``None`` means any. ``action`` is how the action begins; times are UTC."""

    action: str | None = None
    subject: str | None = None
    user_id: str | None = None
    after: datetime | None = None
    before: datetime | None = None


class SqlAuditLog:
    """Implements :class:`workflow.audit.AuditLog`; an async context manager that writes what is left at its end.

    While the database fails it keeps up to ``kept`` entries in memory; those beyond are in the server's log only.
    """

    def __init__(self, database: Database, *, clock: Clock, new_id: NewId, kept: int = KEPT) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._kept = kept
        dialect: Any = sqlite if database.is_sqlite else postgresql
        self._insert = dialect.insert(audit_entries)
        self._gathered: deque[AuditEntry] = deque()
        self._is_writing = self._may_ride = self._is_closing = False
        self._since = 0.0
        self._ride: asyncio.Future[None] | None = None
        self._waiters: list[tuple[str, asyncio.Future[None]]] = []
        self._batches = BatchLoop(
            "audit-log",
            write_batch=self._write_batch,
            has_gathered=self._is_due,
            lazy_seconds=LAZY_SECONDS,
            retry_seconds=RETRY_SECONDS,
        )

    async def __aenter__(self) -> Self:
        await self._batches.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_closing = True
        await self._batches.__aexit__(*exc_info)
        for entry in self._gathered:
            _log_unstored(entry)

    def note(self, actor: Actor, action: str, subject: str, details: JsonObject | None = None) -> None:
        """Take an entry; see the port."""
        entry = AuditEntry(
            id=self._new_id(),
            owner=actor.workspace_id,
            at=self._clock.now(),
            user_id=_storable_member("user_id", actor.user_id),
            client=_storable_member("client", actor.client),
            action=action[:LONGEST_ACTION],
            subject=_storable_member("subject", subject),
            details=_storable_details(details) if details is not None else None,
        )
        if len(self._gathered) >= self._kept:
            _log_unstored(entry)
            return
        if not self._gathered:
            self._soon()
        self._gathered.append(entry)

    async def written(self) -> None:
        """Return when everything noted so far is on the disk; see the port."""
        if not self._gathered:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((self._gathered[-1].id, waiter))
        self._batches.now()
        await waiter

    def _soon(self) -> None:
        """What has gathered may wait from now on for a batch that takes it along."""
        self._since = asyncio.get_running_loop().time()
        self._batches.soon()

    def _is_due(self) -> bool:
        """Whether what has gathered is to be written in a batch of our own."""
        is_late = asyncio.get_running_loop().time() - self._since > LAZY_SECONDS / 2
        return bool(self._gathered) and (is_late or bool(self._waiters) or self._is_closing or not self._may_ride)

    def riders(self) -> Sequence[AuditEntry]:
        """Entries for a batch of executions to take along, which saves a transaction; none while others are on their
        way. :meth:`rode` is to be called when the batch has ended.

        1. A batch of our own is due while these are on their way: it waits for them, so that none is written twice.
        2. The batch fails. The entries stay gathered, and none rides along until a batch of our own has been written:
           whatever is wrong with one of them holds up no execution.
        """
        if self._is_writing or self._ride is not None or not self._may_ride or not self._gathered:
            return ()
        self._ride = asyncio.get_running_loop().create_future()
        return [self._gathered[place] for place in range(min(len(self._gathered), BATCH))]

    def rode(self, riders: Sequence[AuditEntry], *, are_written: bool) -> None:
        """The batch that took them along is written, or has failed."""
        if self._ride is not None:
            self._ride.set_result(None)
        self._ride, self._may_ride = None, are_written
        if are_written:
            for _ in riders:
                self._gathered.popleft()
            self._settle(None, until=riders[-1].id)
        if self._gathered:
            self._soon()

    async def page(self, owner: str, where: AuditFilter, *, limit: int, cursor: str | None) -> Page[AuditEntry]:
        """A workspace's entries, newest first, those noted until now among them.

        Raises:
            InvalidArgumentsError: the cursor is none of this list.
        """
        table = audit_entries.c
        query = select(audit_entries).where(table.owner == owner)
        if where.action:
            query = query.where(table.action.startswith(where.action, autoescape=True))
        if where.subject is not None:
            query = query.where(table.subject == where.subject)
        if where.user_id is not None:
            query = query.where(table.user_id == where.user_id)
        if where.after is not None:
            query = query.where(table.at > where.after)
        if where.before is not None:
            query = query.where(table.at < where.before)
        if cursor is not None:
            query = query.where(table.id < decode_cursor(cursor, str)[0])
        with contextlib.suppress(StorageError):
            await self.written()
        async with self._database.statement() as connection:
            rows = (await connection.execute(query.order_by(table.id.desc()).limit(limit + 1))).all()
        found = [AuditEntry(**row._mapping) for row in rows]
        return Page(found[:limit], encode_cursor(found[limit - 1].id) if len(found) > limit else None)

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Delete entries that are older; see the port."""
        due = select(audit_entries.c.id).where(audit_entries.c.at < before).limit(limit)
        async with self._database.statement() as connection:
            gone = await connection.execute(delete(audit_entries).where(audit_entries.c.id.in_(due)))
        return gone.rowcount

    async def _write_batch(self) -> bool:
        """Whether the first of what has gathered is on the disk now.

        1. Entries stay gathered until their batch is written, and new ones go behind them: a failed batch is written
           again with the same entries first, in their order.
        2. A batch may be committed though its connection broke before the answer. Then it is written once more, and
           the entries' ids keep the first copies.
        3. Somebody begins to wait while a batch is on its way, for an entry of it or behind it. ``_settle`` looks at
           all who wait when the batch has ended, and leaves those whose entries are behind it.
        """
        if self._ride is not None:
            await self._ride
            return True
        batch = [self._gathered[place] for place in range(min(len(self._gathered), BATCH))]
        self._is_writing = True
        try:
            async with self._database.writing(), self._database.transaction() as connection:
                await connection.execute(self._insert.on_conflict_do_nothing(), [_row(entry) for entry in batch])
        except StorageError as error:
            logger.warning("%d audit entries could not be written yet: %s", len(self._gathered), error.message)
            self._settle(error)
            return False
        finally:
            self._is_writing = False
        self._may_ride = True
        for _ in batch:
            self._gathered.popleft()
        self._settle(None, until=batch[-1].id)
        if self._gathered:
            self._soon()
        return True

    def _settle(self, error: StorageError | None, *, until: str | None = None) -> None:
        """End the waiting for entries up to the id ``until``; without it for all."""
        waiters, self._waiters = self._waiters, []
        if until is not None:
            self._waiters = [each for each in waiters if each[0] > until]
        settle((waiter for awaited, waiter in waiters if until is None or awaited <= until), error)


def _row(entry: AuditEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in COLUMNS}


def driver_row(entry: AuditEntry) -> tuple[Any, ...]:
    """An entry as SQLite's driver takes it, in the order of :data:`COLUMNS`."""
    details = None if entry.details is None else orjson.dumps(entry.details)
    at = (entry.at - EPOCH) // MICROSECOND
    return (entry.id, entry.owner, at, entry.user_id, entry.client, entry.action, entry.subject, details)


def _storable(value: Any) -> Any:
    """The value without secrets, and such that every database keeps it: one bad entry must not hold up the others."""
    return _cut(redacted(value))


def _storable_details(details: JsonObject) -> JsonObject:
    """The same for an entry's details. Most are a few short texts and numbers, and nearly the same each time."""
    if "value" in details or not all(map(str.isidentifier, details)):
        return dict(_storable(details))
    return {name: _storable_member(name, member) for name, member in details.items()}


def _storable_member(name: str, member: Any) -> Any:
    if type(member) is int:
        return _cut(member)
    if type(member) is str and len(member) <= LONGEST_TEXT:
        return _known(name, member)
    return _storable({name: member})[name]


@lru_cache(4_096)
def _known(name: str, text: str) -> str:
    """A short text under a name, as it is stored."""
    stored: str = _storable({name: text})[name]
    return stored


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        text = value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}…"
        return text.replace("\0", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_cut(str(key)): _cut(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(member) for member in value]
    if value is None or isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return value
    return str(value)[:LONGEST_TEXT]


def _log_unstored(entry: AuditEntry) -> None:
    """The entry as JSON in the server's log, where it is not lost."""
    logger.error("this audit entry could not be stored: %s", orjson.dumps(entry).decode())
