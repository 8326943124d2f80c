"""JSON in and out of routes: bodies, queries and headers checked, answers with their secrets hidden."""

from __future__ import annotations

import asyncio
import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from tools.protocol.arguments import without_blanks
from workflow.errors import InvalidArgumentsError, InvalidDefinitionError
from workflow.redaction import may_hold_secrets, redacted
from workflow.schemas.documents import parse_document
from workflow.schemas.model_findings import model_findings


class PageQuery(BaseModel):
    """Query of the lists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = None
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None


VERSION = re.compile(r"[0-9]{1,9}")
KEY_MAX_LENGTH = 200
"""The same as of the tools' ``idempotency_key``."""

LARGE_BYTES = 256 << 10
"""Of an answer in which secrets are looked for in a thread: in a smaller one it takes some milliseconds, in 4 MB of
what sounds like secrets 2 s."""

M = TypeVar("M", bound=BaseModel)


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer, with the secrets in it hidden."""
    return _response(_without_secrets(content, orjson.dumps(content)), status, headers)


async def large_json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The same for content that may be very large: others get answers while secrets are looked for in it."""
    body = orjson.dumps(content)
    if len(body) > LARGE_BYTES:
        return _response(await asyncio.to_thread(_without_secrets, content, body), status, headers)
    return _response(_without_secrets(content, body), status, headers)


def _without_secrets(content: Any, body: bytes) -> bytes:
    return orjson.dumps(redacted(content)) if may_hold_secrets(body) else body


def _response(body: bytes, status: int, headers: dict[str, str] | None) -> Response:
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def expected_version(request: Request) -> int | None:
    """The version in ``If-Match``.

    Raises:
        InvalidArgumentsError: it is not a version.
    """
    match = request.headers.get("if-match", "").strip().strip('"')
    if match and not VERSION.fullmatch(match):
        raise InvalidArgumentsError(
            'If-Match is not a version such as "3".',
            pointer="/if-match",
            fix="Send back the ETag that came with the version you read.",
        )
    return int(match) if match else None


def idempotency_key(request: Request) -> str | None:
    """The header ``Idempotency-Key``; an empty one counts as left out.

    Raises:
        InvalidArgumentsError: it is too long to be stored.
    """
    key = request.headers.get("idempotency-key", "").strip() or None
    if key is not None and len(key) > KEY_MAX_LENGTH:
        raise InvalidArgumentsError(
            f"The Idempotency-Key is longer than {KEY_MAX_LENGTH} characters.",
            pointer="/idempotency-key",
            fix="Send a UUID, or a hash of what makes the request the same.",
        )
    return key


async def optional_json(request: Request) -> Any:
    """The body's JSON; an empty body is an empty object."""
    raw = await request.body()
    return parse_document(raw)[0] if raw.strip() else {}


async def definition_in(request: Request) -> Any:
    """The body's JSON.

    Raises:
        InvalidDefinitionError: an object has a member twice.
        InvalidArgumentsError: it is not JSON.
    """
    document, twice = parse_document(await request.body())
    if twice:
        raise InvalidDefinitionError(twice)
    return document


def query_in(request: Request, model: type[M]) -> M:
    """The query, validated by the model.

    Raises:
        InvalidArgumentsError: it does not fit.
    """
    return validated(model, dict(request.query_params))


def validated(model: type[M], document: Any) -> M:
    """A body, validated by the model; optional members that are ``null`` or ``""`` count as left out.

    Raises:
        InvalidArgumentsError: it does not fit.
    """
    document = without_blanks(model, document)
    try:
        return model.model_validate(document)
    except ValidationError:
        raise InvalidArgumentsError.of(model_findings(model, document)) from None
