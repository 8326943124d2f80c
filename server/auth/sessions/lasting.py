"""Requests that last: each ends when its caller's session, key, grant or membership does, and not later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CHECK_SECONDS = 1.0
"""How often the caller of a request that lasts is looked at again. Together with what verifiers cache
(:data:`server.auth.sessions.sessions.KNOWN_FOR`) an end counts everywhere within five seconds."""

StillAllowed = Callable[[], Awaitable[bool]]


class AccessEndedError(Exception):
    """The caller's access has ended, and no answer has begun: the request is to be refused."""


async def while_allowed(app: ASGIApp, scope: Scope, receive: Receive, send: Send, still_allowed: StillAllowed) -> None:
    """Run the application as long as its caller ``still_allowed`` says so.

    A stream that has begun ends in order. An answer that took longer than :data:`CHECK_SECONDS` is checked once more
    before it leaves. A request that is answered sooner costs one timer.

    Raises:
        AccessEndedError: the caller's access has ended before the answer began.
    """
    lasting = _Lasting(send, still_allowed)
    timer = asyncio.get_running_loop().call_later(CHECK_SECONDS, lasting.watch)
    try:
        await app(scope, receive, lasting.send)
    except asyncio.CancelledError:
        if not lasting.has_ended or lasting.task.uncancel() > lasting.cancellations:  # it is the server that stops
            raise
    finally:
        timer.cancel()
        lasting.leave()
    if lasting.has_ended:
        await lasting.end()


class _Lasting:
    """One request, run by the task that made this."""

    def __init__(self, send: Send, still_allowed: StillAllowed) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("requests are served by tasks")
        self.task = task
        # What was cancelled before this request and went on regardless, as in a task that serves many, counts still.
        self.cancellations = task.cancelling()
        self.has_ended = False
        self._send = send
        self._still_allowed = still_allowed
        self._is_running = True
        self._has_begun = self._is_complete = False
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Look again and again whether the caller still may."""
        self._watcher = asyncio.create_task(self._watch(), name="access-of-a-lasting-request")

    def leave(self) -> None:
        """Stop looking: the application has returned."""
        self._is_running = False
        if self._watcher is not None:
            self._watcher.cancel()

    async def send(self, message: Message) -> None:
        """Send on what the application sends, unless the access has ended."""
        if self.has_ended:
            return
        if message["type"] == "http.response.start":
            # The timer has fired, so that the answer took its time.
            if self._watcher is not None and not await self._still_allowed():
                self.has_ended = True
                return
            self._has_begun = True
        elif not message.get("more_body", False):
            self._is_complete = True
        await self._send(message)

    async def end(self) -> None:
        """End the stream in order.

        Raises:
            AccessEndedError: nothing was sent yet.
        """
        if not self._has_begun:
            raise AccessEndedError
        if not self._is_complete:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self) -> None:
        while True:
            if not await self._still_allowed():
                break
            await asyncio.sleep(CHECK_SECONDS)
        # The application is suspended somewhere, or the finally above would have cancelled this task: it is there
        # that the cancellation arrives.
        if self._is_running and not self._is_complete:
            self.has_ended = True
            self.task.cancel()
