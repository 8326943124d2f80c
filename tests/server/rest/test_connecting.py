"""Connections over REST and a browser: made by token or consent, refreshed once, ended on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import mcp_types as types
import pytest
from mcp import Client

from tests.doubles.authorization_server import AuthorizationServer
from tests.doubles.mcp_server import McpDouble, running_mcp_double
from tests.support.here import BASE, Here, here
from tests.support.server_process import ServerProcess
from tests.support.tenants import registered
from workflow.actions import ActionError
from workflow.identity import LOCAL_ACTOR


@pytest.fixture
async def guarded() -> AsyncIterator[McpDouble]:
    """A double behind an authorization server."""
    async with running_mcp_double(guard=AuthorizationServer()) as double:
        yield double


def guard_of(double: McpDouble) -> AuthorizationServer:
    """The authorization server."""
    assert double.guard is not None
    return double.guard


async def connect(server: Here, url: str, **members: Any) -> httpx2.Response:
    """Ask for a connection."""
    return await server.http.post(
        "/api/integrations", json={"name": "shop", "kind": "mcp", "settings": {"url": url}, **members}
    )


async def connected(server: Here, double: McpDouble) -> None:
    """A connection by consent."""
    made = await connect(server, double.url)
    assert made.status_code == 201, made.text
    assert made.json()["status"] == "authorizing"
    page = await server.consent(made.json()["authorization_url"])
    assert (page.status_code, "Connected" in page.text) == (200, True), page.text


async def test_a_token_connects_is_rotated_and_never_shown(tmp_path: Path) -> None:
    async with running_mcp_double(token="first-token") as double, here(tmp_path) as server:
        made = await connect(server, double.url, token="first-token")
        assert made.status_code == 201, made.text
        assert (made.json()["status"], made.json()["total"]) == ("connected", 5)
        assert await server.run() == "hi"
        double.token = "second-token"
        with pytest.raises(ActionError) as raised:
            await server.run()
        assert raised.value.code == "connection_unauthorized"
        seen = (await server.http.get("/api/integrations/shop")).json()
        assert (seen["status"], seen["problem"]["code"]) == ("unauthorized", "connection_unauthorized")
        changed = await server.http.patch("/api/integrations/shop", json={"token": "second-token"})
        assert (changed.status_code, changed.json()["status"]) == (200, "connected"), changed.text
        assert await server.run() == "hi"
        listed = await server.http.get("/api/integrations")
        actions = await server.http.get("/api/integrations/shop/actions", params={"text": "order"})
        assert [each["action"] for each in actions.json()["actions"]] == ["order", "order_size"]
        for shown in (made, seen, changed, listed, actions):
            assert "-token" not in str(shown if isinstance(shown, dict) else shown.text)


async def test_what_does_not_work_is_not_kept(tmp_path: Path) -> None:
    async with running_mcp_double(token="right-token") as double, here(tmp_path) as server:
        for members in ({"token": "wrong-token"}, {}):
            refused = await connect(server, double.url, **members)
            assert refused.status_code == 503, refused.text
            assert refused.json()["code"] == "connection_unauthorized"
        nowhere = await connect(server, "http://127.0.0.1:9/mcp")
        assert (nowhere.status_code, nowhere.json()["code"]) == (503, "connection_failed")
        wrong = await connect(server, "ftp://127.0.0.1/mcp")
        assert (wrong.status_code, wrong.json()["pointer"]) == (400, "/settings/url")
        assert (await server.http.get("/api/integrations")).json() == {"connections": []}
        assert (await server.http.get("/api/credentials")).json() == {"credentials": []}


async def test_a_user_consents_in_a_browser_and_a_restart_forgets_nothing(tmp_path: Path, guarded: McpDouble) -> None:
    async with here(tmp_path) as server:
        await connected(server, guarded)
        seen = (await server.http.get("/api/integrations/shop")).json()
        assert (seen["status"], seen["scopes"]) == ("connected", ["mcp:use"])
        assert await server.run() == "hi"
    async with here(tmp_path) as server:
        assert await server.run() == "hi"
        assert guard_of(guarded).requests["authorize"] == 2, "no second consent"
        shown = (await server.http.get("/api/credentials/shop")).text
        assert "access-" not in shown
        assert "refresh-" not in shown


async def test_ten_calls_with_an_expired_token_refresh_it_once(tmp_path: Path, guarded: McpDouble) -> None:
    async with here(tmp_path) as server:
        await connected(server, guarded)
        guard_of(guarded).expire()
        assert await asyncio.gather(*(server.run(text=str(n)) for n in range(10))) == [str(n) for n in range(10)]
        assert guard_of(guarded).requests["refresh_token"] == 1
    guard_of(guarded).expire()
    async with here(tmp_path) as server:
        assert await server.run() == "hi"
        assert guard_of(guarded).requests["refresh_token"] == 2, "the rotated one was kept"


async def test_a_token_is_refreshed_before_its_end(tmp_path: Path, guarded: McpDouble) -> None:
    guard_of(guarded).expires_in = 1
    async with here(tmp_path) as server:
        await connected(server, guarded)
        opened = await server.services.integrations.connections.get(LOCAL_ACTOR, "shop")
        assert opened.status == "connected"
        before = guard_of(guarded).requests["refresh_token"]
        async with asyncio.timeout(10):
            while guard_of(guarded).requests["refresh_token"] == before:
                assert await server.run() == "hi"


async def test_a_grant_that_is_over_is_told_and_renewed_by_consent(tmp_path: Path, guarded: McpDouble) -> None:
    async with here(tmp_path) as server:
        await connected(server, guarded)
        guard_of(guarded).end()
        with pytest.raises(ActionError) as raised:
            await server.run()
        assert raised.value.code == "connection_unauthorized"
        assert (await server.http.get("/api/integrations/shop")).json()["status"] == "unauthorized"
        begun = await server.http.post("/api/integrations/shop/authorize")
        assert begun.status_code == 200, begun.text
        assert "Connected" in (await server.consent(begun.json()["authorization_url"])).text
        assert await server.run() == "hi"


async def test_a_server_that_cannot_refresh_now_ends_nothing(tmp_path: Path, guarded: McpDouble) -> None:
    async with here(tmp_path) as server:
        await connected(server, guarded)
        guard_of(guarded).expire()
        guard_of(guarded).breaks = [503]
        with pytest.raises(ActionError) as raised:
            await server.run()
        assert (raised.value.code, raised.value.transient) == ("connection_failed", True)
        assert await server.run() == "hi"


async def test_disconnecting_gives_back_what_was_granted(tmp_path: Path, guarded: McpDouble) -> None:
    async with here(tmp_path) as server:
        await connected(server, guarded)
        assert (await server.http.delete("/api/integrations/shop")).status_code == 204
        assert guard_of(guarded).grants[0].is_over
        assert (await server.http.get("/api/credentials")).json() == {"credentials": []}
        assert (await server.http.get("/api/integrations/shop")).status_code == 404


async def test_a_user_who_denies_connects_nothing(tmp_path: Path, guarded: McpDouble) -> None:
    async with here(tmp_path) as server:
        made = await connect(server, guarded.url)
        page = await server.consent(made.json()["authorization_url"], "deny")
        assert (page.status_code, "You did not allow it." in page.text) == (400, True)
        assert (await server.http.get("/api/integrations/shop")).json()["status"] == "authorizing"
        with pytest.raises(ActionError):
            await server.run()


Forge = Callable[[Here, str], Awaitable[httpx2.Response]]


async def another_browser(server: Here, back: str) -> httpx2.Response:
    """The way back, in a browser that never left."""
    server.http.cookies.clear()
    return await server.http.get(back)


async def another_issuer(server: Here, back: str) -> httpx2.Response:
    """The way back, from somebody else."""
    return await server.http.get(back.replace("iss=http", "iss=https"))


async def another_state(server: Here, back: str) -> httpx2.Response:
    """A way back that nobody has gone out by."""
    return await server.http.get(back.replace("state=", "state=x"))


@pytest.mark.parametrize("forge", [another_browser, another_issuer, another_state])
async def test_a_forged_way_back_connects_nothing(tmp_path: Path, guarded: McpDouble, forge: Forge) -> None:
    async with here(tmp_path) as server:
        made = await connect(server, guarded.url)
        page = await forge(server, await server.way_back(made.json()["authorization_url"]))
        assert (page.status_code, "Not connected" in page.text) == (400, True)
        assert guard_of(guarded).grants == []


async def test_a_link_works_once(tmp_path: Path, guarded: McpDouble) -> None:
    async with here(tmp_path) as server:
        made = await connect(server, guarded.url)
        url = made.json()["authorization_url"]
        assert "Connected" in (await server.consent(url)).text
        assert (await server.http.get(url)).status_code == 400


@pytest.mark.parametrize("member", [{"does_pkce": False}, {"issuer_said": "https://other.example.com"}])
async def test_an_authorization_server_that_cannot_be_trusted_is_not_used(
    tmp_path: Path, guarded: McpDouble, member: dict[str, Any]
) -> None:
    for name, value in member.items():
        setattr(guard_of(guarded), name, value)
    async with here(tmp_path) as server:
        refused = await connect(server, guarded.url)
        assert refused.status_code == 503, refused.text
        assert guard_of(guarded).requests["register"] == 0


async def test_the_document_that_says_who_we_are_names_the_way_back(tmp_path: Path) -> None:
    async with here(tmp_path) as server:
        document = (await server.http.get("/.well-known/jobsprint-client.json")).json()
        assert document["redirect_uris"] == [f"{BASE}/api/integrations/callback"]
        assert urlsplit(document["client_id"]).path == "/.well-known/jobsprint-client.json"


async def test_where_accounts_are_on_a_stranger_with_the_link_is_asked_who_they_are(
    tmp_path: Path, guarded: McpDouble
) -> None:
    settings = {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "warning"}
    with ServerProcess(tmp_path / "data", settings) as process:
        ann = await registered(process.url, "ann")
        async with ann.http() as http, httpx2.AsyncClient(base_url=process.url) as stranger:
            document = {"name": "shop", "kind": "mcp", "settings": {"url": guarded.url}}
            link = (await http.post("/api/integrations", json=document)).json()["authorization_url"]
            out = await stranger.get(link)
            assert (out.status_code, out.headers["location"].partition("?")[0]) == (303, "/auth/login")
            back = await stranger.get("/api/integrations/callback", params={"state": "x", "code": "y"})
            assert (back.status_code, "Not connected" in back.text) == (400, True)
            assert guard_of(guarded).requests["authorize"] == 0


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_agents_client_opens_the_page_on_which_its_user_consents(
    tmp_path: Path, guarded: McpDouble, mode: str
) -> None:
    opened: list[str] = []

    async def open_page(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        assert isinstance(params, types.ElicitRequestURLParams)
        opened.append(params.url)
        return types.ElicitResult(action="accept")

    async with (
        here(tmp_path) as server,
        Client(server.services.mcp, mode=mode, elicitation_callback=open_page) as client,
    ):
        wanted = {"name": "shop", "kind": "mcp", "settings": {"url": guarded.url}}
        made = await client.call_tool("connect_integration", wanted)
        assert (made.structured_content or {})["status"] == "authorizing", made
        assert len(opened) == 1
        assert "Connected" in (await server.consent(opened[0])).text
        checked = await client.call_tool("connect_integration", {"name": "shop", "do": "check"})
        assert (checked.structured_content or {})["status"] == "connected"
        ran = await client.call_tool(
            "run_action", {"connection": "shop", "action": "echo", "arguments": {"text": "hi"}}
        )
        assert (ran.structured_content or {})["result"] == "hi"
        gone = await client.call_tool("connect_integration", {"name": "shop", "do": "disconnect"})
        assert (gone.structured_content or {})["status"] == "disconnected"
        assert guard_of(guarded).grants[0].is_over
