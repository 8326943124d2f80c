"""Values in parameters that have the right type and are most likely not what was meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workflow.findings import Finding, pointer
from workflow.redaction import HIDDEN, holds_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOST_OBJECTS = re.compile(r"(?:\[object \w+\],?)+")

Path = tuple[str | int, ...]


def value_findings(name: str, parameters: dict[str, Any]) -> list[Finding]:
    """Findings on the texts in the parameters of the node ``name``."""
    found = []
    for path, text in _texts(parameters, ()):
        if _LOST_OBJECTS.fullmatch(text.strip()):
            found.append(
                Finding(
                    code="object_as_text",
                    pointer=pointer("nodes", name, "parameters", *path),
                    message=f"The text {text.strip()!r:.60} is what is left of an object that was turned into text.",
                    fix="Send the object itself, as JSON.",
                )
            )
        elif HIDDEN in text:
            found.append(
                Finding(
                    code="hidden_value",
                    pointer=pointer("nodes", name, "parameters", *path),
                    message=f"{HIDDEN!r} stands where a secret was hidden when this was read.",
                    fix="Send the value itself here, or leave this part out of the change.",
                )
            )
        elif holds_secret(_name_of(path), text, parent=_name_of(path[:-1])):
            found.append(
                Finding(
                    code="secret_in_parameters",
                    severity="warning",
                    pointer=pointer("nodes", name, "parameters", *path),
                    message="This looks like a secret; it is stored with the workflow as it stands, and hidden "
                    "wherever it is shown.",
                    fix="If it is a real secret, keep it as a credential: connect_integration with do: secret gives "
                    "a link where a person enters it. Name it in credential of http_request in place of this.",
                )
            )
    return found


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _texts(member, (*path, str(name)))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _texts(member, (*path, index))


def _name_of(path: Path) -> str:
    """The nearest name above a value: that of the list for what stands in a list."""
    return next((part for part in reversed(path) if isinstance(part, str)), "")
