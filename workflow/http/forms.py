"""Forms as they are sent: URL-encoded, and multipart with files (RFC 7578). Linear in the body, bounded by count."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from workflow.http.charsets import FALLBACK, UTF_8, codec_of, text_of
from workflow.http.headers import with_parameters

MOST_FIELDS = 10_000
"""Of one form. Browsers and frameworks stop at 1,000 to 20,000."""
MOST_BARE_PAIRS = 200_000
"""Pairs of signs "%%" in one form, none of which begins an escape: each costs more than a byte that is as it should be,
and only a sender that escapes nothing makes them."""
MOST_PARTS = 1_000
"""Of one multipart body: each has a head of its own to be read."""
MOST_PART_HEAD_BYTES = 8_192
MOST_BOUNDARY_BYTES = 70  # RFC 2046, 5.1.1

Pairs = Sequence[tuple[str, str]]

_BARE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SWAPPED_SIGNS = bytes.maketrans(b"=%", b"%=")


class FormError(ValueError):
    """A form that cannot be read. The text says why, in half a sentence."""


@dataclass(slots=True, frozen=True)
class FilePart:
    """A file of a multipart form. ``filename`` is its last part alone: the sender's folders mean nothing here."""

    filename: str
    media_type: str
    content: bytes


def url_encoded(body: bytes, charset: str | None = None) -> Pairs:
    """Names and values of a form or query, in their order.

    They are text of ``charset``, else of UTF-8, or windows-1252 where one of them is no UTF-8.

    Raises:
        FormError: there are more than :data:`MOST_FIELDS`, or very many signs that begin no escape.
        CharsetError: something is not of the charset that was given.
    """
    if body.count(b"&") >= MOST_FIELDS:
        raise FormError(f"it has more than {MOST_FIELDS} fields")
    if body.count(b"%%") > MOST_BARE_PAIRS:
        raise FormError(f'it has more than {MOST_BARE_PAIRS} signs "%%", which a sender has to escape')
    pairs = [
        (_unescaped(name), _unescaped(value))
        for field in body.split(b"&")
        if field
        for name, _, value in [field.partition(b"=")]
    ]
    codec = codec_of(charset)
    if codec is not None:
        # The signs between the names are ASCII, so a wide charset cannot be meant (URL standard, 5.2).
        codec = UTF_8 if codec.startswith(("utf-16", "utf-32")) else codec
        return [(text_of(name, codec, is_strict=True), text_of(value, codec, is_strict=True)) for name, value in pairs]
    try:
        return [(name.decode(), value.decode()) for name, value in pairs]
    except UnicodeDecodeError:
        return [(text_of(name, FALLBACK), text_of(value, FALLBACK)) for name, value in pairs]


def multipart(body: bytes, boundary: str) -> tuple[Pairs, Sequence[tuple[str, FilePart]]]:
    """The fields of a multipart form, and its files; both with their names, in their order.

    Raises:
        FormError: it is not built as RFC 7578 says, or it has too many parts.
        CharsetError: a field is not of the charset that it says.
    """
    if not boundary or len(boundary) > MOST_BOUNDARY_BYTES:
        raise FormError(f"its content type has no boundary of 1 to {MOST_BOUNDARY_BYTES} characters")
    delimiter = b"\r\n--" + boundary.encode("utf-8", "replace")
    if body.count(delimiter) > MOST_PARTS:
        raise FormError(f"it has more than {MOST_PARTS} parts")
    _, *parts = (b"\r\n" + body).split(delimiter)
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, FilePart]] = []
    charset: str | None = None
    is_ended = False
    for part in parts:
        if part.startswith(b"--"):
            is_ended = True
            break
        name, found = _part(part, charset)
        if isinstance(found, FilePart):
            files.append((name, found))
        elif name == "_charset_":  # RFC 7578, 4.6
            charset = found
        else:
            fields.append((name, found))
    if not is_ended:
        raise FormError("it ends before its last boundary")
    return fields, files


def grouped(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Names with their values; a name that comes several times has a list."""
    made: dict[str, Any] = {}
    several: set[str] = set()
    for name, value in pairs:
        if name not in made:
            made[name] = value
        elif name in several:
            made[name].append(value)
        else:
            several.add(name)
            made[name] = [made[name], value]
    return made


def _part(part: bytes, charset: str | None) -> tuple[str, str | FilePart]:
    line_end = part.find(b"\r\n")  # behind the boundary, which blanks may follow
    if line_end < 0 or part[:line_end].strip(b" \t"):
        raise FormError("a boundary does not stand in a line of its own")
    head_end = part.find(b"\r\n\r\n", line_end)
    if head_end < 0 or head_end - line_end > MOST_PART_HEAD_BYTES:
        raise FormError("a part has no head, or a very large one")
    headers: dict[str, str] = {}
    for line in part[line_end + 2 : head_end].split(b"\r\n"):
        field, _, value = line.partition(b":")
        headers.setdefault(field.strip().lower().decode("latin-1"), text_of(value.strip()))
    _, disposition = with_parameters(headers.get("content-disposition", ""))
    if "name" not in disposition:
        raise FormError("a part has no name")
    content = part[head_end + 4 :]
    media_type, parameters = with_parameters(headers.get("content-type", "text/plain"))
    name = _plain(disposition["name"])
    filename = _filename(disposition)
    if filename is not None:
        return name, FilePart(filename, media_type, content)
    given = parameters.get("charset", charset)
    return name, text_of(content, given, is_strict=codec_of(given) is not None)


def _filename(disposition: dict[str, str]) -> str | None:
    extended = disposition.get("filename*")
    if extended is not None:  # RFC 8187: charset, language and escaped text between single quotes
        charset, _, rest = extended.partition("'")
        name = text_of(unquote_to_bytes(rest.partition("'")[2]), charset)
    elif "filename" in disposition:
        name = _plain(disposition["filename"])
    else:
        return None
    return re.split(r"[/\\]", name)[-1]


def _plain(text: str) -> str:
    """A name as browsers write it: line breaks and quotes are escaped (HTML, "multipart/form-data")."""
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def _unescaped(text: bytes) -> bytes:
    """The text without its escapes. No step looks at single ones in Python: there may be a million of them."""
    if b"+" in text:
        text = text.replace(b"+", b" ")
    if b"%" not in text:
        return text
    if _BARE_PERCENT.search(text) is not None:
        return _leniently_unescaped(text)
    # Quoted-printable (RFC 2045, 6.7) is the same with another sign, and its decoder is written in C.
    return binascii.a2b_qp(text.replace(b"=", b"%3D").replace(b"%", b"="))


def _leniently_unescaped(text: bytes) -> bytes:
    """The text without its escapes, where some signs begin none and stay. There may be four million of these, too."""
    # Twice, since the signs of a run are replaced in pairs.
    text = text.replace(b"%%", b"%25%").replace(b"%%", b"%25%")
    # Quoted-printable takes these for line breaks that do not count.
    text = text.replace(b"%\n", b"%25\n").replace(b"%\r", b"%25\r")
    if text.endswith(b"%"):
        text += b"25"
    # Its decoder leaves a bare "=" as it is. So the two signs change places before it and change back behind it, what
    # stands for them in escapes as well: "==g" is free for the moment between, for no run is left.
    text = text.translate(_SWAPPED_SIGNS).replace(b"=25", b"==g")
    text = text.replace(b"=3D", b"=25").replace(b"=3d", b"=25").replace(b"==g", b"=3D")
    return binascii.a2b_qp(text).translate(_SWAPPED_SIGNS)
