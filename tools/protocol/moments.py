"""Times as arguments of tools and of the REST API: without an offset they are in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

_LOST_PLUS = re.compile(r"(T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?) (\d{2}:?\d{2})\Z")
"""An offset whose + came out of a URL as a blank."""


def with_plus(value: Any) -> Any:
    """The text with the + of its offset, where a URL has lost it."""
    return _LOST_PLUS.sub(r"\1+\2", value) if isinstance(value, str) else value


def in_utc(value: datetime) -> datetime:
    """The time; one without an offset is in UTC."""
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


Moment = Annotated[datetime, BeforeValidator(with_plus), AfterValidator(in_utc)]
