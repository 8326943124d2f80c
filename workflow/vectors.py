"""Texts found by what they mean: vectors in collections, and the port by which nodes reach them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from workflow.errors import ErrorKind, JobsprintError
from workflow.items import JsonObject

MAX_VECTORS = 20_000
"""In one collection: every one is looked at for each question."""
MAX_DIMENSIONS = 4_096


class VectorError(JobsprintError):
    """A vector does not fit into its collection, or the collection is full."""

    code = "bad_vector"
    kind = ErrorKind.INVALID


@dataclass(slots=True, frozen=True, kw_only=True)
class VectorEntry:
    """What a collection holds under an ``id``: a vector of the ``model`` that made it, and what belongs to it."""

    id: str
    model: str
    vector: Sequence[float]
    data: JsonObject


@dataclass(slots=True, frozen=True, kw_only=True)
class VectorHit:
    """An entry that was found; ``score`` is the cosine of the angle between the two, 1 for the same direction."""

    id: str
    score: float
    data: JsonObject


class VectorStore(Protocol):
    """Collections of vectors. ``owner`` is the workspace; what belongs to another is not there for it."""

    async def upsert(self, owner: str, collection: str, entry: VectorEntry, *, now: datetime) -> None:
        """Keep an entry, in place of one with the same id.

        Raises:
            VectorError: the collection is full, or the vector cannot be compared with the others in it.
        """
        ...

    async def nearest(
        self, owner: str, collection: str, *, model: str, vector: Sequence[float], limit: int, min_score: float
    ) -> Sequence[VectorHit]:
        """The entries nearest to ``vector`` that the same model made, nearest first; of equals the smaller id first.

        Raises:
            VectorError: the vector cannot be compared with those in the collection.
        """
        ...

    async def delete(self, owner: str, collection: str, entry_id: str) -> bool:
        """Take an entry away; whether it was there."""
        ...
