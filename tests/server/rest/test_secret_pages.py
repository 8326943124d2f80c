"""A secret is entered by a person on a page, by a link that an agent was given and that is good for one secret."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client

from integrations.secret_links import LIFETIME
from tests.doubles.mcp_server import running_mcp_double
from tests.support.here import Here, here
from tests.support.http_target import HttpTarget
from tests.support.server_process import ServerProcess
from tests.support.tenants import PASSWORD, Tenant, member, registered

BROWSER = {"accept": "text/html"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Here]:
    async with here(tmp_path) as made:
        yield made


async def called(server: Here, tool: str, **arguments: Any) -> dict[str, Any]:
    """What an agent is answered, be it a failure."""
    async with Client(server.services.mcp) as agent:
        answer = await agent.call_tool(tool, arguments)
    if answer.structured_content is not None:
        return answer.structured_content
    (text,) = answer.content
    assert isinstance(text, types.TextContent)
    return dict(json.loads(text.text)["error"])


async def link(server: Here, name: str = "crm", **settings: Any) -> str:
    """A link for a credential."""
    return str((await called(server, "connect_integration", do="secret", name=name, settings=settings))["secret_url"])


def fields_of(text: str) -> dict[str, str]:
    """The fields of the page's form with their values."""
    fields: dict[str, str] = {}
    for tag in re.findall(r"<input ([^>]*)>", text):
        attributes = dict(re.findall(r'([a-z-]+)="([^"]*)"', tag))
        fields[attributes["name"]] = html.unescape(attributes.get("value", ""))
    return fields


async def sent(http: httpx2.AsyncClient, url: str, typed: Mapping[str, str], *, opened: str | None = None) -> Any:
    """What a person sees who opens the page, fills in the form and presses its button."""
    shown = opened or (await http.get(url, headers=BROWSER)).text
    (action,) = re.findall(r'action="([^"]+)"', shown)
    return await http.post(html.unescape(action), data={**fields_of(shown), **typed}, headers=BROWSER)


BEARER = {"kind": "bearer", "allowed_hosts": ["api.example.com"]}


async def test_a_secret_is_entered_once_and_the_agent_learns_that_it_is_there(server: Here) -> None:
    url = await link(server, **BEARER)
    page = await sent(server.http, url, {"token": "  hush-hush-token\n"})
    assert (page.status_code, "It is there" in page.text) == (200, True), page.text
    assert "control_execution" in page.text
    assert "hush" not in page.text
    there = await called(server, "connect_integration", do="check", name="crm")
    assert (there["status"], there["kind"], there["allowed_hosts"]) == ("stored", "bearer", ["api.example.com"])
    for again in (await server.http.get(url), await server.http.post(url, data={"token": "another-token"})):
        assert (again.status_code, "Each link is good for one" in again.text) == (409, True)
        assert "text/html" in again.headers["content-type"]


async def test_previews_scanners_and_heads_use_nothing_up(server: Here) -> None:
    """pinterest/snappass#100, PrivateBin/PrivateBin#1185, better-auth/better-auth#9690."""
    url = await link(server, **BEARER)
    for _ in range(3):
        assert (await server.http.head(url)).status_code == 200
        previewed = await server.http.get(url, headers={"user-agent": "TelegramBot (like TwitterBot)"})
        assert previewed.status_code == 200
        assert (await server.http.get(url, headers={"purpose": "prefetch", "sec-purpose": "prefetch"})).is_success
    assert (await server.http.get("/api/credentials")).json() == {"credentials": []}
    assert "It is there" in (await sent(server.http, url, {"token": "hush-hush-token"})).text


async def test_of_two_that_press_the_button_at_once_one_stores(server: Here) -> None:
    """nomadkaraoke/karaoke-gen#870: two requests with one link, 82 ms apart."""
    url = await link(server, **BEARER)
    shown = (await server.http.get(url)).text
    pages = await asyncio.gather(
        *(sent(server.http, url, {"token": f"hush-hush-token-{n}"}, opened=shown) for n in range(5))
    )
    assert sorted(page.status_code for page in pages) == [200, 409, 409, 409, 409]
    assert len((await server.http.get("/api/credentials")).json()["credentials"]) == 1


