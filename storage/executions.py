"""Executions and node runs in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, insert, select, update

from storage.cursors import decode_cursor, encode_cursor
from storage.database import Database
from storage.records import error_to_json, execution_from_row, node_run_from_row, node_run_to_row
from storage.search import contains
from storage.tables import executions
from storage.tables import node_runs as node_runs_table
from workflow.errors import ExecutionNotFoundError, IllegalTransitionError
from workflow.executions import ErrorRecord, Execution, NodeRun
from workflow.ports import ExecutionFilter, Page
from workflow.states import TRANSITIONS, ExecutionState

_UNFINISHED = (ExecutionState.QUEUED.value, ExecutionState.RUNNING.value)


class SqlExecutionRepository:
    """Implements :class:`workflow.ports.ExecutionRepository`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, execution: Execution) -> None:
        """Store a new execution; see the port."""
        async with self._database.transaction() as connection:
            await connection.execute(
                insert(executions).values(
                    id=execution.id,
                    workflow_id=execution.workflow_id,
                    workflow_name=execution.workflow_name,
                    workflow_version=execution.workflow_version,
                    state=execution.state.value,
                    trigger=execution.trigger,
                    start_node=execution.start_node,
                    input=execution.input,
                    created_at=execution.created_at,
                )
            )

    async def start(self, execution_id: str, *, now: datetime) -> bool:
        """Move queued to running; see the port."""
        return await self._move(execution_id, ExecutionState.QUEUED, state=ExecutionState.RUNNING, started_at=now)

    async def hand_back(self, execution_id: str) -> None:
        """Move running to queued; see the port."""
        await self._move(execution_id, ExecutionState.RUNNING, state=ExecutionState.QUEUED, started_at=None)

    async def _move(
        self, execution_id: str, origin: ExecutionState, *, state: ExecutionState, started_at: datetime | None
    ) -> bool:
        async with self._database.transaction() as connection:
            moved = await connection.execute(
                update(executions)
                .where(executions.c.id == execution_id, executions.c.state == origin.value)
                .values(state=state.value, started_at=started_at)
            )
        return bool(moved.rowcount)

    async def finish(
        self,
        execution_id: str,
        *,
        state: ExecutionState,
        output: Any,
        error: ErrorRecord | None,
        node_runs: Sequence[NodeRun],
        now: datetime,
    ) -> None:
        """Store the end and every node run; see the port."""
        origins = {origin.value for (origin, _), target in TRANSITIONS.items() if target is state}
        async with self._database.transaction() as connection:
            ended = await connection.execute(
                update(executions)
                .where(executions.c.id == execution_id, executions.c.state.in_(origins))
                .values(
                    state=state.value,
                    output=output,
                    error=error_to_json(error),
                    error_message=error.message.replace("\0", "�") if error is not None else None,
                    finished_at=now,
                )
            )
            if not ended.rowcount:
                found = await connection.execute(select(executions.c.state).where(executions.c.id == execution_id))
                actual = found.scalar_one_or_none()
                if actual is None:
                    raise ExecutionNotFoundError(execution_id)
                raise IllegalTransitionError(f"An execution that is {actual} cannot become {state.value}.")
            if node_runs:
                rows = [node_run_to_row(execution_id, place, run) for place, run in enumerate(node_runs)]
                await connection.execute(insert(node_runs_table), rows)

    async def get(self, execution_id: str) -> Execution:
        """One execution; see the port."""
        found = await self._all(select(executions).where(executions.c.id == execution_id))
        if not found:
            raise ExecutionNotFoundError(execution_id)
        return found[0]

    async def node_runs(self, execution_id: str, *, node: str | None = None) -> Sequence[NodeRun]:
        """The recorded runs; see the port."""
        query = select(node_runs_table).where(node_runs_table.c.execution_id == execution_id)
        if node is not None:
            query = query.where(node_runs_table.c.node == node)
        async with self._database.transaction() as connection:
            rows = await connection.execute(query.order_by(node_runs_table.c.position))
            return [node_run_from_row(row) for row in rows]

    async def page(self, where: ExecutionFilter, *, limit: int, cursor: str | None) -> Page[Execution]:
        """Executions, newest first; see the port."""
        query = select(executions)
        if where.workflow_id is not None:
            query = query.where(executions.c.workflow_id == where.workflow_id)
        if where.state is not None:
            query = query.where(executions.c.state == where.state.value)
        if where.text:
            query = query.where(contains(executions.c.error_message, where.text))
        if where.created_after is not None:
            query = query.where(executions.c.created_at > where.created_after)
        if cursor is not None:
            query = query.where(executions.c.id < decode_cursor(cursor, str)[0])
        found = await self._all(query.order_by(executions.c.id.desc()).limit(limit + 1))
        next_cursor = encode_cursor(found[limit - 1].id) if len(found) > limit else None
        return Page(found[:limit], next_cursor)

    async def unfinished(self) -> Sequence[Execution]:
        """Every queued or running execution; see the port."""
        return await self._all(select(executions).where(executions.c.state.in_(_UNFINISHED)).order_by(executions.c.id))

    async def _all(self, query: Select[Any]) -> list[Execution]:
        async with self._database.transaction() as connection:
            return [execution_from_row(row) for row in await connection.execute(query)]
