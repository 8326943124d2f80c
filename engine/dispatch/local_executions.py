"""The executions that this process has in hand: queued or running, and who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.definitions.compiled import CompiledWorkflow
from engine.node_api.node_call import WebhookResponse
from engine.runs.run import Run
from workflow.executions import Execution, Record


@dataclass(slots=True, eq=False)
class LocalExecution:
    """An execution in hand.

    ``finished`` is set when it is out of hand again: ended or waiting, and that is stored. ``answered`` has the
    webhook's answer, or is cancelled when there is none to come. ``recorded`` is the journal of what it did before;
    ``None`` where the store has it. ``resumes`` says that something it waits for happened while it still ran,
    ``heard`` how much of what other processes told of it is known. ``on_answer`` hands the answer to another process,
    where that one waits for it. ``storing`` is held while what its run came to is on its way to the disk.
    """

    execution: Execution
    compiled: CompiledWorkflow
    recorded: Sequence[Record] | None = ()
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Future[WebhookResponse] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    run: Run | None = None
    task: asyncio.Task[None] | None = None
    is_cancelled_by_caller: bool = False
    was_resumed: bool = False
    signals_seen: int = 0
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


class LocalExecutions:
    """All of them, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, LocalExecution] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[LocalExecution]:
        return iter(list(self._by_id.values()))

    def get(self, execution_id: str) -> LocalExecution | None:
        """The execution, if this process has it in hand."""
        return self._by_id.get(execution_id)

    def add(self, local: LocalExecution) -> None:
        """Take an execution in hand."""
        self._by_id[local.execution.id] = local

    def discard(self, local: LocalExecution) -> bool:
        """Let go of an execution, and wake whoever waits for it; ``False`` where it was not in hand."""
        if self._by_id.get(local.execution.id) is not local:
            return False
        del self._by_id[local.execution.id]
        local.answered.cancel()
        local.finished.set()
        return True