async def test_a_wrong_form_stores_nothing_repeats_no_secret_and_leaves_the_link(server: Here) -> None:
    """perber/leafwiki#1570: an empty field must not replace what is stored."""
    url = await link(server, kind="header", allowed_hosts=["api.example.com"])
    typed = {"header": "X Api Key", "value": "hush-hush-value", "allowed_hosts": "https://api.example.com/"}
    page = await sent(server.http, url, typed)
    assert (page.status_code, "Nothing was stored" in page.text) == (400, True)
    assert "hush" not in page.text
    fields = fields_of(page.text)
    assert (fields["header"], fields["value"]) == ("X Api Key", "")
    empty = await sent(server.http, url, {"header": "X-Api-Key", "value": ""})
    assert empty.status_code == 400
    right = await sent(server.http, url, {**typed, "header": "X-Api-Key", "allowed_hosts": "api.example.com"})
    assert right.status_code == 200, right.text


async def test_the_browsers_own_passwords_stay_out_of_the_form(server: Here) -> None:
    """elie222/rakazo#96, langfuse/langfuse#7493, PostHog/posthog#59887: saved logins stood there."""
    text = (await server.http.get(await link(server, **BEARER))).text
    secret, hosts = re.findall(r"<input [^>]*name=\"(?:token|allowed_hosts)\"[^>]*>", text)
    assert 'type="password"' in secret
    assert 'autocomplete="new-password"' in secret
    assert 'spellcheck="false"' in secret
    assert 'autocomplete="off"' in hosts


async def test_the_page_is_strict_narrow_and_for_nobody_else(server: Here) -> None:
    answer = await server.http.get(await link(server, **BEARER))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "script" not in answer.text
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "same-origin")
    assert "color-scheme:light dark" in answer.text
    assert "width=device-width" in answer.text


async def test_a_form_of_another_site_stores_nothing(server: Here) -> None:
    url = await link(server, **BEARER)
    forged = await server.http.post(url, data={"token": "theirs-not-ours", "allowed_hosts": "evil.example"})
    assert forged.status_code == 403
    await server.http.get(url)
    without = await server.http.post(url, data={"token": "theirs-not-ours", "allowed_hosts": "evil.example"})
    assert without.status_code == 403
    assert (await server.http.get("/api/credentials")).json() == {"credentials": []}


@pytest.mark.parametrize("place", [5, 60, -1])
async def test_a_changed_or_cut_link_is_refused(server: Here, place: int) -> None:
    url = await link(server, **BEARER)
    head, _, token = url.partition("token=")
    other = "A" if token[place] != "A" else "B"
    changed = token[:place] + other + (token[place + 1 :] if place != -1 else "")
    for bad in (f"{head}token={changed}", f"{head}token={token[:-7]}", f"{head}token=jsl_", head):
        answer = await server.http.get(bad)
        assert answer.status_code == 403, bad
        assert "text/html" in answer.headers["content-type"]


