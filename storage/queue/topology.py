"""What Jobsprint has on a RabbitMQ broker: exchanges and queues by name, and why each is as it is.

Work is one queue per priority, since quorum queues know no priorities before RabbitMQ 4. A job that could not be begun
goes to a queue of the ladder, where nobody consumes: it falls back into work when its time is over, under the same
routing key, which is its priority. Measured on 3.10.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from storage.queue.waiting import PRIORITIES
from workflow.executions import Priority
from workflow.retry import JOB_RETRY_SECONDS

OLDEST_BROKER = (3, 10)
"""Quorum queues know TTL and dead-lettering at least once from here on."""
MOST_JOBS = 1_000_000
"""A wall only, to keep a broker from running full; JOBSPRINT_QUEUE_CAPACITY is what callers meet. Arguments of a queue
cannot be changed while it is there, so this is no setting."""
MOST_DELIVERIES = 20
"""So often a job may take its worker down with it; then it is a dead letter."""


@dataclass(slots=True, frozen=True)
class Queue:
    """A durable quorum queue with its arguments, and the exchange that it is bound to."""

    name: str
    exchange: str
    routing_key: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Topology:
    """Everything of one installation; ``prefix`` keeps it apart from others on the same broker."""

    prefix: str = "jobsprint"

    @property
    def work_exchange(self) -> str:
        """Takes jobs; the routing key is the priority."""
        return f"{self.prefix}.jobs"

    @property
    def dead_exchange(self) -> str:
        """Takes dead letters."""
        return f"{self.prefix}.dead"

    def retry_exchange(self, step: int) -> str:
        """Takes jobs that wait for their ``step``-th retry, from 0."""
        return f"{self.prefix}.retry.{JOB_RETRY_SECONDS[step]:g}s"

    def work_queue(self, priority: Priority) -> str:
        """Where the jobs of a priority wait."""
        return f"{self.prefix}.work.{priority}"

    @property
    def dead_queue(self) -> str:
        """Where dead letters wait for people."""
        return self.dead_exchange

    @property
    def exchanges(self) -> Sequence[tuple[str, Literal["direct", "fanout"]]]:
        """Every exchange with its type."""
        steps = range(len(JOB_RETRY_SECONDS))
        return [
            (self.work_exchange, "direct"),
            (self.dead_exchange, "fanout"),
            *((self.retry_exchange(step), "fanout") for step in steps),
        ]

    @property
    def queues(self) -> Sequence[Queue]:
        """Every queue."""
        kept: dict[str, Any] = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
        # Without it a letter is lost where the broker fails between the two queues.
        safely = {**kept, "x-dead-letter-strategy": "at-least-once"}
        work = {
            **safely,
            "x-dead-letter-exchange": self.dead_exchange,
            "x-max-length": MOST_JOBS,
            "x-delivery-limit": MOST_DELIVERIES,
        }
        return [
            *(Queue(self.work_queue(priority), self.work_exchange, priority, work) for priority in PRIORITIES),
            *(
                Queue(
                    self.retry_exchange(step),
                    self.retry_exchange(step),
                    "",
                    {**safely, "x-dead-letter-exchange": self.work_exchange, "x-message-ttl": int(seconds * 1000)},
                )
                for step, seconds in enumerate(JOB_RETRY_SECONDS)
            ),
            Queue(self.dead_queue, self.dead_exchange, "", kept),
        ]
