"""Redirects followed one at a time: the address is checked anew, and not every address gets what the first one got."""

from __future__ import annotations

from dataclasses import replace

import httpx2

from workflow.http.headers import describes_body
from workflow.ports import HttpRequest, HttpResponse

REDIRECTS = frozenset({301, 302, 303, 307, 308})
SENT_ELSEWHERE = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "user-agent"})
"""Headers that a redirect to another origin takes along. Any other may be a secret that was meant for the first."""


def is_redirect(response: HttpResponse) -> bool:
    """Whether the answer names another address to ask (RFC 9110, 15.4)."""
    return response.status in REDIRECTS and bool(response.headers.get("location"))


def redirected(request: HttpRequest, response: HttpResponse) -> HttpRequest | None:
    """The request that the answer sends on to (RFC 9110, 15.4); ``None`` where it does not, or nowhere.

    As browsers do, ``POST`` becomes ``GET`` but where the status says that it must not.
    """
    if not is_redirect(response):
        return None
    try:
        here = httpx2.URL(response.url)
        there = here.join(response.headers["location"])
    except httpx2.InvalidURL:
        return None
    if not there.host:
        return None
    method, body, headers = request.method, request.body, dict(request.headers)
    is_post = method == "POST" or (response.status == 302 and method != "HEAD")
    if (response.status == 303 and method != "HEAD") or (response.status in (301, 302) and is_post):
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if not describes_body(name)}
    if (here.scheme, here.host, here.port) != (there.scheme, there.host, there.port):
        headers = {name: value for name, value in headers.items() if name.lower() in SENT_ELSEWHERE}
    return replace(request, method=method, url=str(there), headers=headers, query=(), body=body)