async def test_an_old_link_is_gone_and_so_is_one_whose_secret_was_changed(
    server: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cloudflare/agents#833: what has expired must say so, and leave a way on."""
    first, second = await link(server, **BEARER), await link(server, **BEARER)
    assert (await sent(server.http, first, {"token": "hush-hush-token"})).status_code == 200
    stale = await server.http.get(second)
    assert (stale.status_code, "do: secret" in stale.text) == (410, True)
    links = server.services.integrations.secret_links
    third = await link(server, **BEARER)
    now = links._clock.now()

    class Later:
        def now(self) -> Any:
            return now + LIFETIME + timedelta(seconds=1)

    monkeypatch.setattr(links, "_clock", Later())
    expired = await server.http.get(third)
    assert (expired.status_code, "expired" in expired.text) == (410, True)


async def test_a_replaced_secret_goes_where_the_old_one_went_whatever_is_proposed(server: Here) -> None:
    made = {"name": "crm", "kind": "bearer", "token": "first-token", "allowed_hosts": ["api.example.com"]}
    assert (await server.http.post("/api/credentials", json=made)).status_code == 201
    url = await link(server, kind="header", allowed_hosts=["evil.example"])
    typed = {"token": "second-token", "allowed_hosts": "evil.example"}
    assert (await sent(server.http, url, typed)).status_code == 200
    seen = (await server.http.get("/api/credentials/crm")).json()
    assert (seen["kind"], seen["allowed_hosts"]) == ("bearer", ["api.example.com"])


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        ("basic", {"username": "ada", "password": "hush-hush", "allowed_hosts": "a.example, b.example"}),
        ("signature", {"secret": "hush-hush-secret"}),
        ("database", {"url": "postgresql://ada:hush-hush@db.example/leads"}),
        ("address", {"url": "https://hooks.example.com/T1/hush-hush"}),
        (
            "oauth2",
            {
                "token_url": "https://login.example.com/token",
                "client_id": "us",
                "client_secret": "hush-hush",
                "allowed_hosts": "a.example",
            },
        ),
    ],
)
async def test_a_person_chooses_the_kind_where_the_link_leaves_it_open(
    server: Here, kind: str, typed: dict[str, str]
) -> None:
    url = await link(server)
    choice = (await server.http.get(url)).text
    (there,) = [html.unescape(each) for each in re.findall(r'href="([^"]+)"', choice) if each.endswith(f"kind={kind}")]
    assert (await sent(server.http, there, typed)).status_code == 200
    seen = await server.http.get("/api/credentials/crm")
    assert (seen.json()["kind"], "hush" in seen.text) == (kind, False)


