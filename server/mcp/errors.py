"""Our failures as JSON-RPC errors, for requests whose results cannot carry an error."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from workflow.errors import ErrorKind, JobsprintError

_OURS = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.OVERLOADED, ErrorKind.FAILED})
"""Kinds that are not the caller's fault: the same request may work later."""


def protocol_error(error: JobsprintError, **data: Any) -> MCPError:
    """The error with JSON-RPC's number; ``data`` has code, pointer and fix beside the members given."""
    number = types.INTERNAL_ERROR if error.kind in _OURS else types.INVALID_PARAMS
    known = {"code": error.code, "pointer": error.pointer, "fix": error.fix}
    return MCPError(number, error.message, {**data, **{name: each for name, each in known.items() if each is not None}})
