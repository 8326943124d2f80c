"""Executions and node runs as they are recorded, and jobs and events as they are carried."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from workflow.items import Outputs, Source
from workflow.states import ExecutionState

Trigger = Literal["manual", "webhook"]
Priority = Literal["low", "normal", "high"]
NodeRunStatus = Literal["succeeded", "failed", "cancelled"]


@dataclass(slots=True, frozen=True, kw_only=True)
class ErrorRecord:
    """A failure as it is kept and shown.

    ``node`` is where it happened, ``item_index`` on which input item, ``fix`` what to do about it.
    """

    code: str
    message: str
    node: str | None = None
    item_index: int | None = None
    pointer: str | None = None
    fix: str | None = None
    transient: bool = False

    def to_json(self) -> dict[str, Any]:
        """The members that say something."""
        shown: dict[str, Any] = {"code": self.code, "message": self.message}
        for name in ("node", "item_index", "pointer", "fix"):
            value = getattr(self, name)
            if value is not None:
                shown[name] = value
        if self.transient:
            shown["transient"] = True
        return shown


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeRun:
    """One run of one node.

    ``sources`` says, per input, where its items came from; ``started_at`` is UTC; ``duration_ms`` is wall time.
    """

    node: str
    run_index: int
    status: NodeRunStatus
    started_at: datetime
    duration_ms: float
    items_in: int
    sources: tuple[Source | None, ...] = ()
    outputs: Outputs = field(default_factory=dict)
    error: ErrorRecord | None = None

    @property
    def items_out(self) -> int:
        """Number of items over all outputs."""
        return sum(len(items) for items in self.outputs.values())


@dataclass(slots=True, frozen=True, kw_only=True)
class Execution:
    """One run of one version of a workflow. Times are UTC; ``output`` is what the caller gets."""

    id: str
    workflow_id: str
    workflow_name: str
    workflow_version: int
    state: ExecutionState
    trigger: Trigger
    start_node: str
    input: Any
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output: Any = None
    error: ErrorRecord | None = None

    @property
    def duration_ms(self) -> float | None:
        """Wall time from start to finish in milliseconds, or ``None`` while it has not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds() * 1000
