"""Redirect URIs: which may be registered, and which match a registered one."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
MAX_LENGTH = 2_000
_ALLOWED = re.compile(r"[!-~]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_NOT_FOR_APPLICATIONS = frozenset(
    {
        "about",
        "blob",
        "chrome",
        "data",
        "file",
        "filesystem",
        "ftp",
        "intent",
        "javascript",
        "mailto",
        "sms",
        "tel",
        "vbscript",
        "view-source",
        "ws",
        "wss",
    }
)
"""Schemes with a special meaning in browsers."""


def redirect_problem(uri: str) -> str | None:
    """What is wrong with the address as a redirect URI, or ``None``.

    Allowed are https, http on the loopback interface, and private-use schemes (RFC 8252, 7).
    """
    if len(uri) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    # Browsers and servers parse these differently, or not at all.
    if not _ALLOWED.fullmatch(uri) or any(each in uri for each in '\\"<>^`{|}'):
        return "has characters that an address must not have"
    if "#" in uri:
        return "has a fragment"
    if "*" in uri:
        return "has a wildcard"
    parts = _split(uri)
    if parts is None or not _SCHEME.fullmatch(parts.scheme) or not uri.startswith(f"{parts.scheme}:"):
        return "is no address with a scheme in lower case"
    if "@" in parts.netloc:
        return "has a user in it"
    if parts.scheme == "https":
        return None if _HOST.fullmatch(parts.hostname or "") else "names no host"
    if parts.scheme == "http":
        return None if is_loopback(parts) else "is http:// to a host that is not this machine's own"
    if parts.scheme in _NOT_FOR_APPLICATIONS:
        return "has a scheme that is no application's own"
    return None if len(uri) > len(parts.scheme) + 1 else "is only a scheme"


def is_same_redirect(registered: str, asked: str) -> bool:
    """Whether ``asked`` equals the registered URI, except for the port on the loopback interface.

    A native application knows its port only when it listens (RFC 8252, 7.3).
    """
    if registered == asked:
        return True
    one, other = _split(registered), _split(asked)
    if one is None or other is None or redirect_problem(asked) is not None:
        return False
    if one.scheme != "http" or not is_loopback(one):
        return False
    return _without_port(one) == _without_port(other)


def is_loopback(parts: SplitResult) -> bool:
    """Whether the address is on the loopback interface."""
    return parts.hostname in LOOPBACK


def origin_for_policy(uri: str) -> str:
    """The CSP source expression (``form-action``) that allows a form's answer to redirect there."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or ":" in (parts.hostname or ""):
        # CSP cannot express hosts of private schemes, nor IPv6 addresses.
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"


def _without_port(parts: SplitResult) -> tuple[str, str | None, str, str]:
    return (parts.scheme, parts.hostname, parts.path, parts.query)


def _split(uri: str) -> SplitResult | None:
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts
