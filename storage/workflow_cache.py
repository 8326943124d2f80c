"""Workflows kept in memory, in front of a repository."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from workflow.definition import WorkflowDefinition
from workflow.ports import Page, StoredWorkflow, WorkflowRepository, WorkflowSummary

KEPT = 1_000
"""Versions and webhook paths kept: about 20 KB each for ten nodes."""


class WorkflowCache:
    """A :class:`workflow.ports.WorkflowRepository` that asks another one only for what it does not know.

    What this process changes it forgets at once. What other processes change is seen after ``seconds``; ``None``
    where there are no others.
    """

    def __init__(
        self, inner: WorkflowRepository, *, seconds: float | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._seconds = seconds
        self._monotonic = monotonic
        self._kept: OrderedDict[tuple[str, Any], tuple[float, StoredWorkflow]] = OrderedDict()

    async def create(
        self, workflow_id: str, definition: WorkflowDefinition, *, webhook_paths: Sequence[str], now: datetime
    ) -> StoredWorkflow:
        """Store version 1; see the port."""
        return await self._inner.create(workflow_id, definition, webhook_paths=webhook_paths, now=now)

    async def save_version(
        self,
        workflow_id: str,
        definition: WorkflowDefinition,
        *,
        expected_version: int,
        webhook_paths: Sequence[str],
        now: datetime,
    ) -> StoredWorkflow:
        """Store the next version; see the port."""
        try:
            return await self._inner.save_version(
                workflow_id, definition, expected_version=expected_version, webhook_paths=webhook_paths, now=now
            )
        finally:
            self._forget(workflow_id)

    async def delete(self, workflow_id: str, *, now: datetime) -> None:
        """Hide a workflow; see the port."""
        try:
            await self._inner.delete(workflow_id, now=now)
        finally:
            self._forget(workflow_id)

    async def get(self, workflow_id: str, version: int | None = None) -> StoredWorkflow:
        """One version; see the port."""
        key = (workflow_id, version)
        return self._known(key) or self._keep(key, await self._inner.get(workflow_id, version))

    async def by_webhook_path(self, path: str) -> StoredWorkflow:
        """The workflow that listens on ``path``; see the port."""
        key = ("", path)
        return self._known(key) or self._keep(key, await self._inner.by_webhook_path(path))

    async def page(self, *, text: str | None, limit: int, cursor: str | None) -> Page[WorkflowSummary]:
        """Workflows, last updated first; see the port."""
        return await self._inner.page(text=text, limit=limit, cursor=cursor)

    def _known(self, key: tuple[str, Any]) -> StoredWorkflow | None:
        found = self._kept.get(key)
        if found is None or (self._seconds is not None and self._monotonic() - found[0] > self._seconds):
            return None
        return found[1]

    def _keep(self, key: tuple[str, Any], workflow: StoredWorkflow) -> StoredWorkflow:
        self._kept[key] = (self._monotonic(), workflow)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return workflow

    def _forget(self, workflow_id: str) -> None:
        for key in [key for key, (_, workflow) in self._kept.items() if workflow.id == workflow_id]:
            del self._kept[key]
