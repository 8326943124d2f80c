"""The MCP App in a real Chromium, inside a host built on the real AppBridge, over a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from playwright.async_api import FrameLocator, expect
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.browser.conftest import AppHost
from tests.support.http_target import HttpTarget, serving
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
START = {"type": "manual"}
ASK = {"type": "approval", "parameters": {"question": "=Offer {{ $json.name }} a discount?", "who": "sales lead"}}
MARKUP = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>{{x}}\'"&lt;'


@dataclass(slots=True)
class FlakyTarget(HttpTarget):
    """Refuses the first ``refusals`` requests, then answers."""

    refusals: int = 1

    async def status(self, request: Request) -> Response:
        """The status of the path at first, 200 from then on."""
        self.refusals -= 1
        status = request.path_params["status"] if self.refusals >= 0 else 200
        return JSONResponse({"status": status}, status_code=status)


@pytest.fixture
async def flaky() -> AsyncIterator[FlakyTarget]:
    """A service that mends itself."""
    async with serving(FlakyTarget()) as target:
        assert isinstance(target, FlakyTarget)
        yield target


@pytest.fixture
async def mcp(server: ServerProcess) -> AsyncIterator[McpCaller]:
    """An assistant beside the app."""
    async with Client(f"{server.url}/mcp") as client:
        yield McpCaller(client)


async def approval(mcp: McpCaller, name: str = "Lead triage") -> str:
    """The id of a workflow that asks."""
    nodes = {"lead in": START, "ask sales": ASK, "tell": {"type": "no_op"}, "drop": {"type": "no_op"}}
    edges = [("lead in", "ask sales"), ("ask sales.approve", "tell"), ("ask sales.reject", "drop")]
    return await mcp.create(nodes, *edges, name=name)


def http(url: str, **settings: Any) -> dict[str, Any]:
    """A node that asks a service."""
    return {"type": "http_request", "parameters": {"url": url}, **settings}


def node(app: FrameLocator, name: str) -> Any:
    """A node's button in the graph."""
    return app.locator("#graph button", has_text=name)


def status(app: FrameLocator) -> Any:
    """How the execution stands."""
    return app.locator("#facts .status")


async def shown_id(app: FrameLocator) -> str:
    """The id of the execution that is shown."""
    return str(await app.locator("#foot code").first.text_content())


async def test_an_approval_is_given_by_click_and_the_run_goes_on_to_its_end(app_host: AppHost, mcp: McpCaller) -> None:
    workflow_id = await approval(mcp)
    app = await app_host.show("execute_workflow", workflow_id=workflow_id, input={"name": "Ada"})
    await expect(status(app)).to_have_text("waiting")
    await expect(node(app, "lead in")).to_have_attribute("data-state", "succeeded")
    await expect(node(app, "ask sales")).to_have_attribute("data-state", "waiting")
    await expect(node(app, "tell")).to_have_attribute("data-state", "pending")
    question = app.get_by_role("form", name="Question at ask sales")
    await expect(question).to_contain_text("Offer Ada a discount?")
    await expect(question).to_contain_text("for sales lead")
    await question.get_by_label("Comment").fill("only once")
    await question.get_by_role("button", name="approve").click()
    await expect(status(app)).to_have_text("succeeded")
    await expect(question).to_have_count(0)
    await expect(node(app, "tell")).to_have_attribute("data-state", "succeeded")
    await expect(node(app, "drop")).to_have_attribute("data-state", "skipped")
    seen = await mcp.call("inspect_execution", execution_id=await shown_id(app))
    assert seen["output"]["items"]["tell"] == [
        {"name": "Ada", "approval": {"choice": "approve", "comment": "only once", "by": "agent"}}
    ]
    ((context,),) = await app_host.seen("contexts")
    assert 'The user answered "approve" at node "ask sales".' in context["text"]


async def test_a_run_is_shown_while_it_runs(app_host: AppHost, mcp: McpCaller, target: HttpTarget) -> None:
    nodes = {"start": START, "ask": http(f"{target.url}/wait"), "end": {"type": "no_op"}}
    workflow_id = await mcp.create(nodes, ("start", "ask"), ("ask", "end"))
    app = await app_host.show("execute_workflow", workflow_id=workflow_id, wait_seconds=0)
    await expect(node(app, "ask")).to_have_attribute("data-state", "running")
    await expect(app.locator("#foot")).to_contain_text("Live")
    await expect(app.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "1")
    target.release.set()
    await expect(status(app)).to_have_text("succeeded")
    await expect(app.locator("#timeline button")).to_have_count(3)
    await expect(app.locator("#foot")).not_to_contain_text("Live")


