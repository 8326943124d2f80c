"""Zapier's double does what Zapier is known to do: the client here is the SDK's own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.doubles.authorization_server import AuthorizationServer
from tests.doubles.zapier import TOKEN, ZapierDouble, running_zapier
from tests.doubles.zapier.answers import HUGE_BYTES
from tests.doubles.zapier.server import PATH

EMAIL = {"to": "ada@example.com", "body": "Hello"}
VERIFIER = "v" * 43
BACK = "http://127.0.0.1:1/callback"


@asynccontextmanager
async def client_of(double: ZapierDouble, *, token: str = TOKEN, **options: Any) -> AsyncIterator[Client]:
    """The SDK's client, with a token."""
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(double.url, http_client=http), **options) as client,
    ):
        yield client


def content(result: Any) -> Any:
    """The JSON in the one block of text."""
    (block,) = result.content
    return json.loads(block.text)


async def execute(client: Client, **changes: Any) -> Any:
    """Send an e-mail in agentic mode."""
    arguments = {
        "selected_api": "GoogleMailV2CLIAPI",
        "action": "message",
        "tool_name": "gmail_send_email",
        "params": EMAIL,
        "instructions": "Send it.",
        **changes,
    }
    return await client.call_tool("execute_zapier_write_action", arguments)


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_managed_mode_has_a_tool_for_each_action_in_both_eras(era: Any) -> None:
    async with running_zapier(mode="managed") as double, client_of(double, mode=era) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        assert set(tools) == {
            "gmail_send_email", "gmail_find_email", "slack_send_channel_message", "google_sheets_create_spreadsheet_row"
        }  # fmt: skip
        assert tools["gmail_send_email"].input_schema["required"] == ["instructions", "to", "body"]
        result = content(await client.call_tool("gmail_send_email", {"instructions": "Send it.", **EMAIL}))
        assert (result["isPreview"], result["execution"]["status"]) == (False, "SUCCESS")
        assert result["execution"]["resolvedParams"]["to"]["value"] == "ada@example.com"
        assert double.ledger == [{"action": "gmail_send_email", "params": EMAIL, "instructions": "Send it."}]


async def test_agentic_mode_tells_apps_then_actions_then_params() -> None:
    async with running_zapier() as double, client_of(double) as client:
        apps = content(await client.call_tool("inspect_zapier_actions", {}))["apps"]
        assert apps[0] == {"app": "Gmail", "selected_api": "GoogleMailV2CLIAPI", "action_count": 2}
        (gmail,) = content(await client.call_tool("inspect_zapier_actions", {"selected_api": "GoogleMailV2CLIAPI"}))
        assert [(each["key"], each["tool_name"]) for each in gmail["actions"]] == [
            ("message", "gmail_send_email"),
            ("message", "gmail_find_email"),
        ], "their keys are the same"
        assert "params" not in gmail["actions"][0]
        (one,) = content(await client.call_tool("inspect_zapier_actions", {"tool_name": "gmail_find_email"}))
        assert one["actions"][0]["tool"] == "execute_zapier_read_action"
        assert one["actions"][0]["params"][0]["key"] == "query"
        result = content(await execute(client))
        assert result["results"] == [{"id": 1, "app": "Gmail"}]
        assert double.tasks_left == 998


async def test_the_listing_tool_may_have_its_former_name_and_arguments() -> None:
    async with running_zapier(lister="list_enabled_zapier_actions") as double, client_of(double) as client:
        (found,) = content(
            await client.call_tool("list_enabled_zapier_actions", {"app": "slack", "action": "channel_message"})
        )
        assert [each["key"] for each in found["actions"][0]["params"]] == ["channel", "text", "as_bot"]


async def test_names_of_params_cannot_be_guessed() -> None:
    async with running_zapier() as double, client_of(double) as client:
        refused = await execute(client, params={"recipient": "ada@example.com"})
        assert refused.is_error
        assert set(content(refused)) == {"error", "feedbackUrl"}
        assert not any(name in content(refused)["error"] for name in ("recipient", "to", "body"))
        assert (double.ledger, double.tasks_left) == ([], 1_000), "failures are free"


