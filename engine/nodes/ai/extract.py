"""Data out of text, by a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission
from engine.nodes.ai.model_calls import told
from engine.nodes.ai.model_node import AiNode
from engine.nodes.ai.model_parameters import FIELD, PromptParameters, mock_of, opening, schema_problems
from workflow.chat import Message
from workflow.definitions.catalogue import ParameterProblem
from workflow.items import Item, JsonObject
from workflow.schemas.samples import sample_of

PROMPT = "Extract from the data below what the schema asks for. Take only what is there; invent nothing."


class AiExtractParameters(PromptParameters):
    """What to find. Without input the whole item is looked at, without prompt the schema says all."""

    output_schema: dict[str, Any] = Field(description="JSON Schema (type object) of what is wanted.")
    output: str = Field(default="data", pattern=FIELD, description="Field of the item that gets it.")


class AiExtract(AiNode[AiExtractParameters]):
    """Has a model fill in a JSON Schema from what it is given; the item gets that as data.

    The answer fits the schema: one that does not is asked for again, and then fails the item. Whoever answers in place
    of a model (see ai_chat) is held to the schema too.
    """

    name = "ai_extract"
    title = "Extract data"
    keywords = ("llm", "structured output", "json", "schema", "parse", "fields", "entities", "invoice")
    example = {
        "input": "={{ $json.body }}",
        "output_schema": {
            "type": "object",
            "properties": {"total": {"type": "number"}, "currency": {"enum": ["EUR", "USD"]}},
            "required": ["total"],
        },
    }
    parameter_model = AiExtractParameters

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        """Also what is wrong with the schema."""
        return [*super().problems_of(parameters), *schema_problems(parameters, "output_schema")]

    async def opening(self, item: Item, parameters: AiExtractParameters, call: NodeCall[Any]) -> list[Message]:
        return await opening(call, parameters, prompt=PROMPT, about=item.json)

    def mock(self, item: JsonObject, parameters: Mapping[str, Any], outputs: Sequence[str]) -> Emission:
        schema = parameters.get("output_schema")
        field = str(parameters.get("output", "data"))
        return Emission(
            outputs[0], mock_of(item, self.name, **{field: {} if is_template(schema) else sample_of(schema)})
        )

    async def run_item(
        self, index: int, item: Item, parameters: AiExtractParameters, call: NodeCall[AiExtractParameters]
    ) -> JsonObject:
        answer = await self.answer(index, item, parameters, call, schema=parameters.output_schema)
        return {**item.json, parameters.output: answer.data, "ai": told(answer)}
