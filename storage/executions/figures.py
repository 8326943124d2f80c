"""Queries that look for executions, and that count them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, union_all

from storage.database.search import contains
from storage.tables.workflows import executions
from workflow.execution_figures import ExecutionFilter

MEASURED = 1_000
"""Of the newest executions times are taken: they stand in their rows' data, which has to be read for it."""
MOST_ERRORS = 5
MOST_RERUNS = 10


def matching(where: ExecutionFilter) -> list[ColumnElement[bool]]:
    """What rows of ``executions`` have to be."""
    found: list[ColumnElement[bool]] = [executions.c.owner == where.owner]
    if where.workflow_id is not None:
        found.append(executions.c.workflow_id == where.workflow_id)
    if where.state is not None:
        found.append(executions.c.state == where.state.value)
    if where.text:
        found.append(contains(executions.c.error_message, where.text))
    if where.created_after is not None:
        found.append(executions.c.created_at > where.created_after)
    if where.created_before is not None:
        found.append(executions.c.created_at < where.created_before)
    return found


def counted(where: ExecutionFilter) -> Select[Any]:
    """How many there are, by workflow and state."""
    by = (executions.c.workflow_id, executions.c.state)
    return select(*by, func.count()).where(*_parents(where)).group_by(*by)


def by_error(where: ExecutionFilter) -> Select[Any]:
    """The most frequent error messages, and how often each came."""
    count = func.count()
    return (
        select(executions.c.error_message, count)
        .where(*_parents(where), executions.c.error_message.is_not(None))
        .group_by(executions.c.error_message)
        .order_by(count.desc())
        .limit(MOST_ERRORS)
    )


def newest(where: ExecutionFilter) -> Select[Any]:
    """The last executions, whole."""
    return (
        select(executions)
        .where(*_parents(where))
        .order_by(executions.c.created_at.desc(), executions.c.id.desc())
        .limit(MEASURED)
    )


def _parents(where: ExecutionFilter) -> list[ColumnElement[bool]]:
    return [*matching(where), executions.c.parent_id.is_(None)]


def latest_of(owner: str, workflow_ids: Collection[str]) -> Select[Any]:
    """The last execution of each workflow, children aside: one look into the index for each."""
    columns = (
        executions.c.id,
        executions.c.workflow_id,
        executions.c.state,
        executions.c.created_at,
        executions.c.error_message,
    )
    each = [
        select(
            select(*columns)
            .where(
                executions.c.workflow_id == workflow_id,
                executions.c.owner == owner,
                executions.c.parent_id.is_(None),
            )
            .order_by(executions.c.created_at.desc(), executions.c.id.desc())
            .limit(1)
            .subquery()
        )
        for workflow_id in workflow_ids
    ]
    return select(union_all(*each).subquery())


def reruns_of(execution_id: str) -> Select[Any]:
    """What was started from an execution, newest first."""
    return (
        select(executions.c.id, executions.c.state)
        .where(executions.c.rerun_of == execution_id)
        .order_by(executions.c.created_at.desc(), executions.c.id.desc())
        .limit(MOST_RERUNS)
    )
