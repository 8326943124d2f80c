"""Answers that hold a secret on purpose: it is shown once, to whoever asked for it, and kept by nobody on the way."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


def shown_once(content: dict[str, Any], *, status: int) -> Response:
    """A JSON answer in which nothing is hidden, and which no cache keeps."""
    return Response(
        orjson.dumps(content),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store", "pragma": "no-cache"},
    )
