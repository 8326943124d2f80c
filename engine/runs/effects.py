"""The effects of one node run: once for each item, with retries where a failure may pass.

At most ``concurrency`` items are at work, and one counts until its result is on the disk; the next effect of the
execution begins when it is. So after a crash at most that many effects are in doubt: they run again with the same
idempotency key, or a person decides (``on_recovery``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode, SuspendError
from engine.runs.effect_audit import EffectAudit
from engine.runs.run import Run
from engine.runs.turns import Turns
from workflow.audit import AuditLog
from workflow.definitions.definition import NodeDefinition
from workflow.errors import NodeError, NotAcceptedError
from workflow.executions import EffectKey, EffectResult, EffectStart, ErrorRecord, Resumption, Suspension
from workflow.items import Item, JsonObject
from workflow.ports import Clock
from workflow.retry import delay_seconds, retry_of

LONGEST_PAUSE_SECONDS = 24 * 3600.0
"""The longest Retry-After that is respected; a longer one counts as this."""

SAVED_TOGETHER = 5_000
"""Suspensions that are saved at once, in some 20 ms."""
MOST_AT_ONCE = 500
"""Items at work at once, however high the concurrency of their node is: items that wait have one in the millions. Each
takes some 50 µs of each turn of the event loop."""

Sleep = Callable[[float], Awaitable[None]]


class FatalEffectError(Exception):
    """A failure that ends the execution. Raised in a task group, it cancels the other items."""

    def __init__(self, record: ErrorRecord) -> None:
        super().__init__(record.message)
        self.record = record


@dataclass(slots=True, kw_only=True)
class EffectRun:
    """One run of an :class:`EffectNode` over its items."""

    run: Run
    node: str
    definition: NodeDefinition
    run_index: int
    kind: EffectNode[Any]
    call: NodeCall[Any]
    clock: Clock
    sleep: Sleep
    audit: AuditLog
    concurrency: int
    record_of: Callable[[Exception, int], ErrorRecord]
    suspended: int = field(default=0, init=False)
    was_cancelled: bool = field(default=False, init=False)

    async def perform(self) -> list[EffectResult | None]:
        """The result of each item, ``None`` for items that wait.

        Raises:
            ExceptionGroup: of :class:`FatalEffectError`, where a failure ends the execution.
        """
        results: list[EffectResult | None] = [None] * len(self.call.items)
        limit, turns = asyncio.Semaphore(min(self.concurrency, MOST_AT_ONCE)), Turns()
        is_secured = False
        async with asyncio.TaskGroup() as group:
            for index, item in enumerate(self.call.items):
                key = EffectKey(self.node, self.run_index, index)
                results[index] = self.run.journal.effect(key)
                if results[index] is None:
                    if not is_secured:
                        # An effect depends on what led to this node run; on what its siblings do it does not.
                        await self.run.journal.secure()
                        is_secured = True
                    await limit.acquire()
                    # Beyond its concurrency an item starts when one that waits has gone on.
                    if self.suspended < self.concurrency:
                        group.create_task(self._item(limit, key, item, results))
                    else:
                        limit.release()
                await turns.next()
        if self.was_cancelled:  # from inside, which a task group takes for the item's own affair
            raise asyncio.CancelledError
        return results

    async def _item(
        self, limit: asyncio.Semaphore, key: EffectKey, item: Item, results: list[EffectResult | None]
    ) -> None:
        """Put the item's result into ``results``, unless it waits."""
        try:
            self._wake_if_due(key)
            known = self.run.journal.resumption(key)
            try:
                results[key.item_index] = await self._until_done(key, key.item_index, item)
            except SuspendError as suspend:
                self._suspend(key, suspend, known)
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        finally:
            limit.release()

    @property
    def _is_shared(self) -> bool:
        return len(self.call.items) > 1

    async def _until_done(self, key: EffectKey, index: int, item: Item) -> EffectResult:
        """Try until the effect has happened, or no retry is left or may help.

        Raises:
            SuspendError: the item waits.
            FatalEffectError: it failed, and the execution with it.
        """
        journal, attempts, began = self.run.journal, 0, self.clock.now()
        self._check_turn(key)
        decided = await self._decided(key)
        while decided is None:
            attempts += 1
            try:
                result = await self._attempt(key, index, item, attempts)
            except NotAcceptedError:
                raise
            except Exception as error:
                if isinstance(error, SuspendError):
                    raise
                record = self.record_of(error, index)
                delay = self._delay(error, record, attempts)
                if delay is None or self._has_taken_long(began):
                    self._put_off(key, index, error, record)
                if delay is None:
                    decided = self._failure(key, record, attempts)
                else:
                    self.run.retrying[self.node] = (
                        f"attempt {attempts} failed ({record.message}); the next is in {delay:g} s"
                    )
                    await self.sleep(delay)
            else:
                sent = self._sent(index)
                decided = EffectResult(key=key, at=self.clock.now(), attempts=attempts, result=result, sent=sent)
        self.run.retrying.pop(self.node, None)
        self.run.waiting.pop(key, None)
        journal.note(decided)
        if self._is_shared:
            await journal.secure(shared=True)
        else:
            # Whatever comes next outside waits for it (perform, and the end of the execution), so nothing waits here:
            # a chain of effects has one barrier for each, which takes along what was noted in between.
            journal.save_soon()
        return decided

    async def _attempt(self, key: EffectKey, index: int, item: Item, attempt: int) -> JsonObject:
        journal = self.run.journal
        if self.definition.on_recovery == "ask":
            journal.note(EffectStart(key=key, at=self.clock.now()))
            await journal.secure(shared=self._is_shared)
        try:
            async with asyncio.timeout(self.definition.timeout_seconds):
                return await self._run_item(key, index, item, attempt)
        except TimeoutError:
            raise NodeError(
                f"The node took longer than {self.definition.timeout_seconds} s.",
                code="node_timeout",
                transient=True,
                fix="Raise the node's timeout_seconds, or give it less to do.",
            ) from None

    async def _run_item(self, key: EffectKey, index: int, item: Item, attempt: int) -> JsonObject:
        parameters = self.call.parameters(index)
        target = self.kind.target(parameters)
        if target is None:
            return await self.kind.run_item(index, item, parameters, self.call)
        notes = EffectAudit(
            audit=self.audit,
            execution=self.run.execution,
            key=key,
            kind=self.kind.name,
            target=target,
            credential=self.kind.credential_of(self.definition.parameters),
            attempt=attempt,
        )
        return await notes.around(lambda: self.kind.run_item(index, item, parameters, self.call))

    def _delay(self, error: Exception, record: ErrorRecord, attempts: int) -> float | None:
        if not record.transient:
            return None
        retry_after = error.retry_after_seconds if isinstance(error, NodeError) else None
        return delay_seconds(retry_of(self.definition), attempts=attempts, retry_after_seconds=retry_after)

    def _check_turn(self, key: EffectKey) -> None:
        """Check that the item does not wait for its next round of attempts.

        Raises:
            SuspendError: it does.
        """
        waits = self.run.journal.suspension(key)
        if waits is not None and waits.kind == "retry" and self.run.journal.resumption(key) is None:
            raise SuspendError("retry", wake_at=waits.wake_at, details=waits.details)

    def _has_taken_long(self, began: datetime) -> bool:
        """Whether half of the execution's time is spent, so that further attempts could end it."""
        seconds = (self.clock.now() - began).total_seconds()
        return seconds > self.run.compiled.definition.settings.longest_run_seconds / 2

    def _put_off(self, key: EffectKey, index: int, error: Exception, record: ErrorRecord) -> None:
        """Queue an item for a later retry, if its node says so and the failure may pass (docs/contract.md, "Failure").

        Raises:
            SuspendError: it waits, on the disk, longer each time.
        """
        if not record.transient:
            return
        pauses = self.kind.pauses_seconds(self.call.parameters(index))
        before = self.run.journal.suspension(key)
        tried = before.details["round"] if before is not None and before.kind == "retry" else 0
        if tried >= len(pauses):
            return
        asked_for = error.retry_after_seconds if isinstance(error, NodeError) else None
        seconds = max(pauses[tried], min(asked_for or 0.0, LONGEST_PAUSE_SECONDS))
        details = {"reason": record.message, "code": record.code, "round": tried + 1, "of": len(pauses)}
        raise SuspendError("retry", recheck_seconds=seconds, details=details)

    def _failure(self, key: EffectKey, record: ErrorRecord, attempts: int) -> EffectResult:
        # A failure that ends the execution is not noted as the effect's end: a redrive tries it again.
        if self.definition.on_error == "stop":
            raise FatalEffectError(record)
        sent = self._sent(key.item_index)
        return EffectResult(key=key, at=self.clock.now(), attempts=attempts, error=record, sent=sent)

    def _sent(self, index: int) -> str | None:
        try:
            return self.kind.sent(self.call.parameters(index))
        except NodeError:  # the parameters themselves are what was wrong
            return None

    async def _decided(self, key: EffectKey) -> EffectResult | None:
        """A person's decision about an effect that a crash left in doubt; ``None`` to do it (again).

        Raises:
            SuspendError: nobody has decided yet.
        """
        if self.definition.on_recovery != "ask" or not self.run.journal.was_started(key):
            return None
        resumption = self.run.journal.resumption(key)
        if resumption is None:
            raise SuspendError("decision", details={"question": "The effect may have happened. Repeat it?"})
        answer = resumption.data if isinstance(resumption.data, dict) else {}
        if "result" in answer:
            return EffectResult(key=key, at=resumption.at, result=answer["result"])
        return None

    def _suspend(self, key: EffectKey, suspend: SuspendError, known: Resumption | None) -> None:
        """Note that the item waits.

        A resumption may have come while the item was at work, so that it did not see it. Then no suspension is noted,
        since that would delete the resumption: the execution goes on at once and calls the node again.
        """
        self.suspended += 1
        self.run.retrying.pop(self.node, None)
        journal, now = self.run.journal, self.clock.now()
        noted, latest_resumption = journal.suspension(key), journal.resumption(key)
        if noted is None or latest_resumption is not None:
            wake_at = suspend.wake_at
            if suspend.recheck_seconds is not None:
                wake_at = now + timedelta(seconds=suspend.recheck_seconds)
            noted = Suspension(key=key, at=now, kind=suspend.kind, wake_at=wake_at, details=suspend.details)
            if latest_resumption is known:
                journal.note(noted)
        self.run.waiting[key] = noted
        if self.suspended % SAVED_TOGETHER == 0:
            journal.save()

    def _wake_if_due(self, key: EffectKey) -> None:
        """Note a resumption by the timer, if the item's timer is due."""
        journal, now = self.run.journal, self.clock.now()
        waits = journal.suspension(key)
        if waits is None or waits.wake_at is None or waits.wake_at > now or journal.resumption(key) is not None:
            return
        journal.note(Resumption(key=key, at=now, by="timer"))


def latest(moment: datetime, results: list[EffectResult | None]) -> datetime:
    """The execution's own time after these effects: that of the last, and never before ``moment``."""
    return max([moment, *(result.at for result in results if result is not None)], default=moment)