async def test_without_tasks_nothing_is_done() -> None:
    async with running_zapier(tasks_left=2) as double, client_of(double) as client:
        assert not (await execute(client)).is_error
        assert "task limit" in content(await execute(client))["error"]
        assert len(double.ledger) == 1


async def test_meta_tools_widen_what_can_be_done_and_are_written_down() -> None:
    async with running_zapier() as double, client_of(double) as client:
        found = content(await client.call_tool("discover_zapier_actions", {"app": "hubspot", "query": "find contact"}))
        (action,) = found["actions"]
        chosen = {name: action[name] for name in ("selected_api", "action")}
        executing = {**chosen, "tool_name": action["tool_name"], "params": {"name": "Ada"}, "instructions": "Find."}
        assert (await client.call_tool("execute_zapier_read_action", executing)).is_error, "not enabled yet"
        await client.call_tool("enable_zapier_action", chosen)
        assert not (await client.call_tool("execute_zapier_read_action", executing)).is_error
        await client.call_tool("disable_zapier_action", chosen)
        assert (await client.call_tool("execute_zapier_read_action", executing)).is_error
        assert double.meta_calls == ["discover_zapier_actions", "enable_zapier_action", "disable_zapier_action"]


async def test_signing_in_again_adds_a_connection_and_never_changes_the_default() -> None:
    async with running_zapier() as double, client_of(double) as client:
        double.meta.reauthorize("SlackCLIAPI")
        asked = {"selected_api": "SlackCLIAPI"}
        known = content(await client.call_tool("list_zapier_connections", asked))["connections"]
        assert [each["is_default"] for each in known] == [True, False]
        change = {**asked, "operation": "set_default", "connection_id": known[1]["id"]}
        known = content(await client.call_tool("manage_zapier_connections", change))["connections"]
        assert [each["is_default"] for each in known] == [False, True]


async def test_skills_are_kept_and_every_meta_tool_answers() -> None:
    async with running_zapier() as double, client_of(double) as client:
        skill = {"name": "greet", "content": "Say hello."}
        await client.call_tool("create_zapier_skill", skill)
        assert content(await client.call_tool("get_zapier_skill", {"name": "greet"})) == skill
        await client.call_tool("delete_zapier_skill", {"name": "greet"})
        assert (await client.call_tool("get_zapier_skill", {"name": "greet"})).is_error
        for tool in (await client.list_tools()).tools:
            given = dict.fromkeys(tool.input_schema.get("required", []), "x")
            assert content(await client.call_tool(tool.name, given)), tool.name


@pytest.mark.parametrize("era", ["auto", "legacy"])
@pytest.mark.parametrize("trap", ["401", "404", "429", "500", "502", "503"])
async def test_a_call_can_be_answered_by_a_status_before_anything_happens(trap: Any, era: Any) -> None:
    async with running_zapier() as double, client_of(double, mode=era) as client:
        double.traps = [trap]
        with pytest.raises(MCPError):
            await execute(client)
        assert (double.ledger, double.attempts, double.traps) == ([], 1, [])


async def test_a_trap_can_be_for_one_action_only() -> None:
    async with running_zapier(traps_of={"gmail_find_email": ["failure"]}) as double, client_of(double) as client:
        assert not (await execute(client)).is_error
        finding = {"tool_name": "gmail_find_email", "params": {"query": "x"}}
        arguments = {"selected_api": "GoogleMailV2CLIAPI", "action": "message", "instructions": "Find.", **finding}
        assert (await client.call_tool("execute_zapier_read_action", arguments)).is_error
        assert not (await client.call_tool("execute_zapier_read_action", arguments)).is_error


@pytest.mark.parametrize(("trap", "done"), [("hang", 0), ("slow success", 1)])
async def test_a_late_answer_does_not_tell_whether_it_has_happened(trap: Any, done: int) -> None:
    async with running_zapier() as double, client_of(double) as client:
        double.traps = [trap]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await execute(client)
        assert len(double.ledger) == done


