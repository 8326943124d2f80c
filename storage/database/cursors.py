"""Opaque cursors of lists: the key of the last row of the page before."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from workflow.errors import InvalidArgumentsError

MOST_LETTERS = 10_000
LARGEST = 253_402_300_799_999_999
"""The microseconds from 1970 to the end of the year 9999: more is neither a time nor a number of ours."""


def encode_cursor(*key: str | int) -> str:
    """The cursor of the page that begins behind ``key``."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """The key in ``cursor``. Its numbers are times in microseconds or smaller, its texts can be asked of any database.

    Raises:
        InvalidArgumentsError: it is none of ours, or of another list.
    """
    if len(cursor) > MOST_LETTERS:
        raise foreign_cursor(cursor)
    try:
        key = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise foreign_cursor(cursor) from error
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds) or not all(map(_is_ours, key)):
        raise foreign_cursor(cursor)
    return key


def _is_ours(part: str | int) -> bool:
    """Whether a part can come from a row. PostgreSQL has no text with the character U+0000."""
    return "\0" not in part if isinstance(part, str) else 0 <= part <= LARGEST


def foreign_cursor(cursor: str) -> InvalidArgumentsError:
    """The error of giving a list a cursor that is not one of its own."""
    return InvalidArgumentsError(
        f"{cursor[:40]!r} is not a cursor of this list.",
        pointer="/cursor",
        fix="Leave it out for the first page, then pass on next_cursor unchanged.",
    )
