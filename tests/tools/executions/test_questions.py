"""What waits for a person, as forms and pages, and forms that are filled in, as what lets it go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import mcp_types as types
import pytest

from tools.executions.questions import HAS_HAPPENED, REPEAT, Abilities, accepted, data_of, question_of, request_for
from workflow.errors import InvalidArgumentsError
from workflow.executions import EffectKey, Suspension, SuspensionKind

NOON = datetime(2024, 1, 6, 12, tzinfo=UTC)
FORMS = types.ElicitationCapability(form=types.FormElicitationCapability())
PAGES = types.ElicitationCapability(url=types.UrlElicitationCapability())
OLD = types.ElicitationCapability()


def waiting(kind: SuspensionKind = "approval", *, at: datetime = NOON, **details: Any) -> Suspension:
    """An item that waits."""
    if kind == "approval":
        details = {"question": "Sure?", "choices": ["yes", "no"], **details}
    return Suspension(key=EffectKey("ask", 0, 2), at=at, kind=kind, details=details)


@pytest.mark.parametrize("kind", ["timer", "call", "child"])
def test_what_waits_for_no_person_asks_nothing(kind: SuspensionKind) -> None:
    assert question_of(waiting(kind)) is None


def test_an_item_that_waits_again_asks_under_another_key() -> None:
    first, again = question_of(waiting()), question_of(waiting(at=NOON + timedelta(seconds=1)))
    assert first is not None
    assert again is not None
    assert first.key != again.key


@pytest.mark.parametrize(
    ("elicitation", "who", "mode"),
    [
        (FORMS, None, "form"),
        (OLD, None, "form"),
        (PAGES, None, None),
        (None, None, None),
        (FORMS, "the lead", "form"),
        (PAGES, "the lead", "url"),
        (types.ElicitationCapability(form=FORMS.form, url=PAGES.url), "the lead", "url"),
        (types.ElicitationCapability(form=FORMS.form, url=PAGES.url), None, "form"),
    ],
)
def test_a_client_is_asked_in_a_way_that_it_has_declared(
    elicitation: types.ElicitationCapability | None, who: str | None, mode: str | None
) -> None:
    question = question_of(waiting(resume_url="http://here/resume/e", **({"who": who} if who else {})))
    assert question is not None
    request = request_for(question, Abilities(elicitation))
    assert not isinstance(request, types.CreateMessageRequest)
    assert (request.params.mode if request is not None else None) == mode


def test_a_choice_is_taken_with_its_comment() -> None:
    assert data_of(waiting(), {"choice": "yes", "comment": "fine"}) == {"choice": "yes", "comment": "fine"}
    assert data_of(waiting(), {"choice": "no", "comment": ""}) == {"choice": "no"}
    with pytest.raises(InvalidArgumentsError) as caught:
        data_of(waiting(), {"choice": "perhaps"})
    assert "'yes', 'no'" in (caught.value.fix or "")


@pytest.mark.parametrize("choice", ["confirm", "comment"])
def test_a_single_choice_is_a_box_to_tick(choice: str) -> None:
    asked = waiting(choices=[choice])
    question = question_of(asked)
    assert question is not None
    assert question.form["properties"][choice] == {"type": "boolean", "title": choice}
    assert data_of(asked, {choice: True}) == {"choice": choice}
    assert data_of(asked, {choice: False}) is None
    with pytest.raises(InvalidArgumentsError):
        data_of(asked, {choice: "yes"})


def test_whether_an_effect_is_to_be_repeated_is_a_question_too() -> None:
    asked = waiting("decision", question="The effect may have happened. Repeat it?")
    question = question_of(asked)
    assert question is not None
    assert question.message == "ask: The effect may have happened. Repeat it?"
    assert data_of(asked, {"choice": REPEAT}) == {}
    assert data_of(asked, {"choice": HAS_HAPPENED}) == {"result": {}}
    with pytest.raises(InvalidArgumentsError):
        data_of(asked, {})


@pytest.mark.parametrize("response", [None, 5, {}, {"action": "decline"}, {"action": "cancel"}, {"content": {"a": 1}}])
def test_what_is_no_acceptance_is_no_answer(response: Any) -> None:
    assert accepted(response) is None


def test_an_accepted_page_has_no_members() -> None:
    assert accepted({"action": "accept"}) == {}
