"""The settings that connections of every kind have: what of a connection may be used, and what stands out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from workflow.errors import InvalidArgumentsError
from workflow.findings import Finding
from workflow.items import JsonObject
from workflow.schemas.model_findings import model_findings

Pattern = Annotated[str, Field(min_length=1, max_length=200)]


class ConnectionSettings(BaseModel):
    """Root of the settings of every kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[Pattern, ...] | None = Field(
        default=None,
        max_length=1_000,
        description="The only actions that may be used: names, or patterns such as issue_*. Without it, all of them.",
    )
    pinned: tuple[Pattern, ...] = Field(
        default=(), max_length=50, description="Actions that are offered to agents as tools of their own."
    )


S = TypeVar("S", bound=ConnectionSettings)


def settings_of(model: type[S], document: Mapping[str, Any]) -> JsonObject:
    """The settings as they are kept.

    Raises:
        InvalidArgumentsError: they do not fit; pointers begin with ``/settings``.
    """
    findings = model_findings(model, dict(document))
    if findings:
        raise InvalidArgumentsError.of([_below(each) for each in findings])
    return model.model_validate(document).model_dump(mode="json", exclude_none=True)


def _below(finding: Finding) -> Finding:
    return Finding(
        code=finding.code,
        severity=finding.severity,
        pointer=f"/settings{finding.pointer}",
        message=finding.message,
        fix=finding.fix,
    )


def host_of(url: str | None) -> str | None:
    """The host in an address, with its port where it names one."""
    return urlsplit(url or "").netloc.rpartition("@")[2] or None
