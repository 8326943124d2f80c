"""Conversations: what was said under a key, and the window of it that a model is shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from workflow.chat import Asker, Message
from workflow.errors import InvalidArgumentsError
from workflow.failure import ErrorKind, JobsprintError
from workflow.ports import Page

MAX_KEY_LENGTH = 200
"""Characters of a conversation's key."""
MARGIN_UNIT = 1_000
"""A margin of this many says that provider and we count the same."""


@dataclass(slots=True, frozen=True, kw_only=True)
class NewTurn:
    """A message to add; ``tokens`` as in :class:`Turn`."""

    message: Message
    tokens: int
    is_estimate: bool
    is_pinned: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class Turn:
    """A message of a conversation. ``position`` rises by one with each; ``tokens`` is the provider's count where it
    gave one, else an estimate (``is_estimate``). A message with ``is_pinned`` is in every window."""

    position: int
    message: Message
    tokens: int
    is_estimate: bool
    at: datetime
    is_pinned: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class Head:
    """A conversation without its messages.

    ``id`` is another one when it is begun anew after it was deleted; ``revision`` rises with every change of it.
    ``margin`` is how many tokens the provider counts for :data:`MARGIN_UNIT` of ours, and never below that.
    ``pinned`` and ``tokens`` are how many turns are pinned, and how long all are together.
    """

    id: str
    key: str
    revision: int
    last_position: int
    pinned: int
    tokens: int
    margin: int
    created_at: datetime
    updated_at: datetime


@dataclass(slots=True, frozen=True, kw_only=True)
class Summary:
    """What stands for every turn up to a position."""

    upto: int
    text: str
    tokens: int


@dataclass(slots=True, frozen=True, kw_only=True)
class Tail:
    """The latest turns of a conversation as they were at the head's revision, without a gap, and what belongs to them.

    ``first_position`` is where ``turns`` begin: 1 where they are all there is. ``pinned`` are all pinned ones, of
    which those behind ``first_position`` are in ``turns`` as well.
    """

    head: Head
    first_position: int
    turns: tuple[Turn, ...]
    pinned: tuple[Turn, ...]
    summary: Summary | None
    size_bytes: int


@dataclass(slots=True, frozen=True, kw_only=True)
class Window:
    """What fits into a budget: pinned messages, what stands for those left out, then the latest turns.

    What comes next (``upcoming``) is not in ``messages``; put it behind them. ``tokens`` are of both and never exceed
    the budget. ``left_out`` is how many turns are neither pinned nor shown; a summary stands for them where there is
    one (``has_summary``), else only a note of their number. ``kept_tokens`` and ``upcoming_tokens`` are those of
    ``messages`` and of what comes next without any margin; the former are estimated in part where ``is_estimate``.
    """

    messages: Sequence[Message]
    tokens: int
    left_out: int
    is_estimate: bool
    has_summary: bool = False
    kept_tokens: int = 0
    upcoming_tokens: int = 0


class ConversationNotFoundError(JobsprintError):
    """Nothing was said under this key, or it is forgotten."""

    code = "conversation_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, key: str) -> None:
        super().__init__(
            f"There is no conversation {key[:MAX_KEY_LENGTH]!r}.",
            pointer="/key",
            fix="GET /api/conversations lists those there are.",
        )


def checked_key(key: str) -> str:
    """The key in the form in which it is kept: composed characters (NFC).

    Raises:
        InvalidArgumentsError: it is empty, too long, has characters that do not print, or spaces around it.
    """
    composed = unicodedata.normalize("NFC", key) if isinstance(key, str) else ""
    if not 0 < len(composed) <= MAX_KEY_LENGTH or not composed.isprintable() or composed != composed.strip():
        raise InvalidArgumentsError(
            f"{str(key)[:60]!r} cannot be a conversation's key.",
            pointer="/key",
            fix=f"Give 1 to {MAX_KEY_LENGTH} printable characters without spaces around them, for example user:42.",
        )
    return composed


