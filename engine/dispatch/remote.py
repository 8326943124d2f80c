"""Executions that other processes run, followed from here: by their events, and by the store where no event comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.announcements import Announcements
from engine.dispatch.local_executions import LocalExecution
from engine.node_api.node_call import WebhookResponse
from engine.runs.journal import node_runs_in
from workflow.errors import JobsprintError
from workflow.items import JsonObject
from workflow.ports import ExecutionStore
from workflow.states import ACTIVE_STATES

PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0)
"""The store is asked after so long without an event, then after the next; the last pause holds for all that follow, and
from the first where events of other processes arrive."""
BUFFERED = 1_000
LINGER_SECONDS = 10.0
"""How long a workflow is listened to when nobody follows any more: the next one is often near."""


class Notices:
    """What is heard of one execution; the oldest goes where its reader does not keep up."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[JsonObject] = asyncio.Queue(BUFFERED)

    def put(self, data: JsonObject) -> None:
        """Something has happened."""
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
class _Ear:
    """What listens to one workflow."""

    task: asyncio.Task[None]
    is_on: asyncio.Event
    followers: int = 0


class RemoteExecutions:
    """Listens once to each workflow of which somebody here follows executions; an async context manager."""

    def __init__(self, *, announcements: Announcements, store: ExecutionStore) -> None:
        self._announcements = announcements
        self._store = store
        self._by_execution: defaultdict[_Followed, set[Notices]] = defaultdict(set)
        self._ears: dict[_Followed, _Ear] = {}
        self._bringing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RemoteExecutions:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._bringing, *(ear.task for ear in self._ears.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def following(self, workflow_id: str, execution_id: str, *, has_details: bool) -> AsyncGenerator[Notices]:
        """What is heard of an execution from now on: its states and its answer, and with details its nodes."""
        notices, followed = Notices(), (execution_id, has_details)
        self._by_execution[followed].add(notices)
        try:
            async with self._listening((workflow_id, has_details)):
                yield notices
        finally:
            self._by_execution[followed].discard(notices)
            if not self._by_execution[followed]:
                del self._by_execution[followed]

    async def steps(self, owner: str, execution_id: str, *, has_details: bool = True) -> AsyncGenerator[JsonObject]:
        """The data of its events, until it has ended or waits. With details, the node runs of which no event came
        here are among them; some may be told twice.

        Raises:
            JobsprintError: it is not there, or the store cannot be asked.
        """
        execution = await self._store.get(owner, execution_id)
        async with self.following(execution.workflow_id, execution_id, has_details=has_details) as notices:
            for step in await self._done(execution_id) if has_details else ():
                yield step
            quiet = 0
            while (await self._store.get(owner, execution_id)).is_active:
                while (data := await notices.next(self._pause(quiet))) is not None:
                    quiet = 0
                    yield data
                    if _is_let_go(data):
                        break
                quiet += 1
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
        """Have the answer to the webhook that started an execution, and its end, brought to ``local``."""
        is_listening = asyncio.Event()
        task = asyncio.create_task(self._bring(local, is_listening), name=f"answer-of-{local.execution.id}")
        self._bringing.add(task)
        task.add_done_callback(self._bringing.discard)
        await is_listening.wait()

    async def _bring(self, local: LocalExecution, is_listening: asyncio.Event) -> None:
        execution = local.execution
        try:
            async with self.following(execution.workflow_id, execution.id, has_details=False) as notices:
                is_listening.set()
                with contextlib.suppress(JobsprintError):  # it was not accepted: there is nothing to bring
                    await self._store.committed(execution.id)
                    await self._await_answer(local, notices)
        finally:
            is_listening.set()
            local.answered.cancel()
            local.finished.set()

    async def _await_answer(self, local: LocalExecution, notices: Notices) -> None:
        execution, quiet = local.execution, 0
        while True:
            data = await notices.next(self._pause(quiet))
            if data is None:
                quiet += 1
            elif data.get("answer") is not None:
                local.answer(WebhookResponse(**data["answer"]))
                return
            elif "answer" not in data and not _is_let_go(data):
                continue
            now = await self._store.get(execution.owner, execution.id)
            if now.answer is not None:
                local.answer(WebhookResponse(**now.answer))
            if now.answer is not None or not now.is_active:
                return

    @asynccontextmanager
    async def _listening(self, followed: _Followed) -> AsyncGenerator[None]:
        ear = self._ears.get(followed)
        if ear is None:
            is_on = asyncio.Event()
            task = asyncio.create_task(self._hear(followed, is_on), name=f"ear-{followed[0]}")
            ear = self._ears[followed] = _Ear(task, is_on)
        ear.followers += 1
        try:
            await ear.is_on.wait()
            yield
        finally:
            ear.followers -= 1
            if not ear.followers:
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close, followed, ear)

    def _close(self, followed: _Followed, ear: _Ear) -> None:
        if not ear.followers and self._ears.get(followed) is ear:
            del self._ears[followed]
            ear.task.cancel()

    async def _hear(self, followed: _Followed, is_on: asyncio.Event) -> None:
        workflow_id, has_details = followed
        listen = self._announcements.listen if has_details else self._announcements.listen_to_states
        async with listen(workflow_id) as events:
            is_on.set()
            async for event in events:
                for notices in self._by_execution.get((event.data.get("executionId", ""), has_details), ()):
                    notices.put(event.data)


def _is_let_go(data: JsonObject) -> bool:
    """Whether an event says that an execution has ended or waits: then the store says how."""
    return "node" not in data and data.get("status") not in (None, *ACTIVE_STATES)
