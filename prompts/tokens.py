"""An estimate of tokens, for when no provider has counted.

It is made to be high rather than low: what fits by it fits. Its figures are of OpenAI's cl100k_base, which needs more
tokens than o200k_base and Gemma's vocabulary do, twice as many for most scripts; of digits it takes Gemma's count.
English comes out some four tenths too high. The tests hold it against recorded counts of many kinds of text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

from workflow.chat import Message, ToolSpec
from workflow.items import JsonObject

TOKENS_PER_MESSAGE = 4
"""What the frame of a message costs: OpenAI's cookbook counts 3, and 1 for the role."""
TOKENS_PER_PICTURE = 1_600
"""What a large picture costs at Anthropic (width × height / 750, at most about 1,600) and, at most, at OpenAI."""
TOKENS_PER_FILE = 1_600
"""For a file of which only the address is known: about a page as text and picture."""

_RUNS = re.compile(r"[A-Za-z0-9]+|([\s!-/:-@\[-`{-~])\1*|[^\x00-\x7f]+|.", re.DOTALL)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")

# Tenths of a token per character of scripts that vocabularies know well; of all others the bytes count, below which no
# vocabulary of byte pairs comes.
_SCRIPTS = (
    (0x0080, 0x024F, 11),  # Latin with marks
    (0x0250, 0x02FF, 20),
    (0x0370, 0x03FF, 11),  # Greek
    (0x0400, 0x04FF, 6),  # Cyrillic
    (0x0590, 0x05FF, 13),  # Hebrew
    (0x0600, 0x06FF, 10),  # Arabic
    (0x0900, 0x097F, 13),  # Devanagari
    (0x0E00, 0x0E7F, 12),  # Thai
    (0x1E00, 0x1EFF, 20),  # Vietnamese
    (0x2010, 0x2027, 10),  # dashes, quotes, dots
    (0x3000, 0x30FF, 11),  # Japanese
    (0x4E00, 0x9FFF, 14),  # Chinese
    (0xAC00, 0xD7AF, 14),  # Korean
    (0xFF00, 0xFFEF, 14),  # full-width forms
)


def _tenths() -> dict[int, int]:
    return {code: tenths for first, last, tenths in _SCRIPTS for code in range(first, last + 1)}


_TENTHS = _tenths()


def text_tokens(text: str) -> int:
    """The tokens of a text, rather too many than too few."""
    # A space at the end, or what a vocabulary puts in front.
    tokens, tenths = int(text != ""), 0
    for match in _RUNS.finditer(text):
        run = match.group()
        size = len(run)
        if not run.isascii():
            tenths += 5
            for sign in run:
                tenths += _TENTHS.get(ord(sign)) or 10 * len(sign.encode(errors="replace"))
        elif run.isspace():
            # One space is part of the word behind it; of more, a vocabulary has long runs.
            tokens += 0 if run == " " else 1 + size // 12
        elif run.isdigit():
            # OpenAI's vocabularies have three digits in a token, Google's one.
            tokens += size
        elif not run.isalnum():
            # The same sign again and again is in the vocabularies.
            tokens += 1 + size // 4
        elif run.isalpha():
            words = _WORDS.findall(run)
            # A long run of changing case is no words, but something encoded.
            tokens += (3 * size + 3) // 4 if len(words) > 4 and size > 16 else sum(map(_word_tokens, words))
        else:
            tokens += (9 * size + 9) // 10
    return tokens + (tenths + 9) // 10


def _word_tokens(word: str) -> int:
    size = len(word)
    return 1 if size <= 4 else 2 if size <= 6 else (2 * size + 3) // 5


def message_tokens(message: Message) -> int:
    """The tokens of a message with its wishes for tools and its attachments."""
    tokens = TOKENS_PER_MESSAGE + text_tokens(message.content)
    if message.tool_call_id is not None:
        tokens += text_tokens(message.tool_call_id)
    for call in message.tool_calls:
        tokens += TOKENS_PER_MESSAGE + text_tokens(call.name) + text_tokens(call.id) + text_tokens(call.raw_arguments)
        if not call.raw_arguments and call.arguments is not None:
            tokens += text_tokens(orjson.dumps(call.arguments).decode())
    for attachment in message.attachments:
        is_picture = attachment.media_type.startswith("image/")
        tokens += TOKENS_PER_PICTURE if is_picture else TOKENS_PER_FILE + text_tokens(attachment.url)
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
