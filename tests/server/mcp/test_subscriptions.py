"""Clients are notified of changes while they listen, in both protocol eras, and leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
    event_from_wire,
)

from server.assembly.app import http_app
from server.assembly.composition import Services, running_services
from server.settings.settings import Settings
from tests.server.conftest import connected
from tests.support.http_target import HttpTarget, listening
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

START = {"type": "manual"}
PATIENCE_SECONDS = 20


@dataclass(slots=True)
class Listener:
    """A client and the changes that it was notified of, in the way of its era."""

    caller: McpCaller
    is_legacy: bool
    changes: list[ServerEvent] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, change: ServerEvent | None) -> None:
        """Keep a change."""
        if change is not None:
            self.changes.append(change)
            self.arrived.set()

    async def until(self, *wanted: ServerEvent, doing: Callable[[], Awaitable[Any]] | None = None) -> None:
        """Return when all of it has come; ``doing`` makes it happen, again where a message had no stream yet."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not set(wanted) <= set(self.changes):
                self.arrived.clear()
                if doing is not None:
                    await doing()
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await self.arrived.wait()

    @asynccontextmanager
    async def listening(self, *uris: str) -> AsyncIterator[None]:
        """Listen to the resources and every list."""
        if self.is_legacy:
            for uri in uris:
                await subscribe(self.caller, uri)
            yield
            return
        async with self.caller.client.listen(
            tools_list_changed=True,
            prompts_list_changed=True,
            resources_list_changed=True,
            resource_subscriptions=uris,
        ) as subscription:

            async def hear() -> None:
                async for change in subscription:
                    self.note(change)

            hearing = asyncio.create_task(hear())
            yield
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)


@pytest.fixture(params=["http-modern", "http-legacy", "stdio-modern", "stdio-legacy"])
async def listener(request: pytest.FixtureRequest, server: ServerProcess, data_dir: Path) -> AsyncIterator[Listener]:
    """A client of each kind."""
    transport, era = request.param.split("-")
    listeners: list[Listener] = []

    async def on_message(message: Any) -> None:
        wire = message.model_dump(by_alias=True, mode="json")
        for each in listeners:
            each.note(event_from_wire(wire["method"], wire.get("params")))

    handler = on_message if era == "legacy" else None
    async with connected(transport, era, server, data_dir, message_handler=handler) as caller:
        listeners.append(Listener(caller, is_legacy=era == "legacy"))
        yield listeners[0]


async def subscribe(caller: McpCaller, uri: str) -> None:
    """``resources/subscribe`` of the legacy era."""
    params = types.SubscribeRequestParams(uri=uri)
    await caller.client.session.send_request(types.SubscribeRequest(params=params), types.EmptyResult)


async def test_a_listener_is_told_when_an_execution_and_a_node_have_changed(
    listener: Listener, target: HttpTarget
) -> None:
    caller = listener.caller
    ask = {"type": "http_request", "parameters": {"url": f"{target.url}/wait"}}
    workflow_id = await caller.create({"start": START, "ask it": ask}, ("start", "ask it"))
    ran = await caller.call("execute_workflow", workflow_id=workflow_id, wait_seconds=0)
    execution = f"execution://{ran['execution_id']}"
    async with listener.listening(execution, f"{execution}/nodes/ask%20it"):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await target.arrived.wait()
        target.release.set()
        await listener.until(ResourceUpdated(execution), ResourceUpdated(f"{execution}/nodes/ask%20it"))
        ended = await caller.call("inspect_execution", execution_id=ran["execution_id"], wait_seconds=20)
        assert ended["status"] == "succeeded"


async def test_a_listener_is_told_when_workflows_come_change_and_go(listener: Listener) -> None:
    caller = listener.caller
    workflow_id = await caller.create({"start": START})
    other_id = await caller.create({"start": START})
    version = 1

    async def change() -> None:
        nonlocal version
        operations = [{"op": "set_workflow", "description": f"after {version}"}]
        arguments = {"workflow_id": workflow_id, "expected_version": version, "operations": operations}
        version = (await caller.call("update_workflow", **arguments))["version"]

    async with listener.listening(f"workflow://{workflow_id}", f"workflow://{other_id}"):
        await listener.until(
            ResourceUpdated(f"workflow://{workflow_id}"), ToolsListChanged(), PromptsListChanged(), doing=change
        )
        assert ResourceUpdated(f"workflow://{other_id}") not in listener.changes
        await caller.call("delete_workflow", workflow_id=other_id)
        await listener.until(ResourcesListChanged(), ResourceUpdated(f"workflow://{other_id}"))


