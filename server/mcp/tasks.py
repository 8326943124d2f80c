"""The extension ``io.modelcontextprotocol/tasks`` (SEP-2663) on the wire: its methods, its notification, its rules."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from pydantic import Field, TypeAdapter, ValidationError

from server.mcp.session import Context, abilities_of, actor_of, is_modern, takes_tasks
from tools.executions.tasks import EXTENSION, Tasks, tasks_needed
from workflow.errors import ErrorKind, JobsprintError
from workflow.items import JsonObject

logger = logging.getLogger(__name__)

TASKS_AT_ONCE = 100
"""Tasks that one stream follows; the acknowledgement names them."""

Listen = Callable[[Context, types.SubscriptionsListenRequestParams], Awaitable[types.SubscriptionsListenResult]]


class TaskParams(types.RequestParams):
    """Which task."""

    task_id: str


class UpdateParams(TaskParams):
    """Answers by the keys of the questions. Values under other keys are ignored."""

    input_responses: dict[str, Any] = Field(default_factory=dict)


class TaskNotification(types.Notification[dict[str, Any], Literal["notifications/tasks"]]):
    """A task as ``tasks/get`` would show it now."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


class TaskMethods:
    """Binds :class:`tools.executions.tasks.Tasks` to the protocol."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def join(self, server: Server[Any]) -> None:
        """Serve the methods, and say so to clients."""
        server.add_request_handler("tasks/get", TaskParams, self._get)
        server.add_request_handler("tasks/update", UpdateParams, self._update)
        server.add_request_handler("tasks/cancel", TaskParams, self._cancel)
        server.extensions[EXTENSION] = {}

    async def created(self, context: Context, execution_id: str) -> JsonObject:
        """The result of a call whose answer comes later."""
        return {"resultType": "task", **await self._tasks.handle(execution_id, actor=actor_of(context))}

    def listening(self, listen: Listen) -> Listen:
        """``subscriptions/listen`` that also takes ``taskIds``; ``listen`` serves the rest, on the same stream."""

        async def handler(
            context: Context, params: types.SubscriptionsListenRequestParams
        ) -> types.SubscriptionsListenResult:
            wanted = _task_ids(params.notifications)
            if not wanted:
                return await listen(context, params)
            if not takes_tasks(context):
                raise tasks_needed()
            actor = actor_of(context)
            followed = [each for each in wanted[:TASKS_AT_ONCE] if await self._tasks.is_there(each, actor=actor)]
            acknowledged = asyncio.Event()
            session = _Acknowledging(context.session, followed, acknowledged)
            async with asyncio.TaskGroup() as group:
                followers = [group.create_task(self._follow(context, each, acknowledged)) for each in followed]
                result = await listen(replace(context, session=cast("ServerSession", session)), params)
                for follower in followers:
                    follower.cancel()
            return result

        return handler

    async def _follow(self, context: Context, task_id: str, acknowledged: asyncio.Event) -> None:
        """Send the notifications of one task until it has ended."""
        await acknowledged.wait()
        meta = {SUBSCRIPTION_ID_META_KEY: context.request_id}
        try:
            async for task in self._tasks.changes(task_id, actor=actor_of(context), client=abilities_of(context)):
                notification = TaskNotification(params={**task, "_meta": meta})
                await context.session.send_notification(
                    cast("types.ServerNotification", notification), related_request_id=context.request_id
                )
        except JobsprintError as error:
            logger.warning("task %s is not followed any more: %s", task_id, error.message)

    async def _get(self, context: Context, params: TaskParams) -> JsonObject:
        _check(context, params)
        try:
            return await self._tasks.get(params.task_id, actor=actor_of(context), client=abilities_of(context))
        except JobsprintError as error:
            raise refusal(error) from error

    async def _update(self, context: Context, params: UpdateParams) -> types.EmptyResult:
        _check(context, params)
        try:
            await self._tasks.update(params.task_id, params.input_responses, actor=actor_of(context))
        except JobsprintError as error:
            raise refusal(error) from error
        return types.EmptyResult()

    async def _cancel(self, context: Context, params: TaskParams) -> types.EmptyResult:
        _check(context, params)
        try:
            await self._tasks.cancel(params.task_id, actor=actor_of(context))
        except JobsprintError as error:
            raise refusal(error) from error
        return types.EmptyResult()


class _Acknowledging:
    """The session of a stream that follows tasks: names them in the acknowledgement, and notes that it was sent."""

    def __init__(self, session: ServerSession, task_ids: Sequence[str], acknowledged: asyncio.Event) -> None:
        self._session = session
        self._task_ids = task_ids
        self._acknowledged = acknowledged

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def send_notification(
        self, notification: types.ServerNotification, related_request_id: types.RequestId | None = None
    ) -> None:
        """Send it on, the acknowledgement with the tasks."""
        is_acknowledgement = isinstance(notification, types.SubscriptionsAcknowledgedNotification)
        if isinstance(notification, types.SubscriptionsAcknowledgedNotification):
            honored = notification.params.notifications.model_copy(update={"taskIds": list(self._task_ids)})
            params = notification.params.model_copy(update={"notifications": honored})
            notification = notification.model_copy(update={"params": params})
        await self._session.send_notification(notification, related_request_id)
        if is_acknowledgement:
            self._acknowledged.set()


_TASK_IDS: TypeAdapter[list[str]] = TypeAdapter(list[str])


def _task_ids(wanted: types.SubscriptionFilter) -> list[str]:
    """The extension's own member of the filter."""
    try:
        return _TASK_IDS.validate_python((wanted.model_extra or {}).get("taskIds") or [])
    except ValidationError as error:
        raise MCPError(types.INVALID_PARAMS, "taskIds is not a list of strings.") from error


def _check(context: Context, params: TaskParams) -> None:
    """What holds for every method: the era, the client's declaration, the header that requests are routed by."""
    if not is_modern(context):
        raise MCPError(types.METHOD_NOT_FOUND, "Method not found", context.method)
    if not takes_tasks(context):
        raise tasks_needed()
    request = context.request
    if request is not None and decode_header_value(request.headers.get(MCP_NAME_HEADER)) != params.task_id:
        raise MCPError(types.HEADER_MISMATCH, f"The header {MCP_NAME_HEADER} is not the request's taskId.")


def refusal(error: JobsprintError) -> MCPError:
    """The failure of a method as the protocol has it."""
    code = types.INTERNAL_ERROR if error.kind is ErrorKind.UNAVAILABLE else types.INVALID_PARAMS
    data = {"code": error.code, **({"fix": error.fix} if error.fix is not None else {})}
    return MCPError(code, error.message, data)
