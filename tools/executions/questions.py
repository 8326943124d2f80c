"""What waits for a person's answer, as a form or a page, and the answer as what lets it go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import mcp_types as types
from pydantic import ValidationError

from tools.protocol.caller import Elicitation, ModelMessage, ModelPrompt
from workflow.errors import InvalidArgumentsError
from workflow.executions import Suspension
from workflow.items import JsonObject
from workflow.message_forms import message_from_json
from workflow.messages import utc_text

COMMENT: JsonObject = {"type": "string", "title": "Comment"}
REPEAT = "repeat it"
MOST_OUTPUT_TOKENS = 4_096
"""For answers of a client's model to which the node sets no bound; MCP wants one."""
HAS_HAPPENED = "it has happened: go on without a result"


_ASKING = frozenset({"decision", "model", "question", "approval"})


def question_of(waiting: Suspension) -> Elicitation | None:
    """The question that an item waits for, or ``None`` where it waits for neither a person nor the caller's model.

    Its key is the item's place and the time since which it waits, so that no two questions of an execution share one.
    A single choice is a box to tick. What somebody else is to decide has their page as its ``url``.
    """
    if waiting.kind not in _ASKING:  # very many items may wait for a timer
        return None
    details = waiting.details
    key = f"{waiting.key.node}/{waiting.key.run_index}/{waiting.key.item_index}@{utc_text(waiting.at)}"
    if waiting.kind == "decision":
        choice: JsonObject = {"type": "string", "title": "What to do", "enum": [REPEAT, HAS_HAPPENED]}
        message = f"{waiting.key.node}: {details['question']}"
        return Elicitation(key=key, message=message, form=_form({"choice": choice}, required="choice"))
    if waiting.kind == "model":
        message = f"{waiting.key.node}: {details['how']}"
        form = _form({"text": {"type": "string", "title": "Answer"}}, required="text")
        return Elicitation(key=key, message=message, form=form, prompt=prompt_of(details))
    if waiting.kind == "question":
        message = f"{waiting.key.node}: {details['from']} asks: {details['message']}"
        return Elicitation(key=key, message=message, form=details["schema"] or _form({}), url=details["url"])
    only = only_choice(waiting)
    if only is not None:
        form = _form({"comment": COMMENT, only: {"type": "boolean", "title": only}}, required=only)
    else:
        choice = {"type": "string", "title": "Choice", "enum": details["choices"]}
        form = _form({"choice": choice, "comment": COMMENT}, required="choice")
    who = details.get("who")
    message = f"{details['question']}\n\nFor: {who}" if who else details["question"]
    return Elicitation(key=key, message=message, form=form, url=details.get("resume_url") if who else None)


def data_of(waiting: Suspension, answer: Mapping[str, Any]) -> Any:
    """What the item goes on with, from the members of an answered form; ``None`` where its only box is not ticked.

    Raises:
        InvalidArgumentsError: the form is not filled in as it says.
    """
    if waiting.kind == "decision":
        if answer.get("choice") not in (REPEAT, HAS_HAPPENED):
            raise _not_filled_in(waiting, [REPEAT, HAS_HAPPENED])
        return {"result": {}} if answer["choice"] == HAS_HAPPENED else {}
    if waiting.kind == "question":
        return {"action": "accept", "content": dict(answer)}
    if waiting.kind == "model":
        if not isinstance(answer.get("text"), str):
            raise _not_filled_in(waiting, ["a text"])
        return answer["text"]
    only = only_choice(waiting)
    if only is None:
        choice = answer.get("choice")
        if choice not in waiting.details["choices"]:
            raise _not_filled_in(waiting, waiting.details["choices"])
    else:
        if not isinstance(answer.get(only), bool):
            raise _not_filled_in(waiting, [True, False])
        if not answer[only]:
            return None
        choice = only
    comment = answer.get("comment") if only != "comment" else None
    return {"choice": choice, **({"comment": comment} if comment else {})}


def only_choice(waiting: Suspension) -> str | None:
    """The choice of an approval that has but one: an acknowledgement."""
    choices = waiting.details.get("choices") or []
    return str(choices[0]) if len(choices) == 1 else None


