"""A workflow's definition in its native form: nodes by name, connections as pairs, settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

NAME_MAX_LENGTH = 200
"""Longest name of a workflow or node, in characters; it must fit in a log line and a table cell."""

NodeName = Annotated[str, Field(min_length=1, max_length=NAME_MAX_LENGTH)]
OnError = Literal["stop", "continue", "error_output"]

ERROR_OUTPUT = "error"
"""The extra output that a node with ``on_error: error_output`` sends failed items to."""


class NodeDefinition(BaseModel):
    """One step.

    ``parameters`` hold JSON; a string that starts with ``=`` is a template whose ``{{ … }}`` are expressions.
    ``on_error`` says what a failure does: ``stop`` ends the execution, ``continue`` passes ``{"error": …}``
    on, ``error_output`` sends the failed items to the output named ``error``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(min_length=1, max_length=100, description="Name of a node type; find_nodes lists them.")
    parameters: dict[str, Any] = Field(default_factory=dict)
    timeout_seconds: float | None = Field(default=None, gt=0, le=86_400)
    on_error: OnError = "stop"
    disabled: bool = Field(default=False, description="A disabled node passes its items on unchanged.")
    notes: str | None = Field(default=None, max_length=10_000)


class WorkflowSettings(BaseModel):
    """What holds for the workflow as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: float = Field(default=300, gt=0, le=86_400, description="Longest run of one execution.")
    timezone: str = Field(default="UTC", description="IANA name; what $now and $today are told in.")

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name!r} is not an IANA time zone such as 'UTC' or 'Europe/Paris'")
        return name


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
