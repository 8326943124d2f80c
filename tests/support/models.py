"""A model adapter over the scripted server, with clocks that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from integrations.model_http import model_client
from prompts.models.adapter import ModelAdapter
from prompts.models.history import History
from prompts.models.limits import ModelLimits, Spending
from prompts.models.memory import InProcessMemory
from server.assembly.model_parts import catalogue_of, providers_of
from server.settings.settings import Settings
from storage.clock import SystemClock
from storage.database.database import Database
from storage.ids import UuidFactory
from storage.models.exchanges import SqlExchanges
from tests.doubles.models import ModelsDouble
from tests.support.accounts import SetClock
from workflow.chat import Asker, ChatRequest, Message
from workflow.exchanges import Exchange, ExchangeFilter

ASKER = Asker("w", "ada", "workflow-1", "execution-1", "ask")
KEY = "sk-a-key-of-the-test-that-nobody-may-see"


@dataclass(slots=True, kw_only=True)
class Seconds:
    """Monotonic seconds that stand still until they are moved."""

    now: float = 1_000.0

    def __call__(self) -> float:
        """What it was set to."""
        return self.now


@dataclass(slots=True, kw_only=True)
class ModelsHarness:
    """The adapter, and what stands around it."""

    adapter: ModelAdapter
    exchanges: SqlExchanges
    double: ModelsDouble
    clock: SetClock
    seconds: Seconds

    async def history(self, owner: str = ASKER.owner) -> list[Exchange]:
        """What was kept, oldest first."""
        page = await self.exchanges.page(ExchangeFilter(owner=owner), limit=100, cursor=None)
        return list(reversed(page.items))


@asynccontextmanager
async def models_over(
    double: ModelsDouble,
    database: Database,
    *,
    limits: ModelLimits | None = None,
    settings: dict[str, Any] | None = None,
    providers: dict[str, Any] | None = None,
) -> AsyncIterator[ModelsHarness]:
    """Two providers, ``one`` and ``two``, that are the double; ``one/a`` and then ``two/b`` are asked by default."""
    same = {"base_url": double.openai_url, "api_key": KEY}
    given: dict[str, Any] = {"models": "one/a,two/b", "embedding_model": "one/e", **(settings or {})}
    given["model_providers"] = {"one": same, "two": same} if providers is None else providers
    clock, seconds = SetClock(), Seconds()
    made = Settings(**given)
    exchanges = SqlExchanges(database)
    async with model_client(max_connections=20, max_response_bytes=1 << 20, user_agent="test") as http:
        yield ModelsHarness(
            adapter=ModelAdapter(
                catalogue=catalogue_of(made, providers_of(made, lambda: http, environment={})),
                history=History(exchanges, clock=clock, new_id=UuidFactory(clock=SystemClock())),
                spending=Spending(exchanges, limits=limits or ModelLimits(), clock=clock, monotonic=seconds),
                memory=InProcessMemory(seconds=60, monotonic=seconds),
                monotonic=seconds,
            ),
            exchanges=exchanges,
            double=double,
            clock=clock,
            seconds=seconds,
        )


def asking(text: str = "How are you?", **members: Any) -> ChatRequest:
    """A request with one message."""
    members.setdefault("asker", ASKER)
    members.setdefault("messages", [Message(role="user", content=text)])
    return ChatRequest(timeout_seconds=members.pop("timeout_seconds", 20.0), **members)