async def test_a_running_execution_is_cancelled_after_asking_once_more(
    app_host: AppHost, mcp: McpCaller, target: HttpTarget
) -> None:
    workflow_id = await mcp.create({"start": START, "ask": http(f"{target.url}/wait")}, ("start", "ask"))
    app = await app_host.show("execute_workflow", workflow_id=workflow_id, wait_seconds=0)
    await expect(node(app, "ask")).to_have_attribute("data-state", "running")
    await app.get_by_role("button", name="Cancel").click()
    await app.get_by_role("button", name="Keep it running").click()
    await expect(status(app)).to_have_text("running")
    await app.get_by_role("button", name="Cancel").click()
    await app.get_by_role("button", name="Yes, cancel it").click()
    await expect(status(app)).to_have_text("cancelled")
    await expect(node(app, "ask")).to_have_attribute("data-state", "cancelled")
    assert (await mcp.call("inspect_execution", execution_id=await shown_id(app)))["status"] == "cancelled"


async def test_a_failed_run_runs_again_from_the_node_that_failed(
    app_host: AppHost, mcp: McpCaller, flaky: FlakyTarget
) -> None:
    nodes = {"start": START, "ask": http(f"{flaky.url}/status/404"), "end": {"type": "no_op"}}
    workflow_id = await mcp.create(nodes, ("start", "ask"), ("ask", "end"))
    app = await app_host.show("execute_workflow", workflow_id=workflow_id)
    await expect(status(app)).to_have_text("failed")
    await expect(app.get_by_role("alert")).to_contain_text("ask")
    await expect(app.get_by_role("alert")).to_contain_text("404")
    first = await shown_id(app)
    await app.get_by_role("button", name="Retry from failed node").click()
    await expect(status(app)).to_have_text("succeeded")
    await expect(app.locator("#foot")).to_contain_text(f"runs again {first}")
    assert await shown_id(app) != first


async def test_a_dead_run_is_tried_again(
    app_host: AppHost, mcp: McpCaller, flaky: FlakyTarget, server: ServerProcess
) -> None:
    flaky.refusals = 2
    hook = {"type": "webhook", "parameters": {"path": "dies"}}
    ask = http(f"{flaky.url}/status/503", retry={"max_attempts": 2, "first_delay_seconds": 0.01})
    await mcp.create({"hook": hook, "ask": ask}, ("hook", "ask"), publish=True)
    async with httpx2.AsyncClient(base_url=server.url) as outside:
        accepted = (await outside.post("/webhooks/dies", json={})).json()
    app = await app_host.show("inspect_execution", execution_id=accepted["execution_id"], wait_seconds=20)
    await expect(status(app)).to_have_text("dead")
    await app.get_by_role("button", name="Discard").click()
    await app.get_by_role("button", name="Keep it").click()
    await app.get_by_role("button", name="Try again").click()
    await expect(status(app)).to_have_text("succeeded")
    assert await shown_id(app) == accepted["execution_id"]


