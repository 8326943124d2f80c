"""Ends an execution as failed, on purpose."""

from __future__ import annotations

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import BatchNode
from engine.node_api.parameters import Parameters
from workflow.errors import NodeError
from workflow.items import Outputs


class StopAndErrorParameters(Parameters):
    """The failure's message and code."""

    message: str = Field(min_length=1, max_length=10_000)
    code: str = Field(default="stopped", pattern=r"^[a-z][a-z0-9_]{0,63}$", description="Stable, for programs.")


class StopAndError(BatchNode[StopAndErrorParameters]):
    """Ends the execution as failed, with a message of your own."""

    name = "stop_and_error"
    title = "Stop and error"
    group = "flow"
    keywords = ("throw", "fail", "abort", "raise")
    example = {"message": "=No customer with id {{ $json.id }}", "code": "customer_missing"}
    parameter_model = StopAndErrorParameters

    def run(self, call: NodeCall[StopAndErrorParameters]) -> Outputs:
        parameters = call.common
        raise NodeError(
            parameters.message,
            code=parameters.code,
            fix="The workflow fails here on purpose; its author wrote the message.",
        )
