"""The bodies of requests: read as a whole, within bounds of size and shape, before the application sees them.

Those of webhooks may be compressed, and are decoded here: signatures and bounds are about what was meant.

:mod:`server.walls.bounded_protocol` bounds how long they may take, where waiting costs nothing.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.problems import refusal
from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError
from workflow.http.codings import CodingError, DecodedTooLargeError, UnknownCodingError, decoded, is_plain, supported
from workflow.schemas.bounds import check_json_shape

WEBHOOKS = "/webhooks/"


class BodyTooLargeError(JobsprintError):
    """A request's body is over the limit."""

    code = "body_too_large"
    kind = ErrorKind.TOO_LARGE

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The body is larger than {max_bytes} bytes.",
            fix="Send less at once, or raise JOBSPRINT_REQUEST_MAX_BYTES.",
        )


class EncodedBodyError(JobsprintError):
    """A request's body is compressed, and not at a webhook or not in a way that is undone here."""

    code = "encoded_body"
    kind = ErrorKind.UNSUPPORTED

    def __init__(self, *, at_webhook: bool = False) -> None:
        taken = f"compressed by {', '.join(supported())} alone" if at_webhook else "as they are, not compressed"
        super().__init__(f"Bodies are taken {taken}.", fix="Send it again without the header Content-Encoding.")


class ClientGoneError(Exception):
    """The client disconnected before its body was complete; nobody waits for an answer."""


class Bodies:
    """An ASGI application in front of another one, which gets each body in one message."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_members: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_members = max_members

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._body(headers, receive, is_webhook=scope["path"].startswith(WEBHOOKS))
            if b"content-encoding" in headers:
                scope = _without_coding(scope, len(body))
            if _is_json(scope["path"], headers):
                check_json_shape(body, max_members=self._max_members)
        except JobsprintError as error:
            await refusal(scope, error)(scope, receive, send)
        except ClientGoneError:
            return
        else:
            await self._app(scope, _whole(body, receive), send)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive, *, is_webhook: bool) -> bytes:
        coding = headers.get(b"content-encoding", b"").decode("latin-1")
        if is_plain(coding):
            return await self._received(headers, receive)
        if not is_webhook:
            raise EncodedBodyError
        try:
            # In a thread: a small body may be a large one.
            return await asyncio.to_thread(
                decoded, await self._received(headers, receive), coding, max_bytes=self._max_bytes
            )
        except UnknownCodingError:
            raise EncodedBodyError(at_webhook=True) from None
        except DecodedTooLargeError:
            raise BodyTooLargeError(self._max_bytes) from None
        except CodingError as error:
            raise InvalidArgumentsError(
                f"The body cannot be decoded: {error}.", pointer="/body", fix="Send what Content-Encoding says."
            ) from error

    async def _received(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        if int(headers.get(b"content-length", b"0")) > self._max_bytes:
            raise BodyTooLargeError(self._max_bytes)
        parts: list[bytes] = []
        received = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part = message.get("body", b"")
            parts.append(part)
            received += len(part)
            if received > self._max_bytes:
                raise BodyTooLargeError(self._max_bytes)
            if not message.get("more_body", False):
                return b"".join(parts) if len(parts) > 1 else part


def _without_coding(scope: Scope, size_bytes: int) -> Scope:
    """The request as it is behind here: its body is decoded."""
    kept = [field for field in scope["headers"] if field[0] not in (b"content-encoding", b"content-length")]
    return {**scope, "headers": [*kept, (b"content-length", str(size_bytes).encode())]}


def _is_json(path: str, headers: dict[bytes, bytes]) -> bool:
    """Whether it will be parsed as JSON: at webhooks if its type says so, at our routes unless it is a form."""
    media_type = headers.get(b"content-type", b"").lower()
    return b"json" in media_type or not (path.startswith(WEBHOOKS) or b"form" in media_type)


def _whole(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns the body in one message, and then the server's other messages."""
    is_given = False

    async def replay() -> dict[str, object]:
        nonlocal is_given
        if is_given:
            return dict(await receive())
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
