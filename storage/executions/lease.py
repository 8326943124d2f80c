"""This process's lease, as it is written beside an execution."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.executions.records import micros


@dataclass(slots=True)
class Lease:
    """This process's name, and the end of its leases: ``until``, in microseconds since 1970.

    1. A lease ends while its holder is stopped, or cut off, and goes on working. The holder asks no clock before it
       writes: the database refuses what it writes once another process has claimed the execution, and takes it until
       then.
    2. ``until`` is set before the statement is sent that stores it. An execution that is saved in between has the
       later end already; should the statement fail, the others keep the earlier one. Both are ends that this process
       has meant to keep, so a claim comes later at worst.
    """

    owner: str
    seconds: float
    until: int | None = None

    def from_(self, now: datetime) -> datetime:
        """The end of a lease that begins now."""
        end = now + timedelta(seconds=self.seconds)
        self.until = micros(end)
        return end
