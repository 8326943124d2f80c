"""The executions that this process has in hand: queued or running, and who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.definitions.plan import Plan
from engine.node_api.node_type import WebhookResponse
from engine.runs.run import Run
from workflow.executions import Execution, Record


@dataclass(slots=True, eq=False)
class LiveExecution:
    """An execution in hand.

    ``finished`` is set when it is out of hand again: ended or waiting, and that is stored. ``answered`` has the
    webhook's answer, or is cancelled when there is none to come. ``recorded`` is the journal of what it did before;
    ``None`` where the store has it. ``resumes`` says that something it waits for happened while it still ran,
    ``heard`` how much of what other processes told of it is known. ``on_answer`` hands the answer to another process,
    where that one waits for it. ``storing`` is held while what its run came to is on its way to the disk.
    """

    execution: Execution
    plan: Plan
    recorded: Sequence[Record] | None = ()
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Future[WebhookResponse] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    run: Run | None = None
    task: asyncio.Task[None] | None = None
    is_cancelled_by_caller: bool = False
    resumes: bool = False
    heard: int = 0
    on_answer: Callable[[WebhookResponse], None] | None = None
    storing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def answer(self, response: WebhookResponse) -> None:
        """Hand the answer to whoever waits for it."""
        if not self.answered.done():
            self.answered.set_result(response)
            if self.on_answer is not None:
                self.on_answer(response)

    def cancel(self) -> None:
        """Have its run end as cancelled."""
        self.is_cancelled_by_caller = True
        if self.task is not None:
            self.task.cancel()


class LiveExecutions:
    """All of them, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, LiveExecution] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[LiveExecution]:
        return iter(list(self._by_id.values()))

    def get(self, execution_id: str) -> LiveExecution | None:
        """The execution, if this process has it in hand."""
        return self._by_id.get(execution_id)

    def add(self, live: LiveExecution) -> None:
        """Take an execution in hand."""
        self._by_id[live.execution.id] = live

    def discard(self, live: LiveExecution) -> bool:
        """Let go of an execution, and wake whoever waits for it; ``False`` where it was not in hand."""
        if self._by_id.get(live.execution.id) is not live:
            return False
        del self._by_id[live.execution.id]
        live.answered.cancel()
        live.finished.set()
        return True
