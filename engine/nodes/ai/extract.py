"""Extracts data from text, by a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission
from engine.nodes.ai.model_calls import answer_summary
from engine.nodes.ai.model_node import AiNode
from engine.nodes.ai.model_parameters import FIELD, PromptParameters, mock_of, opening, schema_problems
from workflow.chat import Message
from workflow.definitions.catalogue import ParameterProblem
from workflow.items import Item, JsonObject
from workflow.schemas.samples import sample_of

PROMPT = "Extract from the data below what the schema asks for. Take only what is there; invent nothing."


class AiExtractParameters(PromptParameters):
    """What to find. Without input the model gets the whole item; without prompt the schema is the instruction."""

    output_schema: dict[str, Any] = Field(description="JSON Schema (type object) of the data to find.")
    output: str = Field(default="data", pattern=FIELD, description="Field of the item that gets the data.")


class AiExtract(AiNode[AiExtractParameters]):
    """Asks a model for data that fits a JSON Schema; the item gets it as data.

    The data always fits the schema: after an answer that does not fit the model is asked again, then the item fails.
    The connected assistant (see ai_chat) must keep to the schema too.
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
        """Also the problems of the schema."""
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
        return {**item.json, parameters.output: answer.data, "ai": answer_summary(answer)}
