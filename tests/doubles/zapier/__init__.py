"""A double of Zapier's MCP endpoint, by what is known of it: both modes, OAuth and tokens, quota, and its traps."""

from __future__ import annotations

from tests.doubles.zapier.endpoint import running_zapier
from tests.doubles.zapier.server import TOKEN, ZapierDouble

__all__ = ["TOKEN", "ZapierDouble", "running_zapier"]
