"""Asks a model for a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission
from engine.nodes.ai.model_calls import answer_summary
from engine.nodes.ai.model_node import AiNode
from engine.nodes.ai.model_parameters import FIELD, AskingParameters, mock_of, opening
from workflow.chat import Message
from workflow.items import Item, JsonObject


class AiChatParameters(AskingParameters):
    """The question, and the field for its answer."""

    output: str = Field(default="answer", pattern=FIELD, description="Field of the item that gets the text.")


class AiChat(AiNode[AiChatParameters]):
    """Asks a model; the item gets the text as answer, and the model and its cost as ai.

    ai also says whether the text was cut_off at the limit of its length, or is empty.

    The models of the list are tried in order: the next one where one is down, slow or out of quota. The model agent is
    the connected assistant: the execution waits until it answers through control_execution. This also happens where no
    model is configured. When every model is down, the item waits and is tried again for hours.
    """

    name = "ai_chat"
    title = "Ask a model"
    keywords = ("llm", "gpt", "claude", "prompt", "completion", "summarize", "write", "translate", "agent")
    example = {
        "prompt": "Summarise this report in three sentences.",
        "input": "={{ $json.report }}",
        "models": ["openai/gpt-5-mini", "ollama/llama3.2", "agent"],
    }
    parameter_model = AiChatParameters

    async def opening(self, item: Item, parameters: AiChatParameters, call: NodeCall[Any]) -> list[Message]:
        return await opening(call, parameters)

    def mock(self, item: JsonObject, parameters: Mapping[str, Any], outputs: Sequence[str]) -> Emission:
        field = str(parameters.get("output", "answer"))
        return Emission(outputs[0], mock_of(item, self.name, **{field: "A model's answer."}))

    async def run_item(
        self, index: int, item: Item, parameters: AiChatParameters, call: NodeCall[AiChatParameters]
    ) -> JsonObject:
        answer = await self.answer(index, item, parameters, call)
        return {**item.json, parameters.output: answer.text, "ai": answer_summary(answer)}
