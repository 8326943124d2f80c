"""What nodes read of responses that ask for patience."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from engine.node_api.outbound import retry_after_seconds, status_error
from workflow.ports import HttpResponse


def answered(**headers: str) -> HttpResponse:
    """A response with these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status=429, headers=named, body=b"", url="http://x")


@pytest.mark.parametrize(("value", "seconds"), [("4", 4.0), ("4.0", 4.0), ("soon", None), ("-1", None), ("²", None)])
def test_retry_after_is_read_as_a_number(value: str, seconds: float | None) -> None:
    assert retry_after_seconds(answered(retry_after=value)) == seconds
    assert status_error(answered(retry_after=value), "no").retry_after_seconds == seconds


def test_retry_after_is_read_as_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=60)
    seconds = retry_after_seconds(answered(retry_after=format_datetime(then, usegmt=True)))
    assert seconds is not None
    assert 50 < seconds <= 60
    dated = {"retry_after": "Mon, 30 Nov 2026 15:00:10 GMT", "date": "Mon, 30 Nov 2026 15:00:00 GMT"}
    assert retry_after_seconds(answered(**dated)) == 10.0
