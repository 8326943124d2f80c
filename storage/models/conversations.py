"""Conversations in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.database import Database
from storage.tables.models import conversations, summaries, turns
from workflow.conversations import MARGIN_UNIT, Head, NewTurn, Summary, Turn
from workflow.errors import InvalidArgumentsError
from workflow.message_forms import message_from_json, message_to_json
from workflow.ports import NewId, Page

MAX_TURNS = 100_000
"""Turns of a conversation; beyond them the oldest go, which no window shows any more. Pinned ones stay."""
MAX_PINNED = 64
"""Pinned turns of a conversation, all of which every window shows."""

_head, _turn, _summary = conversations.c, turns.c, summaries.c


class SqlConversations:
    """Implements :class:`workflow.conversations.ConversationStore`; the row of the head is what writers wait for."""

    def __init__(self, database: Database, *, new_id: NewId, max_turns: int = MAX_TURNS) -> None:
        self._database = database
        self._new_id = new_id
        self._max_turns = max_turns

    async def append(
        self,
        owner: str,
        key: str,
        new: Sequence[NewTurn],
        *,
        effect: str | None = None,
        margin: int | None = None,
        now: datetime,
    ) -> int | None:
        """Add turns; see the port."""
        async with self._database.writing(), self._database.transaction() as connection:
            head = await self._held(connection, owner, key, now)
            if effect is not None and await _has_effect(connection, owner, key, effect):
                return None
            added = await _not_pinned_yet(connection, owner, key, new) if head.pinned else list(new)
            pinned = head.pinned + sum(each.is_pinned for each in added)
            if pinned > MAX_PINNED:
                raise InvalidArgumentsError(
                    f"The conversation {key!r} would have {pinned} pinned messages.",
                    fix=f"Pin at most {MAX_PINNED}, or begin the conversation anew.",
                )
            rows = [
                {
                    "owner": owner,
                    "key": key,
                    "position": position,
                    "effect": effect,
                    "tokens": each.tokens,
                    "is_estimate": each.is_estimate,
                    "is_pinned": each.is_pinned,
                    "message": message_to_json(each.message),
                    "at": now,
                }
                for position, each in enumerate(added, head.last_position + 1)
            ]
            if rows:
                await connection.execute(insert(turns), rows)
            last: int = head.last_position + len(rows)
            await connection.execute(
                update(conversations)
                .where(_head.owner == owner, _head.key == key)
                .values(
                    revision=head.revision + 1,
                    last_position=last,
                    pinned=pinned,
                    tokens=_head.tokens + sum(each.tokens for each in added),
                    margin=head.margin if margin is None else margin,
                    updated_at=now,
                )
            )
            if last > self._max_turns:
                too_old = and_(_turn.position <= last - self._max_turns, _turn.is_pinned.is_(False))
                await connection.execute(delete(turns).where(_turn.owner == owner, _turn.key == key, too_old))
        return last

    async def head(self, owner: str, key: str) -> Head | None:
        """The conversation without its messages; see the port."""
        query = select(conversations).where(_head.owner == owner, _head.key == key, _head.last_position > 0)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _as_head(row)

    async def read(
        self, owner: str, key: str, *, after: int = 0, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        """Turns between two positions; see the port."""
        query = select(turns).where(_turn.owner == owner, _turn.key == key, _turn.position > after)
        if before is not None:
            query = query.where(_turn.position < before)
        async with self._database.statement() as connection:
            rows = (await connection.execute(query.order_by(_turn.position.desc()).limit(limit))).all()
        return [_as_turn(row) for row in reversed(rows)]

    async def pinned(self, owner: str, key: str) -> Sequence[Turn]:
        """Every pinned turn; see the port."""
        async with self._database.transaction() as connection:
            return await _pinned(connection, owner, key)

    async def summary(self, owner: str, key: str) -> Summary | None:
        """The summary that there is; see the port."""
        query = select(summaries).where(_summary.owner == owner, _summary.key == key)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else Summary(upto=row.upto, text=row.text, tokens=row.tokens)

    async def put_summary(self, owner: str, key: str, summary: Summary, *, now: datetime) -> None:
        """Keep a summary; see the port."""
        values: dict[str, Any] = {
            "upto": summary.upto,
            "text": summary.text,
            "tokens": summary.tokens,
            "updated_at": now,
        }
        async with self._database.writing(), self._database.transaction() as connection:
            # The head's row first: writers wait for its lock, and so does deleting the conversation.
            held = await connection.execute(
                update(conversations)
                .where(_head.owner == owner, _head.key == key, _head.last_position >= summary.upto)
                .values(revision=_head.revision + 1)
            )
            if held.rowcount == 0:
                return
            written = self._insert(summaries).values(owner=owner, key=key, **values)
            await connection.execute(
                written.on_conflict_do_update(
                    index_elements=[_summary.owner, _summary.key], set_=values, where=_summary.upto < summary.upto
                )
            )

    async def page(self, owner: str, *, text: str | None = None, limit: int, cursor: str | None) -> Page[Head]:
        """Conversations, the one last added to first; see the port."""
        query = select(conversations).where(_head.owner == owner, _head.last_position > 0)
        if text:
            query = query.where(_head.key.icontains(text, autoescape=True))
        if cursor is not None:
            moment, key = decode_cursor(cursor, str, str)
            try:
                at = datetime.fromisoformat(moment)
            except ValueError:
                raise InvalidArgumentsError(
                    f"{cursor[:40]!r} is not a cursor of this list.", pointer="/cursor", fix="Leave it out."
                ) from None
            query = query.where(or_(_head.updated_at < at, and_(_head.updated_at == at, _head.key < key)))
        ordered = query.order_by(_head.updated_at.desc(), _head.key.desc()).limit(limit + 1)
        async with self._database.statement() as connection:
            found = [_as_head(row) for row in (await connection.execute(ordered)).all()]
        if len(found) <= limit:
            return Page(found, None)
        last = found[limit - 1]
        return Page(found[:limit], encode_cursor(last.updated_at.isoformat(), last.key))

    async def delete(self, owner: str, key: str) -> bool:
        """Forget the conversation; see the port."""
        async with self._database.writing(), self._database.transaction() as connection:
            return await _forget(connection, owner, key)

    async def prune(self, *, idle_before: datetime, limit: int) -> int:
        """Forget conversations that nothing was added to; see the port."""
        query = select(_head.owner, _head.key).where(_head.updated_at < idle_before).limit(limit)
        async with self._database.statement() as connection:
            idle = (await connection.execute(query)).all()
        gone = 0
        for owner, key in idle:
            # Each by itself: many turns go with it, and in between others want to write.
            async with self._database.writing(), self._database.transaction() as connection:
                gone += await _forget(connection, owner, key, idle_before=idle_before)
        return gone

    async def _held(self, connection: AsyncConnection, owner: str, key: str, now: datetime) -> Any:
        """The row of the head, made where there is none, and this transaction's until it ends."""
        begun = self._insert(conversations).values(
            owner=owner,
            key=key,
            id=self._new_id(),
            revision=0,
            last_position=0,
            pinned=0,
            tokens=0,
            margin=MARGIN_UNIT,
            created_at=now,
            updated_at=now,
        )
        # SQLite has one writer from here on; PostgreSQL locks the row with FOR UPDATE, which SQLite leaves out.
        await connection.execute(begun.on_conflict_do_nothing(index_elements=[_head.owner, _head.key]))
        query = select(conversations).where(_head.owner == owner, _head.key == key).with_for_update()
        return (await connection.execute(query)).one()

    def _insert(self, table: Any) -> Any:
        return sqlite.insert(table) if self._database.is_sqlite else postgresql.insert(table)


