"""What one execution has done before, and where it notes what it does now.

Effects are noted and on the disk before anything that depends on them happens; pure nodes are noted on the way and
run again after a crash, which gives the same items, since clock and randomness belong to the execution.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal

from workflow.errors import LeaseLostError, NotAcceptedError, StorageError
from workflow.executions import (
    EffectKey,
    EffectResult,
    EffectStart,
    EffectStep,
    NodeRun,
    Record,
    Resumption,
    RunKey,
    Suspension,
)

logger = logging.getLogger(__name__)

Durability = Literal["effects", "every_node", "none"]
STORE_RETRY_SECONDS = 0.5
"""How often an execution that has to wait for a failing store looks whether it works again."""


class Journal:
    """One execution's journal while it runs.

    ``records`` is all of it, before and now. ``save`` notes records (and the execution's state) for the next batch,
    ``committed`` returns when all that was noted is on the disk.
    """

    def __init__(
        self,
        *,
        recorded: Iterable[Record],
        save: Callable[[Sequence[Record]], None],
        committed: Callable[[], Awaitable[None]],
        durability: Durability = "effects",
    ) -> None:
        self._save = save
        self._committed = committed
        self._durability = durability
        self.records: list[Record] = []
        self._unsaved: list[Record] = []
        self._runs: dict[RunKey, NodeRun] = {}
        self._effects: dict[EffectKey, EffectResult] = {}
        self._suspensions: dict[EffectKey, Suspension] = {}
        self._resumptions: dict[EffectKey, Resumption] = {}
        self._started: set[EffectKey] = set()
        self._steps: dict[tuple[EffectKey, str], EffectStep] = {}
        for record in recorded:
            self._remember(record)

    @property
    def secures_every_node(self) -> bool:
        """Whether a node run must be on the disk before what follows it starts."""
        return self._durability == "every_node"

    def run(self, key: RunKey) -> NodeRun | None:
        """The node run, if it ended well before."""
        found = self._runs.get(key)
        return found if found is not None and found.status == "succeeded" else None

    def effect(self, key: EffectKey) -> EffectResult | None:
        """What the effect came to, if it happened before."""
        return self._effects.get(key)

    def suspension(self, key: EffectKey) -> Suspension | None:
        """What the item waits for, if it waits."""
        return self._suspensions.get(key)

    def resumption(self, key: EffectKey) -> Resumption | None:
        """Why the item goes on, if it waited and does."""
        return self._resumptions.get(key)

    def waiting(self) -> list[Suspension]:
        """What waits now."""
        return waiting_in(self.records)

    def step(self, key: EffectKey, step: str) -> EffectStep | None:
        """The part of an effect, if it is done."""
        return self._steps.get((key, step))

    def was_started(self, key: EffectKey) -> bool:
        """Whether the effect was about to happen when the execution was cut off."""
        return key in self._started

    def note(self, record: Record) -> None:
        """Write this with whatever is written next."""
        self._remember(record)
        self._unsaved.append(record)

    def flush(self) -> Sequence[Record]:
        """What is noted and not yet saved; the caller saves it, together with a new state."""
        unsaved, self._unsaved = self._unsaved, []
        return unsaved

    async def secure(self) -> None:
        """Return when everything noted is on the disk. While the store fails, so long does it take.

        Raises:
            NotAcceptedError: the execution could not even be accepted; it must end without a trace.
            LeaseLostError: another process has it in hand; it must end here.
        """
        if self._durability == "none":
            return None
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
                self._suspensions[record.key] = record
                self._resumptions.pop(record.key, None)
                if record.kind != "decision":  # it has come to a stop by itself: nothing of it is in doubt
                    self._started.discard(record.key)
            case Resumption():
                self._resumptions.setdefault(record.key, record)  # of several answers the first counts
            case EffectStart():
                self._started.add(record.key)
            case EffectStep():
                self._steps[record.key, record.step] = record


def node_runs_in(records: Iterable[Record]) -> list[NodeRun]:
    """The node runs of a journal; of several with one key (after a redrive) the last."""
    latest = {record.key: record for record in records if isinstance(record, NodeRun)}
    return list(latest.values())


def waiting_in(records: Iterable[Record]) -> list[Suspension]:
    """What waits, by the journal of an execution that has not ended."""
    waiting: dict[EffectKey, Suspension] = {}
    for record in records:
        match record:
            case Suspension():
                waiting[record.key] = record
            case Resumption() | EffectResult():
                waiting.pop(record.key, None)
    return list(waiting.values())
