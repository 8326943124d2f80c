"""Bodies as values: what becomes JSON, text, a form, files, or bytes."""

from __future__ import annotations

import base64
import contextlib
import time
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.http.bodies import BodyError, as_text, as_text_or_bytes, binary, parsed, received
from workflow.http.forms import MOST_FIELDS, MOST_PARTS, FormError, multipart, url_encoded

FORM = "application/x-www-form-urlencoded"


def parts(*each: bytes, end: bytes = b"--xx--\r\n") -> bytes:
    """A multipart body with the boundary ``xx``."""
    return b"".join(b"--xx\r\n" + part + b"\r\n" for part in each) + end


def part(disposition: str, content: bytes, content_type: str | None = None) -> bytes:
    """One part of it."""
    head = f"Content-Disposition: form-data; {disposition}\r\n"
    if content_type is not None:
        head += f"Content-Type: {content_type}\r\n"
    return head.encode() + b"\r\n" + content


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b"name=Zo%EB", f"{FORM}; charset=ISO-8859-1", {"name": "Zoë"}),
        (b"name=Zo%C3%AB", FORM, {"name": "Zoë"}),
        (b"name=Zo%EB", FORM, {"name": "Zoë"}),
        (b"name=Zo\xeb&b=1", FORM, {"name": "Zoë", "b": "1"}),
        (b"a=1&a=2&b=&c", FORM, {"a": ["1", "2"], "b": "", "c": ""}),
        (b"a+b=c+d%2B&&x=%zz", FORM, {"a b": "c d+", "x": "%zz"}),
        (b"<a>\xeb</a>", "application/xml; charset=ISO-8859-1", "<a>ë</a>"),
        (b'<?xml version="1.0" encoding="latin1"?>\xeb', "text/xml", '<?xml version="1.0" encoding="latin1"?>ë'),
        (b'{"a":"\xeb"}', "application/json; Charset = ISO-8859-1", {"a": "ë"}),
        ('{"a":"ë"}'.encode("utf-16"), "application/json; charset=utf-16", {"a": "ë"}),
        ('{"a":"ë"}'.encode("utf-16-be"), "application/json; charset=utf-16", {"a": "ë"}),
        (b'\xef\xbb\xbf{"a":1}', "application/json", {"a": 1}),
        (b'{"a":1}', "application/problem+json; charset=undefined", {"a": 1}),
        (b"\xef\xbb\xbfhi", "text/plain; charset=idna", "hi"),
        ("héllo".encode(), "", "héllo"),
        ("héllo".encode(), "application/x-unheard-of", "héllo"),
        (b"", "application/json", None),
        (b"<svg/>", "image/svg+xml", "<svg/>"),
    ],
)
def test_bodies_are_what_they_say(body: bytes, content_type: str, value: Any) -> None:
    assert received(body, content_type).value == value


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n\xeb"),
        ("application/octet-stream", b"plain"),
        ("application/pdf", b"%PDF-1.7"),
        ("application/x-unheard-of", b"\xff\xfe\xfd"),
        ("", b"\0\1"),
        ("audio/mpeg", b"\xff\xfb\x90"),
    ],
)
def test_bytes_stay_bytes(content_type: str, body: bytes) -> None:
    value = received(body, content_type).value
    assert (value["media_type"], value["size_bytes"]) == (content_type or "application/octet-stream", len(body))
    assert base64.b64decode(value["base64"]) == body
    assert as_text_or_bytes(body, content_type) == value


@pytest.mark.parametrize(
    ("body", "content_type", "why"),
    [
        (b"{", "application/json", "no JSON"),
        (b'"\xeb"', "application/json", "no JSON"),
        (b'"\\ud83d"', "application/json", "no JSON"),
        (b"Zo\xeb", "text/plain; charset=utf-8", "charset utf-8"),
        (b"a=%eb", f"{FORM}; charset=utf-8", "charset utf-8"),
        (b"a&" * MOST_FIELDS, FORM, "more than 10000 fields"),
        (parts(part("name=a", b"1")), "multipart/form-data", "boundary"),
        (parts(part("name=a", b"1")), f"multipart/form-data; boundary={'x' * 71}", "boundary"),
        (parts(part("name=a", b"1"), end=b""), "multipart/form-data; boundary=xx", "last boundary"),
        (parts(b"X: y\r\n\r\n1"), "multipart/form-data; boundary=xx", "no name"),
        (parts(b"no head"), "multipart/form-data; boundary=xx", "head"),
        (b"--xx\r\n" + b"\r\n--xx" * (MOST_PARTS + 1), "multipart/form-data; boundary=xx", "more than 1000 parts"),
    ],
)
def test_what_is_not_what_it_says_is_an_error(body: bytes, content_type: str, why: str) -> None:
    with pytest.raises(BodyError, match=why):
        received(body, content_type)


