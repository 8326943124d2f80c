"""Writes of all running executions, put into shared transactions: each costs a share of one fsync, not one each.

While a batch is on its way to the disk the next one gathers, so batches grow with the load by themselves and a
lone write never waits for company.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Self

from storage.executions.batches import Letter
from workflow.errors import LeaseLostError, NotAcceptedError, StorageError

logger = logging.getLogger(__name__)

LAZY_SECONDS = 0.005
"""How long something may wait that nobody waits for."""
RETRY_SECONDS = 0.5
"""How long after a failed batch it is tried again."""
TOKEN_BITS = 62
REMEMBERED_REFUSALS = 10_000
"""New executions that could not be stored, for whoever asks of them later."""
MAX_EXECUTIONS = 500
MAX_BYTES = 8 << 20
"""Bounds of one batch; more goes into the next, so that no transaction holds others up for long."""


@dataclass(slots=True)
class Note:
    """What is to be written of one execution: its row, and entries of its journal.

    ``is_active`` says whether more is to come; otherwise the row is the execution's last for now. ``letter`` goes to
    the broker when it is written. ``token`` tells one attempt to write it from others; ``in_doubt`` are those of failed
    attempts, each with how many of the ``entries`` it has written if it was committed after all: the connection may
    have broken just then. ``waiters`` are told when it is on the disk, or why it is not.
    """

    row: tuple[Any, ...]
    entries: list[bytes] = field(default_factory=list)
    is_active: bool = True
    letter: Letter | None = None
    token: int = 0
    in_doubt: list[tuple[int, int]] = field(default_factory=list)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.row[-1]) + sum(map(len, self.entries))

    def tell(self, error: StorageError | None) -> None:
        """End the waiting of those who wait."""
        for waiter in self.waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        self.waiters.clear()


Notes = dict[str, Note]
Write = Callable[[Collection[tuple[str, Note]]], Awaitable[Collection[str]]]
"""Writes a batch; gives the ids of those that another process has in hand, of which nothing was written."""


class GroupCommit:
    """Gathers notes and writes them batch by batch; an async context manager that writes what is left at the end."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._wanted = asyncio.Event()
        self._gathered: Notes = {}
        self._writing: Notes = {}
        self._stored: set[str] = set()
        self._refused: OrderedDict[str, StorageError] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="group-commit")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_closing = True
        self._wanted.set()
        if self._task is not None:
            await self._task

    def note(self, execution_id: str, note: Note) -> None:
        """Write this with the next batch; of several rows of an execution only the last. Never waits."""
        noted = self._gathered.get(execution_id)
        if noted is not None:
            noted.row, noted.is_active, noted.letter = note.row, note.is_active, note.letter
            noted.entries += note.entries
            return
        if not self._gathered:
            asyncio.get_running_loop().call_later(LAZY_SECONDS, self._wanted.set)
        self._gathered[execution_id] = note

    def is_stored(self, execution_id: str) -> None:
        """The execution is on the disk already: a failed batch does not forget it."""
        self._stored.add(execution_id)

    async def committed(self, execution_id: str) -> None:
        """Return when everything noted of the execution is on the disk.

        Raises:
            NotAcceptedError: it was new, and is forgotten.
            LeaseLostError: another process has it in hand.
            StorageError: the batch failed; what is noted stays so.
        """
        note = self._gathered.get(execution_id)
        if note is not None:
            self._wanted.set()
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

    async def _run(self) -> None:
        while not (self._is_closing and not self._gathered):
            await self._wanted.wait()
            self._wanted.clear()
            while self._gathered:
                if await self._write_batch():
                    continue
                if self._is_closing:
                    return
                await asyncio.sleep(RETRY_SECONDS)

    async def _write_batch(self) -> bool:
        batch = self._writing = self._take()
        try:
            lost = await self._write(batch.items())
        except StorageError as error:
            logger.warning("%d executions could not be written: %s", len(batch), error.message)
            self._keep(batch, error)
            for note in batch.values():
                note.tell(error)
            return False
        finally:
            self._writing = {}
        for execution_id, note in batch.items():
            if note.is_active:
                self._stored.add(execution_id)
            else:
                self._stored.discard(execution_id)
            note.tell(lost_lease(execution_id) if execution_id in lost else None)
        return True

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
            if execution_id not in self._stored:
                self._refused[execution_id] = error
                if len(self._refused) > REMEMBERED_REFUSALS:
                    self._refused.popitem(last=False)
                continue
            in_doubt = [*note.in_doubt, (note.token, len(note.entries))]
            newer = self._gathered.get(execution_id)
            if newer is None:
                kept[execution_id] = Note(note.row, note.entries, note.is_active, note.letter, in_doubt=in_doubt)
            else:
                newer.entries[:0] = note.entries
                newer.in_doubt = in_doubt
        self._gathered = {**kept, **self._gathered}


def _not_accepted(error: StorageError) -> NotAcceptedError:
    return NotAcceptedError(f"Nothing was accepted, since it cannot be stored: {error.message}", fix=error.fix)


def lost_lease(execution_id: str) -> LeaseLostError:
    """Another process has it in hand."""
    return LeaseLostError(
        f"Another process has execution {execution_id} in hand: this one had not renewed its lease in time.",
        fix="Nothing: the other one goes on with it.",
    )
