"""Letters to the broker, written with the executions that they are about, so that neither is there without the other.

The process that has written a letter carries it at once. What is left, since the process or the broker was gone, is
found by the next sweep of any process. Letters arrive at least once, in any order:

1. The process ends after the commit and before the broker has the letter. Its row is there, and a sweep sends it.
2. The process ends after the broker has the letter and before its row is crossed out; or the crossing out is lost
   with the database's power, since it waits for no disk. A sweep sends it again. The second job finds that its
   execution is claimed, or queued no more, and does nothing.
3. A sweep finds a letter that its writer is sending. It leaves those alone that were written just now; of older ones
   this is case 2. Two sweeps lock the rows that they send and skip those of the other.
4. An execution is queued again before its earlier letter is crossed out. The row is replaced, with a new token.
   Crossing out names the token, so it does not touch the later letter.
5. The broker refuses a batch in part. What it has confirmed is crossed out. What waits in memory is forgotten, for
   all of it has rows; the sweep finds these when the broker is back.
6. A letter is deferred while an older copy is under way. The copy's job claims the execution once more, and its
   workflow's limit is asked once more: see :meth:`storage.executions.leases.SqlLeases.admit`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, Self

import orjson
from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database.database import Database
from storage.executions.batches import Letter
from storage.executions.records import micros
from storage.tables.workflows import outbox
from workflow.errors import QueueFullError, QueueUnavailableError, StorageError
from workflow.executions import Execution
from workflow.messages import Job
from workflow.ports import Clock, NewId
from workflow.sharing import UNCLAIMED_SECONDS, DeadLetters, JobQueue
from workflow.states import ExecutionState

logger = logging.getLogger(__name__)

WORK, DEAD, DEFERRED = "work", "dead", "held"
"""Where a letter goes: to the workers, to the dead letters, or nowhere before its workflow's limit allows it. The
third is stored under the word that earlier versions know."""
AT_ONCE = 200
"""Letters under way to the broker at the same time; more gained nothing on RabbitMQ 3.10."""
CROSSING_SECONDS = 0.1
"""How long letters that were sent may stay, so that many are crossed out at once."""
REMEMBERED = 20_000
"""Letters that wait in memory; what does not fit is found by the next sweep."""


Refusal = QueueUnavailableError | QueueFullError


class Broker(JobQueue, DeadLetters, Protocol):
    """Where letters go."""


class Outbox:
    """Sends letters; an async context manager around its tasks."""

    def __init__(self, database: Database, *, broker: Broker, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._broker = broker
        self._clock = clock
        self._new_id = new_id
        self._ready: deque[Letter] = deque()
        self._sent: list[Letter] = []
        self._wanted = asyncio.Event()
        self._crossing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._carry_on(), name="outbox"),
            asyncio.create_task(self._cross_out_on(), name="outbox-crossing-out"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._cross_out()
        except StorageError as error:  # then they are sent once more
            logger.info("letters that were sent stay in the outbox: %s", error.message)

    def letter(self, execution: Execution, job: Job) -> Letter:
        """The letter that goes with an execution in this state."""
        now = self._clock.now()
        message = job.to_message(message_id=self._new_id(), timestamp=now)
        return Letter(
            execution_id=execution.id,
            workflow_id=execution.workflow_id,
            place=DEAD if execution.state is ExecutionState.DEAD else WORK,
            token=self._new_id(),
            created_at=micros(now) or 0,
            message=orjson.dumps({"message": message, "traceparent": job.traceparent}),
            job=job,
        )

    def unclaimed_end(self) -> datetime:
        """When another letter is sent if no worker has claimed the execution of one that is sent now."""
        now = self._clock.now()
        return now + self._database.clock.ahead_of(now) + timedelta(seconds=UNCLAIMED_SECONDS)

    def carry(self, letters: Sequence[Letter]) -> None:
        """Take letters whose rows are on the disk to the broker."""
        if len(self._ready) < REMEMBERED:
            self._ready.extend(letters)
            self._wanted.set()

    async def sweep(self, *, before: datetime, limit: int) -> int:
        """Carry letters that were written before then and are still there; how many that was.

        Raises:
            StorageError: the database failed.
            QueueUnavailableError, QueueFullError: the broker takes none; they stay.
        """
        query = (
            select(outbox)
            .where(outbox.c.place.in_((WORK, DEAD)), outbox.c.created_at < before)
            .order_by(outbox.c.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        async with self._database.transaction() as connection:
            letters = await self.letters_in(connection, (await connection.execute(query)).all())
            for start in range(0, len(letters), AT_ONCE):
                part = letters[start : start + AT_ONCE]
                sent, error = await self._send(part)
                if sent:
                    await connection.execute(_crossed_out(sent))
                if error is not None:
                    logger.info("%d letters wait for the broker: %s", len(letters) - start - len(sent), error.message)
                    return start + len(sent)
        return len(letters)

    async def letters_in(self, connection: AsyncConnection, rows: Sequence[Any]) -> list[Letter]:
        """The letters of rows of the outbox. One that cannot be read is deleted and in the log once: its execution
        counts as one whose job is lost, and gets another letter."""
        letters: list[Letter] = []
        for row in rows:
            try:
                letters.append(letter_of(row))
            except Exception as error:  # whatever is in a row, the others are sent
                logger.warning("the letter about execution %s is damaged, and deleted: %r", row.execution_id, error)
                damaged = (outbox.c.execution_id == row.execution_id) & (outbox.c.token == row.token)
                await connection.execute(delete(outbox).where(damaged))
        return letters

    async def _carry_on(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._ready:
                sent, error = await self._send([self._ready.popleft() for _ in range(min(AT_ONCE, len(self._ready)))])
                self._sent += sent
                self._crossing.set()
                if error is not None:
                    logger.warning("letters wait in the outbox: %s", error.message)
                    self._ready.clear()  # the sweep has them when the broker is back

    async def _send(self, letters: Sequence[Letter]) -> tuple[list[Letter], Refusal | None]:
        """What the broker has confirmed, and why it has not the rest."""
        results = await asyncio.gather(*map(self._send_one, letters), return_exceptions=True)
        failure: Refusal | None = None
        for result in results:
            if isinstance(result, (QueueUnavailableError, QueueFullError)):
                failure = result
            elif isinstance(result, BaseException):
                raise result
        return [letter for letter, result in zip(letters, results, strict=True) if result is None], failure

    async def _send_one(self, letter: Letter) -> None:
        if letter.place == DEAD:
            await self._broker.bury(letter.job, "its execution is dead")
        else:
            await self._broker.publish(letter.job)

    async def _cross_out_on(self) -> None:
        while True:
            await self._crossing.wait()
            await asyncio.sleep(CROSSING_SECONDS)
            self._crossing.clear()
            try:
                await self._cross_out()
            except StorageError as error:
                logger.warning("letters that were sent stay in the outbox, and are sent once more: %s", error.message)
                self._sent.clear()

    async def _cross_out(self) -> None:
        sent, self._sent = self._sent, []
        if not sent:
            return
        async with self._database.transaction() as connection:
            # Where this is lost with the database's power, letters are sent once more.
            await connection.execute(text("SET LOCAL synchronous_commit TO OFF"))
            await connection.execute(_crossed_out(sent))


def _crossed_out(letters: Collection[Letter]) -> Any:
    done = [(letter.execution_id, letter.token) for letter in letters]
    return delete(outbox).where(tuple_(outbox.c.execution_id, outbox.c.token).in_(done))


def letter_of(row: Any) -> Letter:
    """The letter of a row.

    Raises:
        Exception: its message is none.
    """
    kept = orjson.loads(row.message)
    job = Job.from_message(kept["message"], traceparent=kept["traceparent"])
    return Letter(
        row.execution_id, row.workflow_id, row.place, row.token, micros(row.created_at) or 0, row.message, job
    )