def test_multipart_forms_have_fields_and_files_apart() -> None:
    body = parts(
        part('name="email"', b"ada@example.com"),
        part('name="tag"', b"x"),
        part('name="tag"', "ÿ".encode()),
        part('name="old"', b"Zo\xeb", "text/plain; charset=iso-8859-1"),
        part('name="photo"; filename="a.png"', b"\x89\xeb\r\n\0", "image/png"),
        part('name="doc"; filename="../x/one.txt"', b"1"),
        part("name=doc; filename*=UTF-8''zw%C3%B6lf.txt", b""),
        part('name="größe"; filename="über\\"1.txt"', b""),
        part('name=old; filename="a.png"; filename*="iso-8859-1\'\'%D6.png"', b"", "image/png"),
    )
    content = received(b"preamble\r\n" + body + b"epilogue", 'multipart/form-data; boundary="xx"')
    assert content.value == {"email": "ada@example.com", "tag": ["x", "ÿ"], "old": "Zoë"}
    assert content.files == {
        "photo": {
            "filename": "a.png",
            "media_type": "image/png",
            "size_bytes": 5,
            "base64": base64.b64encode(b"\x89\xeb\r\n\0").decode(),
        },
        "doc": [
            binary(b"1", "text/plain", filename="one.txt"),
            binary(b"", "text/plain", filename="zwölf.txt"),
        ],
        "größe": binary(b"", "text/plain", filename='über"1.txt'),
        "old": binary(b"", "image/png", filename="Ö.png"),
    }


@given(
    st.lists(
        st.sampled_from(
            [b"%41", b"%0a", b"%3D", b"%3d", b"%25", b"=", b"a", b"g", b"\n", b"\r", b"%", b"%2", b"%%", b"\xeb", b"\0"]
        )
    )
)
def test_escapes_are_undone_as_others_do_it(pieces: list[bytes]) -> None:
    ((_, value),) = url_encoded(b"a=" + b"".join(pieces), "windows-1252")
    assert value == unquote_to_bytes(b"".join(pieces)).decode("latin-1").replace("\x80", "€")


def test_a_form_of_signs_that_escape_nothing_is_refused_beyond_a_bound() -> None:
    assert url_encoded(b"a=" + b"%" * 100_000) == [("a", "%" * 100_000)]
    with pytest.raises(FormError, match="has to escape"):
        url_encoded(b"a=" + b"%" * 1_000_000)


def test_the_field_of_charsets_says_what_the_others_are_in() -> None:
    fields, _ = multipart(parts(part("name=_charset_", b"latin1"), part("name=a", b"Zo\xeb")), "xx")
    assert fields == [("a", "Zoë")]


def test_answers_are_read_as_far_as_they_can_be() -> None:
    assert as_text(b"Zo\xeb", "text/plain; charset=utf-8") == "Zo\ufffd"
    assert as_text(b"\xebx", "image/png") == "ëx"
    assert parsed('{"a":"ë"}'.encode("utf-32")) == {"a": "ë"}


@pytest.mark.parametrize(
    "body",
    [
        b"a=" + b"%41" * 1_400_000,
        b"a=" + b"b%41" * 1_000_000,
        b"a=" + b"%eb" * 1_400_000,
        b"a=1&" * 1_000_000,
        b"a=%41b&" * (MOST_FIELDS - 1),
    ],
    ids=["escaped", "half escaped", "no UTF-8", "many", "as many as may be"],
)
def test_hostile_forms_are_read_or_refused_in_linear_time(body: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(FormError):
        url_encoded(body)
    assert time.process_time() - began < 3


@pytest.mark.parametrize("unit", [b"\r", b"\r\n", b"\r\n-", b"\r\n--x", b"-", b"\0"])
def test_hostile_multipart_bodies_are_read_in_linear_time(unit: bytes) -> None:
    body = parts(part("name=a", unit * (4_000_000 // len(unit))))
    began = time.process_time()
    multipart(body, "xx")
    assert time.process_time() - began < 1