async def test_a_modern_listener_learns_what_is_honoured_and_hears_nothing_else(mcp_http: McpCaller) -> None:
    workflow_id = await mcp_http.create({"start": START})
    wishes = [f"workflow://{workflow_id}", "workflow://absent", f"workflow://{workflow_id}/versions/1", "other://x"]
    async with mcp_http.client.listen(resource_subscriptions=wishes) as subscription:
        assert subscription.honored.resource_subscriptions == wishes[:1]
        assert subscription.honored.tools_list_changed is None
        await mcp_http.create({"start": START})
        await mcp_http.call("delete_workflow", workflow_id=workflow_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await anext(subscription) == ResourceUpdated(f"workflow://{workflow_id}")


async def test_a_legacy_session_subscribes_to_what_is_there_and_can_end_it(
    server: ServerProcess, data_dir: Path
) -> None:
    updated: list[str] = []
    arrived = asyncio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            updated.append(str(message.params.uri))
            arrived.set()

    async with connected("http", "legacy", server, data_dir, message_handler=on_message) as caller:
        assert caller.client.server_capabilities.resources == types.ResourcesCapability(
            subscribe=True, list_changed=True
        )
        with pytest.raises(MCPError) as caught:
            await subscribe(caller, "workflow://absent")
        assert caught.value.error.code == types.INVALID_PARAMS
        assert caught.value.error.data["uri"] == "workflow://absent"
        assert caught.value.error.data["code"] == "workflow_not_found"
        first, second = [await caller.create({"start": START}) for _ in range(2)]
        await subscribe(caller, f"workflow://{first}")
        await subscribe(caller, f"workflow://{second}")
        params = types.UnsubscribeRequestParams(uri=f"workflow://{first}")
        await caller.client.session.send_request(types.UnsubscribeRequest(params=params), types.EmptyResult)
        version = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not arrived.is_set():
                version += 1
                for each in (first, second):
                    operations = [{"op": "set_workflow", "description": str(version)}]
                    await caller.call(
                        "update_workflow", workflow_id=each, expected_version=version, operations=operations
                    )
        assert set(updated) == {f"workflow://{second}"}


@pytest.fixture
async def here(data_dir: Path) -> AsyncIterator[tuple[Services, str]]:
    """A server in this process, so that tests can look into it."""
    settings = Settings.load(data_dir=data_dir)
    async with (
        running_services(settings, has_http=True) as services,
        http_app(settings, services) as app,
        listening(app) as url,
    ):
        yield services, f"{url}/mcp"


async def test_clients_that_go_away_leave_no_listener_and_no_task(here: tuple[Services, str]) -> None:
    services, url = here
    async with Client(url, mode="legacy") as client:
        made = await McpCaller(client).create({"start": START})
    uri = f"workflow://{made}"
    await until(lambda: services.subscriptions.listeners == 0, seconds=PATIENCE_SECONDS)
    before = len(asyncio.all_tasks())
    modes: tuple[Literal["auto", "legacy"], ...] = ("auto", "legacy")
    for mode in modes:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client(url, mode=mode)) for _ in range(3)]
            for client in clients:
                if mode == "auto":
                    await stack.enter_async_context(client.listen(resource_subscriptions=[uri]))
                else:
                    await subscribe(McpCaller(client), uri)
            assert services.subscriptions.listeners == 3
            assert services.announcements.is_heard(made, "workflow.completed")
        await until(lambda: services.subscriptions.listeners == 0, seconds=PATIENCE_SECONDS)
        assert not services.announcements.is_heard(made, "workflow.completed")
        await until(lambda: len(asyncio.all_tasks()) <= before, seconds=PATIENCE_SECONDS)


async def test_a_server_that_stops_ends_the_streams_and_does_not_wait_for_them(data_dir: Path) -> None:
    with ServerProcess(data_dir, {"JOBSPRINT_SHUTDOWN_GRACE_SECONDS": "25"}) as server:
        url = f"{server.url}/mcp"
        async with (
            Client(url) as modern,
            Client(url, mode="legacy"),
            modern.listen(tools_list_changed=True) as subscription,
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            assert await asyncio.to_thread(server.stop) == 0
            assert [change async for change in subscription] == []
