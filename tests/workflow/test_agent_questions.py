"""Questions to the connected assistant, and what answers them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workflow.agent_questions import question_details, read_answer, request_in
from workflow.chat import Asker, Attachment, ChatAttempt, ChatRequest, Message, ToolCall, ToolSpec
from workflow.errors import InvalidArgumentsError

ASKER = Asker("w", "ada", "wf", "e", "node")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
LOOK_UP = ToolSpec(
    name="look_up",
    description="Looks up.",
    parameters={"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
)


def details(**members: Any) -> dict[str, Any]:
    """A question as it is kept, as JSON brings it back."""
    request = ChatRequest(asker=ASKER, messages=[Message(role="user", content="?")], **members)
    kept: dict[str, Any] = json.loads(json.dumps(question_details(request, [], part="answer 1")))
    return kept


def test_a_question_is_kept_whole() -> None:
    request = ChatRequest(
        asker=ASKER,
        messages=(
            Message(role="system", content="s"),
            Message(
                role="user", content="u", is_from_outside=True, attachments=(Attachment(url="u", media_type="a/b"),)
            ),
            Message(role="assistant", content="", tool_calls=(ToolCall(id="1", name="look_up", arguments={"id": 1}),)),
            Message(role="tool", content="r", tool_call_id="1", is_from_outside=True),
        ),
        schema=SCHEMA,
        tools=(LOOK_UP,),
        max_output_tokens=7,
    )
    kept = question_details(request, [ChatAttempt(model="a/b", outcome="model_timeout", latency_ms=1)], part="x")
    assert request_in(json.loads(json.dumps(kept)), ASKER) == request
    assert kept["tried"] == [{"model": "a/b", "outcome": "model_timeout"}]


@pytest.mark.parametrize(
    ("members", "data", "text"),
    [
        ({}, "Hello", "Hello"),
        ({}, {"text": "Hello"}, "Hello"),
        ({}, '{"looks": "like JSON"}', '{"looks": "like JSON"}'),
        ({"schema": SCHEMA}, {"n": 1}, '{"n": 1}'),
        ({"schema": SCHEMA}, '{"n": 1}', '{"n": 1}'),
        ({"schema": SCHEMA}, '```json\n{"n": 1}\n```', '{"n": 1}'),
        ({"tools": [LOOK_UP]}, "Done.", "Done."),
        ({"tools": [LOOK_UP]}, "{braces} are no JSON", "{braces} are no JSON"),
        ({"tools": [LOOK_UP], "schema": SCHEMA}, {"n": 2}, '{"n": 2}'),
    ],
)
def test_what_answers_is_taken(members: dict[str, Any], data: Any, text: str) -> None:
    assert read_answer(details(**members), data) == (text, ())


@pytest.mark.parametrize("data", [{"tool_calls": [{"name": "look_up", "arguments": {"id": 3}}]}, None])
def test_wishes_for_tools_are_taken_as_objects_and_as_text(data: Any) -> None:
    given = data or '{"tool_calls": [{"name": "look_up", "arguments": {"id": 3}}]}'
    answer = read_answer(details(tools=[LOOK_UP]), given)
    assert [(each.id, each.name, each.arguments) for each in answer.tool_calls] == [
        ("answer 1.0", "look_up", {"id": 3})
    ]


@pytest.mark.parametrize(
    ("members", "data", "where"),
    [
        ({}, None, "/data"),
        ({}, " ", "/data"),
        ({}, 7, "/data"),
        ({}, {"text": 7}, "/data"),
        ({}, {"tool_calls": []}, "/data"),
        ({"schema": SCHEMA}, "no JSON", "/data"),
        ({"schema": SCHEMA}, {"n": "1"}, "/data/n"),
        ({"schema": SCHEMA}, None, "/data"),
        ({"tools": [LOOK_UP]}, {"tool_calls": []}, "/data/tool_calls"),
        ({"tools": [LOOK_UP]}, {"tool_calls": [{"name": "lookup"}]}, "/data/tool_calls/0/name"),
        ({"tools": [LOOK_UP]}, {"tool_calls": [{"name": "look_up"}]}, "/data/tool_calls/0/arguments/id"),
        ({"tools": [LOOK_UP]}, {"tool_calls": [{"name": "look_up", "arguments": 1}]}, "/data/tool_calls/0/arguments"),
        ({"tools": [LOOK_UP]}, {"tool_calls": ["look_up"]}, "/data/tool_calls/0/name"),
    ],
)
def test_what_does_not_answer_is_refused_with_findings(members: dict[str, Any], data: Any, where: str) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        read_answer(details(**members), data)
    assert where in [each.pointer for each in caught.value.findings]
    assert caught.value.fix is not None
    assert "still waits" in caught.value.fix
