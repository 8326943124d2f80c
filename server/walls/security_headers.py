"""Security headers for browsers, on every answer."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

CSP = b"content-security-policy"
ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
NO_PAGE: Header = (CSP, b"default-src 'none'; frame-ancestors 'none'")
"""For every answer without a policy of its own, which our pages have."""
FOREIGN_PAGE: Header = (
    CSP,
    b"sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts",
)
"""For answers of workflows: their pages get an opaque origin, and so cannot use a user's session with us."""
HTTPS_ONLY: Header = (b"strict-transport-security", b"max-age=31536000")
WEBHOOKS = "/webhooks/"


class SecurityHeaders:
    """An ASGI application around another one; headers that the inner one sets are kept."""

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        self._always = (*ALWAYS, HTTPS_ONLY) if is_https else ALWAYS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add to the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_foreign = scope["path"].startswith(WEBHOOKS)

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: list[Header] = list(message.get("headers", ()))
                names = {name for name, _ in headers}
                headers += [each for each in self._always if each[0] not in names]
                if is_foreign:
                    headers.append(FOREIGN_PAGE)  # beside the workflow's own policy: browsers apply both
                elif CSP not in names:
                    headers.append(NO_PAGE)
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, secured)
