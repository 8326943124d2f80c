"""What nodes get from models: tools, streams, structured output, counts, memory, limits, history."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from prompts.models.limits import DailyLimit, ModelLimits
from storage.database.database import Database
from tests.doubles.models import ModelsDouble, calling, data, hanging, said, status
from tests.support.models import ASKER, KEY, ModelsHarness, asking, models_over
from workflow.chat import AGENT, AgentAnswersError, Attachment, Message, ModelError, ToolCall, ToolSpec

LOOK_UP = ToolSpec(
    name="look_up",
    description="Look an order up.",
    parameters={"type": "object", "properties": {"id": {"type": "integer"}}},
)
TOTAL: dict[str, Any] = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_wish_for_a_tool_comes_out_and_its_result_goes_in(models: ModelsHarness, is_streamed: bool) -> None:
    models.double.script("a", calling(("look_up", {"id": 7}), text="Let me see."), said("It is on its way."))
    pieces: list[str] = []
    on_text = pieces.append if is_streamed else None
    first = await models.adapter.chat(asking("Where is order 7?", tools=[LOOK_UP]), on_text=on_text)
    (call,) = first.tool_calls
    assert (call.name, call.arguments) == ("look_up", {"id": 7})
    messages = [
        Message(role="user", content="Where is order 7?"),
        Message(role="assistant", content=first.text, tool_calls=first.tool_calls),
        Message(role="tool", content='{"state": "sent"}', tool_call_id=call.id),
    ]
    second = await models.adapter.chat(asking(messages=messages, tools=[LOOK_UP]), on_text=on_text)
    assert second.text == "It is on its way."
    asked, again = (each.body for each in models.double.asked)
    assert asked["tools"][0]["function"]["parameters"] == LOOK_UP.parameters
    assert again["messages"][1]["tool_calls"][0]["function"] == {"name": "look_up", "arguments": '{"id":7}'}
    assert again["messages"][2] == {"role": "tool", "content": '{"state": "sent"}', "tool_call_id": call.id}
    if is_streamed:
        assert "".join(pieces) == "Let me see.It is on its way."


async def test_arguments_that_are_no_object_are_handed_on_as_written(models: ModelsHarness) -> None:
    models.double.script("a", calling(("look_up", '{"id": ')))
    answer = await models.adapter.chat(asking(tools=[LOOK_UP]))
    assert answer.tool_calls == (ToolCall(id="call_0", name="look_up", arguments=None, raw_arguments='{"id": '),)


async def test_pictures_go_along_by_reference(models: ModelsHarness) -> None:
    message = Message(
        role="user",
        content="What is this?",
        attachments=(
            Attachment(url="https://example.com/a.png", media_type="image/png"),
            Attachment(url="https://example.com/a.pdf", media_type="application/pdf"),
        ),
    )
    await models.adapter.chat(asking(messages=[message]))
    text, picture, paper = models.double.asked[0].body["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    assert picture == {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert "https://example.com/a.pdf" in paper["text"]


async def test_a_schema_goes_to_the_provider_and_its_answer_is_a_value(models: ModelsHarness) -> None:
    models.double.script("a", data({"total": 3}))
    pieces: list[str] = []
    answer = await models.adapter.chat(asking(schema=TOTAL), on_text=pieces.append)
    assert answer.data == {"total": 3}
    assert pieces == []
    asked = models.double.asked[0].body["response_format"]
    assert asked["json_schema"] == {"name": "answer", "schema": TOTAL, "strict": False}


async def test_a_provider_that_takes_no_schema_is_told_in_words(double: ModelsDouble, database: Database) -> None:
    plain = {"plain": {"base_url": double.openai_url, "native_schema": False}}
    settings = {"models": "plain/m", "embedding_model": None}
    async with models_over(double, database, providers=plain, settings=settings) as models:
        double.script("m", said('Certainly!\n```json\n{"total": 3}\n```\nAnything else?'))
        assert (await models.adapter.chat(asking(schema=TOTAL))).data == {"total": 3}
        asked = double.asked[0].body
        assert "response_format" not in asked
        assert json.dumps(TOTAL, separators=(",", ":")) in asked["messages"][0]["content"]


async def test_a_repair_quotes_what_was_wrong_and_all_of_it_is_counted(models: ModelsHarness) -> None:
    models.double.script("a", data({"total": "3"}, usage=(100, 10)), data({"total": 3}, usage=(150, 10)))
    answer = await models.adapter.chat(asking(schema=TOTAL))
    assert answer.data == {"total": 3}
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (250, 20)
    *_, answered, asked = models.double.asked[1].body["messages"]
    assert answered == {"role": "assistant", "content": '{"total": "3"}'}
    assert "/total: '3' is not of type 'number'" in asked["content"]


async def test_tokens_are_the_providers_count_else_an_estimate(models: ModelsHarness) -> None:
    models.double.script("a", said("fine", usage=(120, 7)), said("fine", has_usage=False))
    counted = (await models.adapter.chat(asking())).usage
    assert (counted.input_tokens, counted.output_tokens, counted.is_estimate) == (120, 7, False)
    estimated = (await models.adapter.chat(asking(), on_text=lambda _: None)).usage
    assert estimated.is_estimate
    assert estimated.input_tokens > 0
    assert estimated.output_tokens > 0


async def test_what_a_model_costs_is_its_price_times_its_tokens(double: ModelsDouble, database: Database) -> None:
    prices = {"a": {"input": 0.25, "output": 2}}
    priced = {"one": {"base_url": double.openai_url, "prices": prices}}
    settings = {"models": "one/a", "embedding_model": None}
    async with models_over(double, database, providers=priced, settings=settings) as models:
        double.script("a", said("fine", usage=(1_000_000, 100_000)))
        assert (await models.adapter.chat(asking())).usage.cost_micros == 450_000
        assert (await models.adapter.chat(asking(models=["one/other"]))).usage.cost_micros is None


async def test_the_same_question_is_answered_from_memory_where_it_may_be(models: ModelsHarness) -> None:
    models.double.script("a", said("first"), said("second"))
    first = await models.adapter.chat(asking(may_cache=True))
    pieces: list[str] = []
    again = await models.adapter.chat(asking(may_cache=True), on_text=pieces.append)
    assert (first.text, first.is_from_cache) == ("first", False)
    assert (again.text, again.is_from_cache, again.usage.input_tokens) == ("first", True, 0)
    assert pieces == ["first"]
    for different in (
        asking(may_cache=False),
        asking("How are you now?", may_cache=True),
        asking(may_cache=True, temperature=0.5),
        asking(may_cache=True, tools=[LOOK_UP]),
        asking(may_cache=True, asker=replace_owner("another workspace")),
    ):
        assert (await models.adapter.chat(different)).text == "second"
    models.seconds.now += 61
    assert (await models.adapter.chat(asking(may_cache=True))).text == "second"


def replace_owner(owner: str) -> Any:
    """The asker, in another workspace."""
    return ASKER._replace(owner=owner)


async def test_who_asks_the_same_at_the_same_time_waits_for_the_one_answer(models: ModelsHarness) -> None:
    models.double.script("a", said("once", delay_seconds=0.1))
    answers = await asyncio.gather(*(models.adapter.chat(asking(may_cache=True)) for _ in range(5)))
    assert {answer.text for answer in answers} == {"once"}
    assert sorted(answer.is_from_cache for answer in answers) == [False, True, True, True, True]
    assert len(models.double.asked) == 1
    assert len(await models.history()) == 5


async def test_one_who_leaves_does_not_take_the_answer_from_the_others(models: ModelsHarness) -> None:
    models.double.script("a", said("for the other", delay_seconds=0.3))
    leaves = asyncio.create_task(models.adapter.chat(asking(may_cache=True)))
    await models.double.arrived.wait()
    stays = asyncio.create_task(models.adapter.chat(asking(may_cache=True)))
    await asyncio.sleep(0)  # one turn, in which it joins the question that is under way
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert (await stays).text == "for the other"
    assert len(models.double.asked) == 1


async def test_a_question_that_is_taken_back_says_nothing_of_the_model(models: ModelsHarness) -> None:
    models.double.script("a", hanging())
    task = asyncio.create_task(models.adapter.chat(asking()))
    await models.double.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    models.double.script("a", said("fine"))
    assert (await models.adapter.chat(asking())).model == "one/a"


@pytest.mark.parametrize("kind", ["user", "workflow"])
async def test_a_day_has_a_limit(double: ModelsDouble, database: Database, kind: str) -> None:
    limit = DailyLimit(setting=f"JOBSPRINT_AI_{kind.upper()}", tokens=100)
    async with models_over(double, database, limits=ModelLimits(**{kind: limit})) as models:
        double.script("a", said("fine", usage=(90, 10)))
        await models.adapter.chat(asking())
        with pytest.raises(ModelError) as caught:
            await models.adapter.chat(asking())
        assert (caught.value.model_code, caught.value.transient) == ("model_limit_reached", False)
        assert f"JOBSPRINT_AI_{kind.upper()}_TOKENS_PER_DAY" in str(caught.value.fix)
        assert caught.value.retry_after_seconds == 12 * 3_600
        with pytest.raises(AgentAnswersError):
            await models.adapter.chat(asking(models=["one/a", AGENT]))
        assert len(double.asked) == 1
        stranger = ASKER._replace(user_id="eve", workflow_id="workflow-2")
        assert (await models.adapter.chat(asking(asker=stranger))).text == "fine"
        models.clock.at = models.clock.at.replace(day=models.clock.at.day + 1)
        assert (await models.adapter.chat(asking())).text == "fine"


async def test_a_limit_counts_what_another_process_has_used(double: ModelsDouble, database: Database) -> None:
    limit = DailyLimit(setting="JOBSPRINT_AI_USER", cost_micros=1_000)
    async with (
        models_over(double, database, limits=ModelLimits(user=limit)) as models,
        models_over(double, database) as other,
    ):
        double.script("a", said("fine", usage=(10, 10)))
        await models.adapter.chat(asking())
        expensive = await other.adapter.chat(asking())
        await other.exchanges.add(
            replace(
                (await other.history())[-1],
                id="00000000-0000-7000-8000-000000000001",
                usage=replace(expensive.usage, cost_micros=2_000),
            )
        )
        assert (await models.adapter.chat(asking())).text == "fine"
        models.seconds.now += 31
        with pytest.raises(ModelError, match="dollars"):
            await models.adapter.chat(asking())


async def test_every_exchange_is_in_the_history_with_who_answered(models: ModelsHarness) -> None:
    models.double.script("a", status(503), said("fine", usage=(5, 6)))
    await models.adapter.chat(asking("Hello", conversation_id="thread 1"))
    with pytest.raises(ModelError):
        await models.adapter.chat(asking(models=["one/status-400"]))
    answered, failed = await models.history()
    assert (answered.model, answered.outcome, answered.conversation_id) == ("two/b", "ok", "thread 1")
    assert answered.asker == ASKER
    assert answered.request["messages"] == [{"role": "user", "content": "Hello"}]
    assert answered.answer == {"text": "Hello"}
    assert [each.outcome for each in answered.attempts] == ["model_unavailable", "ok"]
    assert answered.latency_ms >= 0
    assert (failed.model, failed.outcome) == ("one/status-400", "model_rejected")
    assert "scripted status 400" in failed.answer["error"]["message"]


async def test_no_key_is_in_errors_logs_or_history(models: ModelsHarness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    models.double.script("a", status(401, message=f"Incorrect API key provided: {KEY}, see your account"))
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking("My key is Bearer abcdefgh12345678"))
    assert models.double.asked[0].headers["authorization"] == f"Bearer {KEY}"
    history = json.dumps([[each.request, each.answer] for each in await models.history()])
    shown = f"{caught.value.message} {caught.value.fix} {history} {models.adapter.catalogue.target('one/a')!r}"
    for secret in (KEY, "abcdefgh12345678"):
        assert secret not in shown
    assert KEY not in "".join(record.getMessage() for record in caplog.records)


async def test_the_agents_answer_is_checked_and_kept(models: ModelsHarness) -> None:
    request = asking(schema=TOTAL, models=[AGENT])
    with pytest.raises(AgentAnswersError):
        await models.adapter.chat(request)
    with pytest.raises(ModelError) as caught:
        await models.adapter.answered(request, '{"sum": 3}')
    assert caught.value.model_code == "model_answer_invalid"
    assert "'total' is missing" in caught.value.message
    answer = await models.adapter.answered(request, '{"total": 3}')
    assert (answer.model, answer.data, answer.usage.cost_micros) == (AGENT, {"total": 3}, 0)
    (kept,) = await models.history()
    assert (kept.model, kept.answer["data"], kept.usage.is_estimate) == (AGENT, {"total": 3}, True)


async def test_vectors_come_in_the_order_of_the_texts_however_many(models: ModelsHarness) -> None:
    texts = [f"text number {number}" for number in range(200)]
    vectors = await models.adapter.embed(ASKER, texts)
    assert len(vectors) == 200
    assert vectors[150] == (await models.adapter.embed(ASKER, [texts[150]]))[0]
    assert [len(each.body["input"]) for each in models.double.asked] == [128, 72, 1]
    assert sum(each.usage.input_tokens for each in await models.history()) == 603
    assert await models.adapter.embed(ASKER, []) == []


async def test_vectors_that_do_not_come_are_a_failure(models: ModelsHarness) -> None:
    models.double.script("e", status(503, retry_after="3"))
    with pytest.raises(ModelError) as caught:
        await models.adapter.embed(ASKER, ["text"])
    assert (caught.value.model_code, caught.value.transient) == ("model_unavailable", True)
    assert caught.value.retry_after_seconds == 3
    with pytest.raises(ModelError) as caught:
        await models.adapter.embed(ASKER, ["text"], model=AGENT)
    assert caught.value.model_code == "no_model"


async def test_an_answer_without_an_end_is_not_read_to_the_end(double: ModelsDouble, database: Database) -> None:
    async with models_over(double, database) as models:
        double.script("a", said("x" * (2 << 20)))
        for on_text in (None, lambda _: None):
            with pytest.raises(ModelError) as caught:
                await models.adapter.chat(asking(models=["one/a"]), on_text=on_text)
            assert "larger than 1048576 bytes" in caught.value.message
