"""The history of what was said to models, in the database. It goes with the executions that it is of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select

from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.database import Database
from storage.tables.models import exchanges
from workflow.chat import Asker, ChatAttempt, Usage
from workflow.exchanges import Exchange, ExchangeFilter, Spent
from workflow.ports import Page

_FILTERS = ("workflow_id", "execution_id", "conversation_id")


class SqlExchanges:
    """Implements :class:`workflow.exchanges.Exchanges`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, exchange: Exchange) -> None:
        """Keep an exchange; see the port."""
        async with self._database.writing(), self._database.transaction() as connection:
            await connection.execute(insert(exchanges), _row(exchange))

    async def page(self, where: ExchangeFilter, *, limit: int, cursor: str | None) -> Page[Exchange]:
        """Exchanges, newest first; see the port."""
        query = select(exchanges).where(exchanges.c.owner == where.owner)
        for name in _FILTERS:
            wanted = getattr(where, name)
            if wanted is not None:
                query = query.where(exchanges.c[name] == _storable(wanted))
        if cursor is not None:
            query = query.where(exchanges.c.id < decode_cursor(cursor, str)[0])
        async with self._database.statement() as connection:
            rows = (await connection.execute(query.order_by(exchanges.c.id.desc()).limit(limit + 1))).all()
        found = [_exchange(row) for row in rows]
        return Page(found[:limit], encode_cursor(found[limit - 1].id) if len(found) > limit else None)

    async def spent(
        self, *, since: datetime, owner: str | None = None, user_id: str | None = None, workflow_id: str | None = None
    ) -> Spent:
        """What was used since then; see the port."""
        tokens = func.coalesce(func.sum(exchanges.c.input_tokens + exchanges.c.output_tokens), 0)
        cost = func.coalesce(func.sum(exchanges.c.cost_micros), 0)
        query = select(tokens, cost).where(exchanges.c.created_at >= since)
        for column, wanted in (("owner", owner), ("user_id", user_id), ("workflow_id", workflow_id)):
            if wanted is not None:
                query = query.where(exchanges.c[column] == wanted)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).one()
        return Spent(int(row[0]), int(row[1]))


def _row(exchange: Exchange) -> dict[str, Any]:
    asker, usage = exchange.asker, exchange.usage
    return {
        "id": exchange.id,
        "owner": asker.owner,
        "user_id": asker.user_id,
        "workflow_id": asker.workflow_id,
        "execution_id": asker.execution_id,
        "node": _storable(asker.node),
        "conversation_id": _storable(exchange.conversation_id),
        "model": _storable(exchange.model),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_micros": usage.cost_micros,
        "created_at": exchange.created_at,
        "data": {
            "outcome": exchange.outcome,
            "request": exchange.request,
            "answer": exchange.answer,
            "is_estimate": usage.is_estimate,
            "latency_ms": exchange.latency_ms,
            "attempts": [
                {
                    "model": each.model,
                    "outcome": each.outcome,
                    "latency_ms": each.latency_ms,
                    "status": each.status,
                }
                for each in exchange.attempts
            ],
            "is_from_cache": exchange.is_from_cache,
        },
    }


def _exchange(row: Any) -> Exchange:
    data = row.data
    return Exchange(
        id=row.id,
        asker=Asker(row.owner, row.user_id, row.workflow_id, row.execution_id, row.node),
        conversation_id=row.conversation_id,
        model=row.model,
        outcome=data["outcome"],
        request=data["request"],
        answer=data["answer"],
        usage=Usage(
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            is_estimate=data["is_estimate"],
            cost_micros=row.cost_micros,
        ),
        latency_ms=data["latency_ms"],
        created_at=row.created_at,
        attempts=tuple(ChatAttempt(**each) for each in data["attempts"]),
        is_from_cache=data["is_from_cache"],
    )


def _storable(text: str | None) -> str | None:
    """The text as PostgreSQL's columns keep it."""
    return None if text is None else text.replace("\0", "\ufffd")
