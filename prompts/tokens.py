"""An estimate of tokens, for when no provider has counted.

Three bytes of UTF-8 are a token: English has some four, code about three, Chinese and Japanese one character (three
bytes). So the estimate is high where it is wrong, and what fits by it fits. Words of one letter and texts of rare signs
can have more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import orjson

from workflow.chat import Message, ToolSpec
from workflow.items import JsonObject

BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 4
"""What the frame of a message costs: OpenAI's cookbook counts 3, and 1 for the role."""
TOKENS_PER_PICTURE = 1_000
"""About what a picture of a million pixels costs at OpenAI (765) and Anthropic (1,334)."""


def text_tokens(text: str) -> int:
    """The tokens of a text."""
    return math.ceil(len(text.encode(errors="replace")) / BYTES_PER_TOKEN)


def message_tokens(message: Message) -> int:
    """The tokens of a message with its wishes for tools and its attachments."""
    tokens = TOKENS_PER_MESSAGE + text_tokens(message.content)
    for call in message.tool_calls:
        tokens += TOKENS_PER_MESSAGE + text_tokens(call.name) + text_tokens(call.id) + text_tokens(call.raw_arguments)
        if not call.raw_arguments and call.arguments is not None:
            tokens += text_tokens(orjson.dumps(call.arguments).decode())
    for attachment in message.attachments:
        is_picture = attachment.media_type.startswith("image/")
        tokens += TOKENS_PER_PICTURE if is_picture else text_tokens(attachment.url)
    return tokens


def request_tokens(
    messages: Sequence[Message], *, tools: Sequence[ToolSpec] = (), schema: JsonObject | None = None
) -> int:
    """The tokens of everything that goes to a model with one question."""
    tokens = sum(map(message_tokens, messages))
    for tool in tools:
        tokens += TOKENS_PER_MESSAGE + text_tokens(tool.name) + text_tokens(tool.description)
        tokens += text_tokens(orjson.dumps(tool.parameters).decode())
    if schema is not None:
        tokens += text_tokens(orjson.dumps(schema).decode())
    return tokens
