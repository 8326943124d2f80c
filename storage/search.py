"""Text search in columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func


def contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether ``column`` contains ``text``, whatever the case; ``%`` and ``_`` in it mean themselves."""
    return func.lower(column).contains(text.lower(), autoescape=True)
