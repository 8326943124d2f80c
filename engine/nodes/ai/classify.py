"""Routes items by their meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission
from engine.nodes.ai.model_calls import answer_summary
from engine.nodes.ai.model_node import AiNode
from engine.nodes.ai.model_parameters import PromptParameters, mock_of, opening
from workflow.chat import Message
from workflow.definitions.catalogue import ParameterProblem
from workflow.items import Item, JsonObject

OTHER = "other"
FIELD = "classification"
PROMPT = "Which of the categories does the data below belong to?"


class Category(BaseModel):
    """A category, which is also an output."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^.=][^.]*$", description="Also the output's name.")
    description: str = Field(min_length=1, max_length=2_000, description="For the model: what belongs here.")


class AiClassifyParameters(PromptParameters):
    """The categories. Without input the model gets the whole item."""

    categories: list[Category] = Field(min_length=1, max_length=50, description="Each is an output of its own.")

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        names = [each.name for each in self.categories]
        if len(set(names)) < len(names) or OTHER in names:
            raise ValueError("categories need different names, and the name other is taken")
        return self


class AiClassify(AiNode[AiClassifyParameters]):
    """Has a model choose a category for each item and sends the item to its output, or to other.

    The item gets classification: {category, reason}. See ai_chat for which models are asked.
    """

    name = "ai_classify"
    title = "Classify"
    keywords = ("llm", "route", "triage", "intent", "sentiment", "categorize", "label", "switch")
    example = {
        "input": "={{ $json.subject }}\n{{ $json.body }}",
        "categories": [
            {"name": "refund", "description": "Wants money back."},
            {"name": "question", "description": "Asks how something works."},
        ],
    }
    is_fork = True
    parameter_model = AiClassifyParameters

    def outputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        return tuple(dict.fromkeys([*_names(parameters), OTHER]))

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        """Also names of categories that are expressions: the names are outputs."""
        found = list(super().problems_of(parameters))
        categories = parameters.get("categories")
        if is_template(categories) or any(map(is_template, _names(parameters))):
            found.append(
                ParameterProblem(
                    code="bad_parameter",
                    path=("categories",),
                    message="The names of categories are outputs, so they cannot be expressions.",
                    fix="Write the names; descriptions may be expressions.",
                )
            )
        return found

    def emission(self, result: JsonObject, outputs: Sequence[str]) -> Emission:
        category = result[FIELD]["category"]
        return Emission(category if category in outputs else OTHER, result)

    async def opening(self, item: Item, parameters: AiClassifyParameters, call: NodeCall[Any]) -> list[Message]:
        lines = [f"- {each.name}: {each.description}" for each in parameters.categories]
        choices = "\n".join(["The categories:", *lines, f"- {OTHER}: nothing of these."])
        return await opening(call, parameters, prompt=PROMPT, instructions=choices, about=item.json)

    def mock(self, item: JsonObject, parameters: Mapping[str, Any], outputs: Sequence[str]) -> Emission:
        classification = {"category": outputs[0], "reason": "A model's reason."}
        return Emission(outputs[0], mock_of(item, self.name, **{FIELD: classification}))

    async def run_item(
        self, index: int, item: Item, parameters: AiClassifyParameters, call: NodeCall[AiClassifyParameters]
    ) -> JsonObject:
        schema = {
            "type": "object",
            "properties": {
                "reason": {"type": "string", "description": "In one sentence."},
                "category": {"enum": [*(each.name for each in parameters.categories), OTHER]},
            },
            "required": ["reason", "category"],
            "additionalProperties": False,
        }
        answer = await self.answer(index, item, parameters, call, schema=schema)
        return {**item.json, FIELD: answer.data, "ai": answer_summary(answer)}


def _names(parameters: Mapping[str, Any]) -> list[str]:
    categories = parameters.get("categories")
    return [
        each["name"]
        for each in (categories if isinstance(categories, list) else [])
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    ]
