"""What becomes of the lines that tags stand on: one with nothing but tags is left out, and no other is touched.

Jinja's ``trim_blocks`` also takes the line break behind a tag that ends a line of text, which joins two lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2.lexer import Lexer

Token = tuple[int, str, str]
"""The line, the kind and the text."""

_BEGINS = {"block_begin": "block_end", "comment_begin": "comment_end", "variable_begin": "variable_end"}
_ALONE = frozenset({"raw_begin", "raw_end"})


@dataclass(slots=True)
class _Piece:
    """Tokens that belong together: a text, a tag, or a value. ``first`` and ``last`` are places of tokens; of a text,
    what is between ``begin`` and ``end`` stays."""

    first: int
    last: int
    text: str | None = None
    is_tag: bool = False
    begin: int = 0
    end: int = 0

    @property
    def is_blank(self) -> bool:
        """Whether it is blanks within a line."""
        return self.text is not None and not self.text.strip() and "\n" not in self.text


class TagLineLexer(Lexer):
    """Jinja's lexer, without the blanks and line breaks of lines that hold tags only.

    A tag that includes shows text, so its line stays. ``-`` and ``+`` at a tag mean what they mean to Jinja.
    """

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[Token]:
        """The tokens of a source."""
        tokens = list(super().tokeniter(source, name, filename, state))
        pieces = _pieces(tokens)
        at = 0
        while at < len(pieces):
            upto = _end_of_run(pieces, at)
            if upto > at:
                _leave_out_line(pieces, tokens, at, upto)
            at = max(at + 1, upto)
        for piece in pieces:
            if piece.text is None:
                yield from tokens[piece.first : piece.last + 1]
            elif piece.begin < piece.end:
                line, kind, text = tokens[piece.first]
                yield line, kind, text[piece.begin : piece.end]


def _pieces(tokens: list[Token]) -> list[_Piece]:
    found: list[_Piece] = []
    at = 0
    while at < len(tokens):
        _, kind, text = tokens[at]
        if kind in _BEGINS:
            last = at
            while last < len(tokens) - 1 and tokens[last][1] != _BEGINS[kind]:
                last += 1
            found.append(_Piece(at, last, is_tag=kind != "variable_begin"))
            at = last
        elif kind in _ALONE:
            found.append(_Piece(at, at, is_tag=True))
        else:
            found.append(_Piece(at, at, text=text, end=len(text)))
        at += 1
    return found


def _end_of_run(pieces: list[_Piece], at: int) -> int:
    """The place behind tags with nothing but blanks between them; ``at`` where there is no tag."""
    upto = at
    while upto < len(pieces) and pieces[upto].is_tag:
        upto += 1
        if upto + 1 < len(pieces) and pieces[upto].is_blank and pieces[upto + 1].is_tag:
            upto += 1
    return upto


def _leave_out_line(pieces: list[_Piece], tokens: list[Token], at: int, upto: int) -> None:
    """Leave out the blanks and the line break around a run of tags, if its line holds nothing else."""
    run = pieces[at:upto]
    if any(_includes(tokens, tag) for tag in run) or tokens[run[0].first][2].endswith("+"):
        return
    ending = tokens[run[-1].last][2]
    before = pieces[at - 1] if at else None
    behind = pieces[upto] if upto < len(pieces) else None
    line_begin = _line_begin(before, is_first=at == 1)
    line_end = 0 if "\n" in ending else _line_end(behind, is_last=upto == len(pieces) - 1)
    if line_begin is None or line_end is None or ending.startswith("+"):
        return
    if before is not None:
        before.end = max(before.begin, line_begin)
    if behind is not None and behind.text is not None:
        behind.begin = max(behind.begin, line_end)
    for piece in run:
        piece.end = piece.begin


def _includes(tokens: list[Token], piece: _Piece) -> bool:
    words = (text for _, kind, text in tokens[piece.first : piece.last + 1] if kind == "name")
    return tokens[piece.first][1] == "block_begin" and next(words, "") == "include"


def _line_begin(before: _Piece | None, *, is_first: bool) -> int | None:
    """Where the line of a tag begins in the text before it; ``None`` where something else is in front of the tag."""
    if before is None:
        return 0
    if before.text is None:
        return None
    begin = before.text.rfind("\n") + 1
    if before.text[begin:].strip() or not (begin or is_first):
        return None
    return begin


def _line_end(behind: _Piece | None, *, is_last: bool) -> int | None:
    """Where the next line begins in the text behind a tag; ``None`` where something else is behind the tag."""
    if behind is None:
        return 0
    if behind.text is None:
        return None
    line, newline, _ = behind.text.partition("\n")
    if line.strip() or not (newline or is_last):
        return None
    return len(line) + len(newline)
