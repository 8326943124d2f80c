"""What effects are made of: the ports that nodes work with, and steps that are done once each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from workflow.chat import Models
from workflow.conversations import Conversations
from workflow.executions import EffectKey, Execution
from workflow.prompt_templates import Prompts
from workflow.vectors import VectorStore


@dataclass(slots=True, frozen=True, kw_only=True)
class AiPorts:
    """What AI nodes work with: models, prompt templates, memory, vectors."""

    models: Models
    prompts: Prompts
    conversations: Conversations
    vectors: VectorStore


class ChildStarter(Protocol):
    """Starts other workflows for the items of an execution."""

    async def ensure(
        self, parent: Execution, key: EffectKey, workflow_id: str, data: Any, *, wait: bool, step: str = ""
    ) -> Execution:
        """The item's execution as it is now, started if it is not there yet; ``step`` tells several of an item apart.

        Raises:
            JobsprintError: it cannot be started.
        """
        ...


@dataclass(slots=True, frozen=True, kw_only=True)
class Step:
    """One step of an item's effect, as the audit log shows it. ``name`` tells it from the item's other steps.

    ``kind`` is the node type that does it; without a ``target`` it stays in the process and is not noted.
    """

    name: str
    kind: str
    target: str | None = None
    credential: str | None = None
