"""The scripted server of models, asked by the real clients."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import openai
import pytest

from tests.doubles.models import (
    ModelsDouble,
    calling,
    cut_body,
    cut_stream,
    empty_choices,
    garbage_in_stream,
    hanging,
    said,
    serving,
    slow,
    status,
)

QUESTION = [{"role": "user", "content": "How are you?"}]


@pytest.fixture
async def double() -> AsyncIterator[ModelsDouble]:
    async with serving() as double:
        yield double


@pytest.fixture
async def client(double: ModelsDouble) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=double.openai_url, api_key="x", max_retries=0, timeout=5) as client:
        yield client


async def test_a_model_without_a_script_repeats_and_is_noted(double: ModelsDouble, client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="any", messages=QUESTION)
    assert answer.choices[0].message.content == "How are you?"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 3)
    assert [each.last_text for each in double.asked_of("any")] == ["How are you?"]


async def test_a_script_goes_on_answer_by_answer_and_its_last_one_stays(
    double: ModelsDouble, client: openai.AsyncOpenAI
) -> None:
    double.script("m", status(429, retry_after="7"), said("first"), said("last"))
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="m", messages=QUESTION)
    assert caught.value.response.headers["retry-after"] == "7"
    choices = [(await client.chat.completions.create(model="m", messages=QUESTION)).choices[0] for _ in range(3)]
    assert [choice.message.content for choice in choices] == ["first", "last", "last"]


async def test_streams_bring_words_tool_calls_and_usage(double: ModelsDouble, client: openai.AsyncOpenAI) -> None:
    double.script("m", calling(("look_up", {"id": 7}), text="let me see"))
    stream = await client.chat.completions.create(
        model="m", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    text, arguments, usage = "", "", None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                assert call.function is not None
                arguments += call.function.arguments or ""
    assert (text, arguments) == ("let me see", '{"id":7}')
    assert usage is not None
    assert usage.prompt_tokens == 3


async def test_what_breaks_breaks_on_the_wire(double: ModelsDouble, client: openai.AsyncOpenAI) -> None:
    double.script("cut", cut_stream("a b c d", after=2))
    double.script("garbage", garbage_in_stream("a b c d", after=1))
    for model, before in (("cut", "a b "), ("garbage", "a ")):
        text = ""
        with pytest.raises((httpx2.HTTPError, ValueError, openai.APIError)):  # noqa: PT012
            async for chunk in await client.chat.completions.create(model=model, messages=QUESTION, stream=True):
                text += chunk.choices[0].delta.content or ""
        assert text == before
    double.script("half", cut_body())
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model="half", messages=QUESTION)
    double.script("empty", empty_choices())
    assert (await client.chat.completions.create(model="empty", messages=QUESTION)).choices == []


async def test_slow_and_hanging_models_run_into_the_callers_timeout(
    double: ModelsDouble, client: openai.AsyncOpenAI
) -> None:
    double.script("slow", slow(0.01, said("late")))
    late = await client.chat.completions.create(model="slow", messages=QUESTION)
    assert late.choices[0].message.content == "late"
    double.script("hang", hanging())
    with pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(model="hang", messages=QUESTION, timeout=0.2)


async def test_texts_that_share_words_have_vectors_that_are_near(client: openai.AsyncOpenAI) -> None:
    texts = ["the printer is on fire", "fire in the printer", "invoice overdue"]
    found = await client.embeddings.create(model="e", input=texts)
    one, other, foreign = (each.embedding for each in found.data)
    assert sum(a * b for a, b in zip(one, other, strict=True)) > 0.5
    assert sum(a * b for a, b in zip(one, foreign, strict=True)) < 0.5


async def test_a_script_can_be_sent_while_it_runs(double: ModelsDouble, client: openai.AsyncOpenAI) -> None:
    async with httpx2.AsyncClient(base_url=double.url) as http:
        await http.post("/script", json={"m": [{"data": {"a": 1}}, 503]})
        answer = await client.chat.completions.create(model="m", messages=QUESTION)
        assert answer.choices[0].message.content == '{"a": 1}'
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="m", messages=QUESTION)
        assert len((await http.get("/asked")).json()) == 2
        assert [each["id"] for each in (await http.get("/v1/models")).json()["data"]] == ["m"]
