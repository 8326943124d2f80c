"""Zapier, as its double has it: actions of both modes, found within a budget, never the tools that widen powers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.doubles.zapier import running_zapier
from tests.doubles.zapier.server import TOKEN, ZapierDouble
from tests.support.here import Here, here
from tools.integrations.actions import FindActions, IntegrationTools, RunAction
from tools.protocol.budget import tokens
from workflow.actions import ActionCall, ActionError
from workflow.identity import LOCAL_ACTOR, LOCAL_ID

EMAIL = {"to": "ada@example.com", "body": "Hello"}


class Me:
    """A caller on this machine, whom nobody can ask."""

    actor = LOCAL_ACTOR
    takes_tasks = False
    goes_on_with = None

    async def report_progress(self, *arguments: Any) -> None:
        """Nobody listens."""

    async def ask(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Nobody answers."""
        return {}


def tools_of(server: Here) -> IntegrationTools:
    """The tools over the server's services."""
    services = server.services
    return IntegrationTools(
        connections=services.integrations.connections,
        actions=services.integrations.actions,
        credentials=services.credentials,
        links=services.integrations.secret_links,
        audit=services.audit,
    )


async def connect(server: Here, double: ZapierDouble, **settings: Any) -> dict[str, Any]:
    """A connection by token."""
    document = {"name": "zapier", "kind": "zapier", "settings": {"url": double.url, **settings}, "token": TOKEN}
    made = await server.http.post("/api/integrations", json=document)
    assert made.status_code == 201, made.text
    content: dict[str, Any] = made.json()
    return content


async def names(server: Here) -> list[str]:
    """The actions there are."""
    return [each.name for each in await server.services.integrations.actions.actions(LOCAL_ID)]


async def run(server: Here, action: str, arguments: dict[str, Any], **members: Any) -> Any:
    """What an action comes to."""
    call = ActionCall(owner=LOCAL_ID, connection="zapier", action=action, arguments=arguments, **members)
    return await server.services.integrations.actions.run(call)


@pytest.mark.parametrize(
    "members",
    [
        {"mode": "managed"},
        {"mode": "agentic"},
        {"lister": "list_enabled_zapier_actions", "has_tool_name": False},
        {"params_name": "parameters", "gives_params": True},
    ],
)
async def test_actions_are_the_same_whatever_the_mode_and_the_names(tmp_path: Path, members: dict[str, Any]) -> None:
    async with running_zapier(**members) as double, here(tmp_path) as server:
        await connect(server, double)
        found = await names(server)
        assert {"gmail_send_email", "slack_send_channel_message"} <= set(found)
        assert not any("zapier" in name or "skill" in name for name in found), "no tool that widens powers"
        result = await run(server, "gmail_send_email", EMAIL, instructions="Be kind.")
        assert (result.data[0]["app"], result.quota) == ("Gmail", 2)
        assert result.details["resolved_params"]["to"]["value"] == "ada@example.com"
        assert double.ledger == [{"action": "gmail_send_email", "params": EMAIL, "instructions": "Be kind."}]
        assert double.meta_calls == []


async def test_wrong_params_are_told_before_anything_is_sent(tmp_path: Path) -> None:
    async with running_zapier() as double, here(tmp_path) as server:
        await connect(server, double)
        with pytest.raises(ActionError) as raised:
            await run(server, "gmail_send_email", {"to": 7})
        assert raised.value.code == "action_arguments"
        assert "body" in raised.value.message
        assert double.attempts == 0


async def test_a_pinned_form_that_has_changed_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    async with running_zapier() as double, here(tmp_path) as server:
        await connect(server, double)
        digest = (await server.services.integrations.actions.find(LOCAL_ID, "zapier", "gmail_send_email")).digest
        await run(server, "gmail_send_email", EMAIL, digest=digest)
        with pytest.raises(ActionError) as raised:
            await run(server, "gmail_send_email", EMAIL, digest="0" * 12)
        assert raised.value.code == "action_changed"
        assert len(double.ledger) == 1


async def test_only_allowed_actions_are_found_and_done(tmp_path: Path) -> None:
    async with running_zapier() as double, here(tmp_path) as server:
        await connect(server, double, allow=["slack_*"])
        assert await names(server) == ["slack_send_channel_message"]
        with pytest.raises(Exception, match="has no action 'gmail_send_email'"):
            await run(server, "gmail_send_email", EMAIL)
        assert double.ledger == []


