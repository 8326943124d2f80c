"""A secret is found in every form in which services repeat what they were sent."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import AsyncIterator
from urllib.parse import quote, quote_plus

import httpx2
import pytest

from integrations.mcp.authorization import scrubbed
from integrations.scrubbing import Scrubber
from workflow.redaction import HIDDEN

SECRET = 'pl4nted/"s3cret" & more+é?'


@pytest.mark.parametrize(
    "repeated",
    [
        f"a {SECRET} b",
        json.dumps({"authorization": SECRET}),
        json.dumps({"authorization": SECRET}, ensure_ascii=False),
        json.dumps({"authorization": SECRET}).replace("/", "\\/"),
        f"https://example.com/?q={quote(SECRET)}",
        f"https://example.com/?q={quote(SECRET, safe='')}",
        f"q={quote_plus(SECRET)}&n=1",
        f"q={quote(SECRET, safe='').lower()}",
        f"<p>{html.escape(SECRET)}</p>",
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)
def test_a_repeated_secret_is_hidden(repeated: str) -> None:
    shown = Scrubber([SECRET]).in_text(repeated)
    assert HIDDEN in shown
    assert "pl4nted" not in shown
    assert base64.b64encode(SECRET.encode())[:12].decode() not in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "ada:"])
def test_base64_of_something_longer_is_no_hiding_place(before: str) -> None:
    encoded = base64.b64encode(f"{before}{SECRET} and what follows".encode()).decode()
    shown = Scrubber([SECRET]).in_text(encoded)
    assert HIDDEN in shown
    assert len(shown.replace(HIDDEN, "")) < len(encoded) - len(SECRET)


def test_other_encodings_of_text_are_no_hiding_place() -> None:
    assert SECRET.encode("utf-16") not in Scrubber([SECRET]).in_bytes(SECRET.encode("utf-16"))


def test_of_two_secrets_the_longer_one_goes_whole() -> None:
    assert Scrubber(["token", "token-and-more"]).in_text("token-and-more, token") == f"{HIDDEN}, {HIDDEN}"


def test_what_holds_no_secret_stays_the_same_object() -> None:
    content = b"nothing in here"
    assert Scrubber([SECRET]).in_bytes(content) is content


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
async def test_a_secret_in_several_parts_of_a_stream_is_hidden(size: int) -> None:
    content = f"of {SECRET}, token-and-more, token, abcab and abcabcab\n\n".encode()
    scrubber = Scrubber([SECRET, "token", "token-and-more", "abcab"])
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    assert b"".join([part async for part in scrubber.in_stream(_stream(parts))]) == scrubber.in_bytes(content)


async def test_an_event_of_a_stream_is_not_held_back() -> None:
    events = [b"data: 1\n\n", b"data: tok", b"en\n\n", b"data: 3\n\n", b"data: to"]
    seen = [part async for part in Scrubber(["token"]).in_stream(_stream(events))]
    hidden = f"{HIDDEN}\n\n".encode()
    assert seen == [b"data: 1\n\n", b"data: ", hidden, b"data: 3\n\n", b"data: ", b"to"]


async def test_an_answer_that_is_compressed_is_no_hiding_place() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        said = f"you sent {request.headers['authorization']}"
        return httpx2.Response(
            401, content=gzip.compress(said.encode()), headers={"content-encoding": "gzip", "www-authenticate": said}
        )

    request = httpx2.Request("GET", "https://example.com", headers={"authorization": "Bearer a-long-token"})
    sent = await httpx2.MockTransport(answer).handle_async_request(request)
    answered = scrubbed(sent, Scrubber(["a-long-token"]))
    assert (await answered.aread()).decode() == f"you sent Bearer {HIDDEN}"
    assert answered.headers["www-authenticate"] == f"you sent Bearer {HIDDEN}"


async def _stream(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
