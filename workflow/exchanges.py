"""What was said to models and what they said, as the history keeps it; the ports of the history and of the memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from workflow.chat import Asker, ChatAttempt, Usage
from workflow.items import JsonObject
from workflow.ports import Page

OK = "ok"


@dataclass(slots=True, frozen=True, kw_only=True)
class Exchange:
    """One exchange. ``model`` is the one that answered, or else the last one that was asked.

    ``outcome`` is ``ok`` or the code of the failure. Secrets are hidden in ``request`` and ``answer``, and long texts
    are cut.
    """

    id: str
    asker: Asker
    conversation_id: str | None
    model: str
    outcome: str
    request: JsonObject
    answer: JsonObject
    usage: Usage
    latency_ms: float
    created_at: datetime
    attempts: Sequence[ChatAttempt] = ()
    is_from_cache: bool = False


@dataclass(slots=True, frozen=True, kw_only=True)
class ExchangeFilter:
    """Which exchanges to list: those of a workspace, and of a workflow, an execution, a conversation."""

    owner: str
    workflow_id: str | None = None
    execution_id: str | None = None
    conversation_id: str | None = None


class Spent(NamedTuple):
    """Tokens, in and out, and micro-dollars as far as prices are known."""

    tokens: int
    cost_micros: int


class Exchanges(Protocol):
    """The history of exchanges."""

    async def add(self, exchange: Exchange) -> None:
        """Keep an exchange.

        Raises:
            StorageError: the database failed.
        """
        ...

    async def page(self, where: ExchangeFilter, *, limit: int, cursor: str | None) -> Page[Exchange]:
        """Exchanges, newest first.

        Raises:
            InvalidArgumentsError: the cursor is none of this list.
        """
        ...

    async def spent(
        self, *, since: datetime, owner: str | None = None, user_id: str | None = None, workflow_id: str | None = None
    ) -> Spent:
        """What a user, or a workflow, has used since then, in a workspace or in all.

        Raises:
            StorageError: the database failed.
        """
        ...


class AnswerMemory(Protocol):
    """Answers that were given before, by the hash of what was asked. It may forget any of them at any time, and fails
    silently: an answer that it has not is asked for again."""

    async def get(self, key: str) -> bytes | None:
        """What was put there, if it is still known."""
        ...

    async def put(self, key: str, answer: bytes) -> None:
        """Remember it for a while."""
        ...
