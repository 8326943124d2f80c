"""The estimate of tokens, held against what OpenAI's vocabularies really make of many kinds of text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.tokens import message_tokens, request_tokens, text_tokens
from workflow.chat import Attachment, Message, ToolCall, ToolSpec

# Counted once with the vocabularies themselves (cl100k_base and o200k_base).
COUNTS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "token_counts.json").read_text())


@pytest.mark.parametrize("name", COUNTS)
def test_the_estimate_is_not_under_the_vocabularies_counts(name: str) -> None:
    recorded = COUNTS[name]
    assert text_tokens(recorded["text"]) >= max(recorded["cl100k"], recorded["o200k"])


@pytest.mark.parametrize("name", ["english", "german", "chinese", "russian", "python", "json", "log", "table"])
def test_the_estimate_is_not_much_too_high_for_usual_texts(name: str) -> None:
    recorded = COUNTS[name]
    assert text_tokens(recorded["text"]) <= 1.7 * max(recorded["cl100k"], recorded["o200k"])


@pytest.mark.parametrize(
    ("text", "real"),
    [
        # Counted with Gemma 3's tokenizer.
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("def f(x):\n    return [y for y in x if y]\n", 18),
        ("今日はいい天気ですね。明日は雨が降るでしょう。", 13),
        ("Der Geschäftsführer hat die Rechnung überprüft und freigegeben.", 11),
        ("Счёт не оплачен, пожалуйста, свяжитесь с нами.", 14),
        ("3141592653589793" * 20, 320),
        ("a b c d e f g h " * 10, 81),
        ("PLEASE READ THIS NOTICE CAREFULLY BEFORE YOU PROCEED", 12),
        ('<div class="a"><p>Hello <b>you</b></p></div>' * 10, 170),
        ("", 0),
    ],
)
def test_a_text_has_at_most_the_tokens_that_are_estimated(text: str, real: int) -> None:
    assert real <= text_tokens(text) <= 2.6 * real


def test_half_a_surrogate_pair_is_counted_and_not_fatal() -> None:
    assert text_tokens("\ud800") >= 1


@given(st.text(), st.text())
def test_lines_have_together_what_each_has_and_none_has_more_than_bytes(one: str, other: str) -> None:
    # Not so within a line: a digit behind a long word makes something encoded of it.
    assert text_tokens(f"{one}\n{other}") <= text_tokens(one) + text_tokens(other) + 2
    assert text_tokens(one) <= 2 * len(one.encode(errors="replace")) + 1
    assert (text_tokens(one) == 0) == (one == "")


def test_the_time_rises_no_faster_than_the_text() -> None:
    for piece in ("aB", "a1", "🎉", "\n ", "ñ!"):
        assert text_tokens(piece * 200_000) > 1_000


def test_calls_attachments_and_tools_count() -> None:
    plain = Message(role="assistant", content="Look")
    call = ToolCall(id="c1", name="lookup", arguments={"city": "Paris"})
    picture = Attachment(url="https://a.example/p.png", media_type="image/png")
    calling = Message(role="assistant", content="Look", tool_calls=(call,))
    shown = Message(role="assistant", content="Look", attachments=(picture,))
    assert message_tokens(plain) < message_tokens(calling) < message_tokens(shown)
    tool = ToolSpec(name="lookup", description="Looks a city up.", parameters={"type": "object"})
    assert request_tokens([plain], tools=[tool], schema={"type": "object"}) > request_tokens([plain])
