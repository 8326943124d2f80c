"""Bodies of requests: JSON, forms, multipart, texts and bytes, from the arguments that are in them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from integrations.apis.styles import Writing, in_query, text_of
from workflow.items import JsonObject

BodyType = Literal["json", "form", "multipart", "text", "binary"]
FORM = "application/x-www-form-urlencoded"
BYTES = "application/octet-stream"
USUAL_TYPES: Mapping[BodyType, str] = {
    "json": "application/json",
    "form": FORM,
    "multipart": "multipart/form-data",
    "text": "text/plain; charset=utf-8",
    "binary": BYTES,
}
FILE: JsonObject = {
    "type": ["string", "object"],
    "description": "A text, or a file: {base64, media_type?, filename?}.",
    "properties": {
        "base64": {"type": "string"},
        "media_type": {"type": "string"},
        "filename": {"type": "string"},
    },
}
"""The schema of an argument that is a file, in the form that nodes give bytes in (``workflow/http/bodies.py``)."""
_OF_FILES = frozenset({"base64", "media_type", "filename", "size_bytes"})


class UnfitBodyError(Exception):
    """The arguments make no such body; the message says why."""


def encoded(content: Any, kind: BodyType, media_type: str | None, writings: Mapping[str, Writing]) -> tuple[bytes, str]:
    """The body, and its media type; the declared one where there is one.

    Raises:
        UnfitBodyError: the content does not fit the kind.
    """
    declared = media_type or USUAL_TYPES[kind]
    match kind:
        case "json":
            return orjson.dumps(content), declared
        case "form":
            members = _members(content)
            parts = [part for name, value in members.items() for part in _form(name, value, writings.get(name))]
            return "&".join(parts).encode(), declared
        case "multipart":
            return _multipart(_members(content), declared, writings)
        case "text":
            return text_of(content).encode(), declared
        case "binary":
            data, own, _ = _file(content)
            return data, declared if media_type is not None else own or declared


def _members(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise UnfitBodyError("A form has members, so its body must be an object.")
    return content


def _form(name: str, value: Any, how: Writing | None) -> list[str]:
    if how is not None and how.media_type is None:
        return in_query(name, value, how)
    if isinstance(value, list) and how is None:
        return [part for each in value for part in in_query(name, each, _AS_TEXT)]
    return in_query(name, value, _AS_TEXT)


_AS_TEXT = Writing(media_type="application/json")


def _multipart(members: Mapping[str, Any], declared: str, writings: Mapping[str, Writing]) -> tuple[bytes, str]:
    parts = [
        _part(name, each, writings.get(name))
        for name, value in members.items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]
    # The boundary follows from the content, so a repeated request is the same; it cannot stand in what it was made of.
    boundary = hashlib.sha256(b"".join(parts)).hexdigest()[:40]
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return body + b"--" + boundary.encode() + b"--\r\n", f"{declared.partition(';')[0].strip()}; boundary={boundary}"


def _part(name: str, value: Any, how: Writing | None) -> bytes:
    wanted = how.media_type.split(",")[0].strip() if how is not None and how.media_type else None
    file_name = None
    if _is_file(value):
        data, own, file_name = _file(value)
        kind: str | None = own or wanted or BYTES
        file_name = file_name or "file"
    elif isinstance(value, dict | list):
        data, kind = orjson.dumps(value), wanted or "application/json"
    else:
        data, kind = text_of(value).encode(), wanted
    head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if file_name is not None:
        head += f'; filename="{_quoted(file_name)}"'
    if kind is not None:
        head += f"\r\nContent-Type: {_line(kind)}"
    return head.encode() + b"\r\n\r\n" + data


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("base64"), str) and set(value) <= _OF_FILES


def _file(value: Any) -> tuple[bytes, str | None, str | None]:
    """Bytes, media type and name of a file."""
    if not _is_file(value):
        return text_of(value).encode(), None, None
    try:
        data = base64.b64decode(value["base64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnfitBodyError(f"The member base64 of a file is not base64: {error}.") from error
    media_type, name = value.get("media_type"), value.get("filename")
    return data, media_type if isinstance(media_type, str) else None, name if isinstance(name, str) else None


def _quoted(text: str) -> str:
    """As browsers write names in multipart/form-data (HTML, 4.10.21.8)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
