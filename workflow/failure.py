"""What a failure is: the root of all that are raised on purpose.

Each has a stable ``code`` (what programs switch on), a one-sentence message, where it is (``pointer``,
RFC 6901) and how to mend it (``fix``). Numbers of HTTP or JSON-RPC are the edges' business: they map
``kind`` once.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from workflow.findings import Finding
    from workflow.secret_links import SecretNeed


class ErrorKind(StrEnum):
    """What sort of failure it is, for an edge that has to choose a status."""

    INVALID = "invalid"
    """The request itself is wrong; sending it again changes nothing."""
    NOT_FOUND = "not_found"
    """What was named does not exist."""
    CONFLICT = "conflict"
    """The request contradicts what is stored; read, then decide."""
    TOO_LARGE = "too_large"
    """More was sent at once than is taken."""
    TOO_SLOW = "too_slow"
    """The request was not there in time."""
    UNSUPPORTED = "unsupported"
    """The request comes in a form that is not read."""
    OVERLOADED = "overloaded"
    """A bounded queue is full; try again after ``retry_after_seconds``."""
    UNAUTHENTICATED = "unauthenticated"
    """Nobody knows who the caller is."""
    FORBIDDEN = "forbidden"
    """The caller may not do this, or has not proved that they may."""
    UNAVAILABLE = "unavailable"
    """Something that the server needs is not there now; the same request may work later."""
    FAILED = "failed"
    """The work was tried and failed."""


class NextCall(NamedTuple):
    """The tool call that leads on from a failure, ready to be made."""

    tool: str
    arguments: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The call as it is shown."""
        return {"tool": self.tool, "arguments": self.arguments}


class JobsprintError(Exception):
    """Root of all expected failures.

    Attributes:
        code: stable identifier in snake case, documented in ``docs/errors.md``.
        message: one sentence that says what is wrong.
        pointer: JSON pointer into the caller's input, or ``None``.
        fix: one sentence that says what to do next, or ``None``.
        next: the tool call that ``fix`` speaks of, where it can be written down.
        findings: every problem by itself, where there may be several.
        secret_need: the secret that is missing, where that is what is wrong.
        secret_url: where a person enters it, put in at the edge for callers who may manage credentials.
    """

    code: str = "jobsprint_error"
    kind: ErrorKind = ErrorKind.FAILED

    def __init__(
        self, message: str, *, pointer: str | None = None, fix: str | None = None, next_call: NextCall | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer
        self.fix = fix
        self.next = next_call
        self.findings: tuple[Finding, ...] = ()
        self.secret_need: SecretNeed | None = None
        self.secret_url: str | None = None
