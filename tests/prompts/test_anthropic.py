"""Anthropic's models by their own client, against a real HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from storage.database.database import Database
from tests.doubles.models import Answer, ModelsDouble, calling, cut_stream, data, malformed_json, refusal, said, status
from tests.support.models import KEY, ModelsHarness, asking, models_over
from workflow.chat import Message, ModelError, ToolSpec

TOOL = ToolSpec(name="look_up", description="Look up.", parameters={"type": "object"})


@pytest.fixture
async def models(double: ModelsDouble, database: Database) -> AsyncIterator[ModelsHarness]:
    """Anthropic first, then a fallback."""
    providers = {
        "claude": {"kind": "anthropic", "base_url": double.url, "api_key": KEY},
        "two": {"base_url": double.openai_url},
    }
    settings = {"models": "claude/a,two/b", "embedding_model": None}
    async with models_over(double, database, providers=providers, settings=settings) as harness:
        yield harness


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_text_and_wishes_for_tools(models: ModelsHarness, is_streamed: bool) -> None:
    models.double.script("a", calling(("look_up", {"id": 7}), text="Let me see"))
    pieces: list[str] = []
    messages = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Where is it?"),
        Message(role="tool", content="gone", tool_call_id="call_x"),
    ]
    answer = await models.adapter.chat(
        asking(messages=messages, tools=[TOOL]), on_text=pieces.append if is_streamed else None
    )
    assert (answer.model, answer.text) == ("claude/a", "Let me see")
    assert answer.tool_calls[0].arguments == {"id": 7}
    assert answer.usage.input_tokens > 0
    assert not answer.usage.is_estimate
    assert "".join(pieces) == ("Let me see" if is_streamed else "")
    asked = models.double.asked[0]
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body["system"] == "Be brief."
    (turn,) = asked.body["messages"]
    assert [block["type"] for block in turn["content"]] == ["text", "tool_result"]


async def test_a_schema_is_told_in_words(models: ModelsHarness) -> None:
    models.double.script("a", said("I think"), data({"ok": True}))
    schema = {"type": "object", "required": ["ok"]}
    answer = await models.adapter.chat(asking(schema=schema))
    assert (answer.model, answer.data) == ("claude/a", {"ok": True})
    assert "JSON Schema" in models.double.asked[0].body["system"]


@pytest.mark.parametrize(
    ("answer", "is_streamed"),
    [
        (status(529), False),
        (status(429, retry_after="3"), True),
        (malformed_json(), False),
        (cut_stream(after=0), True),
        (Answer(body=b'{"type": "message"}'), False),
    ],
)
async def test_the_next_model_makes_up_for_failures(models: ModelsHarness, answer: Answer, is_streamed: bool) -> None:
    models.double.script("a", answer)
    found = await models.adapter.chat(asking(), on_text=(lambda _: None) if is_streamed else None)
    assert found.model == "two/b"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (status(400), "model_rejected"),
        (status(401), "model_rejected"),
        (refusal(), "model_refused"),
        (status(400, message="Your credit balance is too low"), "model_quota_exceeded"),
    ],
)
async def test_what_ends_it(models: ModelsHarness, answer: Answer, code: str) -> None:
    models.double.script("a", answer)
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking(models=["claude/a"]))
    assert (caught.value.model_code, caught.value.transient) == (code, False)
