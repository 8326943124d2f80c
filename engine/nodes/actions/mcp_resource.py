"""Reads a resource of a connected MCP server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode
from engine.node_api.parameters import Parameters
from engine.nodes.actions.action_node import CONNECTION
from workflow.actions import ActionError
from workflow.definitions.catalogue import ParameterProblem
from workflow.errors import NodeError
from workflow.items import Item, JsonObject


class McpResourceParameters(Parameters):
    """The connection and the resource."""

    connection: str = Field(pattern=CONNECTION, description="Name of a connection of kind mcp or program.")
    uri: str = Field(min_length=1, max_length=2_000)
    timeout_seconds: float = Field(default=30, gt=0, le=3600)


class McpResource(EffectNode[McpResourceParameters]):
    """Reads a resource of a connected MCP server, once per item; gives {contents}.

    Each of the contents has uri, media_type and data: text, parsed JSON, or (is_base64) bytes in base64.
    """

    name = "mcp_resource"
    title = "MCP resource"
    group = "integration"
    keywords = ("mcp", "server", "resource", "read", "file", "document")
    example = {"connection": "time", "uri": "=demo://resource/{{ $json.id }}"}
    parameter_model = McpResourceParameters

    def outside_source(self, parameters: Mapping[str, Any]) -> str:
        return f"a resource of {parameters.get('connection')}"

    def problems_of(self, parameters: Mapping[str, Any]) -> list[ParameterProblem]:
        """Also an expression that would choose the connection: with it, data from outside could choose."""
        found = list(super().problems_of(parameters))
        if is_template(parameters.get("connection")):
            message = "connection cannot be an expression: data would choose what is called."
            fix = "Write the name; for several, use a node for each behind a switch."
            found.append(ParameterProblem(code="bad_parameter", path=("connection",), message=message, fix=fix))
        return found

    def target(self, parameters: McpResourceParameters) -> str:
        return f"{parameters.connection} {parameters.uri}"

    def is_repeatable(self, parameters: McpResourceParameters) -> bool:
        return True

    async def run_item(
        self, index: int, item: Item, parameters: McpResourceParameters, call: NodeCall[McpResourceParameters]
    ) -> JsonObject:
        try:
            contents = await call.actions.read(
                call.owner, parameters.connection, parameters.uri, timeout_seconds=parameters.timeout_seconds
            )
        except ActionError as error:
            raise NodeError(
                error.message,
                code=error.code,
                transient=error.transient,
                fix=error.fix,
                retry_after_seconds=error.retry_after_seconds,
            ) from error
        return {
            "contents": [
                {
                    "uri": each.uri,
                    "media_type": each.media_type,
                    "data": each.data,
                    **({"is_base64": True} if each.is_base64 else {}),
                }
                for each in contents
            ]
        }
