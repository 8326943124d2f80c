"""Which tools one MCP request asks for: ``/mcp?toolset=running&read_only=1`` narrows the selection of the settings."""

from __future__ import annotations

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from tools.protocol.arguments import without_blanks
from tools.protocol.selection import EVERYTHING, Selection, ToolsetChoice


class SelectionQuery(BaseModel):
    """The query of the MCP endpoint's URL; unknown parameters are ignored."""

    model_config = ConfigDict(frozen=True)

    toolset: ToolsetChoice = "all"
    read_only: bool = False


def wanted_tools(request: object) -> Selection:
    """The selection in the URL of an HTTP request; over stdio there is no request, and everything is selected.

    Raises:
        MCPError: a value is unknown. Ignoring it would show more than was asked for.
    """
    if not isinstance(request, Request) or not request.scope["query_string"]:
        return EVERYTHING
    try:
        query = SelectionQuery.model_validate(without_blanks(SelectionQuery, dict(request.query_params)))
    except ValidationError as error:
        wrong = ", ".join(str(detail["loc"][0]) for detail in error.errors(include_url=False))
        raise MCPError(
            types.INVALID_PARAMS,
            f"The endpoint's URL has a wrong {wrong}; toolset is authoring, running or all, read_only is 1 or 0.",
        ) from error
    return Selection.of(query.toolset, read_only=query.read_only)
