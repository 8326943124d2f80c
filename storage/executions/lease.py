"""What this process writes beside an execution that it has in hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.executions.records import micros


@dataclass(slots=True)
class Lease:
    """This process's name, and until when others leave alone what it has in hand (microseconds since 1970)."""

    owner: str
    seconds: float
    until: int | None = None

    def from_(self, now: datetime) -> datetime:
        """The end of a lease that begins now."""
        end = now + timedelta(seconds=self.seconds)
        self.until = micros(end)
        return end
