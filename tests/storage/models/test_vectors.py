"""Vectors, over SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from storage.database.database import Database
from storage.models.vectors import SqlVectors
from tests.support.engine import NOON
from workflow.vectors import VectorEntry, VectorError


def entry(entry_id: str, *vector: float, model: str = "m", **data: object) -> VectorEntry:
    """An entry."""
    return VectorEntry(id=entry_id, model=model, vector=vector, data=dict(data))


async def test_the_nearest_come_first_and_of_equals_the_smaller_id(database: Database) -> None:
    vectors = SqlVectors(database)
    for each in (entry("b", 0, 2, t=1), entry("a", 0, 1), entry("c", 1, 1), entry("d", -1, 0)):
        await vectors.upsert("w", "c", each, now=NOON)
    found = await vectors.nearest("w", "c", model="m", vector=[0, 5], limit=3, min_score=0)
    assert [(hit.id, hit.score) for hit in found] == [("a", 1.0), ("b", 1.0), ("c", 0.707107)]
    assert found[1].data == {"t": 1}
    found = await vectors.nearest("w", "c", model="m", vector=[0, 5], limit=10, min_score=0.9)
    assert [hit.id for hit in found] == ["a", "b"]


async def test_an_entry_takes_the_place_of_one_with_its_id(database: Database) -> None:
    vectors = SqlVectors(database)
    await vectors.upsert("w", "c", entry("a", 1, 0, v=1), now=NOON)
    await vectors.upsert("w", "c", entry("a", 0, 1, v=2), now=NOON)
    (hit,) = await vectors.nearest("w", "c", model="m", vector=[0, 1], limit=5, min_score=0)
    assert (hit.id, hit.data) == ("a", {"v": 2})
    assert await vectors.delete("w", "c", "a")
    assert not await vectors.delete("w", "c", "a")
    assert await vectors.nearest("w", "c", model="m", vector=[0, 1], limit=5, min_score=0) == []


async def test_what_belongs_to_another_workspace_or_collection_is_not_there(database: Database) -> None:
    vectors = SqlVectors(database)
    await vectors.upsert("w", "c", entry("a", 1, 0), now=NOON)
    for owner, collection, model in (("v", "c", "m"), ("w", "d", "m"), ("v", "c", "n")):
        assert await vectors.nearest(owner, collection, model=model, vector=[1, 0], limit=5, min_score=-1) == []
    assert not await vectors.delete("v", "c", "a")
    # Another workspace's collection of the same name says nothing about its model.
    await vectors.upsert("v", "c", entry("a", 1, 0, 0, model="n"), now=NOON)
    (hit,) = await vectors.nearest("w", "c", model="m", vector=[1, 0], limit=5, min_score=-1)
    assert hit.id == "a"


async def test_a_collection_is_of_one_model_and_says_which(database: Database) -> None:
    vectors = SqlVectors(database)
    await vectors.upsert("w", "c", entry("a", 1, 0, model="one/e"), now=NOON)
    await vectors.upsert("w", "c", entry("b", 0, 1, model="one/e"), now=NOON)
    with pytest.raises(VectorError, match=r"of the model 'two/e'.*of 'one/e'"):
        await vectors.nearest("w", "c", model="two/e", vector=[1, 0], limit=5, min_score=0)
    for entry_id in ("a", "c"):
        with pytest.raises(VectorError, match=r"of the model 'two/e'.*of 'one/e'"):
            await vectors.upsert("w", "c", entry(entry_id, 1, 0, model="two/e"), now=NOON)
    await vectors.delete("w", "c", "b")
    await vectors.upsert("w", "c", entry("a", 1, 0, model="two/e"), now=NOON)
    (hit,) = await vectors.nearest("w", "c", model="two/e", vector=[1, 0], limit=5, min_score=0)
    assert hit.id == "a"


async def test_entries_of_which_nobody_knows_the_model_are_compared_with_every_question(database: Database) -> None:
    vectors = SqlVectors(database)
    await vectors.upsert("w", "c", entry("old", 1, 0, model="default"), now=NOON)
    await vectors.upsert("w", "c", entry("new", 1, 1, model="one/e"), now=NOON)
    for model in ("one/e", "default"):
        found = await vectors.nearest("w", "c", model=model, vector=[1, 0], limit=5, min_score=0)
        assert [hit.id for hit in found] == ["old", "new"]
    with pytest.raises(VectorError):
        await vectors.upsert("w", "c", entry("third", 1, 0, 0, model="one/e"), now=NOON)


async def test_vectors_that_cannot_be_compared_are_refused(database: Database) -> None:
    vectors = SqlVectors(database)
    await vectors.upsert("w", "c", entry("a", 1, 0), now=NOON)
    odd: list[Any] = [entry("b", True, 1), entry("b", None, 1), entry("b", "1", 1), entry("b", 10**400, 1)]  # type: ignore[arg-type]
    odd += [entry("b", 1, 0, 0), entry("b", 0, 0), entry("b", float("nan"), 1), entry("b", float("inf"), 1), entry("b")]
    for wrong in odd:
        with pytest.raises(VectorError):
            await vectors.upsert("w", "c", wrong, now=NOON)
    with pytest.raises(VectorError):
        await vectors.nearest("w", "c", model="m", vector=[1, 0, 0], limit=5, min_score=0)
    await vectors.upsert("w", "c", entry("a", 1, 0, 0), now=NOON)


async def test_numbers_as_large_as_there_are_have_a_direction(database: Database) -> None:
    vectors = SqlVectors(database)
    await vectors.upsert("w", "c", entry("a", 1e300, 1e300), now=NOON)
    await vectors.upsert("w", "c", entry("b", 1e-300, 0), now=NOON)
    found = await vectors.nearest("w", "c", model="m", vector=[1, 1], limit=5, min_score=0)
    assert [(hit.id, hit.score) for hit in found] == [("a", 1.0), ("b", 0.707107)]
