"""What a node at work tells whoever watches it: how far it has come, in a few words, and not too often."""

from __future__ import annotations

import time

from engine.announcements import Announcements
from workflow.executions import Execution

REPORT_SECONDS = 0.2
"""What a node tells more often is not told on: nobody could read it."""
MOST_NOTE = 500
"""Characters of what a node tells, the last ones."""


class ProgressReporter:
    """Tells of one run of one node."""

    __slots__ = ("_announcements", "_execution", "_node", "_reported_at")

    def __init__(self, announcements: Announcements, execution: Execution, node: str) -> None:
        self._announcements = announcements
        self._execution = execution
        self._node = node
        self._reported_at = 0.0

    @property
    def is_followed(self) -> bool:
        """Whether anybody may want to hear it."""
        return self._announcements.is_followed(self._execution)

    def report(self, note: str) -> None:
        """Tell how far the node has come. Never waits."""
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS and self.is_followed:
            self._reported_at = now
            self._announcements.node_progress(self._execution, self._node, note[-MOST_NOTE:])
