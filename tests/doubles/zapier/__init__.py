"""A double of Zapier's MCP endpoint, by what is known of it: both modes, OAuth and tokens, quota, and its traps."""

from __future__ import annotations

from tests.doubles.zapier.server import ZapierDouble, running_zapier

__all__ = ["ZapierDouble", "running_zapier"]
