"""Sessions with servers: one per connection, shared by its calls, kept open while it is used.

Each lives in a task of its own, since the SDK's client has to be entered and left in one task. So a caller that gives
up a call ends nothing but the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

import mcp_types as types
from mcp import Client
from mcp.client._transport import Transport
from mcp.client.session import ClientRequestContext, ClientSession, IncomingMessage

from integrations.mcp.exchanges import HttpExchange, exchange
from integrations.mcp.questions import Interview, interview
from integrations.mcp.tool_lists import with_readable_lists
from workflow.connections import Connection

IDLE_SECONDS = 300.0
"""How long a session is kept that nobody uses."""

logger = logging.getLogger(__name__)

Open = Callable[[Connection, "McpSession"], AbstractAsyncContextManager[Client]]
"""Opens the client of a connection; its callbacks are the session's."""


class McpSession:
    """One open session. Made by :class:`McpSessions`. ``opening`` notes what became of the requests that opened it."""

    def __init__(self, connection: Connection, *, on_tools_changed: Callable[[Connection], None]) -> None:
        self.connection = connection
        self.opening = HttpExchange()
        self.users = 0
        self._under_way: dict[int, Interview] = {}
        self._on_tools_changed = on_tools_changed
        self._ready: asyncio.Future[ClientSession] = asyncio.get_running_loop().create_future()
        self._end = asyncio.Event()
        self._is_expired = False
        self._task: asyncio.Task[None] | None = None
        self.idle: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._is_expired or self._end.is_set() or (self._task is not None and self._task.done())

    def expire(self) -> None:
        """Its server is gone: the next use opens another. Calls under way find out by themselves."""
        self._is_expired = True

    def begin(self, open_client: Open) -> None:
        """Start to open it."""
        self._task = asyncio.create_task(self._live(open_client), name=f"mcp session {self.connection.name}")

    async def client(self) -> ClientSession:
        """The SDK's session, once it is open.

        Raises:
            Exception: it could not be opened.
        """
        return await asyncio.shield(self._ready)

    async def end(self) -> None:
        """Close it, and wait until it is."""
        self._end.set()
        if self.idle is not None:
            self.idle.cancel()
        if self._task is not None:
            if not self._ready.done():
                self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._task])

    async def on_elicitation(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        """An older server's question: of the call in whose answer it came, or of the only one under way."""
        del context
        asking = interview.get()
        if asking is None and len(self._under_way) == 1:
            asking = next(iter(self._under_way.values()))
        return asking.answer(params) if asking is not None else types.ElicitResult(action="cancel")

    async def on_message(self, message: IncomingMessage) -> None:
        """What the server tells unasked."""
        if isinstance(message, types.ToolListChangedNotification):
            self._on_tools_changed(self.connection)

    @contextlib.contextmanager
    def interviewing(self, asking: Interview) -> Iterator[None]:
        """Have questions that come meanwhile answered from there."""
        self._under_way[id(asking)] = asking
        token = interview.set(asking)
        try:
            yield
        finally:
            interview.reset(token)
            del self._under_way[id(asking)]

    async def _live(self, open_client: Open) -> None:
        exchange.set(self.opening)
        try:
            async with open_client(self.connection, self) as client:
                self._ready.set_result(client.session)
                await self._end.wait()
        except asyncio.CancelledError:
            if not self._ready.done():
                self._ready.cancel()
            raise
        except BaseExceptionGroup as group:
            self._failed(_first(group))
        except Exception as error:
            self._failed(error)
        finally:
            self._end.set()

    def _failed(self, error: BaseException) -> None:
        if self._ready.done():
            logger.info("The session of connection %s ended: %r", self.connection.id, error)
        else:
            self._ready.set_exception(error)
            self._ready.exception()  # marks it as retrieved: asyncio would log it where no caller waits


class McpSessions:
    """The open sessions; an async context manager that closes them. ``most`` bounds how many there are at once."""

    def __init__(
        self,
        open_client: Open,
        *,
        on_tools_changed: Callable[[Connection], None],
        most: int,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._open = open_client
        self._on_tools_changed = on_tools_changed
        self._most = most
        self._idle_seconds = idle_seconds
        self._sessions: dict[str, McpSession] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        sessions = list(self._sessions.values())
        self._sessions.clear()
        await asyncio.gather(*(each.end() for each in sessions), *self._ending)

    @asynccontextmanager
    async def use(self, connection: Connection) -> AsyncIterator[tuple[McpSession, bool]]:
        """The connection's session, and whether it was there before. It stays open meanwhile.

        Raises:
            TooManySessionsError: all the sessions there may be are in use.
        """
        session = self._sessions.get(connection.id)
        was_there = session is not None and not session.is_over and session.connection.revision == connection.revision
        if session is None or not was_there:
            if session is not None:
                self.drop(session)
            self._make_room()
            session = McpSession(connection, on_tools_changed=self._on_tools_changed)
            self._sessions[connection.id] = session
            session.begin(self._open)
        session.users += 1
        if session.idle is not None:
            session.idle.cancel()
        try:
            yield session, was_there
        finally:
            session.users -= 1
            if session.users == 0:
                session.idle = asyncio.get_running_loop().call_later(self._idle_seconds, self.drop, session)

    def drop(self, session: McpSession) -> None:
        """Close a session; the next use opens another."""
        if self._sessions.get(session.connection.id) is session:
            del self._sessions[session.connection.id]
        self._end_later(session.end())

    async def forget(self, connection_id: str) -> None:
        """Close the connection's session."""
        session = self._sessions.pop(connection_id, None)
        if session is not None:
            await session.end()

    def _make_room(self) -> None:
        if len(self._sessions) < self._most:
            return
        idle = next((each for each in self._sessions.values() if each.users == 0), None)
        if idle is None:
            raise TooManySessionsError
        self.drop(idle)

    def _end_later(self, ending: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def client_of(server: Transport, session: McpSession, info: types.Implementation) -> Client:
    """The SDK's client of a server; what the server asks and tells goes to the session."""
    return Client(
        with_readable_lists(server),
        client_info=info,
        elicitation_callback=session.on_elicitation,
        message_handler=session.on_message,
        cache=None,
    )


class TooManySessionsError(Exception):
    """All the sessions there may be are in use."""


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
