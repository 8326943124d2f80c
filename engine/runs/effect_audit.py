"""What the audit log is told of effects: that one is about to leave, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from engine.node_api.node_type import SuspendError
from workflow.audit import AuditLog, acting
from workflow.errors import NodeError
from workflow.executions import EffectKey, Execution
from workflow.items import JsonObject

T = TypeVar("T")


@dataclass(slots=True, frozen=True, kw_only=True)
class EffectAudit:
    """One attempt at one effect, which reaches ``target``. ``credential`` is the name of the one that goes with it.

    Neither parameters nor answers are in its entries. An attempt that has no end in the log was cut off with the
    process.
    """

    audit: AuditLog
    execution: Execution
    key: EffectKey
    kind: str
    target: str
    credential: str | None
    attempt: int

    async def around(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work between the notes of its beginning and its end.

        Raises:
            Exception: the work failed.
        """
        self.sent()
        try:
            result = await work()
        except asyncio.CancelledError:
            self.interrupted()
            raise
        except SuspendError as wish:
            self._note("effect.waits", {"for": wish.kind})
            raise
        except Exception as error:
            self.failed(error)
            raise
        self.succeeded()
        return result

    def sent(self) -> None:
        """It leaves now."""
        details: JsonObject = {"target": self.target}
        if self.credential is not None:
            details["credential"] = self.credential
        self._note("effect.sent", details)

    def succeeded(self) -> None:
        """It was done."""
        self._note("effect.succeeded", {})

    def failed(self, error: Exception) -> None:
        """It failed. Its message may quote the answer, so only the code is noted."""
        code = error.node_code if isinstance(error, NodeError) else getattr(error, "code", "node_bug")
        self._note("effect.failed", {"code": code})

    def interrupted(self) -> None:
        """Nobody waits for its end any more: it took too long, or the execution was cancelled. It may have happened."""
        self._note("effect.interrupted", {})

    def _note(self, action: str, details: JsonObject) -> None:
        execution = self.execution
        self.audit.note(
            acting(execution.initiator, execution.owner),
            action,
            f"execution:{execution.id}",
            {
                "workflow": execution.workflow_id,
                "node": self.key.node,
                "run": self.key.run_index,
                "item": self.key.item_index,
                "kind": self.kind,
                "attempt": self.attempt,
                **details,
            },
        )
