"""Conversations over HTTP, on the whole of a server in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from engine.executions.duties import Duty
from server.assembly.app import http_app
from server.assembly.composition import Services, running_services
from server.assembly.conversations import IdleConversations
from server.assembly.duties import duties_at_work
from server.settings.settings import Settings
from storage.clock import SystemClock
from storage.ids import UuidFactory
from storage.models.conversations import SqlConversations
from storage.people.audit import AuditFilter
from tests.support.services import REDIS_URL, need
from workflow.chat import Message, ToolCall
from workflow.identity import LOCAL_ID


@dataclass
class Served:
    """A server, and a client of it."""

    services: Services
    http: httpx2.AsyncClient

    async def say(self, *texts: str, key: str = "k", owner: str = LOCAL_ID) -> None:
        """Note a user's messages."""
        said = [Message(role="user", content=text) for text in texts]
        await self.services.conversations.note(owner, key, said, tokens=[None] * len(said))


@pytest.fixture(params=["alone", "redis"])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    """A server of this machine's own user, with and without Redis."""
    if request.param == "redis":
        need("Redis")
    settings = Settings(data_dir=tmp_path, redis_url=REDIS_URL if request.param == "redis" else None)
    async with running_services(settings, has_http=True) as services, http_app(settings, services) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url=settings.base_url) as http:
            yield Served(services, http)


async def test_conversations_are_listed_read_page_by_page_and_forgotten(served: Served) -> None:
    await served.say("a", "b", "c", key="user:1/thread 2")
    await served.say("other", key="other")
    await served.say("not yours", key="hidden", owner="somebody")
    listed = (await served.http.get("/api/conversations")).json()
    assert [each["key"] for each in listed["conversations"]] == ["other", "user:1/thread 2"]
    assert listed["conversations"][1]["turns_in_all"] == 3
    narrowed = (await served.http.get("/api/conversations?text=user&limit=1")).json()
    assert [each["key"] for each in narrowed["conversations"]] == ["user:1/thread 2"]
    for path in ("/api/conversations/user:1/thread 2", "/api/conversations/user%3A1%2Fthread%202"):
        first = (await served.http.get(f"{path}?limit=2")).json()
        assert [(turn["position"], turn["content"]) for turn in first["turns"]] == [(3, "c"), (2, "b")]
        second = (await served.http.get(f"{path}?limit=2&before={first['next_before']}")).json()
        assert [turn["content"] for turn in second["turns"]] == ["a"]
        assert second["next_before"] is None
    assert (await served.http.delete("/api/conversations/user:1/thread 2")).status_code == 204
    gone = await served.http.get("/api/conversations/user:1/thread 2")
    assert (gone.status_code, gone.json()["code"]) == (404, "conversation_not_found")
    assert (await served.http.delete("/api/conversations/user:1/thread 2")).status_code == 404
    assert (await served.http.get("/api/conversations/hidden")).status_code == 404
    assert (await served.http.delete("/api/conversations/hidden")).status_code == 404
    noted = await served.services.audit.page(LOCAL_ID, AuditFilter(action="conversation."), limit=9, cursor=None)
    assert [each.subject for each in noted.items] == ["conversation:user:1/thread 2"]


@pytest.mark.parametrize(
    "path",
    [
        "?limit=0",
        "?cursor=x",
        "?more=1",
        "/k?limit=101",
        "/k?before=0",
        "/k?before=2147483648",
        "/%20k",
        f"/{'x' * 201}",
    ],
)
async def test_wrong_queries_and_keys_are_refused(served: Served, path: str) -> None:
    await served.say("a")
    answer = await served.http.get(f"/api/conversations{path}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_arguments")


async def test_secrets_in_what_was_said_are_hidden(served: Served) -> None:
    call = ToolCall(id="c", name="login", arguments={"password": "hunter2"}, raw_arguments='{"password": "hunter2"}')
    said = Message(role="assistant", content="", tool_calls=(call,))
    await served.services.conversations.note(LOCAL_ID, "k", [said], tokens=[None])
    assert "hunter2" not in (await served.http.get("/api/conversations/k")).text


async def test_the_description_has_the_routes(served: Served) -> None:
    paths = (await served.http.get("/openapi.json")).json()["paths"]
    assert set(paths["/api/conversations"]) == {"get"}
    assert set(paths["/api/conversations/{key}"]) == {"get", "delete"}
    assert [each["name"] for each in paths["/api/conversations/{key}"]["get"]["parameters"]] == [
        "key",
        "limit",
        "before",
    ]


async def test_idle_conversations_are_forgotten_in_time(served: Served) -> None:
    await served.say("a")
    store = SqlConversations(served.services.database, new_id=UuidFactory(clock=SystemClock()))
    await IdleConversations(store=store, clock=SystemClock(), kept=timedelta(days=1)).forget()
    assert await store.head(LOCAL_ID, "k") is not None
    idle = IdleConversations(store=store, clock=SystemClock(), kept=timedelta(days=-1))
    duty, database = Duty("idle conversations", 60, idle.forget), served.services.database
    async with (
        duties_at_work(duty, database=database, clock=SystemClock(), new_id=UuidFactory(clock=SystemClock())),
        asyncio.timeout(5),
    ):
        while await store.head(LOCAL_ID, "k") is not None:
            pass
    assert (await served.http.get("/api/conversations/k")).status_code == 404
