"""Who does something: in whose workspace, with which rights, through which client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError


class Scope(StrEnum):
    """One right, as OAuth's tokens, API keys and roles grant it."""

    WORKFLOWS_READ = "workflows:read"
    WORKFLOWS_WRITE = "workflows:write"
    EXECUTIONS_READ = "executions:read"
    EXECUTIONS_RUN = "executions:run"
    PROMPTS_READ = "prompts:read"
    PROMPTS_WRITE = "prompts:write"
    INTEGRATIONS_READ = "integrations:read"
    INTEGRATIONS_WRITE = "integrations:write"
    # Members, invitations, everybody's API keys and the audit log of the workspace.
    ADMIN = "admin"


Scopes = frozenset[Scope]

ALL_SCOPES: Scopes = frozenset(Scope)
NO_SCOPES: Scopes = frozenset()
READS_WORKFLOWS: Scopes = frozenset({Scope.WORKFLOWS_READ})
WRITES_WORKFLOWS: Scopes = frozenset({Scope.WORKFLOWS_WRITE})
READS_EXECUTIONS: Scopes = frozenset({Scope.EXECUTIONS_READ})
RUNS: Scopes = frozenset({Scope.EXECUTIONS_RUN})
READS_PROMPTS: Scopes = frozenset({Scope.PROMPTS_READ})
WRITES_PROMPTS: Scopes = frozenset({Scope.PROMPTS_WRITE})


class Role(StrEnum):
    """What a member may do in a workspace."""

    # Reads everything but the audit log.
    VIEWER = "viewer"
    # Also runs workflows and moves executions on.
    OPERATOR = "operator"
    # Also makes and changes workflows, prompts, connections and credentials.
    EDITOR = "editor"
    # Also says who is a member, and reads the audit log.
    OWNER = "owner"


_READING = frozenset({Scope.WORKFLOWS_READ, Scope.EXECUTIONS_READ, Scope.PROMPTS_READ, Scope.INTEGRATIONS_READ})
SCOPES_OF_ROLE: Mapping[Role, Scopes] = MappingProxyType(
    {
        Role.VIEWER: _READING,
        Role.OPERATOR: _READING | {Scope.EXECUTIONS_RUN},
        Role.EDITOR: ALL_SCOPES - {Scope.ADMIN},
        Role.OWNER: ALL_SCOPES,
    }
)


class NotAuthenticatedError(JobsprintError):
    """The request does not say who it comes from, or cannot prove it."""

    code = "not_authenticated"
    kind = ErrorKind.UNAUTHENTICATED


class InsufficientScopeError(JobsprintError):
    """The caller may not do this.

    Attributes:
        missing: the scopes that it takes and the caller does not have.
        is_attainable: whether the caller's role would let them be granted.
    """

    code = "insufficient_scope"
    kind = ErrorKind.FORBIDDEN

    def __init__(self, missing: Scopes, *, is_attainable: bool) -> None:
        super().__init__(
            f"This takes the scope {scopes_text(missing)}, which the caller does not have.",
            fix="Ask for it when you authorize, or take an API key that has it."
            if is_attainable
            else "Ask an owner of the workspace for a role that has it.",
        )
        self.missing = missing
        self.is_attainable = is_attainable


class Initiator(NamedTuple):
    """Who started an execution: a user, or what acts by itself, and through which client."""

    user_id: str
    client: str


NOBODY = Initiator("nobody", "none")
"""The initiator of dry runs, which nobody started."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Actor:
    """Who sends a request, and what they may do.

    ``user_id`` is a user's, or names what acts by itself (``machine:…``, ``webhook``). Everything happens in one
    workspace. ``scopes`` are what they may do now, ``attainable`` what their role would let them do if they asked for
    it. ``client`` says in words through what they came. ``session_id`` is there where they logged in. ``is_person``
    says that a person is at the other end, in a session of their own or with a signed page, and no program for them.
    """

    user_id: str
    workspace_id: str
    scopes: Scopes
    attainable: Scopes
    client: str
    session_id: str | None = None
    is_person: bool = False

    @property
    def initiator(self) -> Initiator:
        """The actor as executions keep it."""
        return Initiator(self.user_id, self.client)

    def require(self, needed: Scopes) -> None:
        """Check that the actor has every scope that is needed.

        Raises:
            InsufficientScopeError: one is missing.
        """
        if not needed <= self.scopes:
            raise InsufficientScopeError(needed - self.scopes, is_attainable=needed <= self.attainable)


LOCAL_ID = "local"
"""The one user of a server without logins, and their workspace."""

LOCAL_ACTOR = Actor(
    user_id=LOCAL_ID, workspace_id=LOCAL_ID, scopes=ALL_SCOPES, attainable=ALL_SCOPES, client="this machine"
)


def bearer_of_link(workspace_id: str) -> Actor:
    """The actor of a request by a signed link, which lets one thing happen. They have no rights of their own."""
    return Actor(
        user_id="link",
        workspace_id=workspace_id,
        scopes=NO_SCOPES,
        attainable=NO_SCOPES,
        client="a signed link",
        is_person=True,
    )


def scopes_in(text: str | Iterable[str]) -> Scopes:
    """The scopes that a text with blanks between them names, or a list; ``workflows:*`` stands for all of its kind.

    Raises:
        InvalidArgumentsError: one is unknown.
    """
    names = text.split() if isinstance(text, str) else list(text)
    found: set[Scope] = set()
    for name in names:
        kind, colon, right = name.partition(":")
        these = {each for each in Scope if each == name or (colon and right == "*" and each.startswith(f"{kind}:"))}
        if not these:
            raise InvalidArgumentsError(
                f"There is no scope {name!r:.60}.", pointer="/scope", fix=f"Scopes are: {scopes_text(ALL_SCOPES)}."
            )
        found |= these
    return frozenset(found)


def scopes_text(scopes: Scopes) -> str:
    """The scopes as OAuth writes them: in one text with blanks, always in the same order."""
    return " ".join(each.value for each in Scope if each in scopes)
