"""What everything that we keep in Redis has in common."""

from __future__ import annotations

PREFIX = "jobsprint:"
"""Before each key and channel, so that others can use the same Redis."""
