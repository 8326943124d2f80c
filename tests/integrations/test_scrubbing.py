"""A secret is found in every form in which services repeat what they were sent."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

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
