"""Prompt templates and their versions in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.database import Database
from storage.database.search import contains
from storage.tables.models import prompt_templates
from workflow.ports import Page
from workflow.prompt_templates import (
    PromptConflictError,
    PromptNotFoundError,
    PromptTemplate,
    TemplateMessage,
    TemplateVariable,
)

_TABLE = prompt_templates.c
ATTEMPTS = 5
"""How often a version is saved anew that expects nothing, while others save theirs."""


class SqlPrompts:
    """Implements :class:`workflow.prompt_templates.PromptRepository`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(
        self, owner: str, template: PromptTemplate, *, expected_version: int | None, now: datetime
    ) -> PromptTemplate:
        """Store the next version; see the port. Of several at once with the same expectation, one wins."""
        for attempt in range(1, ATTEMPTS + 1):
            current = expected_version
            if current is None:
                async with self._database.transaction() as connection:
                    current = await _current(connection, owner, template.name)
            try:
                return await self._save_behind(owner, template, current, now=now)
            except PromptConflictError:
                if expected_version is not None or attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _save_behind(
        self, owner: str, template: PromptTemplate, current: int, *, now: datetime
    ) -> PromptTemplate:
        """Store the version that follows ``current``, which must be the current one."""
        saved = replace(template, version=current + 1, created_at=now)
        dialect: Any = sqlite if self._database.is_sqlite else postgresql
        add = dialect.insert(prompt_templates).values(owner=owner, is_current=True, **_row(saved))
        async with self._database.transaction() as connection:
            if current:
                # Of two that change it at once the second finds that the version is not current any more.
                was = await connection.execute(
                    update(prompt_templates)
                    .where(_is(owner, template.name), _TABLE.version == current, _TABLE.is_current)
                    .values(is_current=False)
                )
                is_behind = was.rowcount == 1
            else:
                is_behind = True
            added = await connection.execute(add.on_conflict_do_nothing()) if is_behind else None
            if added is None or added.rowcount != 1:
                actual = await _current(connection, owner, template.name)
                raise PromptConflictError(template.name, expected=current, actual=actual)
        return saved

    async def get(self, owner: str, name: str, version: int | None = None) -> PromptTemplate:
        """One version; see the port."""
        which = _TABLE.is_current if version is None else _TABLE.version == version
        async with self._database.statement() as connection:
            row = (await connection.execute(select(prompt_templates).where(_is(owner, name), which))).one_or_none()
        if row is None:
            raise PromptNotFoundError(name, version)
        return _template(row)

    async def page(self, owner: str, *, text: str | None, limit: int, cursor: str | None) -> Page[PromptTemplate]:
        """Current versions by name; see the port.

        Raises:
            InvalidArgumentsError: the cursor is none of this list.
        """
        query = select(prompt_templates).where(_TABLE.owner == owner, _TABLE.is_current)
        if text:
            columns = (_TABLE.name, _TABLE.title, _TABLE.description)
            query = query.where(or_(*(contains(each, text) for each in columns)))
        if cursor is not None:
            query = query.where(_TABLE.name > decode_cursor(cursor, str)[0])
        async with self._database.statement() as connection:
            rows = (await connection.execute(query.order_by(_TABLE.name).limit(limit + 1))).all()
        found = [_template(row) for row in rows[:limit]]
        return Page(found, encode_cursor(found[-1].name) if len(rows) > limit else None)

    async def every(self, owner: str) -> Sequence[PromptTemplate]:
        """The current version of each template, by name."""
        query = select(prompt_templates).where(_TABLE.owner == owner, _TABLE.is_current).order_by(_TABLE.name)
        async with self._database.statement() as connection:
            return [_template(row) for row in (await connection.execute(query)).all()]

    async def versions(self, owner: str, name: str) -> Sequence[PromptTemplate]:
        """Every version, newest first."""
        query = select(prompt_templates).where(_is(owner, name)).order_by(_TABLE.version.desc())
        async with self._database.statement() as connection:
            return [_template(row) for row in (await connection.execute(query)).all()]

    async def delete(self, owner: str, name: str) -> None:
        """Take a template away with its versions; see the port."""
        async with self._database.statement() as connection:
            gone = await connection.execute(delete(prompt_templates).where(_is(owner, name)))
        if gone.rowcount == 0:
            raise PromptNotFoundError(name)


def _is(owner: str, name: str) -> ColumnElement[bool]:
    return (_TABLE.owner == owner) & (_TABLE.name == name)


async def _current(connection: AsyncConnection, owner: str, name: str) -> int:
    """The number of the current version; 0 where there is none."""
    query = select(func.max(_TABLE.version)).where(_is(owner, name))
    return int((await connection.execute(query)).scalar_one() or 0)


def _row(template: PromptTemplate) -> dict[str, Any]:
    return {
        "name": template.name,
        "version": template.version,
        "title": template.title,
        "description": template.description,
        "created_at": template.created_at,
        "data": {
            "messages": [{"role": each.role, "content": each.content} for each in template.messages],
            "variables": [
                {
                    "name": each.name,
                    "type": each.type,
                    "description": each.description,
                    "required": each.required,
                    "default": each.default,
                    "enum": list(each.enum),
                    "is_from_outside": each.is_from_outside,
                }
                for each in template.variables
            ],
            "is_partial": template.is_partial,
        },
    }


def _template(row: Any) -> PromptTemplate:
    return PromptTemplate(
        name=row.name,
        version=row.version,
        title=row.title,
        description=row.description,
        messages=tuple(TemplateMessage(**each) for each in row.data["messages"]),
        variables=tuple(TemplateVariable(**{**each, "enum": tuple(each["enum"])}) for each in row.data["variables"]),
        is_partial=row.data["is_partial"],
        created_at=row.created_at,
    )
