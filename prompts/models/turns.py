"""Messages for servers whose models take turns: one system message at the head, then user and assistant by turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workflow.chat import Message

BEGINNING = "[What was said before is left out here.]"
"""Stands in front of an answer that no message of the user comes before."""


def alternating(messages: Sequence[Message]) -> list[Message]:
    """The messages with neighbours of one role in one; templates of Mistral's and Gemma's models refuse them else.

    System messages behind the head become the user's. Calls of tools and their answers stay as they are.
    """
    leading = next((at for at, each in enumerate(messages) if each.role != "system"), len(messages))
    turns: list[Message] = []
    for each in messages[leading:]:
        turn = replace(each, role="user") if each.role == "system" else each
        if turns and turns[-1].role == turn.role and turn.role != "tool" and not turns[-1].tool_calls:
            turns[-1] = _joined([turns[-1], turn])
        else:
            turns.append(turn)
    if turns and turns[0].role == "assistant":
        turns.insert(0, Message(role="user", content=BEGINNING))
    head = [_joined(messages[:leading])] if leading else []
    return [*head, *turns] if turns or not head else [replace(head[0], role="user")]


def _joined(messages: Sequence[Message]) -> Message:
    """The messages as one, which has the role of the first."""
    return replace(
        messages[0],
        content="\n\n".join(each.content for each in messages if each.content),
        tool_calls=tuple(call for each in messages for call in each.tool_calls),
        attachments=tuple(attachment for each in messages for attachment in each.attachments),
        is_from_outside=all(each.is_from_outside for each in messages),
    )