async def test_markup_in_names_items_and_errors_stays_text(app_host: AppHost, mcp: McpCaller) -> None:
    nodes = {
        MARKUP: START,
        f"ask {MARKUP}": {"type": "approval", "parameters": {"question": MARKUP, "choices": [MARKUP, "no"]}},
        "stop": {"type": "stop_and_error", "parameters": {"message": MARKUP}},
    }
    edges = [[MARKUP, f"ask {MARKUP}"], [f"ask {MARKUP}", "stop"]]
    definition = {"name": MARKUP, "nodes": nodes, "connections": edges}
    made = await mcp.call("create_workflow", definition=definition)
    app = await app_host.show("execute_workflow", workflow_id=made["workflow_id"], input={MARKUP: MARKUP})
    await expect(app.get_by_role("heading", level=1)).to_have_text(MARKUP)
    await expect(app.locator(".ask")).to_have_text(MARKUP)
    await app.get_by_role("button", name=MARKUP, exact=True).click()
    await expect(status(app)).to_have_text("failed")
    await expect(app.get_by_role("alert")).to_contain_text(MARKUP)
    await app.locator("#timeline button").first.click()
    await expect(app.locator("#details")).to_contain_text(json.dumps(MARKUP)[1:-1])
    assert await app.locator("img").count() == 0
    assert await app.locator("script").count() == 1
    assert await app_host.app.evaluate("() => window.broken === undefined")


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_nothing_bars_people_from_using_it(app_host: AppHost, mcp: McpCaller, theme: str) -> None:
    async def violations() -> list[str]:
        await app_host.app.evaluate("() => Promise.allSettled(document.getAnimations().map((each) => each.finished))")
        found = await app_host.app.evaluate("() => axe.run(document)")
        return [f"{each['id']}: {each['nodes'][0]['html']} {each['nodes'][0]['any']}" for each in found["violations"]]

    await app_host.page.emulate_media(reduced_motion="reduce")
    workflow_id = await approval(mcp)
    app = await app_host.show("execute_workflow", theme=theme, workflow_id=workflow_id, input={"name": "Ada"})
    await expect(app.locator("#graph button")).to_have_count(4)
    await app_host.app.evaluate(AXE.read_text())
    assert await violations() == []
    await node(app, "lead in").focus()
    await app_host.page.keyboard.press("Enter")
    await expect(app.locator("#details pre")).to_contain_text("Ada")
    assert await violations() == []
    await app.get_by_role("button", name="Close").press("Enter")
    await expect(node(app, "lead in")).to_be_focused()
    await app.get_by_role("button", name="Cancel").press("Enter")
    await app.get_by_role("button", name="Yes, cancel it").press("Enter")
    await expect(status(app)).to_have_text("cancelled")
    assert await violations() == []


async def test_it_fits_every_width_and_tells_the_host_its_height(app_host: AppHost, mcp: McpCaller) -> None:
    workflow_id = await approval(mcp, name="A workflow with a name that is as long as people make names " * 2)
    app = await app_host.show("execute_workflow", workflow_id=workflow_id, input={"name": "Ada" * 40})
    await expect(app.locator("#graph button")).to_have_count(4)
    for width in (320, 460, 760, 1200):
        await app_host.page.set_viewport_size({"width": width, "height": 900})
        await app_host.app.wait_for_function("width => innerWidth === width", arg=width)
        assert await app_host.app.evaluate("() => document.documentElement.scrollWidth") <= width
        await app_host.app.wait_for_function("() => Math.abs(innerHeight - document.body.offsetHeight) <= 1")


async def test_it_looks_like_its_host(app_host: AppHost, mcp: McpCaller) -> None:
    app = await app_host.show("execute_workflow", workflow_id=await approval(mcp), input={"name": "Ada"})
    body = app.locator("body")
    await expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
    await app_host.change_host('host.bridge.setHostContext({ theme: "dark" })')
    await expect(body).to_have_css("background-color", "rgb(28, 29, 33)")
    variables = '{ "--color-background-primary": "rgb(1, 2, 3)" }'
    await app_host.change_host(f'host.bridge.setHostContext({{ theme: "dark", styles: {{ variables: {variables} }} }})')
    await expect(body).to_have_css("background-color", "rgb(1, 2, 3)")


async def test_it_asks_again_when_the_server_is_back(app_host: AppHost, mcp: McpCaller) -> None:
    app = await app_host.show("execute_workflow", workflow_id=await approval(mcp), input={"name": "Ada"})
    await expect(app.locator("#foot")).to_contain_text("Live")
    await app_host.change_host("host.isOffline = true")
    await expect(app.locator("#foot")).to_contain_text("The connection is lost", timeout=20_000)
    await app.get_by_role("button", name="approve").click()
    await expect(app.get_by_role("alert")).not_to_be_empty()
    await app_host.change_host("host.isOffline = false")
    await expect(app.locator("#foot")).to_contain_text("Live", timeout=20_000)