async def test_a_connection_can_break_in_the_middle_of_the_answer() -> None:
    async with running_zapier() as double:
        double.traps = ["drop"]
        arguments = {"instructions": "Send it.", **EMAIL}
        double.mode = "managed"
        headers = {
            "authorization": f"Bearer {TOKEN}", "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "gmail_send_email",
        }  # fmt: skip
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        call = {"name": "gmail_send_email", "arguments": arguments, "_meta": meta}
        async with httpx2.AsyncClient(headers=headers) as http:
            with pytest.raises(httpx2.RemoteProtocolError):
                await http.post(double.url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        assert len(double.ledger) == 1


async def test_answers_can_be_other_than_they_should_be_after_it_has_happened() -> None:
    async with running_zapier() as double, client_of(double) as client:
        double.traps = ["not json", "other json", "empty", "huge", "failure in text", "preview"]
        assert (await execute(client)).content[0].text.startswith("Done!")
        assert content(await execute(client)) == {"message": "ok"}
        assert (await execute(client)).content == []
        assert len((await execute(client)).content[0].text) > HUGE_BYTES
        assert len(double.ledger) == 4
        in_text = await execute(client)
        assert (in_text.is_error, content(in_text)["isError"]) == (False, True)
        assert content(await execute(client))["isPreview"] is True
        assert len(double.ledger) == 4


async def test_clients_of_both_eras_are_notified_of_changed_tools() -> None:
    was_notified = asyncio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            was_notified.set()

    async with (
        running_zapier(mode="managed") as double,
        client_of(double) as modern,
        client_of(double, mode="legacy", message_handler=on_message) as legacy,
        modern.listen(tools_list_changed=True) as changes,
    ):
        await legacy.list_tools()
        await double.change_form("gmail_send_email", account={"type": "string"})
        async with asyncio.timeout(5):
            await anext(aiter(changes))
            await was_notified.wait()
        await double.rename("gmail_find_email", "Search Email")
        await double.remove("slack_send_channel_message")
        tools = {each.name: each for each in (await modern.list_tools(cache_mode="bypass")).tools}
        assert "account" in tools["gmail_send_email"].input_schema["required"]
        assert "gmail_search_email" in tools
        assert "slack_send_channel_message" not in tools


async def test_a_bad_connection_token_is_answered_by_404_and_none_at_all_by_401() -> None:
    async with running_zapier() as double, httpx2.AsyncClient() as http:
        assert (await http.post(double.url, headers={"authorization": "Bearer wrong"})).status_code == 404
        assert (await http.post(double.url, params={"token": "wrong"})).status_code == 404
        without = await http.post(double.url)
        assert without.status_code == 401
        assert "/.well-known/oauth-protected-resource/api/v1/connect" in without.headers["www-authenticate"]
        by_query = httpx2.URL(double.url).copy_with(params={"token": TOKEN})
        async with Client(streamable_http_client(str(by_query), http_client=http)) as client:
            assert (await client.list_tools()).tools


async def allowed(http: httpx2.AsyncClient, double: ZapierDouble, *, decision: str = "allow") -> dict[str, str]:
    """Register, ask, click, and what came back; with the registration's ``client_id``."""
    resource = (await http.get("/.well-known/oauth-protected-resource/api/v1/connect")).json()
    assert resource["resource"] == double.url
    metadata = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    made = await http.post(metadata["registration_endpoint"], json={"client_name": "<Me>", "redirect_uris": [BACK]})
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code", "client_id": made.json()["client_id"], "redirect_uri": BACK, "state": "s",
        "code_challenge": challenge, "code_challenge_method": "S256", "resource": double.url,
    }  # fmt: skip
    page = await http.get(metadata["authorization_endpoint"], params=asked)
    assert "Let &lt;Me&gt; in?" in page.text
    back = await http.post(metadata["authorization_endpoint"], params=asked, data={"decision": decision})
    answer = {name: values[0] for name, values in parse_qs(urlsplit(back.headers["location"]).query).items()}
    assert answer["state"] == "s"
    return {**answer, "client_id": asked["client_id"]}


async def token(http: httpx2.AsyncClient, **form: str) -> httpx2.Response:
    """What the token endpoint answers."""
    return await http.post("/token", data=form)


