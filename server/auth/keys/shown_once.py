"""Answers that hold a secret on purpose: shown once, to the caller who asked for it, and cached nowhere."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


def shown_once(content: dict[str, Any], *, status: int) -> Response:
    """A JSON answer in which no secret is redacted, and which no cache may store."""
    return Response(
        orjson.dumps(content),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store", "pragma": "no-cache"},
    )
