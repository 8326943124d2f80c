"""Secrets taken out of what the other side sent back: some services repeat what they were sent."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from dataclasses import replace
from urllib.parse import quote, quote_plus

from workflow.errors import OutboundError
from workflow.ports import HttpResponse
from workflow.redaction import HIDDEN

LEAST_INSIDE = 8
"""Shorter secrets are looked for in base64 of their own only: parts of them could be anything."""
_HIDDEN = HIDDEN.encode()


class Scrubber:
    """Hides these texts, as they are and in the forms in which a server may repeat them.

    This is for answers that repeat a secret by accident. A server that means to tell it to others can always write it
    in a way that nobody thought of: it has it, after all.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        # The longest first, so that nothing is left of a form that another one is a part of.
        self._forms = sorted(forms, key=len, reverse=True)
        self._beginnings = frozenset(form[:size] for form in forms for size in range(1, len(form)))
        self._longest = max(map(len, self._beginnings), default=0)

    def in_bytes(self, content: bytes) -> bytes:
        """``content`` without the secrets; the same object where there are none."""
        for form in self._forms:
            if form in content:
                content = content.replace(form, _HIDDEN)
        return content

    def in_text(self, text: str) -> str:
        """``text`` without the secrets."""
        return self.in_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    async def in_stream(self, parts: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """The parts without the secrets, also where a secret is in several of them. Only what may be the beginning of
        one is held back until more is known, so that events of a stream are not late."""
        kept = b""
        async for part in parts:
            kept += part
            end = self._certain(kept)
            if end:
                yield self.in_bytes(kept[:end])
            kept = kept[end:]
        if kept:
            yield self.in_bytes(kept)

    def _certain(self, content: bytes) -> int:
        """Where the content can be cut: behind it nothing has begun that may be a secret, and none lies across it."""
        sizes = range(min(len(content), self._longest), 0, -1)
        end = len(content) - next((size for size in sizes if content[-size:] in self._beginnings), 0)
        while across := [at for form in self._forms if (at := _across(content, form, end)) >= 0]:
            end = min(across)
        return end

    def in_response(self, response: HttpResponse) -> HttpResponse:
        """The response without the secrets: in its body, its headers and its address."""
        return replace(
            response,
            headers={self.in_text(name): self.in_text(value) for name, value in response.headers.items()},
            body=self.in_bytes(response.body),
            url=self.in_text(response.url),
        )

    def in_error(self, error: OutboundError) -> OutboundError:
        """A new error without the secrets, and without what it came from."""
        return OutboundError(
            self.in_text(error.message),
            code=error.outbound_code,
            transient=error.transient,
            fix=error.fix and self.in_text(error.fix),
            retry_after_seconds=error.retry_after_seconds,
            was_sent=error.was_sent,
        )


def _across(content: bytes, form: bytes, end: int) -> int:
    """Where the form begins that begins before ``end`` and ends behind it; -1 where none does."""
    return content.find(form, max(0, end - len(form) + 1), end + len(form) - 1)


def _forms(secret: str) -> Iterator[bytes]:
    plain = secret.encode()
    yield plain
    yield secret.encode("utf-16-le")
    yield secret.encode("utf-16-be")
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for encoded in (base64.b64encode(plain), base64.urlsafe_b64encode(plain)):
        yield encoded.rstrip(b"=")
    if len(plain) >= LEAST_INSIDE:
        for offset in range(3):
            yield from _inside_base64(plain, offset)
    for text in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield text.encode()
        yield _lower_escapes(text).encode()
    for text in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        yield text[1:-1].encode()
        yield text[1:-1].replace("/", "\\/").encode()
    yield html.escape(secret).encode()


def _inside_base64(plain: bytes, offset: int) -> Iterator[bytes]:
    """What is sure to be seen of it in the base64 of something longer, ``offset`` bytes (modulo 3) after its start.

    A byte or two at its ends share their characters with what is around them.
    """
    start = -offset % 3
    whole = plain[start : start + (len(plain) - start) // 3 * 3]
    yield base64.b64encode(whole)
    yield base64.urlsafe_b64encode(whole)


def _lower_escapes(text: str) -> str:
    """The same with ``%2f`` in place of ``%2F``."""
    head, *rest = text.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])
