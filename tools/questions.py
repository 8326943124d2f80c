"""What waits for a person's answer, as a form or a page, and the answer as what lets it go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mcp_types as types
from pydantic import ValidationError

from tools.caller import Question
from workflow.errors import InvalidArgumentsError
from workflow.executions import Suspension
from workflow.items import JsonObject
from workflow.messages import utc_text

COMMENT: JsonObject = {"type": "string", "title": "Comment"}
REPEAT = "repeat it"
HAS_HAPPENED = "it has happened: go on without a result"


def question_of(waiting: Suspension) -> Question | None:
    """The question that an item waits for, or ``None`` where it waits for no person.

    Its key is the item's place and the time since which it waits, so that no two questions of an execution share one.
    A single choice is a box to tick. What somebody else is to decide has their page as its ``url``.
    """
    details = waiting.details
    key = f"{waiting.key.node}/{waiting.key.run_index}/{waiting.key.item_index}@{utc_text(waiting.at)}"
    if waiting.kind == "decision":
        choice: JsonObject = {"type": "string", "title": "What to do", "enum": [REPEAT, HAS_HAPPENED]}
        message = f"{waiting.key.node}: {details['question']}"
        return Question(key=key, message=message, form=_form({"choice": choice}, required="choice"))
    if waiting.kind != "approval":
        return None
    only = only_choice(waiting)
    if only is not None:
        form = _form({"comment": COMMENT, only: {"type": "boolean", "title": only}}, required=only)
    else:
        choice = {"type": "string", "title": "Choice", "enum": details["choices"]}
        form = _form({"choice": choice, "comment": COMMENT}, required="choice")
    who = details.get("who")
    message = f"{details['question']}\n\nFor: {who}" if who else details["question"]
    return Question(key=key, message=message, form=form, url=details.get("resume_url") if who else None)


def data_of(waiting: Suspension, answer: Mapping[str, Any]) -> Any:
    """What the item goes on with, from the members of an answered form; ``None`` where its only box is not ticked.

    Raises:
        InvalidArgumentsError: the form is not filled in as it says.
    """
    if waiting.kind == "decision":
        if answer.get("choice") not in (REPEAT, HAS_HAPPENED):
            raise _not_filled_in(waiting, [REPEAT, HAS_HAPPENED])
        return {"result": {}} if answer["choice"] == HAS_HAPPENED else {}
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


def request_for(question: Question, elicitation: types.ElicitationCapability | None) -> types.ElicitRequest | None:
    """The question as the client can put it to its user, or ``None`` where it cannot.

    A client that names neither mode has the older one, forms.
    """
    if elicitation is None:
        return None
    if question.url is not None and elicitation.url is not None:
        page = types.ElicitRequestURLParams(message=question.message, url=question.url)
        return types.ElicitRequest(params=page)
    if elicitation.form is not None or elicitation.url is None:
        form = types.ElicitRequestFormParams(message=question.message, requested_schema=question.form)
        return types.ElicitRequest(params=form)
    return None


def accepted(response: Any) -> JsonObject | None:
    """What the client's user has answered: the form's members, none where it was a page; ``None`` for no answer."""
    try:
        result = types.ElicitResult.model_validate(response)
    except ValidationError:
        return None
    return dict(result.content or {}) if result.action == "accept" else None


def _form(members: JsonObject, *, required: str) -> JsonObject:
    return {"type": "object", "properties": members, "required": [required]}


def _not_filled_in(waiting: Suspension, allowed: list[Any]) -> InvalidArgumentsError:
    return InvalidArgumentsError(
        f"The answer to what node {waiting.key.node!r} asks is none of the choices.",
        pointer="/choice",
        fix=f"It still waits. Answer with one of {allowed}, or call control_execution with resume.",
    )
