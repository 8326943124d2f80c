"""Reads what workers answer: a line of JSON for each item or result, parsed in pieces so that nothing else waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from workflow.errors import ExpressionError
from workflow.items import JsonObject

_KINDS = {str: "string", bool: "boolean", int: "number", float: "number", list: "array"}
AT_ONCE_BYTES = 256 << 10
"""Bytes of answers that are parsed before other requests get their turn: some milliseconds."""

AT_ONCE = 10_000
"""Values that are gone through before other requests get their turn: some milliseconds."""


class ScriptResult(NamedTuple):
    """One value that code returned, and the index of the item from which it certainly comes; else ``None``."""

    value: Any
    origin: int | None


async def items_json(items: Sequence[JsonObject]) -> Sequence[JsonObject] | orjson.Fragment:
    """The items of a request. Many are encoded in slices here: the interpreter runs nothing else while it encodes."""
    if len(items) <= AT_ONCE:
        return items
    slices = []
    for start in range(0, len(items), AT_ONCE):
        slices.append(orjson.dumps(items[start : start + AT_ONCE])[1:-1])
        await asyncio.sleep(0)
    return orjson.Fragment(b"[" + b",".join(slices) + b"]")


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


def fix_of(failure: dict[str, Any], item: JsonObject) -> str | None:
    """What to do about a failure that a worker describes; ``item`` is what it failed on."""
    if failure.get("fix") is not None or failure["code"] != "expression_failed":
        return failure.get("fix")
    message = failure["message"]
    if message.startswith("SyntaxError"):
        return "Write one JavaScript expression between the braces, and in a code node statements that end with return."
    if "BigInt" in message:
        return (
            "Whole numbers beyond 2^53 are BigInts: write 1n in place of 1, or Number(…) where rounding does no harm."
        )
    # A field that is there and of another type than was thought looks like one that is missing, but for its type.
    shown = ", ".join(f"{name} ({_kind(value)})" for name, value in list(item.items())[:20])
    return f"The item's fields are: {shown or 'none'}. Use ?. or ?? where one may be missing."


def _kind(value: Any) -> str:
    """What JSON calls the value's type."""
    return "null" if value is None else _KINDS.get(type(value), "object")


async def script_results(
    lines: list[Any], items: Sequence[JsonObject], *, each: bool
) -> list[ScriptResult | ExpressionError]:
    """What code returned for ``items``, for all or for ``each``; the errors of items in their places.

    Raises:
        ExpressionError: it failed for all items.
    """
    found: list[ScriptResult | ExpressionError] = []
    for index, line in enumerate(lines):
        if index % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        if isinstance(line, list):
            found.append(ScriptResult(*line))
            continue
        fix = fix_of(line, items[index] if index < len(items) else {})
        error = ExpressionError(line["message"], code=line["code"], item_index=index if each else None, fix=fix)
        if not each:
            raise error
        found.append(error)
    return found