async def test_consent_gives_tokens_that_rotate_and_end_together_when_an_old_one_is_shown() -> None:
    async with running_zapier() as double, httpx2.AsyncClient(base_url=double.guard.url) as http:
        answer = await allowed(http, double)
        exchange = {
            "grant_type": "authorization_code", "code": answer["code"], "client_id": answer["client_id"],
            "redirect_uri": BACK, "code_verifier": VERIFIER,
        }  # fmt: skip
        first = (await token(http, **exchange)).json()
        assert first["expires_in"] == 3600
        assert (await token(http, **exchange)).json() == {"error": "invalid_grant"}, "a code is good once"
        async with client_of(double, token=first["access_token"]) as client:
            assert not (await execute(client)).is_error
        double.guard.expire()
        refused = await http.post(double.url, headers={"authorization": f"Bearer {first['access_token']}"})
        assert refused.status_code == 401
        refresh = {"grant_type": "refresh_token", "client_id": answer["client_id"]}
        second = (await token(http, **refresh, refresh_token=first["refresh_token"])).json()
        assert second["refresh_token"] != first["refresh_token"]
        assert (await token(http, **refresh, refresh_token=first["refresh_token"])).status_code == 400
        assert (await token(http, **refresh, refresh_token=second["refresh_token"])).status_code == 400, (
            "reuse ends all"
        )
        assert not double.guard.is_good(f"Bearer {second['access_token']}")
        counted = {name: double.requests[name] for name in ("register", "authorization_code", "refresh_token")}
        assert counted == {"register": 1, "authorization_code": 2, "refresh_token": 3}


async def test_there_is_no_code_without_pkce_and_none_after_deny() -> None:
    async with running_zapier() as double, httpx2.AsyncClient(base_url=double.guard.url) as http:
        denied = await allowed(http, double, decision="deny")
        assert denied["error"] == "access_denied"
        asked = {"response_type": "code", "client_id": denied["client_id"], "redirect_uri": BACK, "state": "s"}
        plain = {**asked, "code_challenge": VERIFIER, "code_challenge_method": "plain"}
        for query in (asked, plain):
            back = await http.post("/authorize", params=query, data={"decision": "allow"})
            assert "error=invalid_request" in back.headers["location"]
        answer = await allowed(http, double)
        form = {"code": answer["code"], "client_id": answer["client_id"], "redirect_uri": BACK}
        wrong = await token(http, grant_type="authorization_code", code_verifier="w" * 43, **form)
        assert wrong.json() == {"error": "invalid_grant"}


async def test_access_tokens_end_by_the_clock_and_by_revocation() -> None:
    now = [0.0]
    guard = AuthorizationServer(path=PATH, expires_in=60, clock=lambda: now[0])
    async with running_zapier(guard=guard) as double, httpx2.AsyncClient(base_url=guard.url) as http:
        answer = await allowed(http, double)
        form = {"code": answer["code"], "client_id": answer["client_id"], "redirect_uri": BACK}
        made = (await token(http, grant_type="authorization_code", code_verifier=VERIFIER, **form)).json()
        now[0] = 59.0
        assert guard.is_good(f"Bearer {made['access_token']}")
        now[0] = 60.0
        assert not guard.is_good(f"Bearer {made['access_token']}")
        now[0] = 0.0
        await http.post("/revoke", data={"token": made["refresh_token"]})
        assert not guard.is_good(f"Bearer {made['access_token']}")


async def test_an_operator_sees_the_ledger_and_sets_traps_over_http() -> None:
    async with (
        running_zapier() as double,
        httpx2.AsyncClient(base_url=double.guard.url) as http,
        client_of(double) as client,
    ):
        await http.post("/admin", json={"traps": ["failure"], "tasks_left": 2})
        assert (await execute(client)).is_error
        assert not (await execute(client)).is_error
        seen = (await http.get("/admin")).json()
        assert (len(seen["ledger"]), seen["attempts"], seen["tasks_left"]) == (1, 2, 0)
        assert seen["requests"]["tools/call"] == 2
        assert (await http.post("/admin", json={"trap": []})).status_code == 400


async def test_a_thousand_actions_are_the_same_each_time() -> None:
    async with running_zapier(actions=1_000) as one, running_zapier(actions=1_000) as other:
        names = [each.tool for each in one.catalogue.actions]
        assert (len(names), len(set(names))) == (1_000, 1_000)
        assert names == [each.tool for each in other.catalogue.actions]
