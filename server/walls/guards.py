"""The outer checks of every request: size of the headers, Host, Origin, and CORS for allowed origins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.http.problems import problem
from server.settings.addresses import ASKED_PATH, MCP_PATH, matches
from server.settings.proxies import TrustedProxies
from server.settings.settings import Settings

STRANGERS = ("/webhooks/", "/resume/")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 << 10
"""Of all headers together; Node's bound."""
MAX_TARGET_BYTES = 8_000
"""Path and query; RFC 9110 (4.1) asks for at least 8,000 octets."""

ALLOWED_METHODS = b"GET, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = frozenset(
    {
        "accept",
        "authorization",
        "content-type",
        "idempotency-key",
        "if-match",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "traceparent",
    }
)
ALLOWED_HEADER_PREFIX = "mcp-param-"
EXPOSED_HEADERS = (
    b"etag, location, mcp-protocol-version, mcp-session-id, ratelimit, ratelimit-policy, retry-after, www-authenticate"
)
PREFLIGHT_SECONDS = 600


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
    """An ASGI application in front of another one.

    It keeps pages of other sites from reaching a server on a user's own machine. Pages of allowed origins can read its
    answers, but never with cookies: those are for our own pages.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str], origins: Iterable[str], proxies: TrustedProxies | None = None
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._proxies = proxies or TrustedProxies(())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # httptools keeps blanks after a header's value, which are not part of it (RFC 9110, 5.5).
        headers = scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        if scope["path"] == f"{MCP_PATH}/":  # people write it so, and clients pass it on
            scope["path"], scope["raw_path"], scope[ASKED_PATH] = MCP_PATH, MCP_PATH.encode(), scope["path"]
        sent = dict(headers)
        self._proxies.see_through(scope, headers)
        refusal = _too_much(scope, headers) or self._stranger(scope, sent)
        origin = sent.get(b"origin")
        if refusal is not None:
            await refusal(scope, receive, send)
        elif origin is None or not self._is_known(origin):
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and b"access-control-request-method" in sent:
            await _preflight(origin, sent)(scope, receive, send)
        else:
            await self._app(scope, receive, _readable_by(origin, send))

    def _stranger(self, scope: Scope, sent: dict[bytes, bytes]) -> Response | None:
        # Webhooks and resume links come from outside under any host name, and carry their own proof.
        if scope["path"].startswith(STRANGERS):
            return None
        if not matches(sent.get(b"host", b"").decode("latin-1"), self._hosts):
            return problem(
                421,
                code="host_not_allowed",
                title="The server does not answer to this Host.",
                fix="Add it to JOBSPRINT_ALLOWED_HOSTS.",
            )
        if b"origin" in sent and not self._is_known(sent[b"origin"]):
            return problem(
                403,
                code="origin_not_allowed",
                title="Pages of this origin may not call the server.",
                fix="Add it to JOBSPRINT_ALLOWED_ORIGINS.",
            )
        return None

    def _is_known(self, origin: bytes) -> bool:
        return matches(origin.decode("latin-1"), self._origins)


def _too_much(scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> Response | None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        return problem(
            414,
            code="address_too_long",
            title=f"Path and query are longer than {MAX_TARGET_BYTES} bytes.",
            fix="Send what is long in the body.",
        )
    if len(headers) > MAX_HEADERS or sum(map(len, chain.from_iterable(headers))) > MAX_HEADER_BYTES:
        return problem(
            431,
            code="head_too_large",
            title=f"There are more than {MAX_HEADERS} headers, or more than {MAX_HEADER_BYTES} bytes in them.",
            fix="Send fewer and shorter ones.",
        )
    return None


def _preflight(origin: bytes, sent: dict[bytes, bytes]) -> Response:
    """The answer to a CORS preflight of an allowed origin; it needs no token."""
    asked = sent.get(b"access-control-request-headers", b"").decode("latin-1").lower().split(",")
    names = [name for each in asked if (name := each.strip()) in ALLOWED_HEADERS or _is_parameter(name)]
    return Response(
        status_code=204,
        headers={
            "access-control-allow-origin": origin.decode("latin-1"),
            "access-control-allow-methods": ALLOWED_METHODS.decode(),
            "access-control-allow-headers": ", ".join(names),
            "access-control-max-age": str(PREFLIGHT_SECONDS),
            "vary": "Origin, Access-Control-Request-Headers",
        },
    )


def _is_parameter(name: str) -> bool:
    return name.startswith(ALLOWED_HEADER_PREFIX) and name.replace("-", "").isalnum() and name.isascii()


def _readable_by(origin: bytes, send: Send) -> Send:
    """Let a page of the origin read the answer."""

    async def readable(message: Message) -> None:
        if message["type"] == "http.response.start":
            allowance = [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", EXPOSED_HEADERS),
                (b"vary", b"Origin"),
            ]
            kept = [each for each in message.get("headers", ()) if not each[0].startswith(b"access-control-")]
            message = {**message, "headers": [*kept, *allowance]}
        await send(message)

    return readable
