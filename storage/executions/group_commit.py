"""Writes of all running executions, put into shared transactions: each costs a share of one fsync, not one each."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, Self

from storage.database.batch_loop import BatchLoop, settle
from storage.executions.batches import Beside, Letter
from workflow.errors import LeaseLostError, NotAcceptedError, StorageError

logger = logging.getLogger(__name__)

LAZY_SECONDS = 0.005
"""How long something may wait that nobody waits for."""
RETRY_SECONDS = 0.5
"""How long after a failed batch it is tried again."""
TOKEN_BITS = 62
REMEMBERED_REFUSALS = 10_000
"""New executions that could not be stored, for callers that ask about them later."""
MAX_EXECUTIONS = 500
MAX_BYTES = 8 << 20
"""Bounds of one batch; more goes into the next, so that no transaction holds others up for long."""


@dataclass(slots=True)
class Note:
    """What is to be written of one execution: its row, and entries of its journal.

    ``is_active`` says whether more is to come; otherwise the row is the execution's last for now. ``letter`` goes to
    the broker when it is written. ``is_new`` says that it is submitted now. ``follows`` is the execution without whose
    row this one may not be written, as an error workflow's with the end that it follows. ``beside`` are
    rows of other tables that are written if and only if it is. ``token`` names one attempt to
    write it; ``in_doubt`` are the tokens of failed attempts, each with how many of the ``entries`` it has written if it
    was committed after all. ``waiters`` wait until it is on the disk, or has failed.
    """

    row: tuple[Any, ...]
    entries: list[bytes] = field(default_factory=list)
    is_active: bool = True
    letter: Letter | None = None
    is_new: bool = False
    follows: str | None = None
    beside: list[Beside] = field(default_factory=list)
    token: int = 0
    in_doubt: list[tuple[int, int]] = field(default_factory=list)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.row[-1]) + sum(map(len, self.entries))

    def settle(self, error: StorageError | None) -> None:
        """End the waiting for it."""
        if self.waiters:
            settle(self.waiters, error)
            self.waiters.clear()


Notes = dict[str, Note]
Write = Callable[[Collection[tuple[str, Note]]], Awaitable[Collection[str]]]
"""Writes a batch; returns the ids of those whose lease another process has, of which nothing was written."""


class GroupCommit:
    """Gathers notes and writes them batch by batch; an async context manager that writes what is left at the end.

    What can happen to an execution's note, besides what :class:`~storage.database.batch_loop.BatchLoop` says:

    1. It is noted again while its note is on its way. ``_take`` has removed that one from ``_gathered``, so the new
       note gathers by itself. One batch is written at a time, so the journal keeps the order of the notes.
    2. :meth:`committed` is asked while a note is on its way and a newer one has gathered. The caller waits for the
       newer one, which is written after the other; so both are on the disk when it returns.
    3. A batch fails. Nothing was noted of its new executions since, for nothing runs before :meth:`committed` has
       returned: they are forgotten and remembered as refused. The notes of stored ones go back in front of what has
       gathered since: older entries before newer ones, and the newest row counts.
    4. A batch fails though it is committed: its connection broke before the answer. Each attempt writes its own token
       into the row, in one transaction with the entries. The next attempt names the earlier tokens, and the writer
       leaves out the entries of the one that it finds in the row.
    5. The same happens to a new execution: it is stored, and its caller has learnt that it was not accepted. One with
       a letter runs when the outbox is swept; one without stays queued until this process ends, and its lease with it.
    6. A refused execution goes on for a moment, since it runs while it is being stored. Its later notes are dropped: it
       must not come to life after its caller has learnt that it was not accepted. The same id can be submitted again.
    7. An execution that follows another one's end is written if and only if that end is. Both were noted in one turn,
       but a bound can part them into two batches: then the first batch's outcome decides about the second's. Where a
       batch fails, it is kept as what it follows is.
    8. Another process has the lease. The writer writes neither row nor entries, and the waiters get a
       :class:`LeaseLostError`; all others of the batch are written.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._gathered: Notes = {}
        self._writing: Notes = {}
        self._stored: set[str] = set()
        self._refused: OrderedDict[str, StorageError] = OrderedDict()
        self._batches = BatchLoop(
            "group-commit",
            write_batch=self._write_batch,
            has_gathered=lambda: bool(self._gathered),
            lazy_seconds=LAZY_SECONDS,
            retry_seconds=RETRY_SECONDS,
        )

    async def __aenter__(self) -> Self:
        await self._batches.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._batches.__aexit__(*exc_info)

    def note(self, execution_id: str, note: Note) -> None:
        """Write this with the next batch; of several rows of an execution only the last. Never waits."""
        if execution_id in self._refused:
            if not note.is_new:
                return
            del self._refused[execution_id]
        noted = self._gathered.get(execution_id)
        if noted is not None:
            noted.row, noted.is_active, noted.letter = note.row, note.is_active, note.letter
            noted.entries += note.entries
            noted.beside += note.beside
            return
        if not self._gathered:
            self._batches.soon()
        self._gathered[execution_id] = note

    def is_stored(self, execution_id: str) -> None:
        """The execution is on the disk already: a failed batch does not forget it."""
        self._stored.add(execution_id)

    async def committed(self, execution_id: str) -> None:
        """Return when everything noted of the execution is on the disk.

        Raises:
            NotAcceptedError: it was new, and is forgotten.
            LeaseLostError: another process has its lease.
            StorageError: the batch failed; what is noted stays so.
        """
        note = self._gathered.get(execution_id)
        if note is not None:
            self._batches.now()
        else:
            note = self._writing.get(execution_id)
            if note is None:
                if execution_id in self._refused:
                    raise _not_accepted(self._refused[execution_id])
                return
        waiter = asyncio.get_running_loop().create_future()
        note.waiters.append(waiter)
        try:
            await waiter
        except StorageError as error:
            if execution_id in self._stored or isinstance(error, LeaseLostError):
                raise
            raise _not_accepted(error) from error

    async def _write_batch(self) -> bool:
        batch = self._writing = self._take()
        try:
            lost = await self._write(batch.items())
        except StorageError as error:
            logger.warning("%d executions could not be written: %s", len(batch), error.message)
            self._keep(batch, error)
            for note in batch.values():
                note.settle(error)
            return False
        finally:
            self._writing = {}
        for execution_id, note in batch.items():
            if note.is_active:
                self._stored.add(execution_id)
            else:
                self._stored.discard(execution_id)
            note.settle(lost_lease(execution_id) if execution_id in lost else None)
        self._decide_followers(batch, lost)
        return True

    def _decide_followers(self, written: Notes, lost: Collection[str]) -> None:
        """Refuse what was to follow an execution that is another process's; let the rest be written by itself."""
        for execution_id in lost:
            if written[execution_id].follows is not None:
                self._refuse(execution_id, lost_lease(execution_id))
        for execution_id, note in list(self._gathered.items()):
            if note.follows in written:
                if note.follows in lost:
                    del self._gathered[execution_id]
                    self._refuse(execution_id, lost_lease(note.follows))
                    note.settle(lost_lease(note.follows))
                note.follows = None

    def _refuse(self, execution_id: str, error: StorageError) -> None:
        self._refused[execution_id] = error
        if len(self._refused) > REMEMBERED_REFUSALS:
            self._refused.popitem(last=False)

    def _take(self) -> Notes:
        """The next batch: as much of what was gathered first as the bounds allow."""
        batch: Notes = {}
        size = 0
        for execution_id, note in self._gathered.items():
            note.token = secrets.randbits(TOKEN_BITS)
            batch[execution_id] = note
            size += len(note)
            if len(batch) >= MAX_EXECUTIONS or size >= MAX_BYTES:
                break
        if len(batch) == len(self._gathered):
            self._gathered = {}
        else:
            for execution_id in batch:
                del self._gathered[execution_id]
        return batch

    def _keep(self, failed: Notes, error: StorageError) -> None:
        """Put what was stored before in front of what has come since; new executions are forgotten."""
        kept: Notes = {}
        for execution_id, note in failed.items():
            if execution_id not in self._stored and note.follows is None:
                self._refuse(execution_id, error)
                continue
            in_doubt = [*note.in_doubt, (note.token, len(note.entries))]
            newer = self._gathered.get(execution_id)
            if newer is None:
                kept[execution_id] = replace(note, in_doubt=in_doubt, waiters=[])
            else:
                newer.entries[:0] = note.entries
                newer.beside[:0] = note.beside
                newer.in_doubt = in_doubt
        self._gathered = {**kept, **self._gathered}


def _not_accepted(error: StorageError) -> NotAcceptedError:
    return NotAcceptedError(f"Nothing was accepted, since it cannot be stored: {error.message}", fix=error.fix)


def lost_lease(execution_id: str) -> LeaseLostError:
    """The error of writing an execution whose lease another process has."""
    return LeaseLostError(
        f"Another process holds the lease of execution {execution_id}: this one had not renewed it in time.",
        fix="Nothing: the other process continues it.",
    )
