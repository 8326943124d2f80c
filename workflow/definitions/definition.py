"""A workflow's definition in its native form: nodes by name, connections as pairs, settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from workflow.findings import nearest

NAME_MAX_LENGTH = 200
"""Longest name of a workflow or node, in characters; it must fit in a log line and a table cell."""

LONGEST_RUN_SECONDS = 300.0
"""Of workflows that set no time of their own. What waits does not run."""

NodeName = Annotated[str, Field(min_length=1, max_length=NAME_MAX_LENGTH)]
OnError = Literal["stop", "continue", "error_output"]

ERROR_OUTPUT = "error"
"""The extra output that a node with ``on_error: error_output`` sends failed items to."""


def known_timezone(name: str) -> str:
    """The name, where it is one of IANA's; for validators, whose error names the nearest one."""
    known = available_timezones()
    if name not in known:
        near = nearest(name, known)
        raise PydanticCustomError(
            "unknown_time_zone",
            "{name} is not an IANA time zone such as 'UTC' or 'Europe/Paris'",
            {"name": repr(name), **({"suggestion": near} if near else {})},
        )
    return name


class RetryDefinition(BaseModel):
    """How often a node tries again after a transient failure, and how long it waits in between."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_attempts: int = Field(default=6, ge=1, le=20, description="The first one counts; 1 never tries again.")
    first_delay_seconds: float = Field(default=1, gt=0, le=3600, description="Doubles with each attempt.")
    max_delay_seconds: float = Field(default=16, gt=0, le=3600)


class ConcurrencyDefinition(BaseModel):
    """How many executions of the workflow run at once, and what becomes of the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(ge=1, le=1_000)
    policy: Literal["queue", "reject"] = "queue"


class NodeDefinition(BaseModel):
    """One node.

    ``parameters`` hold JSON; a string that starts with ``=`` is a template whose ``{{ … }}`` are expressions.
    ``on_error`` says what a failure does: ``stop`` ends the execution, ``continue`` passes ``{"error": …}``
    on, ``error_output`` sends the failed items to the output named ``error``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(min_length=1, max_length=100, description="Name of a node type; find_nodes lists them.")
    parameters: dict[str, Any] = Field(default_factory=dict)
    timeout_seconds: float | None = Field(default=None, gt=0, le=86_400)
    on_error: OnError = "stop"
    retry: RetryDefinition | None = Field(default=None, description="For nodes that reach outside.")
    on_recovery: Literal["repeat", "ask"] = Field(
        default="repeat",
        description="What a crash in the middle of the node's effect does: repeat it, or ask and wait.",
    )
    disabled: bool = Field(default=False, description="A disabled node passes its items on unchanged.")
    notes: str | None = Field(default=None, max_length=10_000)


class WorkflowSettings(BaseModel):
    """What holds for the workflow as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Longest time from start to end, waiting included. Without it 300 s of work; waiting is free.",
    )
    durability: Literal["effects", "every_node", "none"] = Field(
        default="effects", description="What must be on the disk before the execution goes on."
    )
    error_workflow: str | None = Field(default=None, description="Id of a workflow to run when an execution fails.")
    concurrency: ConcurrencyDefinition | None = None
    priority: Literal["low", "normal", "high"] = "normal"
    timezone: str = Field(default="UTC", description="IANA name; the time zone of $now and $today.")

    @property
    def longest_run_seconds(self) -> float:
        """How long an execution may run without waiting, in one go."""
        return self.timeout_seconds if self.timeout_seconds is not None else LONGEST_RUN_SECONDS

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        return known_timezone(name)


class WorkflowDefinition(BaseModel):
    """The whole of a workflow: what ``create_workflow`` takes and every version stores.

    ``connections`` are ``[from, to]`` pairs; an end is a node's name, or the name, a dot and an output's
    (``"hot.true"``) or input's name (``"join.second"``). Without a dot it is the first output or input.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=NAME_MAX_LENGTH)
    description: str = Field(default="", max_length=10_000)
    nodes: dict[NodeName, NodeDefinition] = Field(min_length=1, max_length=2_000)
    connections: list[tuple[str, str]] = Field(default_factory=list, max_length=10_000)
    settings: WorkflowSettings = WorkflowSettings()

    def to_json(self) -> dict[str, Any]:
        """The definition as JSON, without what has its default value: the form that is stored and shown."""
        return self.model_dump(mode="json", exclude_defaults=True)
