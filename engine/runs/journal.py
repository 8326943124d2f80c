"""The journal of one execution: what it has done, and what it does now.

The result of an effect is on the disk before anything that depends on it happens. Runs of pure nodes are stored when
the next batch is; after a crash they run again and give the same items, since clock and randomness belong to the
execution.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from workflow.errors import LeaseLostError, NotAcceptedError, StorageError
from workflow.executions import (
    EffectKey,
    EffectResult,
    EffectStart,
    EffectStep,
    EncodedRecord,
    NodeRun,
    Record,
    Resumption,
    RunKey,
    Suspension,
)

logger = logging.getLogger(__name__)

Durability = Literal["effects", "every_node", "none"]
Unsaved = Record | EncodedRecord
LARGE_ITEMS = 5_000
"""A node run with more items than this computes in a thread, and is encoded in one. Simple nodes take 1 to 5 µs for
each item, so that smaller ones keep others waiting for 25 ms at most."""
SOON_SECONDS = 0.003
"""How long a result may wait for what is saved with it; as long again it may be lost with the process."""
STORE_RETRY_SECONDS = 0.5
"""How long an execution waits before it tries a failing store again."""


class Journal:
    """The journal of a local execution.

    ``records`` has all of it in order, ``suspended`` counts the suspensions in it. ``save`` puts records, with the
    execution's state, into the next batch; ``committed`` returns when everything saved is on the disk. ``encode``
    encodes a record before that, in a thread. ``holds_large`` says that a node run with very many items has been noted
    since :meth:`prepare`.
    """

    def __init__(
        self,
        *,
        recorded: Iterable[Record] = (),
        save: Callable[[Sequence[Unsaved]], None],
        committed: Callable[[], Awaitable[None]],
        encode: Callable[[Record], bytes] | None = None,
        durability: Durability = "effects",
    ) -> None:
        self._save = save
        self._committed = committed
        self._encode = encode
        self._durability = durability
        self.records: list[Record] = []
        self._unsaved: list[Unsaved] = []
        self.holds_large = False
        self._runs: dict[RunKey, NodeRun] = {}
        self._effects: dict[EffectKey, EffectResult] = {}
        self._suspensions: dict[EffectKey, Suspension] = {}
        self._resumptions: dict[EffectKey, Resumption] = {}
        self._started: set[EffectKey] = set()
        self._steps: dict[tuple[EffectKey, str], EffectStep] = {}
        self.suspended = 0
        self.remember(recorded)

    def remember(self, recorded: Iterable[Record]) -> None:
        """Add records that are on the disk."""
        for record in recorded:
            self._remember(record)

    @property
    def secures_every_node(self) -> bool:
        """Whether a node run must be on the disk before the next one starts."""
        return self._durability == "every_node"

    def run(self, key: RunKey) -> NodeRun | None:
        """The node run, if it is recorded as succeeded."""
        found = self._runs.get(key)
        return found if found is not None and found.status == "succeeded" else None

    def effect(self, key: EffectKey) -> EffectResult | None:
        """The effect's result or error, if it has one."""
        return self._effects.get(key)

    def suspension(self, key: EffectKey) -> Suspension | None:
        """What the item waits for, or waited for last."""
        return self._suspensions.get(key)

    def resumption(self, key: EffectKey) -> Resumption | None:
        """Why the item goes on; ``None`` while it waits."""
        return self._resumptions.get(key)

    def waiting(self) -> list[Suspension]:
        """The suspensions of all items that wait."""
        return waiting_in(self.records)

    def step(self, key: EffectKey, step: str) -> EffectStep | None:
        """The step of an effect, if it is done."""
        return self._steps.get((key, step))

    def was_started(self, key: EffectKey) -> bool:
        """Whether the effect had begun when the execution was interrupted."""
        return key in self._started

    def note(self, record: Record) -> None:
        """Add a record; it is saved with the next ones."""
        self._remember(record)
        self._unsaved.append(record)

    async def prepare(self) -> None:
        """Encode node runs with very many items in a thread, so that saving them takes no time in the event loop.

        A record stays unsaved meanwhile: a save that comes before it is encoded takes it along as it is, in its place.

        Raises:
            UnstorableValueError: one holds something that cannot be stored.
        """
        self.holds_large = False
        if self._encode is None or self._durability == "none":
            return
        for record in [each for each in self._unsaved if isinstance(each, NodeRun) and is_large(each)]:
            encoded = EncodedRecord(record, await asyncio.to_thread(self._encode, record))
            self._unsaved = [encoded if each is record else each for each in self._unsaved]

    def flush(self) -> Sequence[Unsaved]:
        """The records that are not yet saved; the caller saves them, together with a new state."""
        unsaved, self._unsaved = self._unsaved, []
        return unsaved

    def save(self) -> None:
        """Save every record without waiting for the disk. A large one is saved by itself: what is saved together is
        written in one go, and keeps others waiting."""
        if self._unsaved and self._durability != "none":
            self._save(self.flush())

    def save_soon(self) -> None:
        """Save every record in a moment, unless a barrier does before: what is noted in that moment goes along."""
        asyncio.get_running_loop().call_later(SOON_SECONDS, self.save)

    def close(self) -> None:
        """Let go of who saves it; nothing may be saved any more."""
        self._save = _is_closed

    async def secure(self, *, shared: bool = False) -> None:
        """Return when every record is on the disk; while the store fails, wait and try again.

        Each save writes the whole execution, its input too. Where many items go on at once, their callers give
        ``shared``: those of one turn of the event loop share a save.

        Raises:
            NotAcceptedError: the execution itself could not be stored; it must end without a trace.
            LeaseLostError: another process holds the lease; the execution must end in this one.
        """
        if self._durability == "none":
            return None
        if shared and self._unsaved:
            await asyncio.sleep(0)
        if self.holds_large:
            await self.prepare()
        if self._unsaved:
            self._save(self.flush())
        while True:
            try:
                return await self._committed()
            except (NotAcceptedError, LeaseLostError):
                raise
            except StorageError as error:
                logger.warning("an execution waits for its journal: %s", error.message)
                await asyncio.sleep(STORE_RETRY_SECONDS)

    def _remember(self, record: Record) -> None:
        self.records.append(record)
        match record:
            case NodeRun():
                self._runs[record.key] = record
            case EffectResult():
                self._effects[record.key] = record
            case Suspension():
                self.suspended += 1
                self._suspensions[record.key] = record
                self._resumptions.pop(record.key, None)
                if record.kind != "decision":  # the node itself chose to wait, so no effect is in doubt
                    self._started.discard(record.key)
            case Resumption():
                self._resumptions.setdefault(record.key, record)  # the first of several answers counts
            case EffectStart():
                self._started.add(record.key)
            case EffectStep():
                self._steps[record.key, record.step] = record


