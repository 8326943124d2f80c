"""How much a user and a workflow may use in a day, counted from the history of exchanges."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from workflow.chat import Asker, ModelError, Usage
from workflow.errors import StorageError
from workflow.exchanges import Exchanges, Spent
from workflow.ports import Clock

FRESH_SECONDS = 30.0
"""How long a count is good before it is read again: other processes count too."""
MOST_COUNTS = 10_000
"""Users and workflows whose counts are kept; the oldest go first."""


@dataclass(slots=True, frozen=True, kw_only=True)
class DailyLimit:
    """Bounds of one UTC day; ``None`` is none. ``setting`` names what they are set by."""

    setting: str
    tokens: int | None = None
    cost_micros: int | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ModelLimits:
    """The bounds for each user, over all workspaces, and for each workflow."""

    user: DailyLimit = DailyLimit(setting="JOBSPRINT_AI_USER")
    workflow: DailyLimit = DailyLimit(setting="JOBSPRINT_AI_WORKFLOW")


@dataclass(slots=True)
class _Count:
    """What one user or workflow has used today, and what is under way."""

    day: datetime
    read_at: float
    spent: Spent = field(default_factory=lambda: Spent(0, 0))
    reserved: int = 0


class Spending:
    """Counts what is used, and refuses what would go beyond a limit.

    What is under way counts with its estimated question; its answer, and what other processes ask at the same time, can
    go beyond a limit by as much. ``monotonic`` gives seconds that never go back.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        *,
        limits: ModelLimits,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchanges = exchanges
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._counts: dict[tuple[str, str], _Count] = {}

    @asynccontextmanager
    async def admitted(self, asker: Asker, estimate: Callable[[], int]) -> AsyncGenerator[None]:
        """Around a question of about so many tokens; they are only estimated where there is a limit.

        Raises:
            ModelError: a limit is reached, code ``model_limit_reached``.
            StorageError: the history cannot be read, and nothing is known of today.
        """
        counts = []
        for kind, name, limit in self._limited(asker):
            count = await self._count(kind, name)
            self._check(kind, limit, count)
            counts.append(count)
        tokens = estimate() if counts else 0
        for count in counts:
            count.reserved += tokens
        try:
            yield
        finally:
            for count in counts:
                count.reserved -= tokens

    def note(self, asker: Asker, usage: Usage) -> None:
        """Count what was used; the history has it already."""
        for kind, name, _ in self._limited(asker):
            count = self._counts.get((kind, name))
            if count is not None:
                tokens = count.spent.tokens + usage.input_tokens + usage.output_tokens
                count.spent = Spent(tokens, count.spent.cost_micros + (usage.cost_micros or 0))

    def _limited(self, asker: Asker) -> Iterator[tuple[str, str, DailyLimit]]:
        for kind, name, limit in (
            ("user", asker.user_id, self._limits.user),
            ("workflow", asker.workflow_id, self._limits.workflow),
        ):
            if name is not None and (limit.tokens is not None or limit.cost_micros is not None):
                yield kind, name, limit

    async def _count(self, kind: str, name: str) -> _Count:
        day = self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        count = self._counts.get((kind, name))
        now = self._monotonic()
        if count is not None and count.day == day and now - count.read_at < FRESH_SECONDS:
            return count
        try:
            spent = await self._exchanges.spent(since=day, **{f"{kind}_id": name})
        except StorageError:
            if count is not None and count.day == day:
                return count
            raise
        if count is None:
            count = self._counts.setdefault((kind, name), _Count(day, now))
            while len(self._counts) > MOST_COUNTS:
                del self._counts[next(iter(self._counts))]
        count.day, count.read_at, count.spent = day, now, spent
        return count

    def _check(self, kind: str, limit: DailyLimit, count: _Count) -> None:
        tokens = count.spent.tokens + count.reserved
        if limit.tokens is not None and tokens >= limit.tokens:
            used, suffix = f"{tokens} of {limit.tokens} tokens", "TOKENS_PER_DAY"
        elif limit.cost_micros is not None and count.spent.cost_micros >= limit.cost_micros:
            used = f"{count.spent.cost_micros / 1e6:.2f} of {limit.cost_micros / 1e6:.2f} dollars"
            suffix = "DOLLARS_PER_DAY"
        else:
            return
        left = count.day + timedelta(days=1) - self._clock.now()
        raise ModelError(
            f"This {kind} has used {used} for models today (UTC).",
            code="model_limit_reached",
            transient=False,
            fix=f"Wait until tomorrow, or raise {limit.setting}_{suffix}.",
            retry_after_seconds=left.total_seconds(),
        )
