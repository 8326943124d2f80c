"""The trigger that people and agents start by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import Field

from engine.node_api.item_failures import ItemResult, ItemsFailedError
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission, TriggerNode
from engine.node_api.parameters import Parameters
from workflow.definitions.catalogue import MAIN, ParameterProblem
from workflow.errors import NodeError
from workflow.items import Outputs
from workflow.schemas.schemas import InputSchema, schema_findings


class ManualParameters(Parameters):
    """The schema of the input."""

    input_schema: dict[str, Any] | None = Field(
        default=None,
        description="JSON Schema of an input item, an object; items that do not fit fail the run. It is also the "
        "input schema of the tool that the published workflow becomes.",
    )

    @cached_property
    def schema_of_items(self) -> InputSchema | None:
        """The schema, compiled once for all runs of a version."""
        return InputSchema(self.input_schema) if self.input_schema is not None else None


class Manual(TriggerNode[ManualParameters]):
    """Starts when a user or agent runs the workflow; its items are the execution's input.

    An input object becomes one item; a list of objects becomes one item each.
    """

    name = "manual"
    title = "Run by hand"
    group = "trigger"
    keywords = ("start", "trigger", "input", "test")
    parameter_model = ManualParameters

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        problems = super().problems_of(parameters)
        schema = parameters.get("input_schema")
        if problems or schema is None:
            return problems
        return [
            ParameterProblem(
                code=found.code, path=("input_schema", *_parts(found.pointer)), message=found.message, fix=found.fix
            )
            for found in schema_findings(schema)
        ]

    def run(self, call: NodeCall[ManualParameters]) -> Outputs:
        schema = call.common.schema_of_items
        if schema is None:
            return super().run(call)
        results: list[ItemResult] = []
        is_good = True
        for index, item in enumerate(call.items):
            found = next(iter(schema.findings(item.json)), None)
            if found is None:
                results.append([Emission(MAIN, item.json)])
                continue
            is_good = False
            results.append(
                NodeError(
                    f"The input does not fit the trigger's input_schema at {found.pointer or '/'}: {found.message}",
                    code="input_does_not_fit",
                    item_index=index,
                    pointer=f"/input{found.pointer}",
                    fix="Correct the input, or change the schema.",
                )
            )
        if not is_good:
            raise ItemsFailedError(results)
        return super().run(call)


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
