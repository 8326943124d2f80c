"""Which workflow listens on which webhook paths, and which workspace the paths' names belong to.

A path is kept as its shape: parameters have no names in it. Its name, the first segment, belongs to one workspace from
when it first listens there until some time after it last did: who sends to it must not reach somebody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables.workflows import webhook_names, webhook_paths
from workflow.errors import WebhookPathTakenError
from workflow.webhook_paths import name_of, overlap, shape_of

KEPT = timedelta(days=30)
"""How long a name that nobody listens on stays its workspace's: as long as a deleted workflow can be restored."""


COMPARED_HERE = 10_000
"""Pairs of paths that are compared in the event loop: some milliseconds."""

T = TypeVar("T")


async def listen(
    connection: AsyncConnection, owner: str, workflow_id: str, paths: Sequence[str], *, now: datetime
) -> None:
    """Let the workflow listen on these paths in place of those that it has.

    1. The names are locked one after the other, sorted, so that two publications do not wait for each other.
    2. A name is locked before anything below it is looked at: what others publish below it is committed by then, or
       waits for us. So no two overlapping paths are stored, and no name is freed that a path needs.

    Raises:
        WebhookPathTakenError: a path, or its name, belongs to somebody else; the error names the other workflow to its
            workspace only.
    """
    mine = webhook_paths.c.workflow_id == workflow_id
    had = {name_of(path) for path in (await connection.execute(select(webhook_paths.c.path).where(mine))).scalars()}
    wanted = {shape_of(path): path for path in paths}
    names = {name_of(shape) for shape in wanted}
    if not had and not names:
        return
    await connection.execute(delete(webhook_paths).where(mine))
    for name in sorted(had | names):
        if name in names:
            await _claim(connection, owner, name, next(path for path in paths if name_of(path) == name), now=now)
        else:
            await _free(connection, name, now=now)
    if names:
        await _refuse_overlaps(connection, wanted, names)
    if wanted:
        rows = [{"path": shape, "workflow_id": workflow_id} for shape in wanted]
        await connection.execute(insert(webhook_paths), rows)


async def _claim(connection: AsyncConnection, owner: str, name: str, path: str, *, now: datetime) -> None:
    """Lock the name, as the workspace's own.

    Raises:
        WebhookPathTakenError: it is another workspace's.
    """
    is_over = (webhook_names.c.name == name) & (webhook_names.c.freed_at < now - KEPT)
    await connection.execute(delete(webhook_names).where(is_over))
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    made = dialect.insert(webhook_names).values(name=name, owner=owner)
    await connection.execute(made.on_conflict_do_nothing())
    mine = (webhook_names.c.name == name) & (webhook_names.c.owner == owner)
    claimed = await connection.execute(update(webhook_names).where(mine).values(freed_at=None))
    if not claimed.rowcount:
        raise WebhookPathTakenError(path, None)


async def _free(connection: AsyncConnection, name: str, *, now: datetime) -> None:
    """Note since when nobody listens below the name, unless somebody does."""
    await connection.execute(select(webhook_names).where(webhook_names.c.name == name).with_for_update())
    if (await connection.execute(select(webhook_paths.c.path).where(_below(name)).limit(1))).first() is None:
        await connection.execute(update(webhook_names).where(webhook_names.c.name == name).values(freed_at=now))


async def _refuse_overlaps(connection: AsyncConnection, wanted: Mapping[str, str], names: Collection[str]) -> None:
    """Raises :class:`WebhookPathTakenError` where another workflow listens to a request that would come here too."""
    for name in sorted(names):
        query = select(webhook_paths.c.path, webhook_paths.c.workflow_id).where(_below(name))
        others = [(path, workflow_id) for path, workflow_id in await connection.execute(query)]
        mine = {shape: path for shape, path in wanted.items() if name_of(shape) == name}
        # A workspace may have thousands on either side, so the loop does not wait for it.
        compare = asyncio.to_thread if len(others) * len(mine) > COMPARED_HERE else _at_once
        found = await compare(_first_overlap, mine, others)
        if found is not None:
            raise WebhookPathTakenError(*found)


def _first_overlap(mine: Mapping[str, str], others: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """A path of ours, and the workflow that has one which overlaps with it."""
    for shape, path in sorted(mine.items()):
        for other, workflow_id in others:
            if overlap(shape, other):
                return path, workflow_id
    return None


async def _at_once(function: Callable[..., T], *arguments: object) -> T:
    return function(*arguments)


def _below(name: str) -> ColumnElement[bool]:
    return or_(webhook_paths.c.path == name, webhook_paths.c.path.startswith(f"{name}/", autoescape=True))
