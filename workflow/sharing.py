"""How processes share the work, as Protocols: who holds which execution, how jobs reach workers, who has which duty."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from workflow.executions import Execution, Record
from workflow.messages import Job
from workflow.states import ExecutionState

UNCLAIMED_SECONDS = 300.0
"""A job whose execution no worker has claimed by then is sent once more: the broker may have lost it."""


class ClaimedExecution(NamedTuple):
    """An execution that a worker has claimed; ``is_cancelled`` where somebody has signalled its end."""

    execution: Execution
    is_cancelled: bool


class Signal(NamedTuple):
    """Signals for the holder of an execution: how many so far, and whether one was to cancel it."""

    execution_id: str
    times: int
    is_cancelled: bool


class Leases(Protocol):
    """Who holds an execution. A lease ends by itself where its holder does not renew it."""

    async def claim_expired(
        self, *, now: datetime, expired_before: datetime, unclaimed_before: datetime | None = None, limit: int
    ) -> Sequence[Execution]:
        """Claim queued and running executions whose lease ended before ``expired_before``, oldest first; queued ones
        whose job has brought them to no worker by ``unclaimed_before``; and waiting ones whose holder had a signal to
        process when its lease ended."""
        ...

    async def claim_due(self, *, now: datetime, limit: int) -> Sequence[Execution]:
        """Claim waiting executions whose timer is due, the longest due first."""
        ...

    async def next_due(self) -> datetime | None:
        """When the next waiting execution goes on by itself."""
        ...

    async def claim_idle(
        self, owner: str, execution_id: str, states: Collection[ExecutionState], *, now: datetime
    ) -> Execution | None:
        """Claim an execution that has no holder and is in one of these states, to move it; ``None`` where that is not
        so, or it does not exist for the ``owner``."""
        ...

    async def claim_queued(self, execution_id: str, *, now: datetime) -> ClaimedExecution | None:
        """Claim a queued execution whose job has come; ``None`` where it has a holder or is not queued any more: then
        the job was one too many."""
        ...

    async def admit(self, execution: Execution, job: Job, *, limit: int) -> bool:
        """Let a claimed execution run beside at most ``limit`` - 1 others of its workflow; or release it, and defer its
        job until :meth:`release_deferred`. Exact across processes."""
        ...

    async def release_deferred(self, workflow_id: str, *, limit: int) -> None:
        """Send the deferred jobs of a workflow, as far as its limit has room."""
        ...

    async def deferred_workflows(self, *, limit: int) -> Sequence[str]:
        """Workflows that have deferred jobs."""
        ...

    async def dead(self, execution_ids: Sequence[str]) -> Collection[str]:
        """Which of these executions are dead."""
        ...

    async def count(self, workflow_id: str) -> int:
        """How many of a workflow's executions are queued or run."""
        ...

    async def signal(self, execution_id: str, records: Sequence[Record], *, is_cancelled: bool = False) -> str | None:
        """Add to the journal of an execution that another process holds, and count a signal for it; the holder's name,
        or ``None`` where it has no holder and nothing was added."""
        ...

    async def signals(self, execution_id: str | None = None) -> Sequence[Signal]:
        """The signals for the executions that this process holds, or for this one."""
        ...

    async def renew(self, *, now: datetime) -> None:
        """Prolong every lease that this process holds."""
        ...

    async def release(self) -> None:
        """Give up every lease that this process holds, so that others need not wait for their end."""
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
    """A job that a consumer holds. It is the consumer's until it acknowledges it or gives it back."""

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

    Delivery is at least once: consumers must bear to get a job twice.
    """

    async def publish(self, job: Job) -> None:
        """Accept a job; return when it is safe there.

        Raises:
            QueueFullError: the queue is at its bound; the job was not accepted.
            QueueUnavailableError: the queue cannot be reached, or did not confirm the job.
        """
        ...

    def consume(self) -> AsyncIterator[Delivery]:
        """Jobs as they come; competing consumers each get different ones. Ends when the queue stops."""
        ...

    async def stop(self) -> None:
        """Deliver nothing more, and give back what no consumer has got; consumers end the deliveries that they hold."""
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
        """Remove dead letters whose executions are not dead any more, of the ``limit`` oldest; how many that was.

        ``is_dead`` tells which of some execution ids are still dead.

        Raises:
            QueueUnavailableError: see :meth:`JobQueue.publish`; none was lost.
        """
        ...
