"""How processes share the work, as Protocols: who has what in hand, how jobs reach workers, who has which duty."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from workflow.executions import Execution, Record
from workflow.messages import Job
from workflow.states import ExecutionState

UNCLAIMED_SECONDS = 300.0
"""A job that no worker has taken by then is sent once more: the broker may have lost it."""


class ClaimedExecution(NamedTuple):
    """An execution that a worker has taken in hand; ``is_cancelled`` where somebody has asked for its end."""

    execution: Execution
    is_cancelled: bool


class Signal(NamedTuple):
    """What others have told the holder of an execution: how often so far, and whether it was to cancel it."""

    execution_id: str
    times: int
    is_cancelled: bool


class Leases(Protocol):
    """Who has an execution in hand. A lease ends by itself where its holder does not renew it."""

    async def claim_expired(
        self, *, now: datetime, expired_before: datetime, unclaimed_before: datetime | None = None, limit: int
    ) -> Sequence[Execution]:
        """Take queued and running executions whose lease another process let end before then, oldest first; and those
        whose job no worker has taken, though it should have been by ``unclaimed_before``."""
        ...

    async def claim_due(self, *, now: datetime, limit: int) -> Sequence[Execution]:
        """Take waiting executions whose time has come, the longest over first."""
        ...

    async def next_due(self) -> datetime | None:
        """When the next waiting execution goes on by itself."""
        ...

    async def claim_idle(
        self, owner: str, execution_id: str, states: Collection[ExecutionState], *, now: datetime
    ) -> Execution | None:
        """Take an execution in hand that nobody has and that is in one of these states, to move it on; ``None`` where
        it is not so, or not there for the ``owner``."""
        ...

    async def claim_queued(self, execution_id: str, *, now: datetime) -> ClaimedExecution | None:
        """Take a queued execution in hand whose job has come; ``None`` where somebody has it or it is queued no more:
        then the job was one too many."""
        ...

    async def admit(self, execution: Execution, job: Job, *, limit: int) -> bool:
        """Let an execution that was taken run beside at most ``limit`` - 1 others of its workflow; or let go of it, and
        hold its job back until :meth:`release_deferred`. Exact across processes."""
        ...

    async def release_deferred(self, workflow_id: str, *, limit: int) -> None:
        """Send on the jobs of a workflow that were held back, as far as its limit has room."""
        ...

    async def deferred_workflows(self, *, limit: int) -> Sequence[str]:
        """Workflows of which jobs are held back."""
        ...

    async def dead(self, execution_ids: Sequence[str]) -> Collection[str]:
        """Which of these executions are dead."""
        ...

    async def count(self, workflow_id: str) -> int:
        """How many of a workflow's executions are queued or run."""
        ...

    async def signal(self, execution_id: str, records: Sequence[Record], *, is_cancelled: bool = False) -> str | None:
        """Add to the journal of an execution that another process has in hand, and have it look; its holder's name,
        or ``None`` where nobody has it and nothing was added."""
        ...

    async def signals(self, execution_id: str | None = None) -> Sequence[Signal]:
        """What others have told of the executions that this process has in hand, or of this one."""
        ...

    async def renew(self, *, now: datetime) -> None:
        """Prolong every lease that this process holds."""
        ...

    async def release(self) -> None:
        """Let go of every lease that this process holds, so that others need not wait for their end."""
        ...


class Leadership(Protocol):
    """Duties that one process at a time has. Each must bear to be done by two for a moment."""

    async def hold(self, duty: str, *, now: datetime, seconds: float) -> bool:
        """Take the duty for that long, or keep it, unless another process has it."""
        ...

    async def resign(self, duty: str) -> None:
        """Give the duty up, if this process has it."""
        ...


class Delivery(Protocol):
    """A job that a consumer holds. It is the consumer's until it acknowledges or rejects it."""

    @property
    def job(self) -> Job:
        """The job."""
        ...

    async def acknowledge(self) -> None:
        """The job is done; forget it."""
        ...

    async def hand_back(self) -> None:
        """The job is not done; give it to another consumer."""
        ...

    async def retry(self) -> bool:
        """The job could not be begun; deliver it again after 1, 2, 4, 8, 16 s, with one more on its retry count.

        ``False`` where all of these are over: then it is a dead letter, and nobody gets it any more.
        """
        ...


class JobQueue(Protocol):
    """Jobs on their way to workers; high before normal before low, first in first out within each.

    Delivery is at least once: who consumes must bear to get a job twice.
    """

    async def publish(self, job: Job) -> None:
        """Take a job; return when it is safe there.

        Raises:
            QueueFullError: the queue is at its bound; the job was not taken.
            QueueUnavailableError: the queue cannot be reached, or did not say that it has taken the job.
        """
        ...

    def consume(self) -> AsyncIterator[Delivery]:
        """Jobs as they come; competing consumers each get different ones. Ends when the queue stops."""
        ...

    async def stop(self) -> None:
        """Deliver nothing more, and give back what no consumer has taken; what they hold is theirs to end."""
        ...


class DeadLetters(Protocol):
    """Jobs of executions that are dead, for those who watch the broker. The store is the truth of it."""

    async def bury(self, job: Job, reason: str) -> None:
        """Keep a dead letter.

        Raises:
            QueueUnavailableError: see :meth:`JobQueue.publish`.
        """
        ...

    async def sift(self, is_dead: Callable[[Sequence[str]], Awaitable[Collection[str]]], *, limit: int) -> int:
        """Let go of letters whose executions are dead no more, of the ``limit`` oldest; how many that was.

        ``is_dead`` tells which of some execution ids are still dead.

        Raises:
            QueueUnavailableError: see :meth:`JobQueue.publish`; none was lost.
        """
        ...
