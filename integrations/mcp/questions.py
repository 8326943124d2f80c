"""What a server asks in the middle of a call, in both eras of the protocol.

Newer servers end the call with their questions and are called again with the answers. Older ones ask while the call is
open: our answer is that nobody answers, so that the call ends without effect, and the next call answers at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
import orjson

from workflow.actions import ActionAsksError, ActionQuestion
from workflow.items import JsonObject


@dataclass(slots=True)
class Interview:
    """The questions of one call to an older server: ``answers`` are at hand, ``open`` ones nobody has answered."""

    answers: Mapping[str, JsonObject]
    open: list[ActionQuestion] = field(default_factory=list)

    def answer(self, params: types.ElicitRequestParams) -> types.ElicitResult:
        """The answer at hand; where there is none, that nobody gives one."""
        question = _question(None, params)
        given = self.answers.get(question.key)
        if given is None:
            self.open.append(question)
            return types.ElicitResult(action="cancel")
        return result_of(given)


interview: ContextVar[Interview | None] = ContextVar("interview", default=None)
"""The questions of the call that is made here."""


def asked(result: types.InputRequiredResult) -> ActionAsksError:
    """The questions that a newer server ends a call with. What it asks a model, nobody answers."""
    questions = [
        _question(key, request.params, state=result.request_state)
        for key, request in (result.input_requests or {}).items()
        if isinstance(request, types.ElicitRequest)
    ]
    return ActionAsksError(questions)


def responses(answers: Mapping[str, JsonObject]) -> dict[str, Any]:
    """The answers as a newer server takes them."""
    return {key: result_of(given) for key, given in answers.items()}


def result_of(given: JsonObject) -> types.ElicitResult:
    """An answer in the protocol's form."""
    return types.ElicitResult(action=given.get("action", "accept"), content=given.get("content"))


def _question(key: str | None, params: types.ElicitRequestParams, *, state: str | None = None) -> ActionQuestion:
    url = params.url if isinstance(params, types.ElicitRequestURLParams) else None
    schema = dict(params.requested_schema) if isinstance(params, types.ElicitRequestFormParams) else None
    if key is None:
        # It has no name of its own, and must be known again when it is asked again.
        content = orjson.dumps([params.message, schema, url is not None], option=orjson.OPT_SORT_KEYS)
        key = hashlib.sha256(content).hexdigest()[:16]
    return ActionQuestion(key=key, message=params.message, schema=schema, url=url, state=state)
