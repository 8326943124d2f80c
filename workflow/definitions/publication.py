"""What becomes of a workflow besides being changed: it is published, offered as a tool, deleted, brought back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from workflow.schedules.schedules import ScheduleTrigger

RESTORABLE = timedelta(days=30)
"""How long a deleted workflow can be restored, as ``delete_workflow`` says; then it is gone for good."""

TOOL_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,29}$"
"""At most 30 characters: clients put their own prefix before a tool's name, and models see no more than 64."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Exposure:
    """How a published workflow is offered as a tool: to whom (``owner``), and under which name.

    ``input_schema`` is ``None`` where it follows from the trigger; ``as_prompt`` offers it as an MCP prompt too.
    ``bound`` are arguments that the publisher has fixed: those who call the tool neither see nor change them.
    """

    owner: str
    name: str
    description: str
    input_schema: dict[str, Any] | None = None
    as_prompt: bool = False
    bound: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True, kw_only=True)
class Publication:
    """What publishing a version takes with it: the webhook paths that it listens on, its schedules, and the tool that
    it becomes.

    Without an ``exposure`` the workflow keeps the tool that it is already, if any.
    """

    webhook_paths: Sequence[str] = ()
    schedules: Sequence[ScheduleTrigger] = ()
    exposure: Exposure | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class VersionSummary:
    """A version in a list; ``change`` says in one line how it differs from the one before."""

    version: int
    created_at: datetime
    change: str
