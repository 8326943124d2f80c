"""The envelopes that jobs and events travel in, member by member as the contracts fix them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workflow.executions import Priority, Trigger


def utc_text(moment: datetime) -> str:
    """``2024-01-06T00:00:00.123Z``: how times are written in messages."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True, frozen=True, kw_only=True)
class Job:
    """A request to run one execution that is stored already. ``timeout_ms`` bounds the whole run."""

    workflow_id: str
    execution_id: str
    trigger: Trigger
    input: Any = None
    priority: Priority = "normal"
    retry_count: int = 0
    timeout_ms: int = 300_000

    def to_message(self, *, message_id: str, timestamp: datetime) -> dict[str, Any]:
        """The queue message (contract "Queue message", version 1.0), for queues that leave the process."""
        return {
            "messageId": message_id,
            "timestamp": utc_text(timestamp),
            "type": "workflow.execute",
            "version": "1.0",
            "payload": {
                "workflowId": self.workflow_id,
                "executionId": self.execution_id,
                "input": self.input,
                "trigger": self.trigger,
            },
            "metadata": {
                "priority": self.priority,
                "retryCount": self.retry_count,
                "timeout": self.timeout_ms,
            },
        }


@dataclass(slots=True, frozen=True, kw_only=True)
class Event:
    """Something that happened to a workflow or execution; ``data`` is small."""

    event_id: str
    timestamp: datetime
    event_type: str
    aggregate_id: str
    data: dict[str, Any]

    def to_message(self) -> dict[str, Any]:
        """The event message (contract "Event")."""
        return {
            "eventId": self.event_id,
            "timestamp": utc_text(self.timestamp),
            "eventType": self.event_type,
            "aggregateId": self.aggregate_id,
            "data": self.data,
        }
