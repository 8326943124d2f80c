"""Answers that fit a JSON Schema: how they are asked for, read, checked, and asked for again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson

from prompts.wholeness import MOST_LEVELS, is_too_deep
from workflow.chat import Message
from workflow.findings import Finding
from workflow.items import JsonObject
from workflow.schemas.schemas import InputSchema

MOST_REPAIRS = 2
"""Questions after the first one: a model that fails three times does not understand the schema."""
MOST_FINDINGS = 5
"""Findings quoted at once."""

MOST_VALUES = 200
"""Values of one answer that are held against the schema."""
WORK_PER_CHARACTER, LEAST_WORK = 8, 100_000
"""Characters that are read in search of values, for each character of the answer and at least. Reading begins anew at
each brace, so that without a bound an answer of braces would take the square of its length."""
LEAST_BEHIND = 4_096
"""Characters behind the place of reading that are kept for some time."""
WORK_OF_A_TRY, WORK_OF_DEPTH = 100, 2_000
"""What a try costs beside its characters, and one that ends because it is nested too deeply."""

_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>|\[(/?)THINK\]", re.IGNORECASE)
_FENCE = "```"
_LANGUAGE = re.compile(r"[A-Za-z0-9_+-]*[ \t]*\n")
_OPENING = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\]\[{\"0-9tfn-])")
_DECODER = json.JSONDecoder()


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
    unfit = ["The answer is not JSON." if text.strip() else "The answer is empty."]
    is_first = True
    for value in islice(_values_in(text), MOST_VALUES):
        found = _findings(value, schema)
        if not found:
            return value
        if is_first:
            unfit, is_first = found, False
    raise UnfitAnswerError(unfit)


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


def _values_in(text: str) -> Iterator[Any]:
    """The JSON values in an answer, the likeliest first: all of it, what is fenced, what stands among words.

    What a model thought aloud counts for nothing: it drafts values there.
    """
    answer = _without_thoughts(text)
    for whole in dict.fromkeys((text.strip(), answer)):
        yield from _value_of(whole)
    for fenced in answer.split(_FENCE, 2 * MOST_VALUES)[1::2]:
        yield from _value_of(_LANGUAGE.sub("", fenced, count=1) if _LANGUAGE.match(fenced) else fenced)
    yield from _among_words(answer)


def _value_of(text: str) -> Iterator[Any]:
    """The value that a text is, if it is one."""
    try:
        yield orjson.loads(text)
    except orjson.JSONDecodeError:
        return


def _among_words(text: str) -> Iterator[Any]:
    """The objects and lists that begin at a brace or bracket, from the first on, none within another."""
    work = max(WORK_PER_CHARACTER * len(text), LEAST_WORK)
    # An error of the decoder counts the lines before its place, so what was read is dropped from time to time.
    most_behind = LEAST_BEHIND + len(text) // 256
    at = 0
    while work > 0 and (opening := _OPENING.search(text, at)) is not None:
        start, at = opening.start(), opening.end()
        if start > most_behind:
            text, start, at = text[start:], 0, 1
        work -= WORK_OF_A_TRY
        try:
            _, end = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            # Of a string without an end it tells the beginning, and has read to the end.
            reached = len(text) if error.msg.startswith("Unterminated") else error.pos
            work -= reached - start
        except (RecursionError, ValueError):
            work -= WORK_OF_DEPTH
        else:
            work -= end - start
            at = end
            yield from _value_of(text[start:end])


def _without_thoughts(text: str) -> str:
    """The answer without what is marked as thought; the mark that begins it can be missing, and the one that ends it.

    Some servers have put the first one into the prompt; an answer that was cut off has no last one.
    """
    kept: list[str] = []
    at, is_thought = 0, False
    for mark in _THOUGHT.finditer(text):
        if mark[1] or mark[2]:
            if not is_thought:
                kept.clear()
            is_thought, at = False, mark.end()
        elif not is_thought:
            kept.append(text[at : mark.start()])
            is_thought = True
    if not is_thought:
        kept.append(text[at:])
    return "".join(kept).strip()


def _findings(value: Any, schema: JsonObject) -> list[str]:
    """What keeps a value from being the answer, in a line each."""
    if is_too_deep(value):
        return [f"the whole: It is nested deeper than {MOST_LEVELS} levels."]
    return [_line(each) for each in _compiled(orjson.dumps(schema)).findings(value)[:MOST_FINDINGS]]


def _line(finding: Finding) -> str:
    return f"{finding.pointer or 'the whole'}: {finding.message}"


@lru_cache(64)
def _compiled(schema: bytes) -> InputSchema:
    return InputSchema(orjson.loads(schema))
