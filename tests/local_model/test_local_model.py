"""The adapter over a real model, which says what it likes: what is tested holds for whatever it says."""

from __future__ import annotations

import os

import pytest

from prompts.tokens import text_tokens
from tests.support.models import ASKER, ModelsHarness, asking

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome", "Oslo"]}, "is_capital": {"type": "boolean"}},
    "required": ["city", "is_capital"],
    "additionalProperties": False,
}
QUESTION = "The capital of France is"
PATIENCE_SECONDS = 250.0
"""Small machines are slow."""


async def test_it_answers_and_counts(models: ModelsHarness) -> None:
    answer = await models.adapter.chat(
        asking(QUESTION, temperature=0, timeout_seconds=PATIENCE_SECONDS, max_output_tokens=24)
    )
    assert answer.text.strip()
    assert not answer.usage.is_estimate
    assert 0 < answer.usage.output_tokens <= 25
    assert [each.outcome for each in await models.history()] == ["ok"]


async def test_its_stream_is_its_answer(models: ModelsHarness) -> None:
    pieces: list[str] = []
    request = asking(QUESTION, temperature=0, timeout_seconds=PATIENCE_SECONDS, max_output_tokens=24)
    answer = await models.adapter.chat(request, on_text=pieces.append)
    assert len(pieces) > 1
    assert "".join(pieces) == answer.text
    assert not answer.usage.is_estimate


async def test_its_value_fits_the_schema(models: ModelsHarness) -> None:
    request = asking(
        f"{QUESTION} which city? As JSON.",
        schema=SCHEMA,
        temperature=0,
        timeout_seconds=PATIENCE_SECONDS,
        max_output_tokens=100,
    )
    answer = await models.adapter.chat(request)
    assert answer.data["city"] in SCHEMA["properties"]["city"]["enum"]  # type: ignore[index]
    assert isinstance(answer.data["is_capital"], bool)


async def test_the_estimate_is_not_below_its_count(models: ModelsHarness) -> None:
    text = f"Give me the totals of these: {[{'id': number, 'total': number * 3.5} for number in range(20)]}"
    answer = await models.adapter.chat(
        asking(text, temperature=0, timeout_seconds=PATIENCE_SECONDS, max_output_tokens=4)
    )
    assert text_tokens(text) * 0.5 < answer.usage.input_tokens <= text_tokens(text) + 20


@pytest.mark.skipif("LOCAL_MODEL_URL" in os.environ, reason="not every server makes vectors")
async def test_its_vectors_are_of_one_length(models: ModelsHarness) -> None:
    vectors = await models.adapter.embed(ASKER, ["the printer burns", "the invoice is late"])
    assert len(vectors) == 2
    assert len(vectors[0]) == len(vectors[1]) > 100
    assert vectors[0] != vectors[1]
