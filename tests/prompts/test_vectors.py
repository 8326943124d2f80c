"""Vectors as servers really send them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.doubles.models import Answer, embedded
from tests.support.models import ASKER, ModelsHarness
from workflow.chat import ModelError


@pytest.mark.parametrize(
    "vectors",
    [
        [[1.0, None, 2.0]],
        [["1.0", 2.0, 3.0]],
        [[True, 2.0, 3.0]],
        [[]],
        ["AACAPwAAAEA="],
        [{"0": 1.0}],
        [[1.0, [2.0]]],
        [[1.0, 2.0], [1.0]],
        [],
        [[10**400, 1]],
    ],
)
async def test_vectors_that_are_no_vectors_are_an_unreadable_answer(models: ModelsHarness, vectors: list[Any]) -> None:
    listed = [{"object": "embedding", "index": at, "embedding": each} for at, each in enumerate(vectors)]
    models.double.script("e", Answer(body=json.dumps({"data": listed}).encode()))
    with pytest.raises(ModelError) as caught:
        await models.adapter.embed(ASKER, [f"text {number}" for number in range(max(1, len(vectors)))])
    assert (caught.value.model_code, caught.value.transient) == ("model_unavailable", True)


async def test_vectors_say_which_model_made_them_even_those_of_no_texts(models: ModelsHarness) -> None:
    models.double.script("e", embedded([1, 2.5], [3, 4]))
    found = await models.adapter.embed(ASKER, ["a", "half \ud83d"])
    assert (list(found), found.model) == ([[1.0, 2.5], [3.0, 4.0]], "one/e")  # type: ignore[attr-defined]
    assert models.double.asked[0].body["input"] == ["a", "half \ufffd"]
    nothing = await models.adapter.embed(ASKER, [], model="two/x")
    assert (list(nothing), nothing.model) == ([], "two/x")  # type: ignore[attr-defined]
    assert len(models.double.asked) == 1


@pytest.mark.parametrize(
    ("places", "order"),
    [((1, 0), [[2.0], [1.0]]), ((0, 0), [[1.0], [2.0]]), ((None, None), [[1.0], [2.0]]), ((0, 2), None)],
)
async def test_vectors_come_in_the_order_of_their_places(models: ModelsHarness, places: Any, order: Any) -> None:
    listed = [{"index": place, "embedding": [number]} for place, number in zip(places, (1.0, 2.0), strict=True)]
    models.double.script("e", Answer(body=json.dumps({"data": listed}).encode()))
    if order is None:
        with pytest.raises(ModelError):
            await models.adapter.embed(ASKER, ["a", "b"])
    else:
        assert list(await models.adapter.embed(ASKER, ["a", "b"])) == order
