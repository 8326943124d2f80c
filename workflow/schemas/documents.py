"""JSON text as people and models send it, read so that no mistake is lost on the way."""

from __future__ import annotations

import json
from typing import Any

from workflow.errors import InvalidArgumentsError
from workflow.findings import Finding


def parse_document(text: str | bytes, *, pointer: str = "") -> tuple[Any, list[Finding]]:
    """The value, and a finding for each name that an object has twice (the last one counts).

    Raises:
        InvalidArgumentsError: it is not JSON; the message names line and column.
    """
    twice: list[Finding] = []

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, value in pairs:
            if name in members:
                twice.append(
                    Finding(
                        code="duplicate_name",
                        pointer=pointer,
                        message=f"The name {name!r} stands twice in one object; one of the two would be lost.",
                        fix="Rename one of the two.",
                    )
                )
            members[name] = value
        return members

    try:
        value = json.loads(text, object_pairs_hook=object_of, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        is_lost = "[object " in str(text[:200])
        raise InvalidArgumentsError(
            f"This is not JSON: {error}.",
            pointer=pointer,
            fix="Send the object itself, or JSON text; '[object Object]' is what is left of one that was not turned "
            "into JSON."
            if is_lost
            else "Send one JSON object.",
        ) from error
    return value, twice


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
