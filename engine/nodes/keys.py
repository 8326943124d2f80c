"""Keys by which nodes compare values: two JSON values have one key exactly where they are the same value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import orjson

from workflow.errors import NodeError

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
"""The whole numbers that a store keeps; floats beyond them are compared with floats only."""


def key_of(value: Any) -> bytes:
    """The key of a JSON value: ``3`` and ``3.0`` have one, ``0`` and ``-0.0`` too; ``1``, ``true``, ``"1"`` differ.

    Whole numbers count exactly. Keys are bytes, whose hashes nobody can predict: chosen values cannot make look-ups
    slow.

    Raises:
        NodeError: the value is too deep, code ``unstorable_value``.
    """
    if isinstance(value, str):
        return orjson.dumps(value)
    try:
        return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)
    except (RecursionError, orjson.JSONEncodeError) as error:
        raise NodeError(
            "A value that is compared has too many objects and lists inside one another.",
            code="unstorable_value",
            fix="Compare a field inside it.",
        ) from error


def key_of_all(values: Sequence[Any]) -> bytes:
    """One key for several values."""
    return b"\n".join(map(key_of, values))


def check_number(number: int | float, what: str, *, at: str | None = None) -> None:
    """Let pass a number that is stored as it is; ``at`` points to the parameter that made it.

    Raises:
        NodeError: it is a whole number beyond 64 bits, or infinite: ``number_too_large``.
    """
    if not _SMALLEST <= number <= _LARGEST if isinstance(number, int) else not math.isfinite(number):
        raise NodeError(
            f"{what} is {number!s:.60}, beyond the numbers that are kept: whole ones of 64 bits, and finite ones.",
            code="number_too_large",
            pointer=at,
            fix="Work with a larger unit, or keep such numbers as text.",
        )


def whole(value: int | float) -> int | float:
    """The number, without a fraction that is zero, as JavaScript writes it."""
    if isinstance(value, float) and value.is_integer() and _SMALLEST <= value <= _LARGEST:
        return int(value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return whole(value)
    if isinstance(value, int):
        check_number(value, "A number that is compared")
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value
