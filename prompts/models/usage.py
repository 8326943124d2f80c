"""Tokens and what they cost: the provider's count, else our estimate."""

from __future__ import annotations

from prompts.models.catalogue import Target
from prompts.models.provider import ProviderRequest, Reply
from prompts.tokens import message_tokens, request_tokens, text_tokens
from workflow.chat import Message, Usage

NOTHING = Usage(input_tokens=0, output_tokens=0)


def usage_of(target: Target, question: ProviderRequest, reply: Reply) -> Usage:
    """What one question and its answer used."""
    is_estimate = reply.input_tokens is None or reply.output_tokens is None
    input_tokens, output_tokens = reply.input_tokens, reply.output_tokens
    if input_tokens is None:
        input_tokens = request_tokens(question.messages, tools=question.tools, schema=question.schema)
    if output_tokens is None:
        output_tokens = message_tokens(Message(role="assistant", content=reply.text, tool_calls=reply.tool_calls))
    return priced(target, input_tokens, output_tokens, is_estimate=is_estimate, cost_micros=reply.cost_micros)


def usage_of_texts(target: Target, texts: list[str], counted: int | None) -> Usage:
    """What embedding these texts used."""
    tokens = sum(map(text_tokens, texts)) if counted is None else counted
    return priced(target, tokens, 0, is_estimate=counted is None)


def priced(
    target: Target, input_tokens: int, output_tokens: int, *, is_estimate: bool, cost_micros: int | None = None
) -> Usage:
    """The tokens with their cost: what the provider says, else by its prices, else none."""
    price = target.price
    if cost_micros is None and price is not None:
        # Dollars for a million tokens are micro-dollars for one.
        cost_micros = round(input_tokens * price.input + output_tokens * price.output)
    return Usage(
        input_tokens=input_tokens, output_tokens=output_tokens, is_estimate=is_estimate, cost_micros=cost_micros
    )


def added(one: Usage, other: Usage) -> Usage:
    """Both together. The cost is that of the part of which it is known."""
    costs = [each.cost_micros for each in (one, other) if each.cost_micros is not None]
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        is_estimate=one.is_estimate or other.is_estimate,
        cost_micros=sum(costs) if costs else None,
    )
