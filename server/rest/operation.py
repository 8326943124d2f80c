"""What the description of the REST API says of a route besides what its code shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel


@dataclass(slots=True, frozen=True, kw_only=True)
class Operation:
    """The models of a route's input, its answer when it succeeds, and the statuses of its problems."""

    success: Mapping[int, str]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()