async def test_it_asks_nothing_while_nobody_sees_it(app_host: AppHost, mcp: McpCaller) -> None:
    app = await app_host.show("execute_workflow", workflow_id=await approval(mcp), input={"name": "Ada"})
    await expect(app.locator("#foot")).to_contain_text("Live")
    await app_host.change_host('document.body.style.paddingTop = "5000px"')
    await expect(app.locator("#foot")).to_contain_text("Paused")
    calls = len(await app_host.seen("calls"))
    execution_id = await shown_id(app)
    await mcp.call("control_execution", execution_id=execution_id, action="resume", data={"choice": "reject"})
    assert (await mcp.call("inspect_execution", execution_id=execution_id, wait_seconds=20))["status"] == "succeeded"
    assert len(await app_host.seen("calls")) == calls
    await expect(status(app)).to_have_text("waiting")
    await app_host.change_host('document.body.style.paddingTop = "0"')
    await expect(status(app)).to_have_text("succeeded")


async def test_it_bears_answers_that_it_does_not_know(app_host: AppHost, mcp: McpCaller) -> None:
    app = await app_host.show("execute_workflow", workflow_id=await approval(mcp), input={"name": "Ada"})
    strange = {
        "execution_id": "strange",
        "status": "hovering",
        "workflow": 5,
        "error": "none",
        "nodes": [{"node": 7, "status": "melted"}, {"node": "a", "duration_ms": "long"}, "… 90 more"],
        "waiting": [{"node": "a", "for": "rain"}],
        "running": {"a": 1},
    }
    await app_host.change_host(
        f"host.isOffline = true;host.bridge.sendToolResult({{ content: [], structuredContent: {json.dumps(strange)} }})"
    )
    await expect(status(app)).to_have_text("hovering")
    await expect(app.locator("#questions")).to_contain_text("a: waits (rain)")
    refused = {"isError": True, "content": [{"type": "text", "text": '{"error": {"message": "No.", "fix": "Ask."}}'}]}
    await app_host.change_host(f"host.bridge.sendToolResult({json.dumps(refused)})")
    await expect(app.get_by_role("alert")).to_contain_text("No.")


async def test_it_says_what_the_server_answered_and_does_not_ask_in_vain(app_host: AppHost, mcp: McpCaller) -> None:
    app = await app_host.show("inspect_execution", execution_id="absent")
    await expect(app.get_by_role("alert")).to_contain_text("absent")
    await expect(app.get_by_role("button", name="Try again")).to_be_visible()
    await expect(app.locator("#foot")).to_have_text("Execution absent")


async def test_a_host_that_passes_no_calls_on_shows_the_run_as_the_tool_answered(
    app_host: AppHost, mcp: McpCaller
) -> None:
    app = await app_host.show("execute_workflow", workflow_id=await approval(mcp), input={"name": "Ada"})
    await expect(app.get_by_role("button", name="approve")).to_be_visible()
    await app_host.change_host('host.bridge.removeRequestHandler("tools/call")')
    await expect(app.locator("#foot")).to_contain_text("As it was when the assistant looked", timeout=20_000)
    await expect(app.get_by_role("button", name="approve")).to_have_count(0)
    await expect(app.locator("#questions")).to_contain_text("tell the assistant")
    await expect(app.get_by_role("button", name="Cancel")).to_have_count(0)


async def test_it_asks_for_the_whole_window_where_the_host_has_one_to_give(app_host: AppHost, mcp: McpCaller) -> None:
    app = await app_host.show("execute_workflow", workflow_id=await approval(mcp), input={"name": "Ada"})
    await expect(app.get_by_role("button", name="Cancel")).to_be_visible()
    await expect(app.get_by_role("button", name="Enlarge")).to_have_count(0)
    await app_host.change_host('host.bridge.setHostContext({ availableDisplayModes: ["inline", "fullscreen"] })')
    await app.get_by_role("button", name="Enlarge").click()
    await app.get_by_text("Live").wait_for()
    assert await app_host.seen("modes") == ["fullscreen"]


async def test_it_stops_when_the_host_takes_it_down(app_host: AppHost, mcp: McpCaller) -> None:
    app = await app_host.show("execute_workflow", workflow_id=await approval(mcp), input={"name": "Ada"})
    await expect(app.locator("#foot")).to_contain_text("Live")
    async with asyncio.timeout(10):
        assert await app_host.page.evaluate("() => window.host.bridge.teardownResource({})") == {}
