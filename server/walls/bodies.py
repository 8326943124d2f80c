"""The bodies of requests: read as a whole, within bounds of size and shape, before the application sees them.

:mod:`server.walls.bounded_protocol` bounds how long they may take, where waiting costs nothing.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.problems import refusal
from workflow.errors import ErrorKind, JobsprintError
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
    """A request's body is compressed."""

    code = "encoded_body"
    kind = ErrorKind.UNSUPPORTED

    def __init__(self) -> None:
        super().__init__(
            "Bodies are taken as they are, not compressed.", fix="Send it again without the header Content-Encoding."
        )


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
            body = await self._body(headers, receive)
            if _is_json(scope["path"], headers):
                check_json_shape(body, max_members=self._max_members)
        except JobsprintError as error:
            await refusal(scope, error)(scope, receive, send)
        except ClientGoneError:
            return
        else:
            await self._app(scope, _whole(body, receive), send)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        if headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
            raise EncodedBodyError
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
