"""The envelopes of jobs and events, member by member (docs/contract.md, "Queue message" and "Event")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, get_args

from workflow.errors import MalformedJobError
from workflow.executions import Priority, Trigger


def utc_text(moment: datetime) -> str:
    """``2024-01-06T00:00:00.123Z``: how times are written in messages."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


JOB_TYPE, JOB_VERSION = "workflow.execute", "1.0"


@dataclass(slots=True, frozen=True, kw_only=True)
class Job:
    """A request to run one execution that is stored already. ``timeout_ms`` bounds the whole run.

    ``traceparent`` (W3C Trace Context) travels beside the message, in the queue's own headers.
    """

    workflow_id: str
    execution_id: str
    trigger: Trigger
    input: Any = None
    priority: Priority = "normal"
    retry_count: int = 0
    timeout_ms: int = 300_000
    traceparent: str | None = None

    def to_message(self, *, message_id: str, timestamp: datetime) -> dict[str, Any]:
        """The queue message (docs/contract.md, "Queue message", version 1.0), for queues that leave the process."""
        return {
            "messageId": message_id,
            "timestamp": utc_text(timestamp),
            "type": JOB_TYPE,
            "version": JOB_VERSION,
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

    @classmethod
    def from_message(cls, message: Any, *, traceparent: str | None = None) -> Self:
        """The job of a queue message.

        Raises:
            MalformedJobError: it is none of version 1.0.
        """
        try:
            kind, version = message["type"], message["version"]
            payload, metadata = message["payload"], message["metadata"]
            made = cls(
                workflow_id=payload["workflowId"],
                execution_id=payload["executionId"],
                trigger=payload["trigger"],
                input=payload["input"],
                priority=metadata["priority"],
                retry_count=metadata["retryCount"],
                timeout_ms=metadata["timeout"],
                traceparent=traceparent,
            )
        except (KeyError, TypeError) as error:
            raise MalformedJobError(
                f"A job's message lacks {error}.", fix="Only Jobsprint's own processes may publish there."
            ) from error
        wrong = [name for name, right in made._forms().items() if not right]
        if wrong or (kind, version) != (JOB_TYPE, JOB_VERSION):
            other = f"is {kind!r} {version!r}, not {JOB_TYPE} {JOB_VERSION}"
            what = f"has a wrong {', '.join(wrong)}" if wrong else other
            raise MalformedJobError(
                f"A job's message {what:.200}.", fix="Only Jobsprint's own processes may publish there."
            )
        return made

    def _forms(self) -> dict[str, bool]:
        """Which members have the form that they must have."""
        return {
            "workflowId": isinstance(self.workflow_id, str),
            "executionId": isinstance(self.execution_id, str),
            "trigger": self.trigger in get_args(Trigger),
            "priority": self.priority in get_args(Priority),
            "retryCount": isinstance(self.retry_count, int) and self.retry_count >= 0,
            "timeout": isinstance(self.timeout_ms, int) and self.timeout_ms > 0,
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
        """The event message (docs/contract.md, "Event")."""
        return {
            "eventId": self.event_id,
            "timestamp": utc_text(self.timestamp),
            "eventType": self.event_type,
            "aggregateId": self.aggregate_id,
            "data": self.data,
        }

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Self:
        """The event of a message.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            event_id=message["eventId"],
            timestamp=datetime.fromisoformat(message["timestamp"]),
            event_type=message["eventType"],
            aggregate_id=message["aggregateId"],
            data=message["data"],
        )
