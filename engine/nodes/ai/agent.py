"""A model that uses tools until it knows the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission
from engine.nodes.ai.agent_tools import ToolParameters, tool_problems
from engine.nodes.ai.model_calls import ModelRequest, ask, question_of, remember, told
from engine.nodes.ai.model_node import AiNode
from engine.nodes.ai.model_parameters import FIELD, AskingParameters, mock_of, opening, schema_problems
from engine.nodes.ai.tool_calls import Toolbox
from workflow.chat import ChatAnswer, ChatRequest, Message, ToolCall
from workflow.definitions.catalogue import ParameterProblem
from workflow.errors import NodeError
from workflow.fences import NOTE
from workflow.items import Item, JsonObject
from workflow.schemas.samples import sample_of


class AiAgentParameters(AskingParameters):
    """The task, and the tools."""

    tools: list[ToolParameters] = Field(default_factory=list, max_length=50)
    max_steps: int = Field(default=10, ge=1, le=50, description="Answers of the model, the last one included.")
    output_schema: dict[str, Any] | None = Field(
        default=None, description="JSON Schema (type object) that the final answer has to fit."
    )
    output: str = Field(default="answer", pattern=FIELD, description="Field of the item that gets the final answer.")


class AiAgent(AiNode[AiAgentParameters]):
    """Gives a model a task and tools, and has it use them until it answers; the item gets that as answer.

    Tools are workflows (workflow_id), nodes (node, parameters) or actions of connections (connection, action). policy
    says whether a tool may be used (allow), a person is asked before each call (ask, the default), or not (deny).
    Arguments of a node go where <<name>> stands.
    Every answer and every finished call is in the journal: a crash repeats neither.
    """

    name = "ai_agent"
    title = "Agent"
    keywords = ("llm", "tools", "function calling", "assistant", "react", "mcp", "autonomous")
    example = {
        "prompt": "Find out where the order is and write an answer to the customer.",
        "input": "={{ $json.mail }}",
        "tools": [
            {
                "name": "order_status",
                "description": "Where an order is.",
                "policy": "allow",
                "input_schema": {
                    "type": "object",
                    "properties": {"order": {"type": "string", "maxLength": 20}},
                    "required": ["order"],
                },
                "node": "http_request",
                "parameters": {"url": "https://shop.example.com/orders/<<order>>"},
            }
        ],
    }
    parameter_model = AiAgentParameters

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        """Also what is wrong with schemas and tools, and where an expression would decide what a tool may do."""
        found = [*super().problems_of(parameters), *schema_problems(parameters, "output_schema")]
        tools = parameters.get("tools")
        if is_template(tools) or (isinstance(tools, list) and any(map(is_template, tools))):
            message = "Tools and their policies are the definition's to say, not an expression's."
            found.append(
                ParameterProblem(code="bad_parameter", path=("tools",), message=message, fix="Write the tools.")
            )
        return [*found, *tool_problems(tools)]

    def outside_source(self, parameters: Mapping[str, Any]) -> str:
        return "a model's answer and its tools"

    def is_repeatable(self, parameters: AiAgentParameters) -> bool:
        return all(tool.policy == "deny" for tool in parameters.tools)

    async def opening(self, item: Item, parameters: AiAgentParameters, call: NodeCall[Any]) -> list[Message]:
        tools = any(tool.policy != "deny" for tool in parameters.tools)
        return await opening(call, parameters, instructions=NOTE if tools else "")

    def mock(self, item: JsonObject, parameters: Mapping[str, Any], outputs: Sequence[str]) -> Emission:
        schema = parameters.get("output_schema")
        answer = sample_of(schema) if isinstance(schema, dict) else "A model's answer."
        return Emission(
            outputs[0], mock_of(item, self.name, **{str(parameters.get("output", "answer")): answer}, steps=0)
        )

    async def run_item(
        self, index: int, item: Item, parameters: AiAgentParameters, call: NodeCall[AiAgentParameters]
    ) -> JsonObject:
        first = await self.opening(item, parameters, call)
        tools = [await _known(tool, call) for tool in parameters.tools]
        offered = [tool.spec() for tool in tools if tool.policy != "deny"]
        question = await question_of(call, parameters, first, schema=parameters.output_schema, tools=offered)
        toolbox = Toolbox(call, index, {tool.name: tool for tool in tools})
        return await self._conversation(item, parameters, call, index, question, toolbox)

    async def _conversation(
        self,
        item: Item,
        parameters: AiAgentParameters,
        call: NodeCall[AiAgentParameters],
        index: int,
        question: ModelRequest,
        toolbox: Toolbox,
    ) -> JsonObject:
        """Ask, do what is wished for, and ask again, until there is an answer."""
        messages = list(question.request.messages)
        used: list[JsonObject] = []
        for step in range(1, parameters.max_steps + 1):
            request = _with(question, messages)
            answer = await ask(call, index, request, part=f"answer {step}", is_kept=True)
            if not answer.tool_calls:
                await remember(call, index, parameters, question, answer)
                final = answer.data if parameters.output_schema is not None else answer.text
                return {**item.json, parameters.output: final, "ai": {**told(answer), "steps": step, "tools": used}}
            messages.append(_wish(answer, step))
            for place, wish in enumerate(messages[-1].tool_calls):
                outcome, text = await toolbox.use(wish, part=f"call {step}.{place}", place=place)
                used.append({"tool": wish.name, "outcome": outcome})
                messages.append(Message(role="tool", content=text, tool_call_id=wish.id, is_from_outside=True))
        raise NodeError(
            f"The model has not come to an answer in {parameters.max_steps} steps.",
            code="agent_step_limit",
            fix="Raise max_steps, or give it a smaller task.",
        )


async def _known(tool: ToolParameters, call: NodeCall[Any]) -> ToolParameters:
    """The tool; that of an action with the action's own description and schema, as they are now."""
    if tool.connection is None or tool.action is None or tool.policy == "deny":
        return tool
    return tool.of_action(await call.actions.find(call.owner, tool.connection, tool.action))


def _with(question: ModelRequest, messages: Sequence[Message]) -> ChatRequest:
    return replace(question.request, messages=tuple(messages))


def _wish(answer: ChatAnswer, step: int) -> Message:
    """The answer as the conversation goes on with it: its wishes have ids of their own, which not every model gives."""
    calls: list[ToolCall] = []
    for place, each in enumerate(answer.tool_calls):
        is_used = not each.id or any(other.id == each.id for other in calls)
        calls.append(replace(each, id=f"call-{step}-{place}") if is_used else each)
    return Message(role="assistant", content=answer.text, tool_calls=tuple(calls))