class Abilities(NamedTuple):
    """What a client has declared: how it asks its user, and whether it lets its model be asked."""

    elicitation: types.ElicitationCapability | None = None
    sampling: types.SamplingCapability | None = None


def request_for(question: Elicitation, client: Abilities) -> types.ElicitRequest | types.CreateMessageRequest | None:
    """The question as the client can put it to its user, or to its model, or ``None`` where it cannot.

    A client that names neither mode of asking its user has the older one, forms.
    """
    if question.prompt is not None:
        return sampling_request(question.prompt) if client.sampling is not None else None
    elicitation = client.elicitation
    if elicitation is None:
        return None
    if question.url is not None and elicitation.url is not None:
        page = types.ElicitRequestURLParams(message=question.message, url=question.url)
        return types.ElicitRequest(params=page)
    if elicitation.form is not None or elicitation.url is None:
        form = types.ElicitRequestFormParams(message=question.message, requested_schema=question.form)
        return types.ElicitRequest(params=form)
    return None


def sampling_request(prompt: ModelPrompt) -> types.CreateMessageRequest:
    """The question as MCP puts it to a client's model."""
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(
            system_prompt=prompt.system,
            messages=[
                types.SamplingMessage(role=each.role, content=types.TextContent(type="text", text=each.text))
                for each in prompt.messages
            ],
            max_tokens=prompt.max_tokens,
        )
    )


def accepted(response: Any) -> JsonObject | None:
    """What the client's user has answered: the form's members, none where it was a page; ``None`` for no answer.

    Of what its model has answered the member ``text``.
    """
    if isinstance(response, types.CreateMessageResult | types.CreateMessageResultWithTools):
        response = response.model_dump(by_alias=True)
    if isinstance(response, Mapping) and "content" in response and "model" in response:
        return _said(response)
    try:
        result = types.ElicitResult.model_validate(response)
    except ValidationError:
        return None
    return dict(result.content or {}) if result.action == "accept" else None


def prompt_of(details: JsonObject) -> ModelPrompt:
    """A question to a model in plain texts: schema and tools in words, results of tools as the user's messages."""
    system = [details["how"]]
    messages: list[ModelMessage] = []
    for each in map(message_from_json, details["messages"]):
        if each.role == "system":
            system.append(each.content)
        elif each.role == "tool":
            messages.append(ModelMessage("user", f"The result of {each.tool_call_id}:\n{each.content}"))
        else:
            wishes = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in each.tool_calls]
            wished = f"\n{json.dumps({'tool_calls': wishes})}" if wishes else ""
            attached = "".join(f"\n{file.media_type}: {file.url}" for file in each.attachments)
            messages.append(ModelMessage(each.role, f"{each.content}{wished}{attached}".strip()))
    if details.get("tools"):
        system.append(f"The tools: {json.dumps(details['tools'], ensure_ascii=False)}")
    if details.get("schema") is not None:
        schema = json.dumps(details["schema"], ensure_ascii=False)
        system.append(f"Answer with one JSON value and nothing else. It has to fit this JSON Schema: {schema}")
    if details.get("refused"):
        system.append(f"An answer before was refused: {details['refused']}")
    most = details.get("max_output_tokens") or MOST_OUTPUT_TOKENS
    return ModelPrompt(system="\n\n".join(system), messages=messages, max_tokens=most)


def _said(result: Mapping[str, Any]) -> JsonObject | None:
    """The texts in a model's answer."""
    content = result["content"]
    blocks = content if isinstance(content, list) else [content]
    texts = [each.get("text") for each in blocks if isinstance(each, Mapping) and each.get("type") == "text"]
    joined = "\n".join(text for text in texts if isinstance(text, str))
    return {"text": joined} if joined else None


def _form(members: JsonObject, *, required: str | None = None) -> JsonObject:
    return {"type": "object", "properties": members, "required": [required] if required is not None else []}


def _not_filled_in(waiting: Suspension, allowed: list[Any]) -> InvalidArgumentsError:
    return InvalidArgumentsError(
        f"The answer to what node {waiting.key.node!r} asks is none of the choices.",
        pointer="/choice",
        fix=f"It still waits. Answer with one of {allowed}, or call control_execution with action: resume.",
    )
