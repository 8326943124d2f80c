"""Executions that other processes run, followed from here: by their events, and by the store where no event comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.announcements import Announcements
from engine.live import LiveExecution
from engine.node_type import WebhookResponse
from workflow.errors import JobsprintError
from workflow.items import JsonObject
from workflow.ports import ExecutionStore

PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0)
"""The store is asked after so long without an event, then after the next; the last pause holds for all that follow."""
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


@dataclass(slots=True, eq=False)
class _Ear:
    """What listens to one workflow."""

    task: asyncio.Task[None]
    is_on: asyncio.Event
    followers: int = 0


class Elsewhere:
    """Listens once to each workflow of which somebody here follows executions; an async context manager."""

    def __init__(self, *, announcements: Announcements, store: ExecutionStore) -> None:
        self._announcements = announcements
        self._store = store
        self._by_execution: defaultdict[str, set[Notices]] = defaultdict(set)
        self._ears: dict[str, _Ear] = {}
        self._bringing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Elsewhere:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._bringing, *(ear.task for ear in self._ears.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def following(self, workflow_id: str, execution_id: str) -> AsyncGenerator[Notices]:
        """What is heard of an execution from now on."""
        notices = Notices()
        self._by_execution[execution_id].add(notices)
        try:
            async with self._listening(workflow_id):
                yield notices
        finally:
            self._by_execution[execution_id].discard(notices)
            if not self._by_execution[execution_id]:
                del self._by_execution[execution_id]

    async def steps(self, owner: str, execution_id: str) -> AsyncGenerator[JsonObject]:
        """The data of its events, until it has ended or waits.

        Raises:
            JobsprintError: it is not there, or the store cannot be asked.
        """
        execution = await self._store.get(owner, execution_id)
        async with self.following(execution.workflow_id, execution_id) as notices:
            quiet = 0
            while (await self._store.get(owner, execution_id)).is_held:
                while (data := await notices.next(PAUSES_SECONDS[min(quiet, len(PAUSES_SECONDS) - 1)])) is not None:
                    quiet = 0
                    yield data
                    if "status" in data and "node" not in data:
                        break  # it has come into another state: see into which
                quiet += 1

    async def bring(self, live: LiveExecution) -> None:
        """Have the answer to the webhook that started an execution, and its end, brought to ``live``."""
        is_listening = asyncio.Event()
        task = asyncio.create_task(self._bring(live, is_listening), name=f"answer-of-{live.execution.id}")
        self._bringing.add(task)
        task.add_done_callback(self._bringing.discard)
        await is_listening.wait()

    async def _bring(self, live: LiveExecution, is_listening: asyncio.Event) -> None:
        execution = live.execution
        try:
            async with self.following(execution.workflow_id, execution.id) as notices:
                is_listening.set()
                with contextlib.suppress(JobsprintError):  # it was not accepted: there is nothing to bring
                    await self._store.committed(execution.id)
                    await self._await_answer(live, notices)
        finally:
            is_listening.set()
            live.answered.cancel()
            live.finished.set()

    async def _await_answer(self, live: LiveExecution, notices: Notices) -> None:
        execution, quiet = live.execution, 0
        while True:
            data = await notices.next(PAUSES_SECONDS[min(quiet, len(PAUSES_SECONDS) - 1)])
            if data is not None and "answer" in data and data["answer"] is not None:
                live.answer(WebhookResponse(**data["answer"]))
                return
            if data is not None and "answer" not in data and ("status" not in data or "node" in data):
                continue
            quiet += 1
            now = await self._store.get(execution.owner, execution.id)
            if now.answer is not None:
                live.answer(WebhookResponse(**now.answer))
            if now.answer is not None or not now.is_held:
                return

    @asynccontextmanager
    async def _listening(self, workflow_id: str) -> AsyncGenerator[None]:
        ear = self._ears.get(workflow_id)
        if ear is None:
            is_on = asyncio.Event()
            task = asyncio.create_task(self._hear(workflow_id, is_on), name=f"ear-{workflow_id}")
            ear = self._ears[workflow_id] = _Ear(task, is_on)
        ear.followers += 1
        try:
            await ear.is_on.wait()
            yield
        finally:
            ear.followers -= 1
            if not ear.followers:
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close, workflow_id, ear)

    def _close(self, workflow_id: str, ear: _Ear) -> None:
        if not ear.followers and self._ears.get(workflow_id) is ear:
            del self._ears[workflow_id]
            ear.task.cancel()

    async def _hear(self, workflow_id: str, is_on: asyncio.Event) -> None:
        async with self._announcements.listen(workflow_id) as events:
            is_on.set()
            async for event in events:
                for notices in self._by_execution.get(event.data.get("executionId", ""), ()):
                    notices.put(event.data)
