"""Lists of tools as servers send them, made readable: one tool that the protocol does not allow would cost all others.

The SDK's client refuses a whole page for one tool without a usable schema. So what a server sends goes through here
before the client looks at it. Schemas are made usable in a thread, within a budget for the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import mcp_types as types
from mcp.client._transport import ReadStream, Transport, TransportStreams
from mcp.shared.message import SessionMessage

from workflow.items import JsonObject
from workflow.schemas.foreign import usable_schema
from workflow.schemas.schema_parts import MAX_BYTES, MAX_VALUES, Budget

MOST_TOOLS = 5_000
PAGE_VALUES = 60_000
PAGE_BYTES = 3 << 20
"""Of all schemas of a page together: each tool has its share of what the ones before it have left."""
LONGEST_NAME = 500
_TEXTS = ("title", "description")
_OBJECTS = ("annotations", "execution", "_meta")


def readable_tools(tools: list[Any]) -> list[JsonObject]:
    """The tools that have a name, each once, with schemas that can be used and without what cannot be read."""
    named: dict[str, JsonObject] = {}
    for each in tools:
        name = each.get("name") if isinstance(each, Mapping) else None
        if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and len(named) < MOST_TOOLS:
            named.setdefault(name, each)
    values, size, made = PAGE_VALUES, PAGE_BYTES, []
    for place, tool in enumerate(named.values()):
        left = len(named) - place
        share = Budget(values=min(MAX_VALUES, values // left), bytes=min(MAX_BYTES, size // left))
        given = Budget(values=share.values, bytes=share.bytes)
        made.append(_readable(tool, share))
        values -= given.values - share.values
        size -= given.bytes - share.bytes
    return made


def _readable(tool: JsonObject, budget: Budget) -> JsonObject:
    made: JsonObject = {"name": tool["name"], "inputSchema": usable_schema(tool.get("inputSchema"), budget=budget)}
    if isinstance(tool.get("outputSchema"), Mapping):
        made["outputSchema"] = usable_schema(tool["outputSchema"], budget=budget)
    made |= {name: tool[name] for name in _TEXTS if isinstance(tool.get(name), str)}
    made |= {name: tool[name] for name in _OBJECTS if isinstance(tool.get(name), dict)}
    try:
        types.Tool.model_validate(made, by_name=False)
    except ValueError:
        for name in _OBJECTS:
            made.pop(name, None)
    return made


@asynccontextmanager
async def with_readable_lists(transport: Transport) -> AsyncIterator[TransportStreams]:
    """The transport, with lists of tools made readable on their way in."""
    async with transport as (reading, writing):
        yield _Reading(reading), writing


class _Reading:
    """The stream of what a server sends."""

    def __init__(self, inner: ReadStream[SessionMessage | Exception]) -> None:
        self._inner = inner

    @property
    def last_context(self) -> Any:
        """The context in which the last message was sent."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        return await _readable_message(await self._inner.receive())

    async def aclose(self) -> None:
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return await _readable_message(await self._inner.__anext__())

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:
        return await self._inner.__aexit__(exc_type, exc_val, exc_tb)


async def _readable_message(received: SessionMessage | Exception) -> SessionMessage | Exception:
    if isinstance(received, SessionMessage) and isinstance(received.message, types.JSONRPCResponse):
        result = received.message.result
        if isinstance(result, dict) and isinstance(result.get("tools"), list):
            result["tools"] = await asyncio.to_thread(readable_tools, result["tools"])
    return received
