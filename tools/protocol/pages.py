"""Pages of lists: as many rows as were asked for, fewer where more would not fit into an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tools.protocol.budget import LIST_BUDGET, ROOM_FOR_CURSOR, fitting
from tools.protocol.tool import Answer, object_schema
from workflow.ports import Page

T = TypeVar("T")


def page_schema(name: str) -> dict[str, Any]:
    """The output schema of a list of rows under ``name``."""
    return object_schema({name: {"type": "array", "items": {"type": "object"}}}, next_cursor="string")


def page_content(name: str, rows: list[Any], next_cursor: str | None) -> dict[str, Any]:
    """The rows under ``name``, and ``next_cursor`` where there are more."""
    return {name: rows} if next_cursor is None else {name: rows, "next_cursor": next_cursor}


async def page_answer(
    name: str, read: Callable[[int], Awaitable[Page[T]]], row_of: Callable[[T], dict[str, Any]], *, limit: int
) -> Answer:
    """The page that ``read`` returns for a limit, its rows under ``name``.

    Where not all rows fit into :data:`~tools.protocol.budget.LIST_BUDGET` it is read again with a lower limit, so that
    its cursor continues behind the last row that is shown.
    """
    page = await read(limit)
    rows = [row_of(each) for each in page.items]
    count = fitting(rows, LIST_BUDGET - ROOM_FOR_CURSOR)
    if count < len(rows):
        page = await read(count)
    return Answer(page_content(name, rows[:count], page.next_cursor))