async def test_a_connection_waits_for_its_token_and_works_when_it_is_entered(server: Here) -> None:
    async with running_mcp_double(token="right-token") as double:
        settings = {"url": double.url}
        made = await called(server, "connect_integration", name="shop", kind="mcp", settings=settings)
        assert (made["status"], made["problem"]["code"]) == ("unauthorized", "connection_unauthorized")
        assert "secret_url" in made
        refused = await called(server, "run_action", connection="shop", action="echo", arguments={"text": "hi"})
        assert refused["code"] == "connection_unauthorized"
        wrong = await sent(server.http, made["secret_url"], {"token": "wrong-token"})
        assert "Stored, and refused" in wrong.text
        (again,) = re.findall(r'href="([^"]+)"', wrong.text)
        page = await sent(server.http, html.unescape(again), {"token": "right-token", "allowed_hosts": "evil.example"})
        assert "shop is connected, with 5 actions" in page.text, page.text
        checked = await called(server, "connect_integration", do="check", name="shop")
        assert (checked["status"], checked["total"]) == ("connected", 5)
        host = double.url.split("/")[2]
        assert (await server.http.get("/api/credentials/shop")).json()["allowed_hosts"] == [host]
        double.token = "next-token"
        with_link = await called(server, "run_action", connection="shop", action="echo", arguments={"text": "hi"})
        page = await sent(server.http, with_link["secret_url"], {"token": "next-token"})
        assert "It is there" in page.text
        ran = await called(server, "run_action", connection="shop", action="echo", arguments={"text": "hi"})
        assert ran["result"] == "hi"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_agents_client_opens_the_page_on_which_its_user_enters_the_secret(server: Here, mode: str) -> None:
    opened: list[str] = []

    async def open_page(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        assert isinstance(params, types.ElicitRequestURLParams)
        opened.append(params.url)
        assert "It is there" in (await sent(server.http, params.url, {"token": "hush-hush-token"})).text
        return types.ElicitResult(action="accept")

    async with Client(server.services.mcp, mode=mode, elicitation_callback=open_page) as client:
        wanted = {"do": "secret", "name": "crm", "settings": BEARER}
        await client.call_tool("connect_integration", wanted)
        there = await client.call_tool("connect_integration", {"do": "check", "name": "crm"})
    assert (len(opened), (there.structured_content or {})["status"]) == (1, "stored")


async def test_the_curl_of_the_documentation_works_as_it_is_pasted(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "credentials.md").read_text()
    (script,) = re.findall(r"```sh\n(curl.*?)```", text, re.DOTALL)
    with ServerProcess(tmp_path / "data", {"JOBSPRINT_LOG_LEVEL": "warning"}) as process:
        pasted = script.replace("http://127.0.0.1:8765", process.url).replace("curl ", "curl --silent --fail ", 1)
        made = await asyncio.create_subprocess_exec("bash", "-c", pasted, stdout=asyncio.subprocess.PIPE)
        answer, _ = await made.communicate()
        assert (made.returncode, json.loads(answer)["name"]) == (0, "crm")


async def test_a_run_that_wants_a_secret_says_so_with_a_link_and_goes_on_as_the_next_call_says(
    server: Here, target: HttpTarget
) -> None:
    request = {"url": f"{target.url}/text", "credential": "crm"}
    definition = {
        "name": "leads",
        "nodes": {"start": {"type": "manual"}, "ask": {"type": "http_request", "parameters": request}},
        "connections": [["start", "ask"]],
    }
    made = await called(server, "create_workflow", definition=definition, run={"input": {}, "wait_seconds": 20})
    assert "do: secret and name: crm" in str(made)
    run = made["run"]
    assert (run["error"]["code"], "secret_url" in run) == ("credential_not_found", True), run
    shown = (await server.http.get(run["secret_url"] + "&kind=bearer")).text
    assert fields_of(shown)["allowed_hosts"] == target.url.partition("://")[2]
    page = await sent(server.http, run["secret_url"], {"token": "hush-hush-token"}, opened=shown)
    assert "It is there" in page.text, page.text
    retry = dict(json.loads(run["next"].partition("control_execution ")[2]))
    done = await called(server, "control_execution", **retry, wait_seconds=20)
    assert done["status"] == "succeeded", done
    kept = await server.http.get(f"/api/executions/{run['execution_id']}")
    assert "jsl_" not in kept.text, "a link is in no stored answer"


@pytest.mark.parametrize(("status", "has_link"), [(401, True), (404, False)])
async def test_a_request_whose_token_is_refused_says_so_with_a_link(
    server: Here, target: HttpTarget, status: int, has_link: bool
) -> None:
    host = target.url.partition("://")[2]
    made = {"name": "crm", "kind": "bearer", "token": "expired-token", "allowed_hosts": [host]}
    assert (await server.http.post("/api/credentials", json=made)).status_code == 201
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/status/{status}", "credential": "crm"}}
    definition = {
        "name": "leads",
        "nodes": {"start": {"type": "manual"}, "ask": ask},
        "connections": [["start", "ask"]],
    }
    run = (await called(server, "create_workflow", definition=definition, run={"input": {}, "wait_seconds": 20}))["run"]
    assert (run["error"]["code"], "secret_url" in run) == ("http_status", has_link), run
    if has_link:
        page = await sent(server.http, run["secret_url"], {"token": "renewed-token"})
        assert "It is there" in page.text, page.text


async def test_a_published_webhook_whose_secret_nobody_knows_says_so_with_a_link(server: Here) -> None:
    hook = {"type": "webhook", "parameters": {"path": "leads", "signature": {"secret": "github"}}}
    made = await called(server, "create_workflow", definition={"name": "hook", "nodes": {"hook": hook}})
    published = await called(server, "publish_workflow", workflow_id=made["workflow_id"])
    page = await sent(server.http, published["secret_url"], {"secret": "hush-hush-secret"})
    assert "It is there" in page.text, page.text
    again = await called(server, "publish_workflow", workflow_id=made["workflow_id"])
    assert "secret_url" not in again


async def test_a_viewer_is_given_no_link(tmp_path: Path) -> None:
    settings = {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "warning"}
    with ServerProcess(tmp_path / "data", settings) as process:
        ada = await registered(process.url, "ada")
        hook = {"type": "http_request", "parameters": {"url": "https://api.example.com", "credential": "crm"}}
        nodes = {"start": {"type": "manual"}, "ask": hook}
        definition = {"name": "leads", "nodes": nodes, "connections": [["start", "ask"]]}
        async with ada.http() as http, ada.mcp() as agent:
            made = await agent.call("create_workflow", definition=definition)
            key = await http.post("/api/keys", json={"name": "runs", "scopes": ["workflows:read", "executions:*"]})
            ran = await agent.call("execute_workflow", workflow_id=made["workflow_id"], input={}, wait_seconds=20)
            assert "secret_url" in ran
            operator = Tenant(process.url, ada.email, key.json()["key"], ada.workspace_id)
            async with operator.mcp() as less:
                ran = await less.call("execute_workflow", workflow_id=made["workflow_id"], input={}, wait_seconds=20)
        assert (ran["error"]["code"], "secret_url" in ran) == ("credential_not_found", False)


async def test_links_are_for_those_who_manage_credentials_and_the_log_has_none(tmp_path: Path) -> None:
    settings = {"JOBSPRINT_REGISTRATION": "open", "JOBSPRINT_LOG_LEVEL": "debug"}
    with ServerProcess(tmp_path / "data", settings) as process:
        ada, eve = await registered(process.url, "ada"), await registered(process.url, "eve")
        wanted = {"do": "secret", "name": "crm", "settings": BEARER}
        async with ada.mcp() as agent:
            url = (await agent.call("connect_integration", **wanted))["secret_url"]
        async with browsing(process.url, None) as stranger:
            out = await stranger.get(url)
            assert out.status_code == 303, out.text
            assert out.headers["location"].partition("?")[0] == "/auth/login"
        async with browsing(process.url, eve) as browser:
            refused = await sent_raw(browser, url)
            assert [each.status_code for each in refused] == [403, 403]
        bob = await member(ada, "bob", "editor")
        async with browsing(process.url, bob) as browser:
            refused = await sent_raw(browser, url)
            assert [each.status_code for each in refused] == [403, 403], "giantswarm/muster#1032: a forwarded link"
            assert "Somebody else was given this link" in refused[0].text
        async with browsing(process.url, ada) as browser:
            assert (await sent(browser, url, {"token": "hush-hush-token"})).status_code == 200
        async with ada.http() as http, eve.http() as theirs:
            assert (await http.get("/api/credentials/crm")).json()["created_by"]
            assert (await theirs.get("/api/credentials")).json() == {"credentials": []}
            noted = (await http.get("/api/audit")).json()["entries"]
            entered = next(each for each in noted if each["action"] == "credential.created")
            assert (entered["client"], "jsl_" in str(noted), "hush" in str(noted)) == ("a browser", False, False)
    assert "jsl_" not in "".join(process.log)
    assert "hush" not in "".join(process.log)


async def sent_raw(browser: httpx2.AsyncClient, url: str) -> list[httpx2.Response]:
    """What is answered to somebody of another workspace."""
    return [await browser.get(url), await browser.post(url, data={"token": "theirs-not-ours"})]


@asynccontextmanager
async def browsing(url: str, tenant: Tenant | None) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser, in which the user has logged in."""
    async with httpx2.AsyncClient(base_url=url, headers=BROWSER) as browser:
        if tenant is not None:
            shown = await browser.get("/auth/login")
            typed = {**fields_of(shown.text), "email": tenant.email, "password": PASSWORD}
            assert (await browser.post("/auth/login", data=typed)).status_code == 303
        yield browser
