"""Executions that other processes run, followed by their events, and by the store where no event comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.announcements import Announcements
from engine.dispatch.local_executions import LocalExecution
from engine.dispatch.milestones import Milestone, Milestones
from engine.node_api.node_call import WebhookResponse
from engine.runs.journal import node_runs_in
from workflow.errors import JobsprintError
from workflow.items import JsonObject
from workflow.ports import ExecutionStore
from workflow.states import ACTIVE_STATES

PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0)
"""How long to wait for an event before the store is asked: the first time, the second, and so on. The last pause holds
for all that follow, and from the start where events of other processes arrive."""
BUFFERED = 1_000
LINGER_SECONDS = 10.0
"""How long the events of a workflow are received after the last follower has gone: the next one often comes soon."""


class ReceivedEvents:
    """The events of one execution, for one follower; the oldest is dropped where the follower is too slow."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[JsonObject] = asyncio.Queue(BUFFERED)

    def put(self, data: JsonObject) -> None:
        """Add an event's data."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(data)

    async def next(self, timeout_seconds: float) -> JsonObject | None:
        """The next event's data; ``None`` where there is none for so long."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._queue.get()
        except TimeoutError:
            return None


_Followed = tuple[str, bool]
"""The id of an execution or of a workflow, and whether details are wanted, too."""


@dataclass(slots=True, eq=False)
class _WorkflowListener:
    """Receives the events of one workflow."""

    task: asyncio.Task[None]
    is_on: asyncio.Event
    followers: int = 0


class RemoteExecutions:
    """Receives the events of each workflow once, however many follow its executions; an async context manager.

    Events are hints: any of them may be lost, come late or come twice. The store is the truth.
    """

    def __init__(self, *, announcements: Announcements, store: ExecutionStore, milestones: Milestones) -> None:
        self._announcements = announcements
        self._store = store
        self._milestones = milestones
        self._by_execution: defaultdict[_Followed, set[ReceivedEvents]] = defaultdict(set)
        self._listeners: dict[_Followed, _WorkflowListener] = {}
        self._bringing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RemoteExecutions:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._bringing, *(listener.task for listener in self._listeners.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def following(
        self, workflow_id: str, execution_id: str, *, has_details: bool
    ) -> AsyncGenerator[ReceivedEvents]:
        """The events of an execution from now on: its states and its answer, and with details its nodes."""
        received, followed = ReceivedEvents(), (execution_id, has_details)
        self._by_execution[followed].add(received)
        try:
            async with self._listening((workflow_id, has_details)):
                yield received
        finally:
            self._by_execution[followed].discard(received)
            if not self._by_execution[followed]:
                del self._by_execution[followed]

    async def steps(self, owner: str, execution_id: str, *, has_details: bool = True) -> AsyncGenerator[JsonObject]:
        """The data of its events, until it has ended or waits. With details, node runs whose event did not come are
        among them; some may come twice.

        Raises:
            JobsprintError: it is not there, or the store cannot be asked.
        """
        execution = await self._store.get(owner, execution_id)
        async with self.following(execution.workflow_id, execution_id, has_details=has_details) as received:
            # 1. Events are received first, and the journal is read then: what happens in between comes twice, and
            #    nothing is missed.
            for step in await self._done(execution_id) if has_details else ():
                yield step
            quiet = 0
            # 2. It may have ended before events were received, or the event of its end may be lost: the store is asked
            #    first, and again whenever no event has come for a while.
            while (await self._store.get(owner, execution_id)).is_active:
                await self._milestones.reached(Milestone.STORE_ASKED, execution_id)
                while (data := await received.next(self._pause(quiet))) is not None:
                    quiet = 0
                    yield data
                    # 3. An event that says "ended" is believed by nobody: the store is asked again. It may be the event
                    #    of an earlier wait, and the execution may be active again.
                    if _has_left(data):
                        break
                quiet += 1
        # 4. The last node runs may have come without an event; the journal has them by now.
        for step in await self._done(execution_id) if has_details else ():
            yield step

    async def _done(self, execution_id: str) -> list[JsonObject]:
        """What events would say of the node runs in the journal."""
        done = node_runs_in(await self._store.journal(execution_id))
        return [{"node": node_run.node, "finished": finished} for finished, node_run in enumerate(done, 1)]

    def _pause(self, quiet: int) -> float:
        """How long to wait for an event after so many times without one."""
        last = len(PAUSES_SECONDS) - 1
        return PAUSES_SECONDS[last if self._announcements.hears_others else min(quiet, last)]

    async def bring(self, local: LocalExecution) -> None:
        """Bring the answer to the webhook that started an execution, and its end, to ``local``. Returns when events are
        received: what happens from then on is not missed."""
        is_listening = asyncio.Event()
        task = asyncio.create_task(self._bring(local, is_listening), name=f"answer-of-{local.execution.id}")
        self._bringing.add(task)
        task.add_done_callback(self._bringing.discard)
        await is_listening.wait()

    async def _bring(self, local: LocalExecution, is_listening: asyncio.Event) -> None:
        execution = local.execution
        try:
            async with self.following(execution.workflow_id, execution.id, has_details=False) as received:
                is_listening.set()
                with contextlib.suppress(JobsprintError):  # it was not accepted: there is nothing to bring
                    await self._store.committed(execution.id)
                    await self._await_answer(local, received)
        finally:
            is_listening.set()
            local.answered.cancel()
            local.finished.set()

    async def _await_answer(self, local: LocalExecution, received: ReceivedEvents) -> None:
        execution, quiet = local.execution, 0
        while True:
            data = await received.next(self._pause(quiet))
            if data is None:
                quiet += 1  # the event may be lost: ask the store
            elif data.get("answer") is not None:
                local.answer(WebhookResponse(**data["answer"]))
                return
            elif "answer" not in data and not _has_left(data):
                continue
            now = await self._store.get(execution.owner, execution.id)
            if now.answer is not None:
                local.answer(WebhookResponse(**now.answer))
            if now.answer is not None or not now.is_active:
                return

    @asynccontextmanager
    async def _listening(self, followed: _Followed) -> AsyncGenerator[None]:
        listener = self._listeners.get(followed)
        if listener is None:
            is_on = asyncio.Event()
            task = asyncio.create_task(self._receive(followed, is_on), name=f"listener-{followed[0]}")
            listener = self._listeners[followed] = _WorkflowListener(task, is_on)
        listener.followers += 1
        try:
            await listener.is_on.wait()
            yield
        finally:
            listener.followers -= 1
            if not listener.followers:
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close, followed, listener)

    def _close(self, followed: _Followed, listener: _WorkflowListener) -> None:
        if not listener.followers and self._listeners.get(followed) is listener:
            del self._listeners[followed]
            listener.task.cancel()

    async def _receive(self, followed: _Followed, is_on: asyncio.Event) -> None:
        workflow_id, has_details = followed
        listen = self._announcements.listen if has_details else self._announcements.listen_to_states
        async with listen(workflow_id) as events:
            is_on.set()
            async for event in events:
                for received in self._by_execution.get((event.data.get("executionId", ""), has_details), ()):
                    received.put(event.data)


def _has_left(data: JsonObject) -> bool:
    """Whether an event says that an execution is not active any more: it has ended or waits."""
    return "node" not in data and data.get("status") not in (None, *ACTIVE_STATES)
