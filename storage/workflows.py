"""Workflows, their versions and webhook paths in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.columns import UtcTime
from storage.cursors import decode_cursor, encode_cursor
from storage.database import Database
from storage.search import contains
from storage.tables import webhook_paths as paths_table
from storage.tables import workflow_versions, workflows
from workflow.definition import WorkflowDefinition
from workflow.errors import VersionConflictError, WebhookNotFoundError, WebhookPathTakenError, WorkflowNotFoundError
from workflow.ports import Page, StoredWorkflow, WorkflowSummary

_VERSION_COLUMNS = (
    workflows.c.id,
    workflow_versions.c.version,
    workflow_versions.c.definition,
    workflows.c.created_at,
    workflow_versions.c.created_at.label("updated_at"),
)


class SqlWorkflowRepository:
    """Implements :class:`workflow.ports.WorkflowRepository`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, workflow_id: str, definition: WorkflowDefinition, *, webhook_paths: Sequence[str], now: datetime
    ) -> StoredWorkflow:
        """Store version 1; see the port."""
        async with self._database.transaction() as connection:
            await connection.execute(
                insert(workflows).values(
                    id=workflow_id, version=1, created_at=now, updated_at=now, **_summary_values(definition)
                )
            )
            await _add_version(connection, workflow_id, 1, definition, now)
            await _claim_paths(connection, workflow_id, webhook_paths)
        return StoredWorkflow(id=workflow_id, version=1, definition=definition, created_at=now, updated_at=now)

    async def save_version(
        self,
        workflow_id: str,
        definition: WorkflowDefinition,
        *,
        expected_version: int,
        webhook_paths: Sequence[str],
        now: datetime,
    ) -> StoredWorkflow:
        """Store the next version; see the port. Of several at once with the same expectation, one wins."""
        version = expected_version + 1
        async with self._database.transaction() as connection:
            moved = await connection.execute(
                update(workflows)
                .where(
                    workflows.c.id == workflow_id,
                    workflows.c.version == expected_version,
                    workflows.c.deleted_at.is_(None),
                )
                .values(version=version, updated_at=now, **_summary_values(definition))
                .returning(workflows.c.created_at)
            )
            created_at = moved.scalar_one_or_none()
            if created_at is None:
                actual = await _current_version(connection, workflow_id)
                raise VersionConflictError(workflow_id, expected=expected_version, actual=actual)
            await _add_version(connection, workflow_id, version, definition, now)
            await connection.execute(delete(paths_table).where(paths_table.c.workflow_id == workflow_id))
            await _claim_paths(connection, workflow_id, webhook_paths)
        return StoredWorkflow(
            id=workflow_id, version=version, definition=definition, created_at=created_at, updated_at=now
        )

    async def get(self, workflow_id: str, version: int | None = None) -> StoredWorkflow:
        """One version; see the port."""
        wanted = workflows.c.version if version is None else version
        query = (
            select(*_VERSION_COLUMNS)
            .join(workflow_versions, workflow_versions.c.workflow_id == workflows.c.id)
            .where(
                workflows.c.id == workflow_id,
                workflows.c.deleted_at.is_(None),
                workflow_versions.c.version == wanted,
            )
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise WorkflowNotFoundError(workflow_id, version)
        return _stored(row)

    async def page(self, *, text: str | None, limit: int, cursor: str | None) -> Page[WorkflowSummary]:
        """Workflows, last updated first; see the port."""
        query = select(workflows).where(workflows.c.deleted_at.is_(None))
        if text:
            query = query.where(or_(contains(workflows.c.name, text), contains(workflows.c.description, text)))
        if cursor is not None:
            updated_at, last_id = decode_cursor(cursor, int, str)
            after = (UtcTime().process_result_value(updated_at, _NO_DIALECT), last_id)
            query = query.where(tuple_(workflows.c.updated_at, workflows.c.id) < after)
        query = query.order_by(workflows.c.updated_at.desc(), workflows.c.id.desc()).limit(limit + 1)
        async with self._database.transaction() as connection:
            rows = (await connection.execute(query)).all()
        next_cursor = None
        if len(rows) > limit:
            last = rows[limit - 1]
            next_cursor = encode_cursor(UtcTime().process_bind_param(last.updated_at, _NO_DIALECT) or 0, last.id)
        return Page([_summary(row) for row in rows[:limit]], next_cursor)

    async def delete(self, workflow_id: str, *, now: datetime) -> None:
        """Hide a workflow; see the port."""
        async with self._database.transaction() as connection:
            hidden = await connection.execute(
                update(workflows)
                .where(workflows.c.id == workflow_id, workflows.c.deleted_at.is_(None))
                .values(deleted_at=now)
            )
            if hidden.rowcount == 0:
                raise WorkflowNotFoundError(workflow_id)
            await connection.execute(delete(paths_table).where(paths_table.c.workflow_id == workflow_id))

    async def by_webhook_path(self, path: str) -> StoredWorkflow:
        """The workflow that listens on ``path``; see the port."""
        query = (
            select(*_VERSION_COLUMNS)
            .join(paths_table, paths_table.c.workflow_id == workflows.c.id)
            .join(workflow_versions, workflow_versions.c.workflow_id == workflows.c.id)
            .where(paths_table.c.path == path, workflow_versions.c.version == workflows.c.version)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise WebhookNotFoundError(path)
        return _stored(row)


_NO_DIALECT: Any = None


async def _add_version(
    connection: AsyncConnection, workflow_id: str, version: int, definition: WorkflowDefinition, now: datetime
) -> None:
    await connection.execute(
        insert(workflow_versions).values(
            workflow_id=workflow_id, version=version, definition=definition.to_json(), created_at=now
        )
    )


async def _claim_paths(connection: AsyncConnection, workflow_id: str, paths: Sequence[str]) -> None:
    """Take the paths, or say whose one of them is.

    The savepoint keeps the transaction usable after PostgreSQL has refused a row.
    """
    for path in paths:
        try:
            async with connection.begin_nested():
                await connection.execute(insert(paths_table).values(path=path, workflow_id=workflow_id))
        except IntegrityError as error:
            owner = await connection.execute(select(paths_table.c.workflow_id).where(paths_table.c.path == path))
            raise WebhookPathTakenError(path, owner.scalar_one_or_none() or "unknown") from error


async def _current_version(connection: AsyncConnection, workflow_id: str) -> int:
    query = select(workflows.c.version).where(workflows.c.id == workflow_id, workflows.c.deleted_at.is_(None))
    version = (await connection.execute(query)).scalar_one_or_none()
    if version is None:
        raise WorkflowNotFoundError(workflow_id)
    return int(version)


def _summary_values(definition: WorkflowDefinition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "description": definition.description,
        "node_count": len(definition.nodes),
    }


def _stored(row: Any) -> StoredWorkflow:
    return StoredWorkflow(
        id=row.id,
        version=row.version,
        definition=WorkflowDefinition.model_validate(row.definition),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _summary(row: Any) -> WorkflowSummary:
    return WorkflowSummary(
        id=row.id,
        name=row.name,
        description=row.description,
        version=row.version,
        node_count=row.node_count,
        updated_at=row.updated_at,
    )