async def _has_effect(connection: AsyncConnection, owner: str, key: str, effect: str) -> bool:
    query = select(_turn.position).where(_turn.owner == owner, _turn.key == key, _turn.effect == effect).limit(1)
    return (await connection.execute(query)).first() is not None


async def _not_pinned_yet(connection: AsyncConnection, owner: str, key: str, new: Sequence[NewTurn]) -> list[NewTurn]:
    if not any(each.is_pinned for each in new):
        return list(new)
    pinned = {orjson.dumps(message_to_json(each.message)) for each in await _pinned(connection, owner, key)}
    return [each for each in new if not (each.is_pinned and orjson.dumps(message_to_json(each.message)) in pinned)]


async def _pinned(connection: AsyncConnection, owner: str, key: str) -> Sequence[Turn]:
    query = select(turns).where(_turn.owner == owner, _turn.key == key, _turn.is_pinned.is_(True))
    return [_as_turn(row) for row in (await connection.execute(query.order_by(_turn.position))).all()]


async def _forget(connection: AsyncConnection, owner: str, key: str, *, idle_before: datetime | None = None) -> bool:
    whole = delete(conversations).where(_head.owner == owner, _head.key == key)
    if idle_before is not None:
        whole = whole.where(_head.updated_at < idle_before)
    if (await connection.execute(whole)).rowcount == 0:
        return False
    await connection.execute(delete(turns).where(_turn.owner == owner, _turn.key == key))
    await connection.execute(delete(summaries).where(_summary.owner == owner, _summary.key == key))
    return True


def _as_head(row: Any) -> Head:
    return Head(
        id=row.id,
        key=row.key,
        revision=row.revision,
        last_position=row.last_position,
        pinned=row.pinned,
        tokens=row.tokens,
        margin=row.margin,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _as_turn(row: Any) -> Turn:
    return Turn(
        position=row.position,
        message=message_from_json(row.message),
        tokens=row.tokens,
        is_estimate=row.is_estimate,
        at=row.at,
        is_pinned=row.is_pinned,
    )
