"""Workflows, their versions, and what is published of them, in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, or_, select, tuple_, update

from storage.clock import SystemClock
from storage.database.columns import UtcTime
from storage.database.cursors import decode_cursor, encode_cursor
from storage.database.database import Database
from storage.database.search import contains
from storage.tables.workflows import webhook_paths as paths_table
from storage.tables.workflows import workflow_versions, workflows
from storage.workflows.publications import drop_tool, put_into_use, read_exposed, take_out_of_use
from storage.workflows.schedules import drop_schedules
from storage.workflows.versions import (
    VERSION_COLUMNS,
    add_version,
    current_version,
    in_use,
    read_version,
    stored_workflow,
    summary_values,
    workflow_summary,
)
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.publication import Exposure, Publication, VersionSummary
from workflow.errors import VersionConflictError, WebhookNotFoundError
from workflow.ports import Clock, Page, StoredWorkflow, WorkflowSummary
from workflow.webhook_paths import shapes_for


class SqlWorkflowRepository:
    """Implements :class:`workflow.ports.WorkflowRepository`."""

    def __init__(self, database: Database, *, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def create(
        self,
        owner: str,
        workflow_id: str,
        definition: WorkflowDefinition,
        *,
        change: str,
        publication: Publication | None = None,
        now: datetime,
    ) -> StoredWorkflow:
        """Store version 1; see the port."""
        async with self._database.transaction() as connection:
            await connection.execute(
                insert(workflows).values(
                    id=workflow_id, owner=owner, version=1, created_at=now, updated_at=now, **summary_values(definition)
                )
            )
            await add_version(connection, workflow_id, 1, definition, change=change, now=now)
            if publication is not None:
                await put_into_use(connection, owner, workflow_id, 1, publication, now=now)
        return StoredWorkflow(
            id=workflow_id,
            owner=owner,
            version=1,
            definition=definition,
            created_at=now,
            updated_at=now,
            published_version=None if publication is None else 1,
        )

    async def save_version(
        self,
        owner: str,
        workflow_id: str,
        definition: WorkflowDefinition,
        *,
        expected_version: int,
        change: str,
        now: datetime,
    ) -> StoredWorkflow:
        """Store the next version; see the port. Of several at once with the same expectation, one wins."""
        version = expected_version + 1
        async with self._database.transaction() as connection:
            moved = await connection.execute(
                update(workflows)
                .where(*in_use(owner, workflow_id), workflows.c.version == expected_version)
                .values(version=version, updated_at=now, **summary_values(definition))
                .returning(workflows.c.created_at, workflows.c.published_version)
            )
            row = moved.one_or_none()
            if row is None:
                actual = await current_version(connection, owner, workflow_id)
                raise VersionConflictError(workflow_id, expected=expected_version, actual=actual)
            await add_version(connection, workflow_id, version, definition, change=change, now=now)
        return StoredWorkflow(
            id=workflow_id,
            owner=owner,
            version=version,
            definition=definition,
            created_at=row.created_at,
            updated_at=now,
            published_version=row.published_version,
        )

    async def get(self, owner: str, workflow_id: str, version: int | None = None) -> StoredWorkflow:
        """One version; see the port."""
        async with self._database.transaction() as connection:
            return await read_version(connection, owner, workflow_id, version)

    async def named(self, owner: str, name: str, *, deleted: bool = False) -> Sequence[str]:
        """The ids of the workflows of this name; see the port."""
        query = (
            select(workflows.c.id)
            .where(
                workflows.c.owner == owner,
                workflows.c.name == name,
                workflows.c.deleted_at.is_not(None) if deleted else workflows.c.deleted_at.is_(None),
            )
            .order_by(workflows.c.updated_at.desc())
            .limit(2)
        )
        async with self._database.statement() as connection:
            return list((await connection.execute(query)).scalars())

    async def versions(self, owner: str, workflow_id: str, *, limit: int, cursor: str | None) -> Page[VersionSummary]:
        """A workflow's versions, newest first; see the port."""
        query = select(workflow_versions.c.version, workflow_versions.c.created_at, workflow_versions.c.change).where(
            workflow_versions.c.workflow_id == workflow_id
        )
        if cursor is not None:
            (last,) = decode_cursor(cursor, int)
            query = query.where(workflow_versions.c.version < last)
        query = query.order_by(workflow_versions.c.version.desc()).limit(limit + 1)
        async with self._database.transaction() as connection:
            await current_version(connection, owner, workflow_id)
            rows = (await connection.execute(query)).all()
        listed = [VersionSummary(version=row.version, created_at=row.created_at, change=row.change) for row in rows]
        return Page(listed[:limit], encode_cursor(listed[limit - 1].version) if len(listed) > limit else None)

    async def page(
        self, owner: str, *, text: str | None, limit: int, cursor: str | None, deleted: bool = False
    ) -> Page[WorkflowSummary]:
        """Workflows, last updated first; see the port."""
        query = select(workflows).where(
            workflows.c.owner == owner,
            workflows.c.deleted_at.is_not(None) if deleted else workflows.c.deleted_at.is_(None),
        )
        if text:
            query = query.where(or_(contains(workflows.c.name, text), contains(workflows.c.description, text)))
        if cursor is not None:
            updated_at, last_id = decode_cursor(cursor, int, str)
            after = (UtcTime().process_result_value(updated_at, _NO_DIALECT), last_id)
            query = query.where(tuple_(workflows.c.updated_at, workflows.c.id) < after)
        query = query.order_by(workflows.c.updated_at.desc(), workflows.c.id.desc()).limit(limit + 1)
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).all()
        next_cursor = None
        if len(rows) > limit:
            last = rows[limit - 1]
            next_cursor = encode_cursor(UtcTime().process_bind_param(last.updated_at, _NO_DIALECT) or 0, last.id)
        return Page([workflow_summary(row) for row in rows[:limit]], next_cursor)

    async def publish(self, owner: str, workflow_id: str, version: int, publication: Publication) -> StoredWorkflow:
        """Put a version into use; see the port."""
        async with self._database.transaction() as connection:
            await put_into_use(connection, owner, workflow_id, version, publication, now=self._clock.now())
            return await read_version(connection, owner, workflow_id, version)

    async def unpublish(self, owner: str, workflow_id: str) -> None:
        """Take a workflow out of use; see the port."""
        async with self._database.transaction() as connection:
            await take_out_of_use(connection, owner, workflow_id, now=self._clock.now())

    async def withdraw_tool(self, owner: str, workflow_id: str) -> None:
        """Offer the workflow as a tool no more; see the port."""
        async with self._database.transaction() as connection:
            await current_version(connection, owner, workflow_id)
            await drop_tool(connection, workflow_id)

    async def exposed(self, owner: str) -> Sequence[tuple[Exposure, StoredWorkflow]]:
        """The workflows that are tools; see the port."""
        async with self._database.transaction() as connection:
            return await read_exposed(connection, owner)

    async def delete(self, owner: str, workflow_id: str, *, now: datetime) -> None:
        """Unpublish and hide a workflow; see the port."""
        async with self._database.transaction() as connection:
            await take_out_of_use(connection, owner, workflow_id, now=now)
            await connection.execute(update(workflows).where(workflows.c.id == workflow_id).values(deleted_at=now))

    async def restore(self, owner: str, workflow_id: str) -> StoredWorkflow:
        """Bring a deleted workflow back; see the port."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(workflows)
                .where(workflows.c.id == workflow_id, workflows.c.owner == owner)
                .values(deleted_at=None)
            )
            return await read_version(connection, owner, workflow_id, None)

    async def purge(self, *, deleted_before: datetime, limit: int) -> int:
        """Delete workflows for good; see the port."""
        # Locked, so that none is brought back in between (SQLite has one writer at a time anyway).
        due = select(workflows.c.id).where(workflows.c.deleted_at < deleted_before).limit(limit).with_for_update()
        async with self._database.transaction() as connection:
            ids = (await connection.execute(due)).scalars().all()
            if ids:
                await drop_schedules(connection, ids)
                await connection.execute(delete(workflow_versions).where(workflow_versions.c.workflow_id.in_(ids)))
                await connection.execute(delete(workflows).where(workflows.c.id.in_(ids)))
        return len(ids)

    async def by_webhook_path(self, path: str) -> StoredWorkflow:
        """The workflow that listens on ``path``; see the port."""
        shapes = shapes_for(path)
        query = (
            select(*VERSION_COLUMNS)
            .join(paths_table, paths_table.c.workflow_id == workflows.c.id)
            .join(workflow_versions, workflow_versions.c.workflow_id == workflows.c.id)
            .where(paths_table.c.path.in_(shapes), workflow_versions.c.version == workflows.c.published_version)
        )
        if not shapes:
            raise WebhookNotFoundError(path)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).first()  # paths that overlap are one workflow's
        if row is None:
            raise WebhookNotFoundError(path)
        return stored_workflow(row)


_NO_DIALECT: Any = None
