"""Other workflows as one execution's nodes start them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from workflow.executions import EffectKey, Execution


class ChildStarter(Protocol):
    """Starts other workflows; :class:`engine.executions.children.Children` is the one there is."""

    async def ensure(
        self, parent: Execution, key: EffectKey, workflow_id: str, data: Any, *, wait: bool, part: str = ""
    ) -> Execution:
        """The execution of the parent's item as it is now, started if it is not there yet."""
        ...


@dataclass(slots=True, frozen=True)
class BoundChildren:
    """A :class:`ChildStarter` for one execution, as its nodes see it."""

    starter: ChildStarter
    parent: Execution

    async def ensure(self, key: EffectKey, workflow_id: str, data: Any, *, wait: bool, part: str = "") -> Execution:
        """The item's execution as it is now, started if it is not there yet."""
        return await self.starter.ensure(self.parent, key, workflow_id, data, wait=wait, part=part)
