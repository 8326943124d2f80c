"""Bodies as values: JSON, text, forms with their files, and bytes that are none of these."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from workflow.http.charsets import CharsetError, codec_of, json_text, text_of
from workflow.http.forms import FilePart, FormError, grouped, multipart, url_encoded
from workflow.http.headers import with_parameters
from workflow.items import JsonObject
from workflow.schemas.bounds import JsonTooDeepError, JsonTooManyMembersError, check_json_shape

LARGE_BYTES = 1 << 16
"""Forms from here on are read in a thread: to take one to pieces costs up to a second where it is hostile."""
MOST_MEMBERS = 250_000
"""In JSON that is not of UTF-8; the same as JOBSPRINT_REQUEST_MAX_MEMBERS has by default for the rest."""

_FORM, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
_TEXTS = frozenset(
    {
        "application/ecmascript",
        "application/graphql",
        "application/http",
        "application/javascript",
        "application/jwt",
        "application/sql",
        "application/toml",
        "application/x-javascript",
        "application/x-sh",
        "application/x-yaml",
        "application/yaml",
        "image/svg+xml",
    }
)
_TEXT_ENDS = ("+xml", "/xml", "+json", "/json", "+yaml", "ndjson", "jsonl", "json-seq", "jsonlines", "+csv")
_BYTES = frozenset(
    {
        "application/gzip",
        "application/msword",
        "application/octet-stream",
        "application/pdf",
        "application/protobuf",
        "application/vnd.rar",
        "application/wasm",
        "application/x-7z-compressed",
        "application/x-gzip",
        "application/x-protobuf",
        "application/x-rar-compressed",
        "application/x-tar",
        "application/zip",
        "application/zstd",
    }
)
_BYTES_BEGIN = ("image/", "audio/", "video/", "font/", "model/", "application/vnd.ms-", "application/vnd.openxml")


class BodyError(ValueError):
    """A body that is not what its content type says. The text says why, in half a sentence."""


@dataclass(slots=True, frozen=True)
class Content:
    """A body as a value; ``files`` are those of a multipart form, by their names."""

    value: Any
    files: JsonObject | None = None


def is_json(media_type: str) -> bool:
    """Whether the type is one of JSON documents."""
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def is_form(content_type: str) -> bool:
    """Whether the type is one of forms, which are worth a thread where they are large."""
    return content_type.lstrip().lower().startswith((_FORM, _MULTIPART))


def received(body: bytes, content_type: str) -> Content:
    """A body that was sent to us: held to what it says it is.

    JSON is parsed, forms are objects, text is text, and everything else is :func:`binary`.

    Raises:
        BodyError: it is not what its content type says.
    """
    if not body:
        return Content(None)
    if content_type == "application/json":  # nearly all are this, and thousands come in a second
        return Content(parsed(body))
    media_type, parameters = with_parameters(content_type)
    charset = parameters.get("charset")
    try:
        if is_json(media_type):
            return Content(parsed(body, charset))
        if media_type == _FORM:
            return Content(grouped(url_encoded(body, charset)))
        if media_type == _MULTIPART:
            return _multipart(body, parameters.get("boundary", ""))
        if _is_text(body, media_type, charset):
            strict = codec_of(charset) is not None
            return Content(text_of(body, charset, is_markup=_is_markup(media_type), is_strict=strict))
    except (FormError, CharsetError) as error:
        raise BodyError(str(error)) from error
    return Content(binary(body, media_type))


def parsed(body: bytes, charset: str | None = None) -> Any:
    """A JSON document, of whatever charset it is.

    Raises:
        BodyError: it is no JSON, or it is not of UTF-8 and beyond the bounds of shape.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            text = json_text(body, charset)
        except CharsetError as wrong:
            raise BodyError(f"it is no JSON: {wrong}") from wrong
        try:
            plain = text.encode()
            check_json_shape(plain, max_members=MOST_MEMBERS)  # where it came in, its charset may have hidden it
            return orjson.loads(plain)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            raise BodyError(f"it is no JSON: {error}") from error
        except (JsonTooDeepError, JsonTooManyMembersError) as much:
            raise BodyError(much.message[0].lower() + much.message[1:].rstrip(".")) from much


def as_text(body: bytes, content_type: str) -> str:
    """The body as text, whatever it is; bytes that are not of its charset become U+FFFD."""
    media_type, parameters = with_parameters(content_type)
    return text_of(body, parameters.get("charset"), is_markup=_is_markup(media_type))


def as_text_or_bytes(body: bytes, content_type: str) -> str | JsonObject:
    """The body as text where its type or its bytes say that it is that, else as :func:`binary`."""
    media_type, parameters = with_parameters(content_type)
    charset = parameters.get("charset")
    if _is_text(body, media_type, charset):
        return text_of(body, charset, is_markup=_is_markup(media_type))
    return binary(body, media_type)


def binary(body: bytes, media_type: str, *, filename: str | None = None) -> JsonObject:
    """Bytes as JSON can hold them: ``{media_type, size_bytes, base64}``, with the ``filename`` of a file."""
    made: JsonObject = {} if filename is None else {"filename": filename}
    made["media_type"] = media_type or "application/octet-stream"
    made["size_bytes"] = len(body)
    made["base64"] = base64.b64encode(body).decode("ascii")
    return made


def _multipart(body: bytes, boundary: str) -> Content:
    fields, files = multipart(body, boundary)
    return Content(grouped(fields), _files(files))


def _files(files: Sequence[tuple[str, FilePart]]) -> JsonObject:
    return grouped((name, binary(each.content, each.media_type, filename=each.filename)) for name, each in files)


def _is_text(body: bytes, media_type: str, charset: str | None) -> bool:
    if media_type.startswith("text/") or media_type in _TEXTS or media_type.endswith(_TEXT_ENDS):
        return True
    if media_type in _BYTES or media_type.startswith(_BYTES_BEGIN) or media_type.startswith("multipart/"):
        return False
    if codec_of(charset) is not None or media_type == _FORM:
        return True
    try:  # a type that nobody knows, or none: text is what can be read as text
        body.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


def _is_markup(media_type: str) -> bool:
    return media_type.endswith(("/xml", "+xml", "/html")) or media_type == "application/xhtml"
