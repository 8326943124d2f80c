"""Text search in columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, false, func

LONGEST = 10_000
"""SQLite takes patterns of 50,000 bytes, and a character has up to four."""


def contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether ``column`` contains ``text``, whatever the case; ``%`` and ``_`` in it mean themselves.

    Nothing contains what is too long to be a name or a description, nor NUL, at which SQLite would stop to read.
    """
    if len(text) > LONGEST or "\0" in text:
        return false()
    return func.lower(column).contains(text.lower(), autoescape=True)
