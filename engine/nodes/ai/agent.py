"""A model that uses tools until it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from engine.expressions.template import is_template
from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import Emission
from engine.nodes.ai.agent_tools import ToolParameters, tool_problems
from engine.nodes.ai.model_calls import ModelRequest, answer_summary, ask, question_of, remember
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
    """Gives a model a task and tools, until it answers; the item gets the answer.

    Tools are workflows (workflow_id), nodes (node, parameters) or actions of connections (connection, action). With
    policy allow the model may use a tool, with ask (the default) a person is asked before each call, with deny it may
    not. A node's arguments replace <<name>> in its parameters.
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
        """Also the problems of schemas and tools, and expressions that would decide what a tool may do."""
        found = [*super().problems_of(parameters), *schema_problems(parameters, "output_schema")]
        tools = parameters.get("tools")
        if is_template(tools) or (isinstance(tools, list) and any(map(is_template, tools))):
            message = "Tools and their policies cannot be expressions: data would decide what the model may do."
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
        """Ask the model and make the tool calls that it wants, until it answers."""
        messages = list(question.request.messages)
        used: list[JsonObject] = []
        for step in range(1, parameters.max_steps + 1):
            request = _with(question, messages)
            answer = await ask(call, index, request, part=f"answer {step}", is_kept=True)
            if not answer.tool_calls:
                await remember(call, index, parameters, question, answer)
                final = answer.data if parameters.output_schema is not None else answer.text
                ai = {**answer_summary(answer), "steps": step, "tools": used}
                return {**item.json, parameters.output: final, "ai": ai}
            messages.append(_as_message(answer, step))
            for place, wanted in enumerate(messages[-1].tool_calls):
                outcome, text = await toolbox.use(wanted, part=f"call {step}.{place}", place=place)
                used.append({"tool": wanted.name, "outcome": outcome})
                messages.append(Message(role="tool", content=text, tool_call_id=wanted.id, is_from_outside=True))
        raise NodeError(
            f"The model has not given an answer in {parameters.max_steps} steps.",
            code="agent_step_limit",
            fix="Raise max_steps, or give the model a smaller task.",
        )


async def _known(tool: ToolParameters, call: NodeCall[Any]) -> ToolParameters:
    """The tool; an action's tool has the description and schema that the action has now."""
    if tool.connection is None or tool.action is None or tool.policy == "deny":
        return tool
    return tool.of_action(await call.actions.find(call.owner, tool.connection, tool.action))


def _with(question: ModelRequest, messages: Sequence[Message]) -> ChatRequest:
    return replace(question.request, messages=tuple(messages))


def _as_message(answer: ChatAnswer, step: int) -> Message:
    """The answer as a message. Each tool call gets an id of its own, since not every model gives one."""
    calls: list[ToolCall] = []
    for place, each in enumerate(answer.tool_calls):
        is_used = not each.id or any(other.id == each.id for other in calls)
        calls.append(replace(each, id=f"call-{step}-{place}") if is_used else each)
    return Message(role="assistant", content=answer.text, tool_calls=tuple(calls))
