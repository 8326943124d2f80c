"""The app as a host gets it: served whole, linked from its tools, and hidden from clients that cannot show it.

What it does in a browser is tried by ``make browser``.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.client.extension import advertise

from server.mcp.identity import server_icon
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess
from tools.executions import app as execution_app

APPS = advertise(execution_app.EXTENSION, {"mimeTypes": [execution_app.MIME_TYPE]})
WITH_APP = {"execute_workflow", "inspect_execution", "control_execution"}


@pytest.fixture(params=["auto", "legacy"])
async def host(request: pytest.FixtureRequest, server: ServerProcess) -> AsyncIterator[Client]:
    """A client that can show apps, of either protocol era."""
    async with Client(f"{server.url}/mcp", mode=request.param, extensions=[APPS]) as client:
        yield client


async def test_a_host_of_apps_finds_the_app_by_its_tools_and_reads_it(host: Client) -> None:
    listed = await host.list_tools()
    linked = {tool.name: tool.meta["ui"]["resourceUri"] for tool in listed.tools if tool.meta and "ui" in tool.meta}
    assert linked == dict.fromkeys(WITH_APP, execution_app.URI)
    resources = {str(each.uri): each for each in (await host.list_resources()).resources}
    (content,) = (await host.read_resource(execution_app.URI)).contents
    assert isinstance(content, types.TextResourceContents)
    for shown in (resources[execution_app.URI], content):
        assert shown.mime_type == "text/html;profile=mcp-app"
        assert shown.meta is not None
        assert not any(shown.meta["ui"]["csp"].values())
        assert shown.meta["ui"]["prefersBorder"] is True
    assert content.text.startswith("<!doctype html>")


async def test_modern_clients_are_told_of_the_extension(mcp_http: McpCaller) -> None:
    assert execution_app.EXTENSION in (mcp_http.client.server_capabilities.extensions or {})


async def test_other_clients_are_not_bothered_with_it(mcp: McpCaller) -> None:
    listed = await mcp.client.list_tools()
    assert [tool.name for tool in listed.tools if tool.meta and "ui" in tool.meta] == []
    resources = await mcp.client.list_resources()
    assert execution_app.URI not in {str(each.uri) for each in resources.resources}


class References(HTMLParser):
    """Collects what would make a browser fetch something, and the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str | None]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [(tag, name, value) for name, value in attrs if name in ("src", "href", "srcset", "action")]


def test_the_page_holds_all_that_it_needs() -> None:
    page = execution_app.html()
    parser = References()
    parser.feed(page)
    assert parser.found == []
    assert {"link", "iframe", "object", "img", "base"} & set(parser.tags) == set()
    origins = set(re.findall(r"\b(?:https?|wss?):[^\s\"'`)]+", page))
    assert origins == {"http://www.w3.org/2000/svg"}, "a namespace, which nothing fetches"
    assert re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(|\beval\(|Function\(", page) == []


def test_the_page_puts_nothing_into_itself_as_markup() -> None:
    found = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|DOMParser", execution_app.html())
    assert found == []


async def test_a_client_meets_the_server_with_its_mark_and_hears_its_name_only_from_then_on(host: Client) -> None:
    icon = server_icon()
    assert host.server_info is not None
    assert (host.server_info.title, host.server_info.icons) == ("Jobsprint", [icon])
    assert len(icon.src) < 500
    listed = await host.list_tools()
    stamp = (listed.meta or {}).get(types.SERVER_INFO_META_KEY)
    assert stamp is None or set(stamp) == {"name", "version"}
