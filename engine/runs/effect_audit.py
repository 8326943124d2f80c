"""Entries about effects in the audit log: that one begins, and how it ended."""

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
    """Notes one attempt of an effect that reaches ``target``, with the name of the credential that it uses.

    Its entries contain neither parameters nor answers. An attempt without an end in the log was interrupted by the end
    of the process.
    """

    audit: AuditLog
    execution: Execution
    key: EffectKey
    kind: str
    target: str
    credential: str | None
    attempt: int

    async def around(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, and note its beginning and its end.

        Raises:
            Exception: the work failed.
        """
        self.sent()
        try:
            result = await work()
        except asyncio.CancelledError:
            self.interrupted()
            raise
        except SuspendError as suspend:
            self._note("effect.waits", {"for": suspend.kind})
            raise
        except Exception as error:
            self.failed(error)
            raise
        self.succeeded()
        return result

    def sent(self) -> None:
        """Note that the effect begins."""
        details: JsonObject = {"target": self.target}
        if self.credential is not None:
            details["credential"] = self.credential
        self._note("effect.sent", details)

    def succeeded(self) -> None:
        """Note that the effect happened."""
        self._note("effect.succeeded", {})

    def failed(self, error: Exception) -> None:
        """Note that the effect failed, with the code only: the message may quote the answer."""
        code = error.node_code if isinstance(error, NodeError) else getattr(error, "code", "node_bug")
        self._note("effect.failed", {"code": code})

    def interrupted(self) -> None:
        """Note that nothing waits for the effect any more (timeout, cancelled): it may have happened."""
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
