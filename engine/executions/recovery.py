"""Leases and timers: what other processes left behind is queued again, and what waits goes on when it is due."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from engine.dispatch.local import Dispatch
from engine.executions.wakeups import Wakeups
from workflow.errors import JobsprintError, LeaseLostError, StorageError, WorkflowNotFoundError
from workflow.executions import Execution
from workflow.ports import Clock
from workflow.sharing import Leases

logger = logging.getLogger(__name__)

BATCH = 500
LONGEST_SLEEP_SECONDS = 30.0
"""Timers of other processes are looked for so often; those of this one wake the clock themselves."""
AFTER_EVERYTHING = datetime(9999, 1, 1, tzinfo=UTC)


class Recovery:
    """Renews this process's leases, claims expired ones, and wakes what is due.

    ``is_alone`` says that no other process works on the store, so that every lease found at the start is dead.
    ``process_pending`` processes the signals of other processes.
    """

    def __init__(
        self,
        *,
        dispatch: Dispatch,
        wakeups: Wakeups,
        leases: Leases,
        clock: Clock,
        lease_seconds: float,
        process_pending: Callable[[], Awaitable[None]],
        is_alone: bool,
    ) -> None:
        self._dispatch = dispatch
        self._leases = leases
        self._wakeups = wakeups
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._process_pending = process_pending
        self._is_alone = is_alone
        self._changed = asyncio.Event()

    def look_again(self) -> None:
        """An execution began to wait: it may be the next that is due."""
        self._changed.set()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Queue what was left behind, and watch until the context is left."""
        await self._claim_expired()
        tasks = [
            asyncio.create_task(self._forever(self._keep_leases, "leases"), name="leases"),
            asyncio.create_task(self._forever(self._wake_due, "timers"), name="timers"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(StorageError):  # without it the leases expire by themselves
                await self._leases.release()

    async def _forever(self, step: Callable[[], Awaitable[None]], name: str) -> None:
        while True:
            try:
                await step()
            except StorageError as error:
                logger.warning("%s: %s", name, error.message)
                await asyncio.sleep(1)

    async def _keep_leases(self) -> None:
        await asyncio.sleep(self._lease_seconds / 3)
        await self._leases.renew(now=self._clock.now())
        await self._process_pending()
        await self._claim_expired()

    async def _claim_expired(self) -> None:
        """Claim and queue what has lost its holder, as far as there is room; the rest comes with the next look.

        1. A frozen process whose lease expired may wake up and go on: the store refuses all that it writes, since the
           lease is ours (LeaseLostError), and it drops the execution.
        2. Two processes claim at once: one statement claims each row, and skips rows that the other is claiming.
        """
        now = self._clock.now()
        expired_before = AFTER_EVERYTHING if self._is_alone else now
        unclaimed_before = self._dispatch.unclaimed_before(now)
        while True:
            limit = min(BATCH, self._dispatch.room)
            if limit <= 0:
                return
            found = await self._leases.claim_expired(
                now=self._clock.now(), expired_before=expired_before, unclaimed_before=unclaimed_before, limit=limit
            )
            await asyncio.gather(*(self._one(self._wakeups.go_on_claimed, execution) for execution in found))
            if len(found) < limit:
                return

    async def _wake_due(self) -> None:
        self._changed.clear()
        due = await self._leases.claim_due(now=self._clock.now(), limit=min(BATCH, max(1, self._dispatch.room)))
        await asyncio.gather(*(self._one(self._wakeups.wake_due, execution) for execution in due))
        if due:
            return
        following = await self._leases.next_due()
        pause = LONGEST_SLEEP_SECONDS
        if following is not None:
            pause = min(pause, max(0.0, (following - self._clock.now()).total_seconds()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._changed.wait()

    async def _one(self, step: Callable[[Execution], Awaitable[None]], execution: Execution) -> None:
        try:
            await step(execution)
        except WorkflowNotFoundError:
            logger.info("execution %s has failed: its workflow was deleted", execution.id)
        except LeaseLostError as error:
            logger.info("%s", error.message)
        except StorageError:
            raise
        except JobsprintError as error:
            logger.warning("execution %s cannot go on: %s", execution.id, error.message)
        except Exception:
            # One row's failure is that row's: the timers of all others go on.
            logger.exception("execution %s cannot go on", execution.id)