def _is_closed(records: Sequence[Unsaved]) -> None:
    raise RuntimeError(f"{len(records)} records came after the end of their run")


def is_large(node_run: NodeRun) -> bool:
    """Whether it takes long to encode: it made very many items, or came from so many, which its items name."""
    return node_run.items_in > LARGE_ITEMS or any(len(items) > LARGE_ITEMS for items in node_run.outputs.values())


def node_runs_in(records: Iterable[Record]) -> list[NodeRun]:
    """The node runs of a journal; of several with one key (after a redrive), the last."""
    latest = {record.key: record for record in records if isinstance(record, NodeRun)}
    return list(latest.values())


def waiting_in(records: Iterable[Record]) -> list[Suspension]:
    """The items that wait, by the journal of an execution that has not ended."""
    waiting: dict[EffectKey, Suspension] = {}
    for record in records:
        match record:
            case Suspension():
                waiting[record.key] = record
            case Resumption() | EffectResult():
                waiting.pop(record.key, None)
    return list(waiting.values())


def effects_in(records: Iterable[Record]) -> list[EffectResult]:
    """What the effects of a journal came to that sent something outside."""
    return [record for record in records if isinstance(record, EffectResult) and record.sent is not None]


def attempts_in(records: Iterable[Record]) -> dict[str, int]:
    """The most tries that one effect of a node took, by node; nodes whose effects took one each are left out."""
    most: dict[str, int] = {}
    for record in records:
        if isinstance(record, EffectResult) and record.attempts > max(1, most.get(record.key.node, 1)):
            most[record.key.node] = record.attempts
    return most


def waited_ms_in(records: Iterable[Record]) -> float:
    """Milliseconds in which at least one item waited, by a journal: waits at the same time count once."""
    began: dict[EffectKey, datetime] = {}
    spans: list[tuple[datetime, datetime]] = []
    for record in records:
        if isinstance(record, Suspension):
            began[record.key] = record.at
        elif isinstance(record, Resumption) and record.key in began:
            spans.append((began.pop(record.key), record.at))
    total, counted_to = timedelta(), datetime.min.replace(tzinfo=UTC)
    for start, end in sorted(spans):
        total += max(end - max(start, counted_to), timedelta())
        counted_to = max(end, counted_to)
    return total.total_seconds() * 1000
