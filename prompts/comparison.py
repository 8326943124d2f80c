"""What has changed between two versions of a template, in lines."""

from __future__ import annotations

import difflib
import json

from prompts.documents import document_of
from workflow.prompt_templates import PromptTemplate

MOST_COMPARED = 1_000_000
"""Pairs of lines; beyond it what lies between the first and last difference counts as replaced. Comparing costs time by
the pairs."""


def changed_lines(before: PromptTemplate, after: PromptTemplate) -> list[str]:
    """Lines that begin with ``-`` for what is gone, ``+`` for what is new, and `` `` for what is around it; none where
    nothing has changed."""
    old, new = _lines(before), _lines(after)
    if old == new:
        return []
    start = next((place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    left, right = old[start:], new[start:]
    end = next(
        (place for place, (a, b) in enumerate(zip(reversed(left), reversed(right), strict=False)) if a != b),
        min(len(left), len(right)),
    )
    left, right = left[: len(left) - end], right[: len(right) - end]
    if len(left) * len(right) > MOST_COMPARED:
        return [f"- {line}" for line in left] + [f"+ {line}" for line in right]
    differing = difflib.unified_diff(old[:start][-1:] + left, old[:start][-1:] + right, lineterm="", n=1)
    return [f"{line[0]} {line[1:]}" for line in differing if line[:3] not in ("---", "+++") and line[:2] != "@@"]


def _lines(template: PromptTemplate) -> list[str]:
    """The template as text, one thing a line."""
    lines = []
    for key, value in document_of(template).items():
        if key == "messages":
            for message in value:
                lines += [f"[{message['role']}]", *message["content"].strip("\n").split("\n")]
        elif key == "variables":
            lines += [f"variable {each['name']}: {json.dumps(each, ensure_ascii=False)}" for each in value]
        else:
            lines.append(f"{key}: {json.dumps(value, ensure_ascii=False)}")
    return lines