class ConversationStore(Protocol):
    """Turns and summaries of conversations. ``owner`` is the workspace; ``key`` is anything that its author chose: a
    user, a thread, a workflow. Keys are taken as they are; see :func:`checked_key`."""

    async def append(
        self,
        owner: str,
        key: str,
        turns: Sequence[NewTurn],
        *,
        effect: str | None = None,
        margin: int | None = None,
        now: datetime,
    ) -> int | None:
        """Add turns behind those there are, all or none, and keep the margin where one is given; the last position.

        ``None`` where the same ``effect`` has added turns before: then nothing happens. Positions count from 1 without
        a gap, also when several append at once. A pinned message that is pinned already is not added again.

        Raises:
            InvalidArgumentsError: too many turns would be pinned.
        """
        ...

    async def head(self, owner: str, key: str) -> Head | None:
        """The conversation without its messages; ``None`` where there is none."""
        ...

    async def read(
        self, owner: str, key: str, *, after: int = 0, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        """Turns between two positions, those left out, oldest first; with ``limit`` the latest of them."""
        ...

    async def pinned(self, owner: str, key: str) -> Sequence[Turn]:
        """Every pinned turn, oldest first."""
        ...

    async def summary(self, owner: str, key: str) -> Summary | None:
        """The summary that there is."""
        ...

    async def put_summary(self, owner: str, key: str, summary: Summary, *, now: datetime) -> None:
        """Keep a summary, unless there is one that reaches further, or the conversation is not that long (any more)."""
        ...

    async def page(self, owner: str, *, text: str | None = None, limit: int, cursor: str | None) -> Page[Head]:
        """Conversations, the one last added to first; ``text`` narrows to keys that contain it.

        Raises:
            InvalidArgumentsError: ``cursor`` is not one that this method gave out.
        """
        ...

    async def delete(self, owner: str, key: str) -> bool:
        """Forget the conversation; whether there was one."""
        ...

    async def prune(self, *, idle_before: datetime, limit: int) -> int:
        """Delete up to ``limit`` conversations, of all workspaces, that nothing was added to since then; how many."""
        ...


class TailCache(Protocol):
    """A cache of conversations' tails. A tail may be old: compare its revision with the head's. No method fails: a tail
    that could not be stored or read is not there."""

    async def get(self, owner: str, key: str) -> Tail | None:
        """The tail that was put last, if it is still there."""
        ...

    async def put(self, owner: str, key: str, tail: Tail) -> None:
        """Keep a tail in place of the one before."""
        ...

    async def forget(self, owner: str, key: str) -> None:
        """Drop the conversation's tail."""
        ...


class Attachments(Protocol):
    """Whether what messages refer to is still there."""

    async def missing(self, owner: str, urls: Collection[str]) -> Collection[str]:
        """Those of ``urls`` that are known to lead nowhere any more."""
        ...


class Conversations(Protocol):
    """Memory as nodes use it."""

    async def window(
        self,
        owner: str,
        key: str,
        *,
        budget_tokens: int,
        upcoming: Sequence[Message] = (),
        asker: Asker | None = None,
        reserved_tokens: int = 0,
    ) -> Window:
        """The window for what comes next, ``upcoming`` included in the budget, and ``reserved_tokens`` for what else
        goes with the request, its tools for example.

        A summary of what falls out is made for ``asker``; without one none is made. Answers of tools in ``upcoming``
        may belong to calls that were noted before.

        Raises:
            InvalidArgumentsError: what must be shown does not fit into the budget by itself; or the key is none.
        """
        ...

    async def note(
        self,
        owner: str,
        key: str,
        messages: Sequence[Message],
        *,
        tokens: Sequence[int | None],
        effect: str | None = None,
        is_pinned: bool = False,
        window: Window | None = None,
        input_tokens: int | None = None,
    ) -> None:
        """Add messages, with their tokens where the provider has counted them.

        ``effect`` names the effect that they come of: one that is repeated after a crash does not add them twice.
        ``window`` is the one that the provider was shown, and ``input_tokens`` what it counted for that, ``upcoming``
        and reserve included: later windows leave as much room as it takes.

        Raises:
            InvalidArgumentsError: too many messages, one that is too large, or the key is none.
        """
        ...
