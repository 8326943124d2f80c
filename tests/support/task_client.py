"""A client of the tasks extension, over the Python SDK's client and as SEP-2663 has it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import mcp_types as types
from mcp.client.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, NotificationBinding, ResultClaim
from pydantic import ConfigDict, TypeAdapter

from tools.executions.tasks import EXTENSION

ANYTHING: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
OPEN = ("working", "input_required")


class TaskHandle(types.Result):
    """``CreateTaskResult``; whatever else is in it is kept."""

    model_config = ConfigDict(extra="allow")

    result_type: Literal["task"] = "task"


class TaskChange(types.NotificationParams):
    """The params of ``notifications/tasks``."""

    model_config = ConfigDict(extra="allow")


class TaskRequest(types.Request[dict[str, Any], str]):
    """A request about one task."""

    name_param = "taskId"


class TasksExtension(ClientExtension):
    """Declares the extension, and keeps what notifications tell."""

    identifier = EXTENSION

    def __init__(self) -> None:
        self.changes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def claims(self) -> Sequence[ResultClaim[Any]]:
        """Calls may be answered with tasks."""
        return [ResultClaim(result_type="task", model=TaskHandle, resolve=self._resolve)]

    def notifications(self) -> Sequence[NotificationBinding[Any]]:
        """Tasks tell how they stand."""
        return [NotificationBinding(method="notifications/tasks", params_type=TaskChange, handler=self._note)]

    async def _resolve(self, handle: TaskHandle, context: ClaimContext) -> types.CallToolResult:
        raise AssertionError("these tests handle tasks themselves")

    async def _note(self, change: TaskChange) -> None:
        await self.changes.put(change.model_dump(by_alias=True))


@dataclass(slots=True, frozen=True)
class TaskClient:
    """A connected client that has declared the extension."""

    client: Client
    extension: TasksExtension = field(default_factory=TasksExtension)

    async def start(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The task that the call is answered with."""
        result = await self.client.session.call_tool(tool, arguments, allow_claimed=True)
        assert isinstance(result, TaskHandle), result
        return result.model_dump(by_alias=True)

    async def send(self, method: str, task_id: str, **params: Any) -> dict[str, Any]:
        """Any of the extension's requests."""
        request = TaskRequest(method=method, params={"taskId": task_id, **params})
        return await self.client.session.send_request(request, ANYTHING)

    async def get(self, task_id: str) -> dict[str, Any]:
        """The task now."""
        return await self.send("tasks/get", task_id)

    async def until(self, task_id: str, *statuses: str) -> dict[str, Any]:
        """The task when it has one of the statuses, at first look or later."""
        async with asyncio.timeout(20):
            while (task := await self.get(task_id))["status"] not in statuses:
                continue
            return task

    async def update(self, task_id: str, answers: dict[str, Any]) -> dict[str, Any]:
        """Deliver answers by the keys of their questions."""
        return await self.send("tasks/update", task_id, inputResponses=answers)


def accept(**content: Any) -> dict[str, Any]:
    """A form as the user has filled it in."""
    return {"action": "accept", "content": content}
