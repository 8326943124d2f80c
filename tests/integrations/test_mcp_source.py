"""MCP servers as sources of actions, in both eras: what calls come to, what breaks, what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
import pytest

from integrations.credential_headers import CredentialHeaders
from integrations.mcp.http import OverHttp
from integrations.mcp.kinds import HttpServers
from integrations.mcp.sessions import McpSessions
from tests.doubles.mcp_server import McpDouble, never, running_mcp_double, tool
from tests.integrations.conftest import OWNER, Senders
from tests.support.engine import NOON
from tests.support.waiting import until
from workflow.actions import (
    Action,
    ActionAsksError,
    ActionCall,
    ActionError,
    ActionProgress,
    ActionResult,
)
from workflow.connections import Connection
from workflow.credential_forms import BearerCredential
from workflow.credentials import CredentialRef
from workflow.redaction import HIDDEN

INFO = types.Implementation(name="jobsprint", version="test")


@dataclass(slots=True)
class Reached:
    """A source, and the connection of a double."""

    source: HttpServers
    connection: Connection
    double: McpDouble
    changed: list[str] = field(default_factory=list)

    async def action(self, name: str) -> Action:
        """An action by its name."""
        return next(each for each in await self.source.actions(self.connection) if each.name == name)

    async def run(self, name: str, **arguments: Any) -> ActionResult:
        """What a call comes to."""
        return await self.call(name, arguments)

    async def call(self, name: str, arguments: dict[str, Any], **members: Any) -> ActionResult:
        """What a call comes to, with more to say."""
        call = ActionCall(owner=OWNER, connection="shop", action=name, arguments=arguments, **members)
        return await self.source.run(self.connection, await self.action(name), call)

    async def failure(self, name: str, **arguments: Any) -> ActionError:
        """How a call fails."""
        with pytest.raises(ActionError) as raised:
            await self.run(name, **arguments)
        return raised.value


@asynccontextmanager
async def reached(senders: Senders, **members: Any) -> AsyncIterator[Reached]:
    """A double, and a source that reaches it."""
    async with AsyncExitStack() as stack:
        double = await stack.enter_async_context(running_mcp_double(**members))
        changed: list[str] = []
        open_client = OverHttp(
            senders.inner.transport,
            vault=senders.vault,
            headers=CredentialHeaders.over(
                senders.inner, vault=senders.vault, claims=senders.claims, clock=senders.clock
            ),
            info=INFO,
            max_bytes=1_000_000,
        )
        sessions = McpSessions(open_client, on_tools_changed=lambda each: changed.append(each.name), most=5)
        await stack.enter_async_context(sessions)
        connection = Connection(
            id="c",
            owner=OWNER,
            name="shop",
            kind="mcp",
            status="connected",
            settings={"url": double.url},
            created_by="ada",
            created_at=NOON,
            updated_at=NOON,
        )
        yield Reached(HttpServers(sessions), connection, double, changed)


@pytest.fixture(params=["new", "old"])
async def shop(request: pytest.FixtureRequest, senders: Senders) -> AsyncIterator[Reached]:
    """A double of either era."""
    async with reached(senders, is_old=request.param == "old") as found:
        yield found


async def test_tools_are_actions_and_only_what_the_server_says_counts_as_reading(shop: Reached) -> None:
    shop.double.page_size = 2
    found = {each.name: each for each in await shop.source.actions(shop.connection)}
    assert list(found) == ["echo", "order", "order_size", "steps", "broken"]
    assert found["echo"].effect == "read"
    assert (found["order"].effect, found["order"].is_repeatable) == ("write", False)
    assert found["order"].input_schema["required"] == ["item"]


async def test_a_result_is_structured_or_json_or_text(shop: Reached) -> None:
    assert (await shop.run("echo", text="hi")).data == "hi"
    assert (await shop.run("echo", text='{"a": 1}')).data == {"a": 1}
    assert (await shop.run("echo", text="{a")).data == "{a"
    assert (await shop.run("steps")).data == {"steps": 2}


async def test_a_refusal_is_told_in_the_servers_words(shop: Reached) -> None:
    error = await shop.failure("broken", item="x")
    assert (error.outbound_code, error.transient, error.may_have_happened) == ("action_refused", False, False)
    assert "No such item." in error.message


async def test_progress_is_passed_on(shop: Reached) -> None:
    seen: list[ActionProgress] = []
    await shop.call("steps", {}, on_progress=seen.append)
    assert [(each.progress, each.total, each.message) for each in seen] == [(1, 2, "step 1"), (2, 2, "step 2")]


async def test_the_effect_key_goes_along(shop: Reached) -> None:
    await shop.call("order", {"item": "cup"}, effect_key="e:1")
    assert "e:1" in str(shop.double.metas[-1])


async def test_a_question_ends_the_call_and_its_answer_is_taken_the_next_time(shop: Reached) -> None:
    with pytest.raises(ActionAsksError) as asks:
        await shop.run("order_size", item="cup")
    (question,) = asks.value.questions
    assert (question.message, question.schema is not None) == ("Which size?", True)
    assert shop.double.ordered == []
    answers = {question.key: {"action": "accept", "content": {"size": "L"}}}
    result = await shop.call("order_size", {"item": "cup"}, answers=answers, state=question.state)
    assert result.data == "ordered in L"
    assert shop.double.ordered == ["cup L"]


async def test_a_declined_question_is_declined(shop: Reached) -> None:
    with pytest.raises(ActionAsksError) as asks:
        await shop.run("order_size", item="cup")
    (question,) = asks.value.questions
    answers = {question.key: {"action": "decline"}}
    result = await shop.call("order_size", {"item": "cup"}, answers=answers, state=question.state)
    assert result.data == "not ordered"


async def test_a_resource_is_data(shop: Reached) -> None:
    (content,) = await shop.source.read(shop.connection, "shop://stock", timeout_seconds=5)
    assert (content.uri, content.data, content.is_base64) == ("shop://stock", {"stock": 3}, False)


@pytest.mark.parametrize(
    ("status", "code", "transient", "in_doubt", "unavailable"),
    [
        (401, "connection_unauthorized", False, False, True),
        (403, "connection_unauthorized", False, False, True),
        (429, "rate_limited", True, False, True),
        (500, "http_status", False, True, False),
        (503, "http_status", True, False, True),
        (504, "http_status", False, True, False),
    ],
)
async def test_a_status_says_whether_a_write_may_have_happened(
    shop: Reached, status: int, code: str, transient: bool, in_doubt: bool, unavailable: bool
) -> None:
    await shop.action("order")
    shop.double.statuses = [0, status] if shop.double.is_old else [status]
    error = await shop.failure("order", item="cup")
    found = (error.outbound_code, error.transient, error.may_have_happened, error.is_unavailable)
    assert found == (code, transient, in_doubt, unavailable)
    if status == 429:
        assert error.retry_after_seconds == 7
    assert (await shop.run("echo", text="still there")).data == "still there"


async def test_a_read_that_fails_may_be_repeated(shop: Reached) -> None:
    await shop.action("echo")
    shop.double.statuses = [0, 500] if shop.double.is_old else [500]
    error = await shop.failure("echo", text="hi")
    assert (error.transient, error.may_have_happened) == (True, False)


async def test_404_everywhere_is_a_token_that_is_refused(shop: Reached) -> None:
    await shop.action("order")
    shop.double.statuses = [404] * 20
    error = await shop.failure("order", item="cup")
    assert (error.outbound_code, error.is_unavailable) == ("connection_unauthorized", True)
    assert shop.double.ordered == []


async def test_a_write_that_is_late_may_have_happened_and_the_session_lives_on(shop: Reached) -> None:
    shop.double.after_order = never
    with pytest.raises(ActionError) as raised:
        await shop.call("order", {"item": "cup"}, timeout_seconds=0.5)
    assert (raised.value.outbound_code, raised.value.may_have_happened) == ("timeout", True)
    assert shop.double.ordered == ["cup"]
    opened = len(shop.double.authorizations)
    assert (await shop.run("echo", text="hi")).data == "hi"
    assert len(shop.double.authorizations) <= opened + 3, "no new session"


async def test_a_server_that_is_not_there_is_unavailable_and_nothing_has_happened(senders: Senders) -> None:
    async with reached(senders) as shop:
        action = await shop.action("order")
        connection, source = shop.connection, shop.source
        call = ActionCall(owner=OWNER, connection="shop", action="order", arguments={"item": "cup"})
        gone = Connection(**{**_members(connection), "id": "other", "settings": {"url": "http://127.0.0.1:9/mcp"}})
        with pytest.raises(ActionError) as raised:
            await source.run(gone, action, call)
        error = raised.value
        assert (error.outbound_code, error.transient, error.is_unavailable) == ("connection_failed", True, True)
        assert error.may_have_happened is False


async def test_calls_share_a_session_and_giving_one_up_ends_no_other(shop: Reached) -> None:
    ordered = asyncio.Event()

    async def stall() -> None:
        ordered.set()
        await never()

    shop.double.after_order = stall
    late = asyncio.create_task(shop.run("order", item="cup"))
    await ordered.wait()
    late.cancel()
    results = await asyncio.gather(*(shop.run("echo", text=str(n)) for n in range(5)))
    assert [each.data for each in results] == list("01234")
    with pytest.raises(asyncio.CancelledError):
        await late


async def test_the_credential_goes_along_and_a_wrong_one_is_told(senders: Senders) -> None:
    async with reached(senders, token="right-token") as shop:
        error = await shop.failure("echo", text="hi")
        assert error.outbound_code == "connection_unauthorized"
        form = BearerCredential.model_validate(
            {"kind": "bearer", "token": "right-token", "allowed_hosts": [shop.double.url.split("/")[2]]}
        )
        await senders.vault.create(CredentialRef(owner=OWNER, name="shop"), form, created_by="ada")
        shop.connection = Connection(**{**_members(shop.connection), "credential": "shop", "revision": 2})
        assert (await shop.run("echo", text="hi")).data == "hi"
        assert shop.double.authorizations[-1] == "Bearer right-token"
        assert (await shop.run("echo", text="you sent right-token")).data == f"you sent {HIDDEN}"


async def test_a_changed_list_is_reported(senders: Senders) -> None:
    async with reached(senders, is_old=True) as shop:
        await shop.run("echo", text="hi")
        shop.double.tools.append(tool("refund"))
        await shop.double.sessions[-1].send_tool_list_changed()
        await until(lambda: shop.changed == ["shop"])


def _members(connection: Connection) -> dict[str, Any]:
    return {name: getattr(connection, name) for name in connection.__dataclass_fields__}
