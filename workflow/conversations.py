"""Conversations: what was said under a key, and the window of it that a model is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from workflow.chat import Message


@dataclass(slots=True, frozen=True, kw_only=True)
class Turn:
    """A message of a conversation. ``position`` rises by one with each; ``tokens`` is counted by the provider where it
    has told, else estimated (``is_estimate``). A ``is_pinned`` message is in every window."""

    position: int
    message: Message
    tokens: int
    is_estimate: bool
    at: datetime
    is_pinned: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class Window:
    """What fits into a budget: pinned messages, a summary of what fell out where there is one, then the latest turns.

    ``tokens`` never exceed the budget; ``left_out`` is how many turns the summary stands for, or nothing does.
    """

    messages: Sequence[Message]
    tokens: int
    left_out: int
    is_estimate: bool


class ConversationStore(Protocol):
    """Turns and summaries of conversations. ``owner`` is the workspace; ``key`` is anything that its author chose: a
    user, a thread, a workflow."""

    async def append(
        self, owner: str, key: str, turns: Sequence[Turn], *, effect: str | None = None, now: datetime
    ) -> int:
        """Add turns behind those there are, unless the same ``effect`` has added them before; the position of the
        last one. Positions are set here."""
        ...

    async def tail(self, owner: str, key: str, *, after: int = 0, limit: int | None = None) -> Sequence[Turn]:
        """Turns behind a position, oldest first; with ``limit`` the latest of them. Pinned ones are always in it."""
        ...

    async def summary(self, owner: str, key: str) -> tuple[int, str] | None:
        """Up to which position there is a summary, and its text."""
        ...

    async def put_summary(self, owner: str, key: str, *, upto: int, text: str, now: datetime) -> None:
        """Keep a summary of everything up to a position, unless there is one that reaches further."""
        ...

    async def delete(self, owner: str, key: str) -> None:
        """Forget the conversation; one that is not there is no error."""
        ...


class Conversations(Protocol):
    """Memory as nodes use it."""

    async def window(self, owner: str, key: str, *, budget_tokens: int, upcoming: Sequence[Message] = ()) -> Window:
        """The window for what comes next, ``upcoming`` included in the budget.

        Raises:
            InvalidArgumentsError: what is pinned and upcoming does not fit into the budget by itself.
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
    ) -> None:
        """Add messages, with their tokens where the provider has counted them.

        ``effect`` names the effect that they come of: one that is repeated after a crash does not add them twice.
        """
        ...
