"""An MCP server as a source of actions, however it is reached."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import mcp_types as types
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError

from integrations.failures import BAD_REQUEST, NOT_FOUND, broken, timed_out
from integrations.mcp.exchanges import HttpExchange, exchange
from integrations.mcp.failures import failed
from integrations.mcp.questions import Interview, asked, responses
from integrations.mcp.results import action_of, resource_of, result_of
from integrations.mcp.sessions import McpSession, McpSessions, TooManySessionsError
from integrations.mcp.tool_lists import MOST_TOOLS
from integrations.settings import host_of
from workflow.actions import (
    Action,
    ActionAsksError,
    ActionCall,
    ActionError,
    ActionProgress,
    ActionResult,
    ResourceContent,
)
from workflow.connections import Connection
from workflow.errors import JobsprintError

LISTING_SECONDS = 30.0
"""For a whole list of tools."""
MOST_PAGES = 100
EFFECT_KEY = "dev.jobsprint/idempotency-key"
"""The member of a call's ``_meta`` by which a server can tell that the call is a repetition."""

T = TypeVar("T")
_ANSWER: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)


class McpSource:
    """Does what :class:`integrations.sources.ActionSource` says, over ``sessions``. Which settings there are is for
    the kinds to say. Where nobody notes when a call is sent (``notes_sending``), it is taken to be as it is made."""

    def __init__(self, sessions: McpSessions, *, notes_sending: bool = True) -> None:
        self._sessions = sessions
        self._notes_sending = notes_sending

    def host(self, settings: Mapping[str, Any]) -> str | None:
        """The host of its address, if it has one; see the port."""
        return host_of(settings.get("url"))

    async def actions(self, connection: Connection) -> Sequence[Action]:
        """The server's tools; see the port."""

        async def ask(client: ClientSession, session: McpSession) -> list[types.Tool]:
            tools: dict[str, types.Tool] = {}
            cursor: str | None = None
            asked: set[str | None] = set()
            while cursor not in asked and len(asked) < MOST_PAGES and len(tools) < MOST_TOOLS:
                asked.add(cursor)
                page = await client.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
                for tool in page.tools:
                    tools.setdefault(tool.name, tool)
                cursor = page.next_cursor  # none ends the list, as does one that was asked for before
            return list(tools.values())[:MOST_TOOLS]

        found = await self._call(connection, None, ask, seconds=LISTING_SECONDS)
        return [action_of(connection.name, tool) for tool in found]

    async def run(self, connection: Connection, action: Action, call: ActionCall) -> ActionResult:
        """Call the tool; see the port."""
        return result_of(action, await self.result(connection, action, call))

    async def result(self, connection: Connection, action: Action, call: ActionCall) -> types.CallToolResult:
        """Call the tool, and leave the reading of its result to the caller; raises what ``run`` does."""

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            if call.on_progress is not None:
                call.on_progress(ActionProgress(progress=progress, total=total, message=message))

        async def ask(client: ClientSession, session: McpSession) -> types.CallToolResult:
            is_modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
            asking = Interview({} if is_modern else call.answers)
            meta = cast(types.RequestParamsMeta, {EFFECT_KEY: call.effect_key}) if call.effect_key else None
            with session.interviewing(asking):
                # Not by call_tool: that holds the result against the server's own output schema, whose patterns may
                # backtrack for hours, and loses what was done where it does not fit.
                answer = await client.send_request(
                    types.CallToolRequest(
                        params=types.CallToolRequestParams(
                            name=action.name,
                            arguments=call.arguments,
                            input_responses=responses(call.answers) if is_modern and call.answers else None,
                            request_state=call.state if is_modern else None,
                            _meta=meta,
                        )
                    ),
                    _ANSWER,
                    progress_callback=on_progress if call.on_progress is not None else None,
                )
            if isinstance(answer, types.InputRequiredResult):
                raise _asks(connection, action, asked(answer))
            if asking.open:
                raise ActionAsksError(asking.open)
            return answer

        return await self._call(connection, action, ask, seconds=call.timeout_seconds)

    async def read(self, connection: Connection, uri: str, *, timeout_seconds: float) -> Sequence[ResourceContent]:
        """A resource of the server; see the port."""

        async def ask(client: ClientSession, session: McpSession) -> types.ReadResourceResult:
            return await client.read_resource(uri)

        return resource_of((await self._call(connection, None, ask, seconds=timeout_seconds)).contents)

    async def forget(self, connection: Connection) -> None:
        """Close its session; see the port."""
        await self._sessions.forget(connection.id)

    async def _call(
        self,
        connection: Connection,
        action: Action | None,
        ask: Callable[[ClientSession, McpSession], Awaitable[T]],
        *,
        seconds: float,
    ) -> T:
        """What ``ask`` gives in the connection's session; in a new one where the server has forgotten the old."""
        what = f"{connection.name}/{action.name}" if action is not None else f"The connection {connection.name}"
        try:
            async with asyncio.timeout(seconds):
                note = HttpExchange(was_sent=not self._notes_sending)
                try:
                    return await self._in_session(connection, action, what, ask, note)
                except _SessionGoneError:
                    return await self._in_session(connection, action, what, ask, note)
        except TimeoutError:
            raise timed_out(what, action, seconds) from None
        except _SessionGoneError as error:
            raise error.failure from None

    async def _in_session(
        self,
        connection: Connection,
        action: Action | None,
        what: str,
        ask: Callable[[ClientSession, McpSession], Awaitable[T]],
        note: HttpExchange,
    ) -> T:
        token = exchange.set(note)
        try:
            async with self._sessions.use(connection) as (session, was_there):
                try:
                    client = await session.client()
                except (JobsprintError, TimeoutError):
                    raise
                except MCPError as error:
                    raise failed(what, None, error, session.opening) from error
                except Exception as error:
                    raise broken(what, None, str(error) or type(error).__name__, was_sent=False) from error
                try:
                    return await ask(client, session)
                except MCPError as error:
                    failure = failed(what, action, error, note)
                    is_closed = error.error.code == types.CONNECTION_CLOSED
                    # 404 (or, so some say it, 400): the server knows the session no more, and took nothing.
                    is_gone = note.status in (BAD_REQUEST, NOT_FOUND) or (is_closed and not failure.may_have_happened)
                    if is_closed or (was_there and is_gone):
                        self._sessions.drop(session)
                    if was_there and is_gone:
                        raise _SessionGoneError(failure) from error
                    raise failure from error
                except (ValidationError, RuntimeError) as error:
                    raise _unreadable(what, action, error) from error
        except TooManySessionsError:
            raise ActionError(
                f"{what} cannot be called: all sessions with other servers are in use.",
                code="connection_failed",
                transient=True,
                is_unavailable=True,
                fix="It is tried again by itself; run less at once.",
            ) from None
        finally:
            exchange.reset(token)


class _SessionGoneError(Exception):
    """The server knows the session no more; the call was not taken. ``failure`` is what to say of it otherwise."""

    def __init__(self, failure: ActionError) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _asks(connection: Connection, action: Action, asks: ActionAsksError) -> Exception:
    if asks.questions:
        return asks
    return ActionError(
        f"{connection.name}/{action.name} asks for something that nobody here answers (a model, or a list of folders).",
        code="action_refused",
        fix="Use another tool of the server, or set it up so that it does not ask.",
    )


def _unreadable(what: str, action: Action | None, error: Exception) -> ActionError:
    doubt = action is not None and not action.is_repeatable
    return ActionError(
        f"{what} gave an answer that cannot be read: {str(error)[:500]}",
        code="action_result",
        may_have_happened=doubt,
        fix="It has most likely happened; see on the other side, and report the answer to its operator.",
    )
