"""Answers as servers and gateways really write them: errors in odd places, calls without order, cut and empty ones."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from storage.database.database import Database
from tests.doubles.models import (
    Answer,
    ModelsDouble,
    calling,
    cut_off,
    data,
    filtered,
    in_turns,
    openai_words,
    said,
    status,
)
from tests.support.models import ModelsHarness, asking, models_over
from workflow.breaker import BreakerState
from workflow.chat import Attachment, Message, ModelError, ToolCall, ToolSpec

LOOK_UP = ToolSpec(name="look_up", description="Look an order up.", parameters={"type": "object"})
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
BROKEN = {"message": "upstream went away", "code": 502}


def following(is_followed: bool) -> Any:
    """What gets the pieces, where somebody follows."""
    return (lambda _: None) if is_followed else None


@pytest.mark.parametrize("is_followed", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        said("", finish_reason="error"),
        said("", finish_reason="ERROR"),
        said("", finish_reason="insufficient_system_resource"),
        said("", finish_reason="abort"),
        said("", finish_reason="error", choice_error=BROKEN),
        said("", choice_error={"code": "server_error", "message": "no more"}),
        said("", error=BROKEN),
        said("", error="overloaded"),
    ],
)
async def test_an_error_beside_or_inside_the_choices_is_a_failure(
    models: ModelsHarness, answer: Answer, is_followed: bool
) -> None:
    models.double.script("a", answer)
    models.double.script("b", said("fine"))
    found = await models.adapter.chat(asking(), on_text=following(is_followed))
    assert (found.model, found.attempts[0].outcome) == ("two/b", "model_unavailable")


async def test_a_part_of_an_answer_beside_an_error_is_no_answer(models: ModelsHarness) -> None:
    models.double.script("a", said("Partial te", finish_reason="error", choice_error=BROKEN))
    models.double.script("b", said("fine"))
    assert (await models.adapter.chat(asking())).text == "fine"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 429, "message": "slower"}, "model_rate_limited"),
        ({"code": "rate_limit_exceeded", "message": "slower"}, "model_rate_limited"),
        ({"type": "insufficient_quota", "message": "no money"}, "model_quota_exceeded"),
        ({"code": 400, "message": "bad"}, "model_rejected"),
        ({"code": "content_filter", "message": "no"}, "model_refused"),
        ({"type": "never_seen"}, "model_unavailable"),
    ],
)
async def test_an_error_with_status_200_is_what_its_code_says(
    models: ModelsHarness, error: dict[str, Any], code: str
) -> None:
    models.double.script("a", said("so far", error=error))
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking(models=["one/a"]))
    assert caught.value.model_code == code


@pytest.mark.parametrize("error", [None, {}, "", {"message": "", "code": None}])
async def test_a_member_error_with_nothing_in_it_is_no_error(models: ModelsHarness, error: Any) -> None:
    models.double.script("a", said("fine", error=error))
    assert (await models.adapter.chat(asking())).text == "fine"


@pytest.mark.parametrize("is_followed", [False, True])
async def test_an_answer_that_was_cut_off_says_so(models: ModelsHarness, is_followed: bool) -> None:
    models.double.script("a", cut_off("It was a dark and"))
    answer = await models.adapter.chat(asking(), on_text=following(is_followed))
    assert (answer.text, answer.attempts[-1].outcome) == ("It was a dark and", "cut_off")
    (kept,) = await models.history()
    assert (kept.outcome, kept.attempts[-1].outcome) == ("ok", "cut_off")


@pytest.mark.parametrize("reason", ["length", "max_tokens", "model_length"])
@pytest.mark.parametrize("text", ['{"name": "Ann", "ag', '{"name": "Ann", "age": 7}', '[{"name": "Ann", "age": 7}', ""])
async def test_data_that_was_cut_off_is_an_error_and_is_not_asked_for_again(
    models: ModelsHarness, reason: str, text: str
) -> None:
    models.double.script("a", said(text, finish_reason=reason))
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking(schema=SCHEMA))
    assert (caught.value.model_code, caught.value.transient) == ("model_answer_invalid", False)
    assert "cut off" in caught.value.message
    assert "max_output_tokens" in str(caught.value.fix)
    assert len(models.double.asked) == 1


@pytest.mark.parametrize("is_followed", [False, True])
@pytest.mark.parametrize("text", ["", " \n"])
async def test_an_empty_answer_says_so_and_is_not_cached(models: ModelsHarness, text: str, is_followed: bool) -> None:
    models.double.script("a", said(text), said("more"))
    empty = await models.adapter.chat(asking(may_cache=True), on_text=following(is_followed))
    assert (empty.text, empty.attempts[-1].outcome) == (text, "empty")
    assert (await models.adapter.chat(asking(may_cache=True))).text == "more"


async def test_an_answer_that_was_cut_off_says_so_to_all_who_share_it(models: ModelsHarness) -> None:
    models.double.script("a", cut_off("half", delay_seconds=0.1))
    answers = await asyncio.gather(*(models.adapter.chat(asking(may_cache=True)) for _ in range(2)))
    assert [each.attempts[-1].outcome for each in answers] == ["cut_off", "cut_off"]
    assert len(models.double.asked) == 1


async def test_an_empty_answer_in_place_of_data_is_asked_for_again(models: ModelsHarness) -> None:
    models.double.script("a", said(""), data({"name": "Ann", "age": 7}))
    assert (await models.adapter.chat(asking(schema=SCHEMA))).data == {"name": "Ann", "age": 7}
    assert "The answer is empty" in models.double.asked[1].last_text


CALLS = (("look_up", {"id": 1}), ("look_up", {"id": 2}), ("forget", {}))


@pytest.mark.parametrize("is_followed", [False, True])
@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"call_indexes": (0, 0, 0)},
        {"call_indexes": (0, 0, 0), "calls_at_once": True},
        {"call_indexes": (None, None, None)},
        {"call_indexes": (None, None, None), "calls_at_once": True},
        {"call_indexes": (None, None, None), "call_ids": (None, None, None)},
        {"call_indexes": (0, 0, 0), "call_ids": (None, None, None)},
        {"call_indexes": (1, 2, 3)},
        {"call_ids": ("x", "x", "x")},
        {"call_indexes": (0, 0, 0), "call_ids": ("x", "x", "x")},
        {"call_ids": ("", "", "")},
        {"arguments_as_objects": True},
        {"arguments_as_objects": True, "call_indexes": (0, 0, 0)},
    ],
)
async def test_followed_or_not_the_same_calls_come_out(
    models: ModelsHarness, odd: dict[str, Any], is_followed: bool
) -> None:
    models.double.script("a", calling(*CALLS, text="Let me see", **odd))
    answer = await models.adapter.chat(asking(tools=[LOOK_UP]), on_text=following(is_followed))
    assert [(each.name, each.arguments) for each in answer.tool_calls] == list(CALLS)
    ids = odd.get("call_ids") or [None, None, None]
    expected = [call_id or f"call_{place}" for place, call_id in enumerate(ids)]
    assert [each.id for each in answer.tool_calls] == expected


async def test_a_server_that_does_not_stream_gives_the_same_calls_and_text(models: ModelsHarness) -> None:
    whole = openai_words.completion(calling(*CALLS, text="Let me see"), {"model": "a"})
    models.double.script("a", Answer(body=json.dumps(whole).encode()), Answer(body=b'{"error": {"code": 502}}'))
    pieces: list[str] = []
    answer = await models.adapter.chat(asking(tools=[LOOK_UP]), on_text=pieces.append)
    assert [(each.name, each.arguments) for each in answer.tool_calls] == list(CALLS)
    assert (answer.text, pieces) == ("Let me see", ["Let me see"])
    models.double.script("b", said("fine"))
    assert (await models.adapter.chat(asking(), on_text=pieces.append)).model == "two/b"


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ('{"id": 7}', {"id": 7}),
        ('"{\\"id\\": 7}"', {"id": 7}),
        ("", {}),
        (" ", {}),
        ("null", None),
        ("[1]", None),
        ('{"id": 7', None),
        ('{"id": NaN}', None),
        ('{"text": "cut \\ud83d"}', {"text": "cut \ufffd"}),
        ('{"deep": ' + "[" * 200 + "]" * 200 + "}", None),
    ],
)
async def test_arguments_are_an_object_or_unreadable(models: ModelsHarness, written: str, arguments: Any) -> None:
    models.double.script("a", calling(("look_up", written)))
    for on_text in (None, lambda _: None):
        (call,) = (await models.adapter.chat(asking(tools=[LOOK_UP]), on_text=on_text)).tool_calls
        assert call.arguments == arguments


async def test_arguments_given_as_an_object_go_back_as_text(models: ModelsHarness) -> None:
    models.double.script("a", calling(("look_up", {"id": 7}), arguments_as_objects=True), said("fine"))
    first = await models.adapter.chat(asking(tools=[LOOK_UP]))
    messages = [Message(role="user", content="?"), Message(role="assistant", content="", tool_calls=first.tool_calls)]
    await models.adapter.chat(asking(messages=messages, tools=[LOOK_UP]))
    function = models.double.asked[1].body["messages"][1]["tool_calls"][0]["function"]
    assert function == {"name": "look_up", "arguments": '{"id": 7}'}


async def test_arguments_that_nobody_could_read_go_back_as_none(models: ModelsHarness) -> None:
    call = ToolCall(id="c", name="look_up", arguments=None, raw_arguments='{"id": ')
    messages = [Message(role="user", content="?"), Message(role="assistant", content="", tool_calls=(call,))]
    await models.adapter.chat(asking(messages=messages))
    assert models.double.asked[0].body["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize("is_followed", [False, True])
async def test_a_call_that_was_cut_off_before_its_arguments_is_not_made_without_them(
    models: ModelsHarness, is_followed: bool
) -> None:
    models.double.script("a", calling(("look_up", {"id": 1}), ("forget", ""), finish_reason="length"))
    answer = await models.adapter.chat(asking(tools=[LOOK_UP]), on_text=following(is_followed))
    assert [each.arguments for each in answer.tool_calls] == [{"id": 1}, None]


@pytest.mark.parametrize("is_followed", [False, True])
async def test_a_call_without_a_name_is_an_answer_that_cannot_be_read(models: ModelsHarness, is_followed: bool) -> None:
    models.double.script("a", calling(("", {"id": 1})))
    models.double.script("b", said("fine"))
    assert (await models.adapter.chat(asking(), on_text=following(is_followed))).model == "two/b"


AZURE = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "error_code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
}


@pytest.mark.parametrize("is_followed", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        status(400, **AZURE),
        status(400, innererror={"code": "ResponsibleAIPolicyViolation"}),
        status(400, error_code="content_policy_violation"),
        status(400, error_code="data_inspection_failed"),
        status(403, error_code="moderation_blocked"),
        status(400, message="Content Exists Risk"),
        filtered(),
        said("", finish_reason="SAFETY"),
        said("so far", choice_error={"code": "content_filter", "message": "filtered"}),
    ],
)
async def test_what_a_filter_takes_away_is_refused(models: ModelsHarness, answer: Answer, is_followed: bool) -> None:
    models.double.script("a", answer)
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking(), on_text=following(is_followed))
    assert (caught.value.model_code, caught.value.transient) == ("model_refused", False)
    assert "Change what is asked" in str(caught.value.fix)
    assert models.adapter.availability.state("one/a") is BreakerState.CLOSED


@pytest.mark.parametrize(
    "request_with",
    [
        {"messages": [Message(role="user", content="cut \ud83d")]},
        {"messages": [Message(role="system", content="\udc00"), Message(role="user", content="?")]},
        {"tools": [ToolSpec(name="t", description="cut \ud83d", parameters={"type": "object", "title": "\ud83d"})]},
        {"schema": {"type": "object", "description": "cut \ud83d"}},
        {
            "messages": [
                Message(role="user", content="?", attachments=(Attachment(url="http://x/\ud83d", media_type="a/b"),))
            ]
        },
    ],
)
async def test_half_a_character_is_sent_as_a_mark_and_says_nothing_of_the_model(
    models: ModelsHarness, request_with: dict[str, Any]
) -> None:
    models.double.script("a", data({"x": 1}))
    for on_text in (None, lambda _: None):
        answer = await models.adapter.chat(asking(may_cache=True, **request_with), on_text=on_text)
        assert answer.model == "one/a"
    assert "\ufffd" in str(models.double.asked[0].body)
    assert len(await models.history()) == 2
    assert models.adapter.availability.state("one/a") is BreakerState.CLOSED


@pytest.mark.parametrize("is_followed", [False, True])
async def test_half_a_character_in_an_answer_is_a_mark(models: ModelsHarness, is_followed: bool) -> None:
    if is_followed:
        body = b"".join(
            b'data: {"choices": [{"index": 0, "delta": {"content": "' + piece + b'"}, "finish_reason": null}]}\n\n'
            for piece in (rb"a \ud83d", rb"\ude00 b", rb"\ud83d", rb" c")
        )
        body += b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
        models.double.script("a", Answer(body=body, headers={"content-type": "text/event-stream"}))
    else:
        content = rb"a \ud83d\ude00 b\ud83d c"
        body = b'{"choices": [{"message": {"content": "' + content + b'"}, "finish_reason": "stop"}]}'
        models.double.script("a", Answer(body=body))
    pieces: list[str] = []
    answer = await models.adapter.chat(asking(), on_text=pieces.append if is_followed else None)
    assert (answer.model, answer.text) == ("one/a", "a \U0001f600 b\ufffd c")
    assert "".join(pieces) == (answer.text if is_followed else "")


async def test_a_schema_that_is_nested_without_end_is_refused_before_anybody_is_asked(models: ModelsHarness) -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"properties": {"x": deep}}
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking(schema=deep))
    assert caught.value.model_code == "model_rejected"
    assert models.double.asked == []


@pytest.mark.parametrize(
    "messages",
    [
        [("user", "Sum it up."), ("user", "<data>")],
        [("system", "Be brief."), ("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e")],
        [("system", "Be brief."), ("system", "Be kind."), ("user", "a")],
        [("system", "Be brief."), ("user", "a"), ("system", "Now in French."), ("user", "b")],
        [("assistant", "I am here."), ("user", "a")],
        [("system", "Say hello.")],
    ],
)
@pytest.mark.parametrize("schema", [None, SCHEMA, {"type": "array"}])
async def test_roles_take_turns_where_the_provider_wants_it(
    double: ModelsDouble, database: Database, messages: list[tuple[Any, str]], schema: Any
) -> None:
    strict = {"base_url": double.openai_url, "alternating_roles": True}
    settings = {"models": "strict/m", "embedding_model": None}
    async with models_over(double, database, providers={"strict": strict}, settings=settings) as models:
        double.decide = in_turns
        double.script("m", said("no JSON") if schema else said("fine"), said('{"name": "Ann", "age": 7}'), said("[1]"))
        asked = [Message(role=role, content=content) for role, content in messages]
        await models.adapter.chat(asking(messages=asked, schema=schema))
        sent = " ".join(each["content"] for each in double.asked[0].body["messages"])
        assert all(content in sent for _, content in messages)


async def test_without_the_setting_messages_stay_apart_and_the_error_names_it(models: ModelsHarness) -> None:
    models.double.decide = in_turns
    asked = [Message(role="user", content="a"), Message(role="user", content="b")]
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking(messages=asked))
    assert len(models.double.asked[0].body["messages"]) == 2
    assert '"alternating_roles": true' in str(caught.value.fix)
