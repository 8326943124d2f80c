"""What holds for every window, whatever the conversation, the budget and the provider's way of counting."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.conversations import STAND_IN_TOKENS
from prompts.counting import LARGEST_MARGIN, learned, spread
from prompts.tokens import message_tokens, text_tokens
from prompts.windows import assembled, frame, shortened, stand_in, walk
from tests.support.accounts import NOW
from workflow.chat import Message, ToolCall
from workflow.conversations import MARGIN_UNIT, NewTurn, Turn, Window
from workflow.errors import InvalidArgumentsError


def user(text: str) -> Message:
    """What a user says."""
    return Message(role="user", content=text)


def calling(*ids: str) -> Message:
    """An assistant that wants tools."""
    return Message(role="assistant", content="", tool_calls=tuple(ToolCall(id=i, name="t", arguments={}) for i in ids))


def answer(call_id: str) -> Message:
    """A tool's answer."""
    return Message(role="tool", content="found", tool_call_id=call_id)


def turns_of(messages: Sequence[Message], *, pinned: Sequence[int] = (), tokens: Sequence[int] = ()) -> list[Turn]:
    """Turns of a conversation."""
    return [
        Turn(
            position=position,
            message=message,
            tokens=tokens[position - 1] if tokens else message_tokens(message),
            is_estimate=not tokens,
            at=NOW,
            is_pinned=position in pinned,
        )
        for position, message in enumerate(messages, 1)
    ]


def window(
    turns: Sequence[Turn], budget: int, upcoming: Sequence[Message] = (), *, margin: int = MARGIN_UNIT
) -> Window:
    """The window without store and summary."""
    pinned = [turn for turn in turns if turn.is_pinned]
    held = frame(pinned, turns, upcoming, budget_tokens=budget, margin=margin)
    walked = walk(turns, held, room=held.room)
    left_out = len(turns) - walked.shown - len(list(held.kept))
    note = None
    if not walked.has_all and message_tokens(stand_in(len(turns))) <= held.room:
        walked = walk(turns, held, room=held.room - message_tokens(stand_in(len(turns))))
        left_out = len(turns) - walked.shown - len(list(held.kept))
        note = stand_in(left_out)
    return assembled(held, walked, margin=margin, left_out=left_out, stand_in=note)


