"""Models of the REST API's answers: ``server/rest/openapi.py`` describes them, and ``make fuzz`` checks them.

Members that are not always there are optional; the data of workflows may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from workflow.connections import ConnectionKind, ConnectionStatus
from workflow.states import ExecutionState


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class WorkflowHeader(_Answer):
    """A version of a workflow, identified."""

    workflow_id: str
    version: int
    name: str
    updated_at: datetime
    status: Literal["draft", "published"]
    published_version: int = 0


class WorkflowAnswer(WorkflowHeader):
    """A version with its definition, and with warnings where it was just stored."""

    definition: dict[str, Any]
    warnings: list[dict[str, Any]] = []


class PublishedAnswer(WorkflowHeader):
    """The published version, its webhook addresses, when its schedules fire, and its tool."""

    webhooks: list[str] = []
    schedules: dict[str, Any] = {}
    tool: str = ""


class WorkflowSummary(WorkflowHeader):
    """A workflow in a list."""

    description: str
    nodes: int
    last_run: dict[str, Any] = {}


class WorkflowsAnswer(_Answer):
    """A page of workflows; ``next_cursor`` leads to the next one."""

    workflows: list[WorkflowSummary]
    next_cursor: str | None


class VersionEntry(_Answer):
    """A version in a list."""

    version: int
    created_at: datetime
    change: str | None
    published: bool = False


class VersionsAnswer(_Answer):
    """A page of versions, newest first."""

    versions: list[VersionEntry]
    next_cursor: str | None


class DifferenceAnswer(_Answer):
    """A difference: in lines, and as a JSON Patch."""

    base_version: int
    version: int
    changes: list[str]
    patch: list[dict[str, Any]]


class Failure(_Answer):
    """Why an execution or a node run has failed."""

    code: str
    message: str


class ExecutionAnswer(_Answer):
    """An execution, and its output where it has one."""

    execution_id: str
    workflow_id: str
    workflow: str
    version: int
    status: ExecutionState
    trigger: str
    created_at: datetime
    duration_ms: float = 0
    error: Failure | None = None
    repeated: bool = False


class TriedAnswer(_Answer):
    """What a definition came to that is stored nowhere."""

    status: ExecutionState
    duration_ms: float
    nodes: list[dict[str, Any]]
    assumed: str = ""
    error: Failure | None = None


class ExecutionDetails(ExecutionAnswer):
    """An execution with its input and its node runs."""

    input: Any
    nodes: list[dict[str, Any]]


class ExecutionsAnswer(_Answer):
    """A page of executions, newest first."""

    executions: list[ExecutionAnswer]
    next_cursor: str | None


class TokensAnswer(_Answer):
    """The tokens of a session (RFC 6749, 5.1)."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str | None
    scope: str
    session_id: str


class CallerAnswer(_Answer):
    """Who is calling."""

    user_id: str


class HealthAnswer(_Answer):
    """The answer of the health routes."""

    status: Literal["ok", "ready"]


class ConversationSummary(_Answer):
    """A conversation in a list."""

    key: str
    turns_in_all: int
    tokens: int
    created_at: datetime
    updated_at: datetime


class ConversationsAnswer(_Answer):
    """A page of conversations."""

    conversations: list[ConversationSummary]
    next_cursor: str | None


class TurnAnswer(_Answer):
    """A message of a conversation; the members for tools and attachments are optional."""

    position: int
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tokens: int
    is_estimate: bool
    is_pinned: bool
    at: datetime


class ConversationAnswer(ConversationSummary):
    """A conversation with a page of its turns; ``next_before`` leads to older ones."""

    turns: list[TurnAnswer]
    next_before: int | None


class ConnectionAnswer(_Answer):
    """A connection without its secret. ``authorization_url`` is where a user has to consent."""

    name: str
    kind: ConnectionKind
    status: ConnectionStatus
    settings: dict[str, Any]
    credential: str | None
    scopes: list[str]
    created_at: datetime
    updated_at: datetime
    actions: int = 0
    authorization_url: str = ""
    problem: dict[str, Any] = {}


