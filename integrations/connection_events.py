"""Publishes what happens to connections on the event bus."""

from __future__ import annotations

from workflow.connections import Connection, ConnectionChange
from workflow.messages import Event
from workflow.ports import Clock, EventBus, NewId


class ConnectionEvents:
    """Publishes events; the aggregate is the connection."""

    def __init__(self, *, bus: EventBus, clock: Clock, new_id: NewId) -> None:
        self._bus = bus
        self._clock = clock
        self._new_id = new_id

    def announce(self, change: ConnectionChange, connection: Connection) -> None:
        """Something happened to the connection, and is on the disk."""
        event_type = f"integration.{change}"
        if not self._bus.is_heard(connection.id, event_type):
            return
        data = {
            "workspaceId": connection.owner,
            "connection": connection.name,
            "kind": connection.kind,
            "status": connection.status,
        }
        self._bus.publish(
            Event(
                event_id=self._new_id(),
                timestamp=self._clock.now(),
                event_type=event_type,
                aggregate_id=connection.id,
                data=data,
            )
        )
