"""Pages for browsers: made of elements that escape their texts, without scripts and without remote resources.

They work without JavaScript, in light and dark.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence

from starlette.responses import Response

STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:4rem auto;padding:0 1rem}"
    "h1{font-size:1.4rem}label{display:block;margin:1rem 0}"
    "input:not([type=checkbox]):not([type=radio]),select,textarea{display:block;box-sizing:border-box;width:100%;"
    "font:inherit;padding:.5rem}"
    "button{font:inherit;padding:.5rem 1.25rem;margin:.5rem .5rem .5rem 0}"
    ".wrong{border:2px solid #c33;border-radius:.25rem;padding:.5rem 1rem}"
    ".fine{font-size:.9rem}dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_VOID = frozenset({"input", "br", "hr", "meta"})


class Html(str):
    """Text that is HTML already. Only this module makes it, from elements."""

    __slots__ = ()


def element(name: str, attributes: Mapping[str, str | bool | None] | None = None, *children: str) -> Html:
    """An element. Attributes that are ``True`` stand by themselves; those that are ``False`` or ``None`` are left out.

    Children that are :class:`Html` are put in as they are; every other text is escaped.
    """
    written = [name]
    for attribute, value in (attributes or {}).items():
        if value is True:
            written.append(attribute)
        elif value is not None and value is not False:
            written.append(f'{attribute}="{html.escape(value)}"')
    start = f"<{' '.join(written)}>"
    return Html(start if name in _VOID else f"{start}{together(*children)}</{name}>")


def together(*children: str) -> Html:
    """Elements and texts one after the other."""
    return Html("".join(child if isinstance(child, Html) else html.escape(child) for child in children))


def labelled(label: str, name: str, attributes: Mapping[str, str | bool | None]) -> Html:
    """An input with its label."""
    return element("label", None, label, element("input", {"name": name, **attributes}))


def hidden(name: str, value: str) -> Html:
    """A hidden field."""
    return element("input", {"type": "hidden", "name": name, "value": value})


def page(
    title: str,
    *content: str,
    status: int = 200,
    form_targets: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A whole page. Its forms go to us; ``form_targets`` are the origins that we may send their sender on to."""
    head = together(
        element("meta", {"charset": "utf-8"}),
        element("meta", {"name": "viewport", "content": "width=device-width,initial-scale=1"}),
        element("title", None, f"{title} · Jobsprint"),
        element("style", None, Html(STYLE)),
    )
    main = element("main", None, element("h1", None, title), *content)
    document = element("html", {"lang": "en"}, element("head", None, head), element("body", None, main))
    # Browsers hold a form's redirects against form-action too. The referrer is sent to ourselves, because without it
    # a form's Origin would be "null".
    targets = " ".join(["'self'", *form_targets])
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {targets}"
    )
    return Response(
        f"<!doctype html>{document}",
        status_code=status,
        media_type="text/html",
        headers={
            "content-security-policy": policy,
            "referrer-policy": "same-origin",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "cache-control": "no-store",
            **(headers or {}),
        },
    )
