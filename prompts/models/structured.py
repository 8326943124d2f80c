"""Answers that fit a JSON Schema: how they are asked for, read, checked, and asked for again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from workflow.chat import Message
from workflow.findings import Finding
from workflow.items import JsonObject
from workflow.schemas.schemas import InputSchema

MOST_REPAIRS = 2
"""Questions after the first one: a model that fails three times does not understand the schema."""
MOST_FINDINGS = 5
"""Findings quoted at once."""

_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)\n?\s*```", re.DOTALL)


class UnfitAnswerError(Exception):
    """What a model said is no JSON, or does not fit; ``findings`` say where, in one line each."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("; ".join(findings))
        self.findings = findings


def read(text: str, schema: JsonObject) -> Any:
    """The value in an answer.

    Raises:
        UnfitAnswerError: there is none, or it does not fit the schema.
    """
    try:
        value = _value_in(text)
    except ValueError:
        raise UnfitAnswerError(["The answer is not JSON."]) from None
    found = _compiled(orjson.dumps(schema)).findings(value)
    if found:
        raise UnfitAnswerError([_line(each) for each in found[:MOST_FINDINGS]])
    return value


def instruction(schema: JsonObject) -> Message:
    """The instructions for a model whose provider takes no schema."""
    written = orjson.dumps(schema).decode()
    return Message(
        role="system",
        content=f"Answer with one JSON value that fits this JSON Schema, and with nothing else:\n{written}",
    )


def repair(text: str, unfit: UnfitAnswerError) -> list[Message]:
    """The messages to a model whose answer does not fit: the answer, and what is wrong with it."""
    findings = "\n".join(f"- {each}" for each in unfit.findings)
    asked = (
        f"This does not fit the schema:\n{findings}\nAnswer again: the whole JSON value, corrected, and nothing else."
    )
    return [Message(role="assistant", content=text or "(nothing)"), Message(role="user", content=asked)]


def _value_in(text: str) -> Any:
    """The JSON in an answer: all of it, or in a fence, or the one value among words.

    Raises:
        ValueError: there is none.
    """
    stripped = text.strip()
    fenced = _FENCE.search(stripped)
    for candidate in (stripped, fenced[1].strip() if fenced else ""):
        try:
            return orjson.loads(candidate)
        except orjson.JSONDecodeError:
            continue
    opening = re.search(r"[{\[]", stripped)
    if opening is None:
        raise ValueError("there is no JSON in the answer")
    closing = stripped.rfind("}" if stripped[opening.start()] == "{" else "]")
    return orjson.loads(stripped[opening.start() : closing + 1])


def _line(finding: Finding) -> str:
    return f"{finding.pointer or 'the whole'}: {finding.message}"


@lru_cache(64)
def _compiled(schema: bytes) -> InputSchema:
    return InputSchema(orjson.loads(schema))
