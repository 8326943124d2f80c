"""Executions that go on: because a timer is due, a child has ended, an answer came, or their process is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any
from weakref import WeakValueDictionary

from engine.announcements import Announcements
from engine.dispatch.local_executions import LocalExecution, LocalExecutions
from engine.dispatch.milestones import Milestone, Milestones
from engine.executions.claims import ExecutionClaims
from engine.executions.control_checks import look_at
from workflow.errors import IllegalTransitionError
from workflow.executions import EffectKey, EncodedRecord, Execution, Record, Resumption
from workflow.identity import Initiator
from workflow.ports import Clock, ExecutionStore
from workflow.sharing import Leases
from workflow.states import ExecutionEvent, ExecutionState

CLAIM_AGAIN_SECONDS = 0.02
RESUMABLE = (ExecutionState.QUEUED, ExecutionState.WAITING)
"""States in which an execution needs no holder and goes on when something that it waits for has happened."""


class Wakeups:
    """Lets executions go on that nothing runs at the moment, and signals the holders of those that run.

    Every method returns when what it did is stored.
    """

    def __init__(
        self,
        *,
        claims: ExecutionClaims,
        store: ExecutionStore,
        local: LocalExecutions,
        leases: Leases,
        announcements: Announcements,
        clock: Clock,
        milestones: Milestones,
        is_alone: bool,
    ) -> None:
        self._claims = claims
        self._store = store
        self._local = local
        self._leases = leases
        self._announcements = announcements
        self._clock = clock
        self._milestones = milestones
        self._is_alone = is_alone
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def moving(self, execution_id: str) -> asyncio.Lock:
        """To be held while an execution is moved: two tasks at once would both find it waiting, and both queue it."""
        return self._locks.setdefault(execution_id, asyncio.Lock())

    async def wake(self, owner: str, execution_id: str, key: EffectKey, *, data: Any, by: str) -> Execution:
        """Let one waiting item go on.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            IllegalTransitionError: it has ended.
        """
        async with self.moving(execution_id):
            return await self.resume(owner, execution_id, key, data=data, by=by)

    async def resume(
        self,
        owner: str,
        execution_id: str,
        key: EffectKey,
        *,
        data: Any,
        by: str,
        who: Initiator | None = None,
        recorded: Sequence[Record] | None = None,
    ) -> Execution:
        """Let one waiting item go on; the caller holds :meth:`moving`. ``who`` answers, where somebody does.
        ``recorded`` is the journal, where the caller has read it under that lock.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            IllegalTransitionError: it has ended.
        """
        resumption = Resumption(key=key, at=self._clock.now(), by=by, data=data, who=who)
        local = await self.local(execution_id, to_deliver=True)
        if local is not None:
            await self._deliver(local, resumption)
            return local.execution
        execution = await self.claim_idle(owner, execution_id, RESUMABLE, [resumption])
        if execution is None:
            return await self._store.get(owner, execution_id)
        queued = execution.moved(ExecutionEvent.RESUME, wake_at=None)
        # 1. Alone, nothing is added to the journal of an execution that is not local, but under the caller's lock: what
        #    the caller read is all there is, and the worker need not read it again.
        # 2. Beside other processes, one of them can have run it between the caller's reading and this claim; the worker
        #    reads it then.
        known = [*recorded, resumption] if recorded is not None and self._is_alone else None
        return (await self._claims.requeue(queued, [resumption], recorded=known)).execution

    async def wake_due(self, execution: Execution) -> None:
        """Let an execution go on whose timer is over; its journal says which item."""
        async with self.moving(execution.id):
            # While this task waited for the lock, somebody may have resumed or cancelled it.
            now = await self._store.get(execution.owner, execution.id)
            if now.state is ExecutionState.WAITING and self._local.get(execution.id) is None:
                await self._claims.requeue(now.moved(ExecutionEvent.RESUME, wake_at=None))

    async def wake_signalled(self, execution: Execution) -> None:
        """Let an execution go on for which a signal came while it was being stored as waiting.

        Raises:
            IllegalTransitionError: it has ended meanwhile.
        """
        async with self.moving(execution.id):
            claimed = await self.claim_idle(execution.owner, execution.id, RESUMABLE)
            if claimed is not None:
                await self._claims.requeue(claimed.moved(ExecutionEvent.RESUME, wake_at=None))

    async def go_on_claimed(self, execution: Execution) -> None:
        """Let an execution go on whose holder is gone, and whose lease this process has claimed. One that waits had
        been answered by way of that holder; its journal says which item."""
        if execution.state is ExecutionState.WAITING:
            await self.wake_due(execution)
            return
        async with self.moving(execution.id):
            if self._local.get(execution.id) is None:
                await self._claims.requeue(execution.moved(ExecutionEvent.HAND_BACK))

    async def local(self, execution_id: str, *, to_deliver: bool = False) -> LocalExecution | None:
        """The execution, if it is local and not being stored.

        1. While its state is on the way to the disk nobody can say whether it will still be local: this waits.
        2. One that is being stored as waiting can still get a resumption (``to_deliver``) where this process is alone:
           the worker looks at ``was_resumed`` after the commit, and runs on. Beside other processes that would be too
           late, since another one can claim it as soon as the commit is done; so this waits there, too.
        """
        while (local := self._local.get(execution_id)) is not None and local.storing.locked():
            if to_deliver and self._is_alone and local.execution.state is ExecutionState.WAITING:
                break
            async with local.storing:
                continue
        return local

    async def claim_idle(
        self,
        owner: str,
        execution_id: str,
        states: Collection[ExecutionState],
        records: Sequence[Record] = (),
        *,
        is_cancelled: bool = False,
    ) -> Execution | None:
        """Claim an execution that has no holder; ``None`` where another process is the holder and gets a signal, with
        the ``records`` for its journal or the wish to cancel.

        Raises:
            ExecutionNotFoundError: there is no such execution.
            IllegalTransitionError: it is in none of the ``states``, and has no holder.
        """
        while True:
            claimed = await self._leases.claim_idle(owner, execution_id, states, now=self._clock.now())
            if claimed is not None:
                return claimed
            execution = await self._store.get(owner, execution_id)
            if not execution.is_active and execution.state not in states:
                raise IllegalTransitionError(
                    f"The execution is {execution.state} by now.", fix="Look at it.", next_call=look_at(execution_id)
                )
            holder = await self._leases.signal(execution_id, records, is_cancelled=is_cancelled)
            if holder is not None:
                await self._milestones.reached(Milestone.SIGNALLED, execution_id)
                self._announcements.signalled(holder, execution)
                return None
            # It had a holder when we wanted to claim it, and none when we wanted to signal that: it was stored as
            # waiting or queued in between. A moment later one of the two works.
            await asyncio.sleep(CLAIM_AGAIN_SECONDS)

    async def _deliver(self, local: LocalExecution, resumption: Resumption) -> None:
        """Put a resumption into the journal of a local execution.

        1. The run has not read it yet: ``was_resumed`` makes the worker read the journal again before it suspends.
        2. The run is being stored as waiting (alone only): the worker sees ``was_resumed`` after the commit.
        3. The process is killed now: the resumption is on the disk before the caller's answer leaves.
        """
        records: Sequence[Record | EncodedRecord] = [resumption]
        if local.run is not None:
            local.run.journal.note(resumption)
            records = local.run.journal.flush()
        local.was_resumed = True
        self._store.save(local.execution, records)
        await self._store.committed(local.execution.id)
