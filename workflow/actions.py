"""Actions: the single things that a connection can do, and the port by which nodes and tools run them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import orjson

from workflow.errors import ErrorKind, JobsprintError, OutboundError
from workflow.findings import did_you_mean, listed, nearest
from workflow.items import JsonObject

Effect = Literal["read", "write"]
EffectSource = Literal["said", "assumed", "declared"]
"""``said``: the other side says what the action does. ``assumed``: it does not, so the action counts as a write.
``declared``: it does not, and a person of the workspace has declared the action a read."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Action:
    """One thing that a connection can do: a tool of an MCP server, an action of Zapier, an operation of an API.

    ``connection`` and ``name`` together name it. ``input_schema`` is the JSON Schema (type object) of its arguments.
    ``is_idempotent`` is true only where the other side says so, and ``effect`` is ``read`` only there or where a person
    has declared it (``effect_source``): any other action is assumed to change something, and to change it again when it
    is repeated. ``group`` is the app or tag it belongs to.
    ``details`` are what its source needs to reach it; nobody else looks there.
    """

    connection: str
    name: str
    title: str
    description: str
    input_schema: JsonObject
    output_schema: JsonObject | None = None
    effect: Effect = "write"
    effect_source: EffectSource = "said"
    is_idempotent: bool = False
    is_destructive: bool = False
    group: str | None = None
    details: JsonObject = field(default_factory=dict)

    @property
    def effect_note(self) -> str | None:
        """On whose word the effect is what it is, where it is not the other side's."""
        if self.effect_source == "assumed":
            return "assumed write: the server does not say"
        return "read: declared by a person" if self.effect_source == "declared" else None

    @property
    def is_repeatable(self) -> bool:
        """Whether doing it twice does no harm."""
        return self.effect == "read" or self.is_idempotent

    @property
    def digest(self) -> str:
        """Twelve hex digits that differ whenever the form of the arguments does."""
        return hashlib.sha256(orjson.dumps(self.input_schema, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


@dataclass(slots=True, frozen=True, kw_only=True)
class ActionProgress:
    """How far a call has come, as the other side reports it."""

    progress: float
    total: float | None = None
    message: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ActionQuestion:
    """Something that the other side asks in the middle of a call.

    Either a form (``schema``, JSON Schema) or a page (``url``) is to be filled in. ``key`` names the question to
    :attr:`ActionCall.answers`; ``state`` goes back with the answer as it is.
    """

    key: str
    message: str
    schema: JsonObject | None = None
    url: str | None = None
    state: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ActionCall:
    """A call to make. ``effect_key`` is the same again when the call is repeated, for other sides that look at it.

    ``answers`` are the answers to questions of an earlier try, each ``{"action": "accept" | "decline" | "cancel",
    "content": {…}}``; ``state`` what came with the questions. ``user_id`` is for whom it is done.
    """

    owner: str
    connection: str
    action: str
    arguments: JsonObject
    instructions: str | None = None
    timeout_seconds: float = 30.0
    effect_key: str | None = None
    user_id: str | None = None
    digest: str | None = None
    answers: Mapping[str, JsonObject] = field(default_factory=dict)
    state: str | None = None
    on_progress: Callable[[ActionProgress], None] | None = field(default=None, compare=False)


@dataclass(slots=True, frozen=True, kw_only=True)
class ActionResult:
    """What an action came to. ``data`` is JSON: structured where the other side gave that, else its text.

    ``is_preview`` says that it was shown what would happen, and nothing has. ``quota`` is what the other side charges.
    ``details`` is what else it said of the call (an id, a link for feedback, how it understood the parameters).
    """

    data: Any
    is_preview: bool = False
    quota: int = 0
    details: JsonObject = field(default_factory=dict)


@dataclass(slots=True, frozen=True, kw_only=True)
class ResourceContent:
    """One content of a resource of an MCP server: text (JSON is parsed), or bytes in base64."""

    uri: str
    media_type: str | None
    data: Any
    is_base64: bool = False


class ActionError(OutboundError):
    """An action was not done, or it is unknown whether it was (``may_have_happened``).

    Codes: ``action_refused`` (the other side says no, and why), ``action_arguments`` (they do not fit its schema),
    ``action_changed`` (its schema is not what the caller expects), ``action_result`` (the answer cannot be read),
    ``connection_unauthorized``, ``connection_failed``, ``circuit_open``, ``quota_spent``, ``timeout``,
    ``program_ended``, ``http_status``.

    ``is_unavailable`` says that the connection does not work now, whatever the call: an action of another connection
    may do the same.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        transient: bool = False,
        may_have_happened: bool = False,
        is_unavailable: bool = False,
        fix: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, code=code, transient=transient, fix=fix, retry_after_seconds=retry_after_seconds)
        self.code = code
        self.kind = ErrorKind.UNAVAILABLE if is_unavailable or transient or may_have_happened else ErrorKind.INVALID
        self.may_have_happened = may_have_happened
        self.is_unavailable = is_unavailable


class ActionAsksError(Exception):
    """Raised in place of a result: the other side asks, and is to be called again with the answers."""

    def __init__(self, questions: Sequence[ActionQuestion]) -> None:
        super().__init__(questions[0].message if questions else "")
        self.questions = tuple(questions)


class ActionNotFoundError(JobsprintError):
    """The connection has no such action, or does not allow it."""

    code = "action_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, connection: str, name: str, *, known: Sequence[str] = ()) -> None:
        near = nearest(name, known)
        super().__init__(
            f"The connection {connection!r} has no action {name!r:.100}.{did_you_mean(near)}",
            fix=f"Look for it with find_actions; there are: {listed(list(known)[:10])}."
            if known
            else "Look for it with find_actions.",
        )


class Actions(Protocol):
    """Runs actions, whichever system they belong to."""

    async def find(self, owner: str, connection: str, name: str) -> Action:
        """An action by its name.

        Raises:
            ConnectionNotFoundError, ActionNotFoundError: there is none.
            ActionError: the connection has never been asked what it can do, and does not say now.
        """
        ...

    async def run(self, call: ActionCall) -> ActionResult:
        """Run an action once. A call that may have happened is not tried again here.

        Raises:
            ConnectionNotFoundError, ActionNotFoundError: there is none.
            ActionAsksError: the other side asks something first.
            ActionError: it was not done, or it is unknown whether it was.
        """
        ...

    async def read(self, owner: str, connection: str, uri: str, *, timeout_seconds: float) -> Sequence[ResourceContent]:
        """A resource of an MCP server.

        Raises:
            ConnectionNotFoundError: there is no such connection.
            ActionError: it has no such resource, or does not give it.
        """
        ...

    def note_fallback(self, owner: str, connection: str, action: str) -> None:
        """Count a call that another action has done instead of this one. Never waits."""
        ...