class ConnectionsAnswer(_Answer):
    """The workspace's connections."""

    connections: list[ConnectionAnswer]


class ActionEntry(_Answer):
    """An action of a connection."""

    connection: str
    action: str
    title: str
    description: str
    effect: Literal["read", "write"]
    is_repeatable: bool
    digest: str
    input_schema: dict[str, Any]


class ActionsAnswer(_Answer):
    """Actions, the best first, and how many there are in all."""

    actions: list[ActionEntry]
    total: int


class FiguresEntry(_Answer):
    """The outcomes of the calls of an action on a day."""

    action: str
    day: str
    calls: int
    failures: int
    in_doubt: int
    fallbacks: int
    quota: int
    seconds: float


class FiguresAnswer(_Answer):
    """Figures, the latest day first."""

    figures: list[FiguresEntry]


ANSWERS: Mapping[tuple[str, str], type[BaseModel]] = {
    ("GET", "/api/integrations"): ConnectionsAnswer,
    ("POST", "/api/integrations"): ConnectionAnswer,
    ("GET", "/api/integrations/{name}"): ConnectionAnswer,
    ("PATCH", "/api/integrations/{name}"): ConnectionAnswer,
    ("POST", "/api/integrations/{name}/check"): ConnectionAnswer,
    ("POST", "/api/integrations/{name}/authorize"): ConnectionAnswer,
    ("GET", "/api/integrations/{name}/actions"): ActionsAnswer,
    ("GET", "/api/integrations/{name}/figures"): FiguresAnswer,
    ("POST", "/api/workflows"): WorkflowAnswer,
    ("GET", "/api/workflows"): WorkflowsAnswer,
    ("GET", "/api/workflows/{workflow_id}"): WorkflowAnswer,
    ("PUT", "/api/workflows/{workflow_id}"): WorkflowAnswer,
    ("PATCH", "/api/workflows/{workflow_id}"): WorkflowAnswer,
    ("POST", "/api/workflows/{workflow_id}/restore"): WorkflowHeader,
    ("GET", "/api/workflows/{workflow_id}/versions"): VersionsAnswer,
    ("POST", "/api/workflows/{workflow_id}/versions/{version}/restore"): WorkflowAnswer,
    ("GET", "/api/workflows/{workflow_id}/difference"): DifferenceAnswer,
    ("POST", "/api/workflows/{workflow_id}/publish"): PublishedAnswer,
    ("POST", "/api/workflows/{workflow_id}/unpublish"): WorkflowHeader,
    ("POST", "/api/workflows/{workflow_id}/execute"): ExecutionAnswer,
    ("GET", "/api/executions"): ExecutionsAnswer,
    ("POST", "/api/executions"): TriedAnswer,
    ("GET", "/api/executions/{execution_id}"): ExecutionDetails,
    ("POST", "/api/executions/{execution_id}/cancel"): ExecutionAnswer,
    ("POST", "/api/executions/{execution_id}/resume"): ExecutionAnswer,
    ("POST", "/api/executions/{execution_id}/redrive"): ExecutionAnswer,
    ("POST", "/api/executions/{execution_id}/retry"): ExecutionAnswer,
    ("POST", "/api/executions/{execution_id}/rerun"): ExecutionAnswer,
    ("GET", "/api/conversations"): ConversationsAnswer,
    ("GET", "/api/conversations/{key}"): ConversationAnswer,
    ("POST", "/auth/register"): TokensAnswer,
    ("POST", "/auth/login"): TokensAnswer,
    ("POST", "/auth/refresh"): TokensAnswer,
    ("GET", "/auth/me"): CallerAnswer,
    ("GET", "/healthz"): HealthAnswer,
    ("GET", "/readyz"): HealthAnswer,
}
"""The model of each operation's answer when it succeeds."""
