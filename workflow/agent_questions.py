"""Questions to the connected assistant, which answers in place of a model: how they are stored and answered.

An answer is a text; or a value that fits the question's schema; or, where tools may be asked for, ``{"tool_calls":
[{"name": …, "arguments": {…}}]}``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from workflow.chat import (
    Asker,
    ChatAttempt,
    ChatRequest,
    ToolCall,
    ToolSpec,
)
from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError, NextCall
from workflow.executions import Suspension
from workflow.findings import Finding, did_you_mean, nearest, pointer
from workflow.items import JsonObject
from workflow.message_forms import message_from_json, message_to_json
from workflow.schemas.schemas import InputSchema

AT = "/data"
"""Where an answer stands in the call that brings it."""
FIX = "It still waits: answer again."

PEOPLE = "people"
"""``approvers`` of an approval that only people answer, not the programs that act for them."""


class PeopleOnlyError(JobsprintError):
    """A person must answer this, on its signed page or logged in; a tool, an API key or a client tries to."""

    code = "people_only"
    kind = ErrorKind.FORBIDDEN

    def __init__(self, execution_id: str, node: str) -> None:
        super().__init__(
            f"Only a person may answer what node {node!r} asks; tools, API keys and OAuth clients cannot.",
            pointer="/node",
            fix=f"Ask a person to answer at /resume/{execution_id} of this server, where they log in, or on the signed "
            "page if the workflow has sent them its link. Then look at the execution.",
            next_call=NextCall("inspect_execution", {"execution_id": execution_id, "wait_seconds": 50}),
        )


def is_for_people(waiting: Suspension) -> bool:
    """Whether only people may answer what waits."""
    return waiting.details.get("approvers") == PEOPLE


class AgentAnswer(NamedTuple):
    """What the assistant has said: a text, JSON where there is a schema, or wishes for tools."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()


def question_details(request: ChatRequest, attempts: Sequence[ChatAttempt], *, part: str) -> JsonObject:
    """The question as a suspension keeps it, whole; ``part`` says which part of the effect asks."""
    details: JsonObject = {
        "how": how_to_answer(request),
        "messages": [message_to_json(each) for each in request.messages],
        "asked_for": request.asker.user_id,
        "part": part,
    }
    if request.schema is not None:
        details["schema"] = request.schema
    if request.tools:
        details["tools"] = [
            {"name": each.name, "description": each.description, "parameters": each.parameters}
            for each in request.tools
        ]
    if request.max_output_tokens is not None:
        details["max_output_tokens"] = request.max_output_tokens
    if attempts:
        details["tried"] = [{"model": each.model, "outcome": each.outcome} for each in attempts]
    return details


def how_to_answer(request: ChatRequest) -> str:
    """In words, what the answer must be."""
    final = "a JSON value that fits schema" if request.schema is not None else "a text"
    if not request.tools:
        return f"You are the model here. Your answer is {final}."
    wish = '{"tool_calls": [{"name": …, "arguments": {…}}]} to have tools used'
    return f"You are the model here. Your answer is {final}, or {wish} and be asked again with their results."


def request_in(details: JsonObject, asker: Asker) -> ChatRequest:
    """The question as it was asked."""
    return ChatRequest(
        asker=asker,
        messages=tuple(map(message_from_json, details["messages"])),
        tools=tuple(ToolSpec(**each) for each in details.get("tools", ())),
        schema=details.get("schema"),
        max_output_tokens=details.get("max_output_tokens"),
    )


def read_answer(details: JsonObject, data: Any) -> AgentAnswer:
    """What was answered.

    Raises:
        InvalidArgumentsError: it is no answer to this question; its findings say where.
    """
    schema, tools = details.get("schema"), details.get("tools")
    if isinstance(data, str) and (schema is not None or (tools and data.lstrip().startswith("{"))):
        data = _parsed(data, is_needed=schema is not None)
    if tools and isinstance(data, dict) and "tool_calls" in data:
        return AgentAnswer("", _wishes(data["tool_calls"], tools, details["part"]))
    if schema is not None:
        findings = InputSchema(schema).findings(data, at=AT)
        if findings:
            raise _refused(findings)
        return AgentAnswer(json.dumps(data, ensure_ascii=False))
    text = data.get("text") if isinstance(data, dict) and data.keys() == {"text"} else data
    if not isinstance(text, str) or not text.strip():
        raise _refused([_bad(AT, "The answer must be a text.", "Send the text itself as data.")])
    return AgentAnswer(text)


def _parsed(text: str, *, is_needed: bool) -> Any:
    """The JSON in a text: all of it, or the one block of code in it."""
    stripped = text.strip()
    if stripped.startswith("```"):
        stripped = stripped.partition("\n")[2].rpartition("```")[0]
    try:
        return json.loads(stripped)
    except ValueError as error:
        if not is_needed:
            return text
        raise _refused([_bad(AT, f"The answer is not JSON: {error}.", "Send the JSON value itself as data.")]) from None


def _wishes(wished: Any, tools: list[JsonObject], part: str) -> tuple[ToolCall, ...]:
    """The wishes for tools, each for one there is and with arguments that fit."""
    known = {each["name"]: each for each in tools}
    if not isinstance(wished, list) or not wished:
        raise _refused([_bad(f"{AT}/tool_calls", "tool_calls must be a list of calls.", "Give at least one.")])
    findings: list[Finding] = []
    calls: list[ToolCall] = []
    for place, each in enumerate(wished):
        at = AT + pointer("tool_calls", place)
        name = each.get("name") if isinstance(each, dict) else None
        arguments = each.get("arguments", {}) if isinstance(each, dict) else None
        if not isinstance(name, str) or name not in known:
            near = nearest(str(name), known)
            message = f"There is no tool {name!r:.60} here.{did_you_mean(near)}"
            findings.append(_bad(f"{at}/name", message, f"Name one of: {', '.join(known)}."))
        elif not isinstance(arguments, dict):
            findings.append(_bad(f"{at}/arguments", "The arguments are no object.", "Give them by their names."))
        else:
            findings += InputSchema(known[name]["parameters"]).findings(arguments, at=f"{at}/arguments")
            calls.append(ToolCall(id=f"{part}.{place}", name=name, arguments=arguments))
    if findings:
        raise _refused(findings)
    return tuple(calls)


def _bad(at: str, message: str, fix: str) -> Finding:
    return Finding(code="bad_value", pointer=at, message=message, fix=fix)


def _refused(findings: Sequence[Finding]) -> InvalidArgumentsError:
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    error = InvalidArgumentsError(
        f"This does not answer what is asked: {first.message}{more}", pointer=first.pointer, fix=FIX
    )
    error.findings = tuple(findings)
    return error
