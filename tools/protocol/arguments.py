"""Arguments in forms that clients send by mistake and that can mean one thing only, read as what they mean."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from pydantic import ValidationError

from workflow.findings import pointer
from workflow.schemas.model_findings import existing_path

_STARTS = {"dict_type": "{", "model_type": "{", "model_attributes_type": "{", "list_type": "["}
"""Pydantic's complaints about what should have been an object or a list, and how JSON of that begins."""


def read_json_texts(arguments: dict[str, Any], error: ValidationError) -> tuple[dict[str, Any], list[str]]:
    """``arguments`` with JSON text read where an object or list is due, and a note for each place.

    Some clients send nested arguments as text. A text that is not JSON of the kind that is due stays as it is.
    """
    mended, notes = copy.deepcopy(arguments), []
    for detail in error.errors(include_url=False):
        start, text = _STARTS.get(detail["type"]), detail["input"]
        if start is None or not isinstance(text, str) or not text.lstrip().startswith(start):
            continue
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        *parents, last = existing_path(arguments, detail["loc"], missing=False)
        owner: Any = mended
        for part in parents:
            owner = owner[part]
        if owner[last] == text:
            owner[last] = value
            notes.append(f"{pointer(*parents, last)} came as text and was read as JSON; send it as JSON next time.")
    return mended, notes
