"""Streams of the legacy era that a client can resume where they broke (SEP-1699)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types.jsonrpc import JSONRPCMessage

KEPT_BYTES = 256 << 10
"""What is kept for one session. Executions and workflows are on the disk; replay only saves reading them again."""
RETRY_MS = 1_000
"""How long a client waits before it resumes a stream."""


@dataclass(slots=True, frozen=True)
class _Kept:
    number: int
    stream_id: StreamId
    message: JSONRPCMessage | None
    size_bytes: int


class Replay(EventStore):
    """The latest messages of one session, of all its streams; the oldest are dropped for new ones."""

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0
        self._number = 0

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """Keep a message (``None`` marks the beginning of a stream); returns its id."""
        self._number += 1
        # The overhead of a message counts too; otherwise markers would cost nothing and be kept for ever.
        size_bytes = 100 + (len(message.model_dump_json(exclude_none=True)) if message is not None else 0)
        self._kept.append(_Kept(self._number, stream_id, message, size_bytes))
        self._kept_bytes += size_bytes
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= self._kept.popleft().size_bytes
        return str(self._number)

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        """Send the messages of the same stream after the one with this id; none where it is not kept any more."""
        last = next((kept for kept in self._kept if str(kept.number) == last_event_id), None)
        if last is None:
            return None
        for kept in list(self._kept):
            if kept.stream_id == last.stream_id and kept.number > last.number and kept.message is not None:
                await send_callback(EventMessage(kept.message, str(kept.number)))
        return last.stream_id


class ResumableSessions(StreamableHTTPSessionManager):
    """The SDK's session manager, with a store for each session.

    The SDK means one store for all sessions, but gives it only the request's id, which each session counts from the
    start: a session would get the messages of another. The SDK reads the attribute once for each new session.
    """

    def __init__(
        self, app: Server[Any], *, security_settings: TransportSecuritySettings, max_request_body_size: int
    ) -> None:
        super().__init__(
            app,
            retry_interval=RETRY_MS,
            security_settings=security_settings,
            max_request_body_size=max_request_body_size,
        )

    @property
    def event_store(self) -> EventStore | None:
        """A new store."""
        return Replay()

    @event_store.setter
    def event_store(self, value: EventStore | None) -> None:
        """Ignore what the SDK's constructor sets, which is ``None``."""
