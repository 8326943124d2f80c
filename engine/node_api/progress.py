"""Progress of a running node: a short note for clients that follow the execution, at most every 0.2 s."""

from __future__ import annotations

import time
from typing import Protocol

from engine.announcements import Announcements
from workflow.executions import Execution

REPORT_SECONDS = 0.2
"""Notes that come sooner after the last one are dropped: nobody could read them."""
MOST_NOTE = 500
"""Characters of a note; of a longer one the end is sent."""


class Progress(Protocol):
    """How a node reports how far it has come. Reports may be dropped; nothing depends on them."""

    @property
    def is_followed(self) -> bool:
        """Whether a client may follow the execution now; where none does, a note need not be made."""
        ...

    def report(self, note: str) -> None:
        """Publish a note of a few words. Never waits."""
        ...


class ProgressReporter:
    """Implements :class:`Progress` for one node run, over the event bus."""

    __slots__ = ("_announcements", "_execution", "_node", "_reported_at")

    def __init__(self, announcements: Announcements, execution: Execution, node: str) -> None:
        self._announcements = announcements
        self._execution = execution
        self._node = node
        self._reported_at = 0.0

    @property
    def is_followed(self) -> bool:
        """Whether a client may follow the execution now."""
        return self._announcements.is_followed(self._execution)

    def report(self, note: str) -> None:
        """Publish a note, unless the last one is less than ``REPORT_SECONDS`` old. Never waits."""
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS and self.is_followed:
            self._reported_at = now
            self._announcements.node_progress(self._execution, self._node, note[-MOST_NOTE:])
