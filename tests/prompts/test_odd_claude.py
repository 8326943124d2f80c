"""The odd answers of test_odd_answers.py, in the words of Anthropic's interface."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from storage.database.database import Database
from tests.doubles.models import Answer, ModelsDouble, anthropic_words, calling, cut_off, said, status
from tests.prompts.test_odd_answers import CALLS, LOOK_UP, SCHEMA, following
from tests.support.models import KEY, ModelsHarness, asking, models_over
from workflow.chat import Message, ModelError


@pytest.fixture
async def claude(double: ModelsDouble, database: Database) -> AsyncIterator[ModelsHarness]:
    """Anthropic's interface first, then a fallback."""
    providers = {
        "claude": {"kind": "anthropic", "base_url": double.url, "api_key": KEY},
        "two": {"base_url": double.openai_url},
    }
    settings = {"models": "claude/a,two/b", "embedding_model": None}
    async with models_over(double, database, providers=providers, settings=settings) as harness:
        yield harness


@pytest.mark.parametrize("is_followed", [False, True])
@pytest.mark.parametrize("indexes", [None, (0, 0, 0), (None, None, None)])
async def test_claudes_calls_are_told_apart_too(claude: ModelsHarness, indexes: Any, is_followed: bool) -> None:
    claude.double.script("a", calling(*CALLS, call_indexes=indexes))
    answer = await claude.adapter.chat(asking(tools=[LOOK_UP]), on_text=following(is_followed))
    assert [(each.name, each.arguments) for each in answer.tool_calls] == list(CALLS)


@pytest.mark.parametrize("is_followed", [False, True])
async def test_claudes_input_as_text_is_taken_and_what_is_no_object_is_not(
    claude: ModelsHarness, is_followed: bool
) -> None:
    claude.double.script("a", calling(("look_up", '"{\\"id\\": 7}"'), ("look_up", '{"id": ')))
    answer = await claude.adapter.chat(asking(tools=[LOOK_UP]), on_text=following(is_followed))
    assert [each.arguments for each in answer.tool_calls] == [{"id": 7}, None]


@pytest.mark.parametrize("is_followed", [False, True])
async def test_claudes_cut_and_empty_answers_say_so(claude: ModelsHarness, is_followed: bool) -> None:
    claude.double.script("a", cut_off("half"), said(""))
    for outcome in ("cut_off", "empty"):
        answer = await claude.adapter.chat(asking(), on_text=following(is_followed))
        assert answer.attempts[-1].outcome == outcome


async def test_claudes_data_that_was_cut_off_is_an_error(claude: ModelsHarness) -> None:
    claude.double.script("a", cut_off('{"name": "Ann", "age": 7}'))
    with pytest.raises(ModelError, match="cut off"):
        await claude.adapter.chat(asking(schema=SCHEMA))


@pytest.mark.parametrize("is_followed", [False, True])
async def test_claudes_error_beside_or_behind_content_asks_the_next_model(
    claude: ModelsHarness, is_followed: bool
) -> None:
    claude.double.script("a", said("", error={"type": "overloaded_error", "message": "later"}))
    assert (await claude.adapter.chat(asking(), on_text=following(is_followed))).model == "two/b"


async def test_claudes_filter_refuses(claude: ModelsHarness) -> None:
    message = "Output blocked by content filtering policy"
    claude.double.script("a", status(400, message=message, error_code="invalid_request_error"))
    with pytest.raises(ModelError) as caught:
        await claude.adapter.chat(asking())
    assert caught.value.model_code == "model_refused"


async def test_claude_gets_no_empty_turns_and_the_user_begins(claude: ModelsHarness) -> None:
    messages = [
        Message(role="assistant", content="I am here."),
        Message(role="user", content=""),
        Message(role="user", content="half \ud83d"),
    ]
    await claude.adapter.chat(asking(messages=messages))
    turns = claude.double.asked[0].body["messages"]
    assert [(turn["role"], [block["text"] for block in turn["content"]]) for turn in turns] == [
        ("user", ["[What was said before is left out here.]"]),
        ("assistant", ["I am here."]),
        ("user", ["half \ufffd"]),
    ]


async def test_a_gateway_that_does_not_stream_gives_the_same_calls(claude: ModelsHarness) -> None:
    whole = anthropic_words.message(calling(*CALLS, text="Let me see"), {"model": "a"})
    claude.double.script("a", Answer(body=json.dumps(whole).encode()))
    pieces: list[str] = []
    answer = await claude.adapter.chat(asking(tools=[LOOK_UP]), on_text=pieces.append)
    assert [(each.name, each.arguments) for each in answer.tool_calls] == list(CALLS)
    assert (answer.text, pieces) == ("Let me see", ["Let me see"])
