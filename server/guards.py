"""What every request passes before a route sees it: header hygiene, Host and Origin, and the size of the body."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.problems import problem, problem_of
from server.settings import Settings
from workflow.errors import ErrorKind, JobsprintError

STRANGERS = ("/webhooks/", "/resume/")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def allowed_hosts(settings: Settings) -> list[str]:
    """Values of the Host header that are ours; ``:*`` stands for any port."""
    names = dict.fromkeys([*LOCAL_HOSTS, settings.host if ":" not in settings.host else f"[{settings.host}]"])
    public = [urlsplit(settings.public_url).netloc] if settings.public_url else []
    return [*(form for name in names for form in (name, f"{name}:*")), *public, *settings.allowed_hosts]


def allowed_origins(settings: Settings) -> list[str]:
    """Origins whose pages may call us; ``:*`` stands for any port."""
    public = [settings.public_url.rstrip("/")] if settings.public_url else []
    local = [f"http://{name}{port}" for name in LOCAL_HOSTS for port in ("", ":*")]
    return [*local, *public, *settings.allowed_origins]


class Guards:
    """An ASGI application in front of another.

    Pages of other sites cannot reach a server on somebody's own machine through it.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], origins: Iterable[str], max_bytes: int) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # httptools keeps blanks after a header's value, which RFC 9110 (5.5) says are not part of it.
        headers = scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        sent = dict(headers)
        # Webhooks and resume links are for strangers: they come by whatever name the outside knows, and prove
        # themselves in other ways.
        is_for_strangers = scope["path"].startswith(STRANGERS)
        if not is_for_strangers and not _matches(sent.get(b"host", b"").decode("latin-1"), self._hosts):
            refusal = problem(
                421,
                code="host_not_allowed",
                title="The server does not answer to this Host.",
                fix="Add it to JOBSPRINT_ALLOWED_HOSTS.",
            )
        elif (
            not is_for_strangers
            and b"origin" in sent
            and not _matches(sent[b"origin"].decode("latin-1"), self._origins)
        ):
            refusal = problem(
                403,
                code="origin_not_allowed",
                title="Pages of this origin may not call the server.",
                fix="Add it to JOBSPRINT_ALLOWED_ORIGINS.",
            )
        elif int(sent.get(b"content-length", b"0")) > self._max_bytes:
            refusal = problem_of(BodyTooLargeError(self._max_bytes))
        elif b"content-length" in sent:
            await self._app(scope, receive, send)
            return
        else:
            await self._pass_on_counted(scope, receive, send)
            return
        await refusal(scope, receive, send)

    async def _pass_on_counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what comes in chunks: such a body does not say beforehand how long it is."""
        received = 0

        async def counted_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise BodyTooLargeError(self._max_bytes)
            return message

        await self._app(scope, counted_receive, send)


class BodyTooLargeError(JobsprintError):
    """A request's body is over the limit."""

    code = "body_too_large"
    kind = ErrorKind.TOO_LARGE

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The body is larger than {max_bytes} bytes.",
            fix="Send less at once, or raise JOBSPRINT_REQUEST_MAX_BYTES.",
        )


def _matches(value: str, allowed: frozenset[str]) -> bool:
    if value in allowed:
        return True
    without_port, colon, port = value.rpartition(":")
    return bool(colon) and port.isdecimal() and f"{without_port}:*" in allowed