async def test_a_connection_by_consent_works_as_one_by_token(tmp_path: Path) -> None:
    async with running_zapier() as double, here(tmp_path) as server:
        made = await server.http.post(
            "/api/integrations", json={"name": "zapier", "kind": "zapier", "settings": {"url": double.url}}
        )
        assert made.json()["status"] == "authorizing", made.text
        assert "Connected" in (await server.consent(made.json()["authorization_url"])).text
        assert (await run(server, "gmail_send_email", EMAIL)).quota == 2


@pytest.mark.long
async def test_among_a_thousand_actions_the_right_one_is_found_within_the_budget(tmp_path: Path) -> None:
    async with running_zapier(actions=1_000) as double, here(tmp_path) as server:
        assert (await connect(server, double))["total"] == 1_000
        lists = double.lists
        tools = tools_of(server)
        for query, wanted in (
            ("send an email with gmail", "gmail_send_email"),
            ("post message to slack channel", "slack_send_channel_message"),
            ("find hubspot contact", "hubspot_find_contact"),
            ("delet invoices in stripe", "stripe_delete_invoice"),
        ):
            answer = await tools.find(FindActions(query=query), Me())
            assert wanted in [each["action"] for each in answer.content["actions"][:3]], query
            assert tokens(answer.content) <= 2_000
        small = await tools.find(FindActions(query="contact", max_tokens=300), Me())
        assert tokens(small.content) <= 300
        assert small.content["total"] > len(small.content["actions"]) > 0
        whole = await tools.find(FindActions(connection="zapier", action="gmail_send_email"), Me())
        assert whole.content["input_schema"]["required"] == ["to", "body"]
        assert whole.content["node"]["type"] == "zapier_action"
        assert double.lists == lists, "the list is kept"


async def test_a_list_that_has_changed_is_seen_after_it_was_asked_for_again(tmp_path: Path) -> None:
    async with running_zapier() as double, here(tmp_path) as server:
        await connect(server, double)
        del double.catalogue.actions[0]
        assert "gmail_send_email" in await names(server)
        checked = await server.http.post("/api/integrations/zapier/check")
        assert (checked.json()["status"], checked.json()["total"]) == ("connected", 3)
        assert "gmail_send_email" not in await names(server)


async def test_a_list_that_breaks_off_leaves_the_kept_one_and_tells_why(tmp_path: Path) -> None:
    async with running_zapier() as double, here(tmp_path) as server:
        await connect(server, double)
        kept = await names(server)
        double.traps_of = {"inspect_zapier_actions": ["503"]}
        checked = await server.http.post("/api/integrations/zapier/check")
        assert (checked.json()["status"], checked.json()["problem"]["code"]) == ("failing", "http_status")
        assert await names(server) == kept


async def test_an_agent_runs_an_action_and_sees_what_came_of_it_and_the_figures_count_it(tmp_path: Path) -> None:
    async with running_zapier() as double, here(tmp_path) as server:
        await connect(server, double)
        tools = tools_of(server)
        answer = await tools.run(RunAction(connection="zapier", action="gmail_send_email", arguments=EMAIL), Me())
        assert answer.content["result"][0]["app"] == "Gmail"
        double.traps = ["failure"]
        with pytest.raises(ActionError):
            await tools.run(RunAction(connection="zapier", action="gmail_send_email", arguments=EMAIL), Me())
        await server.services.integrations.actions.write_figures()
        (counted,) = (await server.http.get("/api/integrations/zapier/figures")).json()["figures"]
        assert (counted["calls"], counted["failures"], counted["quota"]) == (2, 1, 2)


async def test_a_pinned_action_is_a_tool_of_its_own_as_long_as_it_is_pinned(tmp_path: Path) -> None:
    async with running_zapier() as double, here(tmp_path) as server, Client(server.services.mcp) as client:
        await connect(server, double, pinned=["gmail_send_*"])
        listed = {each.name: each for each in (await client.list_tools()).tools}
        pinned = listed["zapier_gmail_send_email"]
        assert pinned.input_schema["required"] == ["to", "body"]
        result = await client.call_tool("zapier_gmail_send_email", EMAIL)
        assert not result.is_error
        assert double.ledger[0]["params"] == EMAIL
        wrong = await client.call_tool("zapier_gmail_send_email", {"to": 7})
        assert wrong.is_error
        await server.http.patch("/api/integrations/zapier", json={"settings": {"url": double.url}})
        async with asyncio.timeout(5):
            while "zapier_gmail_send_email" in [
                each.name for each in (await client.list_tools(cache_mode="bypass")).tools
            ]:
                continue