# Ids are few, so that they repeat, as those of some local models do; answers may be missing, late or of no call.
ids = st.sampled_from(["c0", "c1", "c2"])
messages = st.lists(
    st.one_of(
        st.text(max_size=40).map(user),
        st.text(max_size=40).map(lambda text: Message(role="assistant", content=text)),
        st.lists(ids, min_size=1, max_size=3, unique=True).map(lambda chosen: calling(*chosen)),
        ids.map(answer),
    ),
    max_size=40,
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    """Conversations of any shape, some of it pinned."""
    said = draw(messages)
    plain = [at for at, each in enumerate(said, 1) if each.role != "tool" and not each.tool_calls]
    pinned = draw(st.lists(st.sampled_from(plain), max_size=2, unique=True)) if plain else []
    return turns_of(said, pinned=pinned)


def is_valid(shown: Sequence[Message]) -> bool:
    """Whether a provider takes this: every call is followed by its answers, and every answer follows its call."""
    at = 0
    while at < len(shown):
        wanted = [call.id for call in shown[at].tool_calls]
        if shown[at].role == "tool":
            return False
        answers = shown[at + 1 : at + 1 + len(wanted)]
        if [each.tool_call_id for each in answers] != wanted:
            return False
        at += 1 + len(wanted)
    return True


@given(conversations(), st.integers(min_value=1, max_value=600), st.integers(min_value=1_000, max_value=2_000))
def test_budget_pins_pairs_and_order_hold(turns: list[Turn], budget: int, margin: int) -> None:
    pinned = [turn.message for turn in turns if turn.is_pinned]
    try:
        built = window(turns, budget, margin=margin)
    except InvalidArgumentsError:
        assert (3 + sum(map(message_tokens, pinned))) * margin > budget * 1_000 - margin
        return
    assert built.tokens <= budget
    # Counting by our estimate, times the margin, comes to the same.
    assert -(-(3 + sum(map(message_tokens, built.messages))) * margin // 1_000) == built.tokens
    assert list(built.messages[: len(pinned)]) == pinned
    assert is_valid(built.messages)
    shown = {id(message) for message in built.messages}
    order = [turn.position for turn in turns if id(turn.message) in shown and turn.message.role != "tool"]
    seen = {id(turn.message): turn.position for turn in turns if not turn.is_pinned}
    unpinned = [seen[id(each)] for each in built.messages if id(each) in seen and each.role != "tool"]
    assert unpinned == sorted(unpinned)
    assert len(set(order)) == len(order)
    assert built == window(turns, budget, margin=margin)


@given(conversations(), st.integers(min_value=1, max_value=600))
def test_what_is_shown_is_the_latest_without_a_gap(turns: list[Turn], budget: int) -> None:
    try:
        built = window(turns, budget)
    except InvalidArgumentsError:
        return
    whole = window(turns, 1_000_000)
    pinned = sum(turn.is_pinned for turn in turns)
    rest = [each for each in built.messages[pinned:] if "are left out here" not in each.content]
    every = list(whole.messages[pinned:])
    assert rest == every[len(every) - len(rest) :]
    assert built.left_out == whole.left_out + len(every) - len(rest)


@given(conversations(), st.integers(min_value=1, max_value=300), st.integers(min_value=1, max_value=300))
def test_a_larger_budget_shows_no_less(turns: list[Turn], budget: int, more: int) -> None:
    try:
        small = window(turns, budget)
    except InvalidArgumentsError:
        return
    # The note about what is left out takes room; a window without it can be followed by one with it.
    assert window(turns, budget + more + 30).left_out <= small.left_out


@given(conversations(), st.integers(min_value=1, max_value=600), st.integers(min_value=0, max_value=600))
def test_a_walk_that_is_shortened_is_the_walk_in_the_smaller_room(turns: list[Turn], one: int, other: int) -> None:
    held = frame([], turns, [], budget_tokens=1_000, margin=MARGIN_UNIT)
    long, short = max(one, other), min(one, other)
    walked = walk(turns, held, room=long)
    expected = walk(turns, held, room=short)
    found = shortened(walked, room=short, behind_last=len(turns) + 1)
    assert [list(block) for block in found.blocks] == [list(block) for block in expected.blocks]
    assert (found.tokens, found.has_all) == (expected.tokens, expected.has_all)
    if turns:
        assert found.first_position == expected.first_position


@given(st.text(), st.integers(min_value=0, max_value=10**9))
def test_the_words_around_a_summary_take_no_more_than_is_reckoned_for_them(text: str, count: int) -> None:
    for message in (stand_in(count, summary=text), stand_in(count, summary=text, upto=count)):
        assert message_tokens(message) <= text_tokens(text) + STAND_IN_TOKENS


def test_an_answer_goes_directly_behind_its_call_even_where_others_spoke_in_between() -> None:
    turns = turns_of([user("a"), calling("x", "y"), user("b"), answer("y"), user("c"), answer("x")])
    roles = [each.tool_call_id or each.content for each in window(turns, 1_000).messages]
    assert roles == ["a", "", "x", "y", "b", "c"]


def test_a_call_without_its_answers_and_an_answer_without_its_call_are_not_shown() -> None:
    turns = turns_of([answer("w"), user("a"), calling("x", "y"), answer("x"), user("b"), answer("z")])
    built = window(turns, 1_000)
    assert [each.content for each in built.messages] == ["a", "b"]
    assert built.left_out == 4


def test_calls_and_answers_fit_together_or_not_at_all() -> None:
    turns = turns_of([user("a"), calling("x"), answer("x"), user("b")], tokens=[1, 10, 90, 10])
    assert len(window(turns, 114).messages) == 4
    cut = window(turns, 113)
    assert [each.content for each in cut.messages] == [stand_in(3).content, "b"]
    assert cut.left_out == 3


def test_answers_to_come_keep_their_call_in_the_window() -> None:
    turns = turns_of([user("a"), calling("x", "y"), answer("x"), user("b"), user("c")])
    built = window(turns, 1_000, [answer("y")])
    assert [each.content for each in built.messages] == ["a", "b", "c", "", "found"]
    assert is_valid([*built.messages, answer("y")])
    least = 3 + sum(map(message_tokens, [calling("x", "y"), answer("x"), answer("y")]))
    assert [each.role for each in window(turns, least, [answer("y")]).messages] == ["assistant", "tool"]
    with pytest.raises(InvalidArgumentsError) as refused:
        window(turns, least - 1, [answer("y")])
    assert refused.value.pointer == "/budget_tokens"
    with pytest.raises(InvalidArgumentsError) as refused:
        window(turns, 1_000, [answer("z")])
    assert refused.value.pointer == "/upcoming"
    assert window(turns, 1_000, [calling("z"), answer("z")]).left_out == 2


def counted_window(kept: int, upcoming: int, *, is_estimate: bool = False) -> Window:
    """A window of which only the tokens matter."""
    return Window(
        messages=(), tokens=0, left_out=0, is_estimate=is_estimate, kept_tokens=kept, upcoming_tokens=upcoming
    )


@given(
    st.lists(st.integers(min_value=0, max_value=100_000), max_size=20),
    st.integers(min_value=200, max_value=50_000),
)
def test_the_margin_is_never_under_what_was_just_counted_and_stays_in_its_bounds(counts: list[int], ours: int) -> None:
    margin = MARGIN_UNIT
    for count in counts:
        margin = learned(margin, counted_window(ours, 0), count)
        assert MARGIN_UNIT <= margin <= LARGEST_MARGIN
        assert margin == LARGEST_MARGIN or ours * margin >= count * MARGIN_UNIT


def test_small_windows_teach_nothing() -> None:
    assert learned(1_100, counted_window(60, 100), 5_000) == 1_100


def new(text: str, tokens: int | None = None) -> NewTurn:
    """A turn to add, counted by the provider where ``tokens`` are given."""
    message = user(text)
    return NewTurn(message=message, tokens=tokens or message_tokens(message), is_estimate=tokens is None)


def test_the_difference_belongs_to_the_one_message_that_was_new() -> None:
    question, said = new("word " * 100), new("answer", 50)
    found = spread([question, said], counted_window(500, question.tokens), 610)
    assert [(each.tokens, each.is_estimate) for each in found] == [(110, False), (50, False)]


def test_several_share_the_difference_with_a_tenth_more_and_stay_estimates() -> None:
    one, other = new("word " * 100), new("word " * 50)
    estimated = one.tokens + other.tokens
    found = spread([one, other], counted_window(500, estimated), 500 + estimated // 2)
    assert all(each.is_estimate for each in found)
    assert estimated // 2 * 1.1 <= sum(each.tokens for each in found) <= estimated // 2 * 1.1 + 2
    assert spread([one, other], counted_window(500, estimated), 500 + estimated)[0] == one


def test_a_message_beside_others_that_are_not_kept_has_its_share() -> None:
    question = new("word " * 100)
    (found,) = spread([question], counted_window(500, 2 * question.tokens), 500 + question.tokens)
    assert found.is_estimate
    assert found.tokens == -(-question.tokens * 11 // 20)


@pytest.mark.parametrize(
    ("window", "counted"),
    [
        (counted_window(500, 104, is_estimate=True), 600),
        (counted_window(500, 100), 600),
        (counted_window(500, 204), 5_000),
        (counted_window(500, 204), 400),
    ],
)
def test_what_cannot_be_told_apart_is_left_alone(window: Window, counted: int) -> None:
    question = new("word " * 100)
    assert spread([question], window, counted) == [question]
