"""Workflows kept in memory, in front of a repository."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.publication import Exposure, Publication, VersionSummary
from workflow.ports import Page, StoredWorkflow, WorkflowRepository, WorkflowSummary

Exposed = Sequence[tuple[Exposure, StoredWorkflow]]

KEPT = 1_000
"""Versions and webhook paths kept: about 20 KB each for ten nodes."""


class WorkflowCache:
    """A :class:`workflow.ports.WorkflowRepository` that asks another one only for what it does not know.

    What this process changes it forgets at once. What other processes change is seen after ``seconds``, or when
    somebody says :meth:`forget`; ``None`` where there are no others.
    """

    def __init__(
        self, inner: WorkflowRepository, *, seconds: float | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._seconds = seconds
        self._monotonic = monotonic
        self._kept: OrderedDict[tuple[Any, ...], tuple[float, StoredWorkflow]] = OrderedDict()
        self._exposed: dict[str, tuple[float, Exposed]] = {}
        self._changes = 0

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
        with self._forgetting(workflow_id):
            return await self._inner.create(
                owner, workflow_id, definition, change=change, publication=publication, now=now
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
        """Store the next version; see the port."""
        with self._forgetting(workflow_id):
            return await self._inner.save_version(
                owner, workflow_id, definition, expected_version=expected_version, change=change, now=now
            )

    async def publish(self, owner: str, workflow_id: str, version: int, publication: Publication) -> StoredWorkflow:
        """Put a version into use; see the port."""
        with self._forgetting(workflow_id):
            return await self._inner.publish(owner, workflow_id, version, publication)

    async def unpublish(self, owner: str, workflow_id: str) -> None:
        """Take a workflow out of use; see the port."""
        with self._forgetting(workflow_id):
            await self._inner.unpublish(owner, workflow_id)

    async def withdraw_tool(self, owner: str, workflow_id: str) -> None:
        """Offer the workflow as a tool no more; see the port."""
        with self._forgetting(workflow_id):
            await self._inner.withdraw_tool(owner, workflow_id)

    async def delete(self, owner: str, workflow_id: str, *, now: datetime) -> None:
        """Hide a workflow; see the port."""
        with self._forgetting(workflow_id):
            await self._inner.delete(owner, workflow_id, now=now)

    async def restore(self, owner: str, workflow_id: str) -> StoredWorkflow:
        """Bring a deleted workflow back; see the port."""
        return await self._inner.restore(owner, workflow_id)

    async def purge(self, *, deleted_before: datetime, limit: int) -> int:
        """Delete workflows for good; see the port."""
        return await self._inner.purge(deleted_before=deleted_before, limit=limit)

    async def get(self, owner: str, workflow_id: str, version: int | None = None) -> StoredWorkflow:
        """One version; see the port."""
        key, changes = (owner, workflow_id, version), self._changes
        return self._known(key) or self._keep(key, await self._inner.get(owner, workflow_id, version), changes)

    async def by_webhook_path(self, path: str) -> StoredWorkflow:
        """The workflow that listens on ``path``; see the port. Paths with parameters have no end, so none is kept."""
        if "/" in path:
            return await self._inner.by_webhook_path(path)
        key, changes = (path,), self._changes
        return self._known(key) or self._keep(key, await self._inner.by_webhook_path(path), changes)

    async def exposed(self, owner: str) -> Exposed:
        """The workflows that are tools; the same object again as long as nothing has changed. See the port."""
        kept = self._exposed.get(owner)
        if kept is not None and self._is_fresh(kept[0]):
            return kept[1]
        asked_at, changes = self._monotonic(), self._changes
        found = await self._inner.exposed(owner)
        if kept is not None and kept[1] == found:
            found = kept[1]
        if changes == self._changes:
            self._exposed[owner] = (asked_at, found)
        return found

    async def named(self, owner: str, name: str, *, deleted: bool = False) -> Sequence[str]:
        """The ids of the workflows of this name; see the port."""
        return await self._inner.named(owner, name, deleted=deleted)

    async def versions(self, owner: str, workflow_id: str, *, limit: int, cursor: str | None) -> Page[VersionSummary]:
        """A workflow's versions, newest first; see the port."""
        return await self._inner.versions(owner, workflow_id, limit=limit, cursor=cursor)

    async def page(
        self, owner: str, *, text: str | None, limit: int, cursor: str | None, deleted: bool = False
    ) -> Page[WorkflowSummary]:
        """Workflows, last updated first; see the port."""
        return await self._inner.page(owner, text=text, limit=limit, cursor=cursor, deleted=deleted)

    def forget(self, workflow_id: str | None) -> None:
        """A workflow has changed; ``None`` where any may have."""
        for key in [key for key, (_, workflow) in self._kept.items() if workflow_id in (None, workflow.id)]:
            del self._kept[key]
        self._exposed.clear()
        self._changes += 1

    def _known(self, key: tuple[Any, ...]) -> StoredWorkflow | None:
        found = self._kept.get(key)
        return found[1] if found is not None and self._is_fresh(found[0]) else None

    def _is_fresh(self, asked_at: float) -> bool:
        return self._seconds is None or self._monotonic() - asked_at <= self._seconds

    def _keep(self, key: tuple[Any, ...], workflow: StoredWorkflow, changes: int) -> StoredWorkflow:
        """Keep what was read when there had been so many ``changes``: with another since, it may be old already."""
        if changes != self._changes:
            return workflow
        self._kept[key] = (self._monotonic(), workflow)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return workflow

    @contextmanager
    def _forgetting(self, workflow_id: str) -> Iterator[None]:
        """Forget the workflow when what changes it is over, however it ends."""
        try:
            yield
        finally:
            self.forget(workflow_id)
