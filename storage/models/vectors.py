"""Vectors in the database: every one of a collection is looked at for each question.

Vectors are kept at length 1, so that a product is the cosine. Twenty thousand of 768 numbers take under two seconds in
a thread of their own; who has more wants a database for them.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import mul
from typing import Any

from sqlalchemy import ColumnElement, delete, false, func, select
from sqlalchemy.dialects import postgresql, sqlite

from storage.database.database import Database
from storage.tables.models import embeddings
from workflow.vectors import MAX_DIMENSIONS, MAX_VECTORS, VectorEntry, VectorError, VectorHit

UNNAMED = "default"
"""The model of entries of which nobody knows who made them (engine.nodes.ai.embed)."""


class SqlVectors:
    """Implements :class:`workflow.vectors.VectorStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def upsert(self, owner: str, collection: str, entry: VectorEntry, *, now: datetime) -> None:
        """See the port."""
        packed = _packed(entry.vector)
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        kept = {"model": entry.model, "vector": packed, "data": entry.data, "updated_at": now}
        add = dialect.insert(embeddings).values(owner=owner, collection=collection, id=entry.id, **kept)
        others = (embeddings.c.owner == owner) & (embeddings.c.collection == collection) & (embeddings.c.id != entry.id)
        async with self._database.writing(), self._database.transaction() as connection:
            count = (await connection.execute(select(func.count()).where(others))).scalar_one()
            if count >= MAX_VECTORS:
                raise VectorError(
                    f"The collection {collection!r:.80} holds {MAX_VECTORS:,} entries already.",
                    fix="Delete some, or split it into several collections.",
                )
            foreign = others & _of_another(entry.model)
            model = (await connection.execute(select(embeddings.c.model).where(foreign).limit(1))).scalar()
            if model is not None:
                raise _other_model(collection, entry.model, model)
            size = (await connection.execute(select(func.length(embeddings.c.vector)).where(others).limit(1))).scalar()
            if size is not None and size != len(packed):
                raise _other_size(collection, len(entry.vector), size // 4)
            await connection.execute(add.on_conflict_do_update(index_elements=["owner", "collection", "id"], set_=kept))

    async def nearest(
        self, owner: str, collection: str, *, model: str, vector: Sequence[float], limit: int, min_score: float
    ) -> Sequence[VectorHit]:
        """See the port."""
        wanted = _packed(vector)
        everything = (embeddings.c.owner == owner) & (embeddings.c.collection == collection)
        where = everything & ~_of_another(model)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(select(embeddings.c.id, embeddings.c.vector).where(where))).all()
            if not rows:
                other = (await connection.execute(select(embeddings.c.model).where(everything).limit(1))).scalar()
                if other is not None:
                    raise _other_model(collection, model, other)
            if rows and len(rows[0].vector) != len(wanted):
                raise _other_size(collection, len(vector), len(rows[0].vector) // 4)
            found = await asyncio.to_thread(_best, rows, wanted, limit, min_score)
            ids = [entry_id for _, entry_id in found]
            chosen = select(embeddings.c.id, embeddings.c.data).where(where & embeddings.c.id.in_(ids))
            data = {row.id: row.data for row in await connection.execute(chosen)} if ids else {}
        return [
            VectorHit(id=entry_id, score=round(score, 6), data=data[entry_id])
            for score, entry_id in found
            if entry_id in data
        ]

    async def delete(self, owner: str, collection: str, entry_id: str) -> bool:
        """See the port."""
        where = (embeddings.c.owner == owner) & (embeddings.c.collection == collection) & (embeddings.c.id == entry_id)
        async with self._database.writing(), self._database.transaction() as connection:
            return bool((await connection.execute(delete(embeddings).where(where))).rowcount)


def _of_another(model: str) -> ColumnElement[bool]:
    """Whether an entry is known to be of another model. Those of a model that nobody knows may be of any."""
    if model == UNNAMED:
        return false()
    return embeddings.c.model.not_in((model, UNNAMED))


def _packed(vector: Sequence[float]) -> bytes:
    """The vector at length 1, as little-endian float32."""
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in vector):
        raise VectorError("The vector has something in it that is no number.", fix="Give numbers, and nothing else.")
    try:
        length = math.hypot(*vector)
    except OverflowError:
        length = math.inf
    if not 0 < len(vector) <= MAX_DIMENSIONS or not math.isfinite(length) or length == 0:
        raise VectorError(
            f"A vector of {len(vector)} numbers and length {length} has no direction.",
            fix=f"Give 1 to {MAX_DIMENSIONS:,} finite numbers that are not all 0.",
        )
    numbers = array("f", (number / length for number in vector))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _unpacked(packed: bytes) -> array[float]:
    numbers = array("f")
    numbers.frombytes(packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _best(rows: Iterable[Any], wanted: bytes, limit: int, min_score: float) -> list[tuple[float, str]]:
    """Scores and ids, the highest score first, of equals the smaller id."""
    question = _unpacked(wanted)
    scored = ((sum(map(mul, question, _unpacked(row.vector))), row.id) for row in rows)
    return heapq.nsmallest(
        limit, (each for each in scored if each[0] >= min_score), key=lambda each: (-each[0], each[1])
    )


def _other_size(collection: str, given: int, kept: int) -> VectorError:
    return VectorError(
        f"The vector has {given} numbers, those in collection {collection!r:.80} have {kept}.",
        fix="Take the model that made the others, or another collection.",
    )


def _other_model(collection: str, given: str, kept: str) -> VectorError:
    return VectorError(
        f"The vector is of the model {given!r:.80}; those in collection {collection!r:.80} are of {kept!r:.80}.",
        fix=f"Take the model {kept!r:.80}, or put the texts into another collection with the new one.",
    )
