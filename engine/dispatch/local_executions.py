"""The executions that are active in this process, and who waits for them."""

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
    """An active execution of which this process holds the lease.

    ``finished`` is set when it has left this process: it ended or waits, and that is stored. ``answered`` has the
    webhook's answer, or is cancelled when none comes. ``recorded`` is the journal of what it did before; ``None`` where
    the store has it. ``was_resumed`` says that something that it waits for happened while it was here;
    ``signals_seen`` counts the signals of other processes that are processed. ``on_answer`` sends the webhook's answer
    to the process that waits for it. ``storing`` is locked while what its run came to is on its way to the disk.
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
        """Give the answer to what waits for it; the first one counts."""
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
        """The execution, if it is active in this process."""
        return self._by_id.get(execution_id)

    def of(self, owner: str, execution_id: str) -> LocalExecution | None:
        """The same, if it belongs to the workspace."""
        local = self._by_id.get(execution_id)
        return local if local is not None and local.execution.owner == owner else None

    def add(self, local: LocalExecution) -> None:
        """It is active here from now on."""
        self._by_id[local.execution.id] = local

    def discard(self, local: LocalExecution) -> bool:
        """It is not active here any more: what waits for it goes on. ``False`` where it was not."""
        if self._by_id.get(local.execution.id) is not local:
            return False
        del self._by_id[local.execution.id]
        local.answered.cancel()
        local.finished.set()
        return True
