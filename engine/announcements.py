"""Publishes what happens to executions and workflows on the event bus (docs/contract.md, "Event")."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, get_args

import orjson

from workflow.connections import CONNECTION_CHANGES
from workflow.executions import Execution, NodeRun
from workflow.messages import Event, utc_text
from workflow.ports import Clock, EventBus, NewId
from workflow.prompt_templates import PROMPT_CHANGES
from workflow.schedules.schedules import Schedule
from workflow.states import ExecutionState

EVENT_TYPES = {
    ExecutionState.QUEUED: "workflow.queued",
    ExecutionState.RUNNING: "workflow.started",
    ExecutionState.WAITING: "workflow.waiting",
    ExecutionState.SUCCEEDED: "workflow.completed",
    ExecutionState.FAILED: "workflow.failed",
    ExecutionState.CANCELLED: "workflow.cancelled",
    ExecutionState.DEAD: "workflow.dead",
}

NODE_FINISHED, NODE_PROGRESS = "workflow.node_finished", "workflow.node_told"
DETAILS = frozenset({NODE_FINISHED, NODE_PROGRESS})
"""Frequent types of events; they are not published where nothing listens."""
ANSWERED = "workflow.answered"
EXECUTION_SIGNALLED = "execution.told"
STATE_EVENTS = frozenset(EVENT_TYPES.values()) | {ANSWERED}
LARGEST_ANSWER_BYTES = 32 << 10
"""A larger answer is read from the store: events are small."""

WorkflowChange = Literal["created", "updated", "deleted", "restored", "published", "unpublished"]
WORKFLOW_CHANGES = frozenset(f"workflow.{change}" for change in get_args(WorkflowChange))
"""Types of events about workflows; all others that have a workflow are about its executions."""
CHANGES = WORKFLOW_CHANGES | PROMPT_CHANGES | CONNECTION_CHANGES
"""Types of events about workflows, prompt templates and connections; caches of these listen to them."""


class Announcements:
    """Publishes events, with the workflow as their aggregate."""

    def __init__(self, *, bus: EventBus, clock: Clock, new_id: NewId) -> None:
        self._bus = bus
        self._clock = clock
        self._new_id = new_id

    @property
    def hears_others(self) -> bool:
        """Whether events of other processes reach this one now."""
        return self._bus.hears_others

    def listen(self, workflow_id: str) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Events of one workflow from now on."""
        return self._bus.subscribe(workflow_id)

    def listen_to_states(self, workflow_id: str) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """New states of a workflow's executions, and their answers to webhooks, from now on."""
        return self._bus.subscribe(workflow_id, event_types=STATE_EVENTS)

    def is_heard(self, workflow_id: str, event_type: str) -> bool:
        """Whether anything may listen to events of this type about the workflow now."""
        return self._bus.is_heard(workflow_id, event_type)

    def listen_to_holder(self, holder: str) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """What others tell this process, whose name is ``holder``, from now on."""
        return self._bus.subscribe(holder)

    def listen_to_changes(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Events about all workflows, prompt templates and connections, none about executions, from now on."""
        return self._bus.subscribe(event_types=CHANGES)

    def workflow_changed(self, change: WorkflowChange, workflow_id: str, owner: str) -> None:
        """A change of the owner's workflow is on the disk."""
        if self._bus.is_heard(workflow_id, f"workflow.{change}"):
            self._publish(f"workflow.{change}", workflow_id, {"workspaceId": owner, "change": change})

    def state_changed(self, execution: Execution) -> None:
        """An execution is in a new state; the event has its ``duration`` in milliseconds, if it has one."""
        event_type = EVENT_TYPES[execution.state]
        if not self._bus.is_heard(execution.workflow_id, event_type):
            return
        data: dict[str, Any] = {"status": execution.state.value}
        if execution.duration_ms is not None:
            data["duration"] = round(execution.duration_ms)
        self._publish(event_type, execution.workflow_id, {"executionId": execution.id, **data})

    def node_finished(self, execution: Execution, node_run: NodeRun, *, finished: int, total: int) -> None:
        """A node run has ended; ``finished`` of the ``total`` node runs that are known so far have ended."""
        if not self._bus.is_heard(execution.workflow_id, NODE_FINISHED):
            return
        data = {"node": node_run.node, "nodeStatus": node_run.status, "finished": finished, "total": total}
        self._publish(NODE_FINISHED, execution.workflow_id, {"executionId": execution.id, **data})

    def is_followed(self, execution: Execution) -> bool:
        """Whether anything may listen to the progress of the execution's nodes now."""
        return self._bus.is_heard(execution.workflow_id, NODE_PROGRESS)

    def node_progress(self, execution: Execution, node: str, note: str) -> None:
        """A running node reports its progress in a few words."""
        self._publish(NODE_PROGRESS, execution.workflow_id, {"executionId": execution.id, "node": node, "note": note})

    def answered(self, execution: Execution) -> None:
        """An execution has answered the webhook request that started it; another process waits for that."""
        answer = execution.answer
        if len(orjson.dumps(answer)) > LARGEST_ANSWER_BYTES:
            answer = None
        self._publish(ANSWERED, execution.workflow_id, {"executionId": execution.id, "answer": answer})

    def signalled(self, holder: str, execution: Execution) -> None:
        """A signal for the holder of an execution is in the store."""
        event = Event(
            event_id=self._new_id(),
            timestamp=self._clock.now(),
            event_type=EXECUTION_SIGNALLED,
            aggregate_id=holder,
            data={"workflowId": execution.workflow_id, "executionId": execution.id},
        )
        self._bus.publish(event)

    def user_notified(self, execution: Execution) -> None:
        """An execution has failed for good, and its user is notified."""
        error = execution.error.to_json() if execution.error is not None else None
        data = {"executionId": execution.id, "status": execution.state.value, "error": error}
        self._publish("user.notified", execution.workflow_id, data)

    def schedule_overdue(self, schedule: Schedule) -> None:
        """A schedule should have fired and has not."""
        due = utc_text(schedule.due_at) if schedule.due_at is not None else None
        self._publish("schedule.overdue", schedule.workflow_id, {"scheduleId": schedule.id, "dueAt": due})

    def _publish(self, event_type: str, workflow_id: str, data: dict[str, Any]) -> None:
        self._bus.publish(
            Event(
                event_id=self._new_id(),
                timestamp=self._clock.now(),
                event_type=event_type,
                aggregate_id=workflow_id,
                data={"workflowId": workflow_id, **data},
            )
        )
