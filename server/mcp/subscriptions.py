"""Sends changes to clients: streams of ``subscriptions/listen`` in the modern era, sessions in the legacy one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
    event_to_notification,
)

from engine.announcements import Announcements
from server.mcp.change_listeners import ChangeListener
from server.mcp.errors import protocol_error
from server.mcp.offers import Offers
from server.mcp.session import Context, actor_of, owner_of
from tools.protocol.changes import lists_changed
from workflow.errors import InvalidArgumentsError, JobsprintError
from workflow.identity import Actor

MAX_EARS = 10_000
"""Clients that listen at once: as many as the SDK keeps sessions."""
MAX_WATCHED = 1_000
"""Resources that one client subscribes to."""

ONLY_CONNECTION = ""
"""The session of a transport that has only one."""


class Subscriptions:
    """The handlers, and the one task that receives the events of workflows that come and go."""

    def __init__(self, announcements: Announcements, offers: Offers) -> None:
        self._announcements = announcements
        self._offers = offers
        self._ears: set[ChangeListener] = set()
        self._sessions: dict[str, ChangeListener] = {}
        self._is_closing = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sends list changes to clients until the context is left; then ends every stream in order."""
        async with self._announcements.listen_to_changes() as events:

            async def hear() -> None:
                async for event in events:
                    self._offers.forget(event.data["workspaceId"])
                    for change in lists_changed(event):
                        for ear in self._ears:
                            if ear.owner == event.data["workspaceId"]:
                                ear.tell(change)

            hearing = asyncio.create_task(hear(), name="changed-lists")
            try:
                yield
            finally:
                self.close()
                hearing.cancel()
                with suppress(asyncio.CancelledError):
                    await hearing

    def close(self) -> None:
        """End every stream in order: open streams would delay the server's shutdown."""
        self._is_closing = True
        for ear in self._ears:
            ear.close()

    @property
    def listeners(self) -> int:
        """How many clients listen now."""
        return len(self._ears)

    async def listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Serve one stream of the modern era; its first message says which parts of the filter are honoured."""
        if context.request_id is None:
            raise MCPError(types.INVALID_REQUEST, "subscriptions/listen is a request.")
        asked = params.notifications
        meta = {SUBSCRIPTION_ID_META_KEY: context.request_id}
        lists: list[ServerEvent] = []
        if asked.tools_list_changed:
            lists.append(ToolsListChanged())
        if asked.prompts_list_changed:
            lists.append(PromptsListChanged())
        if asked.resources_list_changed:
            lists.append(ResourcesListChanged())
        async with self._ear(owner_of(context), lists) as ear:
            honoured = [
                uri
                for uri in dict.fromkeys(asked.resource_subscriptions or ())
                if await self._watch(ear, uri, actor_of(context)) is None
            ]
            acknowledged = types.SubscriptionFilter(
                tools_list_changed=asked.tools_list_changed or None,
                prompts_list_changed=asked.prompts_list_changed or None,
                resources_list_changed=asked.resources_list_changed or None,
                resource_subscriptions=honoured or None,
            )
            await context.session.send_notification(
                types.SubscriptionsAcknowledgedNotification(
                    params=types.SubscriptionsAcknowledgedNotificationParams(notifications=acknowledged, _meta=meta)
                ),
                related_request_id=context.request_id,
            )
            async for change in ear:
                await context.session.send_notification(
                    event_to_notification(change, meta), related_request_id=context.request_id
                )
        return types.SubscriptionsListenResult(_meta=meta)

    async def begin_session(self, context: Context, params: types.NotificationParams) -> None:
        """Send changes to a session of the legacy era, as long as it lasts.

        The SDK runs this in the session's own task group: it is cancelled when the session ends, however it ends.
        """
        key = _session(context)
        if key in self._sessions:
            return
        lists: list[ServerEvent] = [ToolsListChanged(), PromptsListChanged(), ResourcesListChanged()]
        async with self._ear(owner_of(context), lists) as ear:
            self._sessions[key] = ear
            try:
                async for change in ear:
                    await _notify_session(context, change)
            finally:
                del self._sessions[key]

    async def subscribe(self, context: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """Subscribe a session of the legacy era to a resource."""
        error = await self._watch(self._session_ear(context), str(params.uri), actor_of(context))
        if error is not None:
            raise protocol_error(error, uri=str(params.uri)) from error
        return types.EmptyResult()

    async def unsubscribe(self, context: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """Unsubscribe from a resource; one that was not subscribed is no error."""
        await self._session_ear(context).forget(str(params.uri))
        return types.EmptyResult()

    @asynccontextmanager
    async def _ear(self, owner: str, lists: list[ServerEvent]) -> AsyncIterator[ChangeListener]:
        if self._is_closing or len(self._ears) >= MAX_EARS:
            why = "The server is stopping." if self._is_closing else f"{MAX_EARS} clients listen already."
            raise MCPError(types.INTERNAL_ERROR, why)
        async with ChangeListener(self._announcements, owner, lists) as ear:
            self._ears.add(ear)
            try:
                yield ear
            finally:
                self._ears.discard(ear)

    def _session_ear(self, context: Context) -> ChangeListener:
        ear = self._sessions.get(_session(context))
        if ear is None:
            raise MCPError(types.INVALID_REQUEST, "Send notifications/initialized before you subscribe.")
        return ear

    async def _watch(self, ear: ChangeListener, uri: str, actor: Actor) -> JobsprintError | None:
        """Listen for changes of a resource that the actor may read; returns why not, where it cannot."""
        if ear.watched >= MAX_WATCHED:
            return InvalidArgumentsError(
                f"One client can subscribe to {MAX_WATCHED} resources.",
                pointer="/uri",
                fix="Unsubscribe from those that have ended.",
            )
        try:
            await ear.watch(uri, await self._offers.resources.watched(uri, actor))
        except JobsprintError as error:
            return error
        return None


def _session(context: Context) -> str:
    """The key of a session of the legacy era."""
    headers = getattr(context.request, "headers", None)
    return headers.get("mcp-session-id", ONLY_CONNECTION) if headers is not None else ONLY_CONNECTION


async def _notify_session(context: Context, change: ServerEvent) -> None:
    match change:
        case ToolsListChanged():
            await context.session.send_tool_list_changed()
        case PromptsListChanged():
            await context.session.send_prompt_list_changed()
        case ResourcesListChanged():
            await context.session.send_resource_list_changed()
        case ResourceUpdated(uri=uri):
            await context.session.send_resource_updated(uri)
