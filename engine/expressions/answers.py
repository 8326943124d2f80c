"""Reads what workers answer: a line of JSON for each item or result, parsed in pieces so that nothing else waits."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import orjson

from workflow.errors import ExpressionError

AT_ONCE_BYTES = 1 << 20
"""Bytes of answers that are parsed before other requests get their turn: some milliseconds."""


class ScriptResult(NamedTuple):
    """One value that code returned, and the index of the item from which it certainly comes; else ``None``."""

    value: Any
    origin: int | None


async def lines_of(answer: bytes) -> list[Any]:
    """The JSON of each line."""
    if not answer:
        return []
    if len(answer) <= AT_ONCE_BYTES:
        found: list[Any] = orjson.loads(b"[" + answer.replace(b"\n", b",") + b"]")
        return found
    lines: list[Any] = []
    parsed = 0
    for line in answer.split(b"\n"):
        lines.append(orjson.loads(line))
        parsed += len(line)
        if parsed > AT_ONCE_BYTES:
            parsed = 0
            await asyncio.sleep(0)
    return lines


def script_results(lines: list[Any], *, each: bool) -> list[ScriptResult | ExpressionError]:
    """What code returned, for all items or for ``each``; the errors of items in their places.

    Raises:
        ExpressionError: it failed for all items.
    """
    found: list[ScriptResult | ExpressionError] = []
    for index, line in enumerate(lines):
        if isinstance(line, list):
            found.append(ScriptResult(*line))
            continue
        error = ExpressionError(
            line["message"], code=line["code"], item_index=index if each else None, fix=line.get("fix")
        )
        if not each:
            raise error
        found.append(error)
    return found
