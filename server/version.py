"""Which version this is."""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("jobsprint")
PROGRAM = f"jobsprint/{VERSION}"
"""The User-Agent of outgoing requests."""
