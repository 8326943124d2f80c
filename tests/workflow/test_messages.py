"""The envelopes are, member by member, those of docs/contract.md."""

from __future__ import annotations

from datetime import UTC, datetime

from workflow.messages import Event, Job

MOMENT = datetime(2024, 1, 6, tzinfo=UTC)


def test_a_job_travels_in_the_contracts_queue_message() -> None:
    job = Job(workflow_id="w", execution_id="e", trigger="manual", input={}, priority="high")
    assert job.to_message(message_id="m", timestamp=MOMENT) == {
        "messageId": "m",
        "timestamp": "2024-01-06T00:00:00.000Z",
        "type": "workflow.execute",
        "version": "1.0",
        "payload": {"workflowId": "w", "executionId": "e", "input": {}, "trigger": "manual"},
        "metadata": {"priority": "high", "retryCount": 0, "timeout": 300_000},
    }


def test_an_event_travels_in_the_contracts_event_message() -> None:
    event = Event(
        event_id="i", timestamp=MOMENT, event_type="workflow.completed", aggregate_id="w", data={"status": "succeeded"}
    )
    assert event.to_message() == {
        "eventId": "i",
        "timestamp": "2024-01-06T00:00:00.000Z",
        "eventType": "workflow.completed",
        "aggregateId": "w",
        "data": {"status": "succeeded"},
    }
