"""What effects use: the ports of AI nodes, the start of other workflows, and steps that are done once each."""

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
    """The ports of AI nodes: models, prompt templates, conversations, vectors."""

    models: Models
    prompts: Prompts
    conversations: Conversations
    vectors: VectorStore


class ChildStarter(Protocol):
    """Starts other workflows for the items of an execution."""

    async def ensure(
        self, parent: Execution, key: EffectKey, workflow_id: str, data: Any, *, wait: bool, step: str = ""
    ) -> Execution:
        """Start the item's child unless that was done before; the child as it is now. ``step`` names it among several
        of one item.

        Raises:
            JobsprintError: it cannot be started.
        """
        ...


@dataclass(slots=True, frozen=True, kw_only=True)
class Step:
    """One step of an item's effect, as the audit log shows it. ``name`` is unique among the item's steps.

    ``kind`` is the node type that does it. A step without ``target`` stays in the process, and the audit log does not
    show it.
    """

    name: str
    kind: str
    target: str | None = None
    credential: str | None = None
