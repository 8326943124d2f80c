"""What effects are made of: the ports that nodes work with, and parts that are done once each."""

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


class ChildRunner(Protocol):
    """Starts other workflows for one node run."""

    async def ensure(self, key: EffectKey, workflow_id: str, data: Any, *, wait: bool, part: str = "") -> Execution:
        """The item's execution as it is now, started if it is not there yet; ``part`` tells several of an item apart.

        Raises:
            JobsprintError: it cannot be started.
        """
        ...


@dataclass(slots=True, frozen=True, kw_only=True)
class Part:
    """A part of an item's effect, as the audit log is told of it. ``name`` tells it from the item's other parts.

    ``kind`` is the node type that does it; without a ``target`` it stays in the process and is not noted.
    """

    name: str
    kind: str
    target: str | None = None
    credential: str | None = None
