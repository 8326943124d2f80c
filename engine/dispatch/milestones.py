"""Named moments of an execution at which a test can look or interfere; production code passes them.

A race is tested by holding one side at such a moment, doing the other side's work, and letting the first one go on. No
test needs to replace a method or to know a task's name for it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Milestone(StrEnum):
    """The moments."""

    JOURNAL_READ = "journal_read"
    """Worker: it has read the journal, and has not begun to run."""
    RUN_SAVED = "run_saved"
    """Worker: what the run came to is given to the store, and is not known to be on the disk."""
    RUN_STORED = "run_stored"
    """Worker: that is on the disk; the execution is still local."""
    ANSWER_CHECKED = "answer_checked"
    """Control: an answer fits what waits, and is not stored."""
    SIGNALLED = "signalled"
    """Wakeups: another process is the holder, and a signal for it is stored."""
    STORE_ASKED = "store_asked"
    """Remote executions: no event came, and the store was asked."""


class Milestones(Protocol):
    """What happens at the moments."""

    async def reached(self, milestone: Milestone, execution_id: str) -> None:
        """An execution has come to this moment; it goes on when this returns."""
        ...


class NoMilestones:
    """Nothing happens: what production uses."""

    async def reached(self, milestone: Milestone, execution_id: str) -> None:
        """Go on at once."""
