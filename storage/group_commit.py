"""Writes of all running executions, put into shared transactions: each costs a share of one fsync, not one each.

While a batch is on its way to the disk the next one gathers, so batches grow with the load by themselves and a
lone write never waits for company.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Self

from workflow.errors import NotAcceptedError, StorageError

logger = logging.getLogger(__name__)

LAZY_SECONDS = 0.005
"""How long something may wait that nobody waits for."""
RETRY_SECONDS = 0.5
"""How long after a failed batch it is tried again."""
MAX_EXECUTIONS = 500
MAX_BYTES = 8 << 20
"""Bounds of one batch; more goes into the next, so that no transaction holds others up for long."""


@dataclass(slots=True)
class Note:
    """What is to be written of one execution: its row, and entries of its journal.

    ``is_held`` says whether more is to come; a row that is not held is the execution's last for now.
    """

    row: tuple[Any, ...]
    entries: list[bytes] = field(default_factory=list)
    is_held: bool = True

    def __len__(self) -> int:
        return len(self.row[-1]) + sum(map(len, self.entries))


@dataclass(slots=True, eq=False)
class _Batch:
    notes: dict[str, Note] = field(default_factory=dict)
    bytes: int = 0
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def is_full(self) -> bool:
        return len(self.notes) >= MAX_EXECUTIONS or self.bytes >= MAX_BYTES


Write = Callable[[Collection[tuple[str, Note]]], Awaitable[None]]


class GroupCommit:
    """Gathers notes and writes them batch by batch; an async context manager that writes what is left at the end."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._wanted = asyncio.Event()
        self._gathering: deque[_Batch] = deque()
        self._writing: _Batch | None = None
        self._stored: set[str] = set()
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
        batch = next((each for each in self._gathering if execution_id in each.notes), None)
        if batch is not None:
            noted = batch.notes[execution_id]
            noted.row, noted.is_held = note.row, note.is_held
            noted.entries += note.entries
        else:
            if not self._gathering:
                asyncio.get_running_loop().call_later(LAZY_SECONDS, self._wanted.set)
            if not self._gathering or self._gathering[-1].is_full:
                self._gathering.append(_Batch())
            batch = self._gathering[-1]
            batch.notes[execution_id] = note
        batch.bytes += len(note)

    def is_stored(self, execution_id: str) -> None:
        """The execution is on the disk already: a failed batch does not forget it."""
        self._stored.add(execution_id)

    async def committed(self, execution_id: str) -> None:
        """Return when everything noted of the execution is on the disk.

        Raises:
            NotAcceptedError: it was new, and is forgotten.
            StorageError: the batch failed; what is noted stays so.
        """
        batch = next((each for each in self._gathering if execution_id in each.notes), None)
        if batch is not None:
            self._wanted.set()
        elif self._writing is not None and execution_id in self._writing.notes:
            batch = self._writing
        else:
            return
        try:
            await asyncio.shield(batch.done)
        except StorageError as error:
            if execution_id in self._stored:
                raise
            raise NotAcceptedError(
                f"Nothing was accepted, since it cannot be stored: {error.message}", fix=error.fix
            ) from error

    async def _run(self) -> None:
        while not (self._is_closing and not self._gathering):
            await self._wanted.wait()
            self._wanted.clear()
            while self._gathering:
                if await self._write_batch(self._gathering.popleft()):
                    continue
                if self._is_closing:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), RETRY_SECONDS)

    async def _write_batch(self, batch: _Batch) -> bool:
        self._writing = batch
        try:
            await self._write(batch.notes.items())
        except StorageError as error:
            logger.warning("%d executions could not be written: %s", len(batch.notes), error.message)
            self._keep(batch)
            batch.done.set_exception(error)
            batch.done.exception()  # seen, whether or not somebody waits for it
            return False
        finally:
            self._writing = None
        for execution_id, note in batch.notes.items():
            if note.is_held:
                self._stored.add(execution_id)
            else:
                self._stored.discard(execution_id)
        batch.done.set_result(None)
        return True

    def _keep(self, failed: _Batch) -> None:
        """Put what was stored before in front of what has come since; new executions are forgotten."""
        kept = _Batch()
        for execution_id, note in failed.notes.items():
            if execution_id not in self._stored:
                continue
            newer = next((each for each in self._gathering if execution_id in each.notes), None)
            if newer is None:
                kept.notes[execution_id] = note
            else:
                newer.notes[execution_id].entries[:0] = note.entries
        if kept.notes:
            self._gathering.appendleft(kept)
