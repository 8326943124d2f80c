"""Refusals in OAuth's own form (RFC 6749, 5.2), and answers that must not be cached."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from starlette.responses import Response

# RFC 6749 (4.1.2.1, 5.2), RFC 7591 (3.2.2), RFC 8707 (2).
ErrorName = Literal[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "invalid_scope",
    "invalid_target",
    "access_denied",
    "invalid_redirect_uri",
    "invalid_client_metadata",
    "temporarily_unavailable",
]
STATUS: dict[ErrorName, int] = {"invalid_client": 401, "temporarily_unavailable": 429}
NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}


class OAuthError(Exception):
    """A refusal whose form the standards fix. It is answered in this package and never leaves it.

    Attributes:
        name: the standard's name for it.
        description: what is wrong and what to do, for the client's developer.
    """

    def __init__(self, name: ErrorName, description: str) -> None:
        super().__init__(description)
        self.name = name
        self.description = description

    def response(self) -> Response:
        """The refusal as JSON."""
        status = STATUS.get(self.name, 400)
        headers = dict(NO_STORE)
        if status == 401:
            headers["www-authenticate"] = 'Basic realm="oauth", charset="UTF-8"'
        if status == 429:
            headers["retry-after"] = "60"
        content = {"error": self.name, "error_description": self.description}
        return json_answer(content, status=status, headers=headers)


def json_answer(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON without redaction; not to be cached unless ``headers`` say otherwise."""
    return Response(
        orjson.dumps(content),
        status_code=status,
        media_type="application/json",
        headers=NO_STORE if headers is None else headers,
    )
