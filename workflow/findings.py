"""What a check says about a definition: one finding per problem, with a patch where the mend is evident."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_FINDINGS = 100
"""Findings given for one document: more would help nobody, and looking for them all could take for ever."""
MOST_COMPARISONS = 5_000
"""Characters times choices for which difflib, which compares each with each, takes some milliseconds."""

Severity = Literal["error", "warning"]


class PatchOperation(BaseModel):
    """One operation of a JSON Patch (RFC 6902)."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    op: Literal["add", "remove", "replace", "move"]
    path: str
    value: Any = None
    from_: str | None = Field(default=None, alias="from")

    def to_json(self) -> dict[str, Any]:
        """The operation as RFC 6902 writes it, without the members that its ``op`` does not use."""
        operation: dict[str, Any] = {"op": self.op, "path": self.path}
        if self.op in ("add", "replace"):
            operation["value"] = self.value
        if self.op == "move":
            operation["from"] = self.from_
        return operation


class Finding(BaseModel):
    """One problem in a definition.

    ``code`` is stable; ``pointer`` is a JSON pointer into the definition as it was sent; ``patch``, where
    present, mends this problem and nothing else; without one, ``fix`` says what to do.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    pointer: str
    message: str
    severity: Severity = "error"
    patch: tuple[PatchOperation, ...] = ()
    fix: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding as every edge shows it; ``patch`` and ``fix`` are left out where there is none."""
        shown: dict[str, Any] = {
            "code": self.code,
            "severity": self.severity,
            "pointer": self.pointer,
            "message": self.message,
        }
        if self.patch:
            shown["patch"] = [operation.to_json() for operation in self.patch]
        if self.fix is not None:
            shown["fix"] = self.fix
        return shown


def pointer(*parts: str | int) -> str:
    """The JSON pointer (RFC 6901) to the place that ``parts`` lead to from the root."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def nearest(word: str, choices: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The choice that somebody who wrote ``word`` most likely meant, or ``None`` where none is near.

    ``likeness`` is the least that counts as near, from 0 to 1 (difflib's ratio).
    """
    choices = list(choices)
    if len(word) * len(choices) > MOST_COMPARISONS:
        start = word.casefold().strip()[:3]
        alike = [choice for choice in choices if choice.casefold().startswith(start)] if len(word) <= 200 else []
        choices = alike[: MOST_COMPARISONS // max(1, len(word))]
    by_folded = {choice.casefold().strip(): choice for choice in choices}
    found = get_close_matches(word.casefold().strip(), list(by_folded), n=1, cutoff=likeness)
    return by_folded[found[0]] if found else None


def did_you_mean(suggestion: str | None) -> str:
    """`` Did you mean 'x'?``, or nothing where there is no suggestion."""
    return f" Did you mean {suggestion!r}?" if suggestion is not None else ""


def listed(names: Iterable[str], *, most: int = 20) -> str:
    """``a, b, c``; of many the first ``most`` and how many more there are; ``none`` for none."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more or "none"
