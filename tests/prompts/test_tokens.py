"""The estimate of tokens errs on the high side."""

from __future__ import annotations

import pytest

from prompts.tokens import message_tokens, request_tokens, text_tokens
from workflow.chat import Attachment, Message, ToolCall, ToolSpec


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
    assert real <= text_tokens(text) <= 2.5 * real


def test_half_a_surrogate_pair_is_counted_and_not_fatal() -> None:
    assert text_tokens("\ud800") >= 1


def test_everything_that_goes_along_counts() -> None:
    plain = message_tokens(Message(role="user", content="hello"))
    call = ToolCall(id="1", name="look_up", arguments={"id": 7})
    assert message_tokens(Message(role="assistant", content="hello", tool_calls=(call,))) > plain
    picture = Attachment(url="https://example.com/a.png", media_type="image/png")
    assert message_tokens(Message(role="user", content="hello", attachments=(picture,))) >= plain + 1_000
    messages = [Message(role="user", content="hello")]
    tool = ToolSpec(name="look_up", description="Look an order up.", parameters={"type": "object"})
    assert request_tokens(messages) == plain
    assert request_tokens(messages, tools=[tool], schema={"type": "object"}) > plain + 10
