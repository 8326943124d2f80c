"""What is learned from the provider's counts: the tokens of messages, and how much more than ours it counts.

The margin is a conversation's own, for it depends on its model, its language and what it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prompts.tokens import TOKENS_PER_MESSAGE, message_tokens
from workflow.chat import Message
from workflow.conversations import MARGIN_UNIT, NewTurn, Window

LEAST_LEARNED_TOKENS = 200
"""A window below that says little about how the provider counts."""
MARGIN_HEADROOM = 50
"""What the margin is above the provider's count, per :data:`MARGIN_UNIT`."""
LARGEST_MARGIN = 2 * MARGIN_UNIT


def counted_tokens(message: Message, tokens: int | None) -> tuple[int, bool]:
    """A message's tokens, and whether they are estimated. What the provider counted is without the frame that the
    message has when it is shown again."""
    if tokens is None or tokens < 0:
        return message_tokens(message), True
    return tokens + TOKENS_PER_MESSAGE, False


def learned(margin: int, window: Window, input_tokens: int) -> int:
    """The margin after the provider has counted a window: up at once, down slowly, never below ours."""
    ours = window.kept_tokens + window.upcoming_tokens
    if ours < LEAST_LEARNED_TOKENS:
        return margin
    observed = -(-input_tokens * MARGIN_UNIT // ours) + MARGIN_HEADROOM
    if observed <= margin:
        observed = margin - (margin - observed) // 8
    return max(MARGIN_UNIT, min(observed, LARGEST_MARGIN))


def spread(turns: Sequence[NewTurn], window: Window, input_tokens: int) -> list[NewTurn]:
    """The turns with what the provider has counted for them, as far as that can be derived.

    Where the rest of the window was counted before, the difference belongs to what came next. One message has it all;
    several, or one beside others that are not kept, share it as their estimates have it, with a tenth more, for they
    may differ in kind. What cannot be so (the difference is half as much again as was estimated, or less than a fifth
    of it) is left alone: there was something else in the request.
    """
    new = sum(each.is_estimate for each in turns)
    estimated = sum(each.tokens for each in turns if each.is_estimate)
    upcoming, difference = window.upcoming_tokens, input_tokens - window.kept_tokens
    is_plausible = upcoming <= 5 * difference and 2 * difference <= 3 * upcoming
    if window.is_estimate or not 0 < estimated <= upcoming or not is_plausible:
        return list(turns)
    if new == 1 and estimated == upcoming:
        return [replace(each, tokens=difference, is_estimate=False) if each.is_estimate else each for each in turns]
    return [
        replace(each, tokens=min(each.tokens, -(-each.tokens * difference * 11 // (upcoming * 10))))
        if each.is_estimate
        else each
        for each in turns
    ]
