"""The forms that secrets have inside text, wherever they stand, and how they are found in small and in large texts."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator

HIDDEN = "[hidden]"
"""Stands where a secret was."""
SHORTEST = 12
"""Nothing shorter has the form of a secret."""
SMALL_CHARACTERS = 500
"""Up to this one regular expression looks at each place. It takes 80 to 400 ns for each, and the interpreter runs
nothing else meanwhile: 8 s for a text of 20 MB."""

_KEY_HEAD = r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
_KEY_END = r"-----END [A-Z ]*PRIVATE KEY-----"
_BEFORE_KEY = r"(?P<scheme>\b(?:bearer|basic)\s+)(?=[^\s\"',;]*\d)[A-Za-z0-9._~+/=-]{8,}"
_OTHERS = (
    r"(?P<user>://[^/\s:@\"']*:)[^/\s@\"']+(?=@)"
    r"|(?P<query>[?&](?:access_|auth_|api_|id_)?(?:token|api_?key|key|password|secret|client_secret|signature)=)"
    r"[^&\s#\"']+"
    r"|(?<![\w-])eyJ[\w-]{10,}+\.[\w-]{10,}+\.[\w-]{10,}"
    # A token may stand in an address within an address, behind %3D.
    r"|(?:\b|(?<=%[0-9A-F]{2}))(?:gh[pousr]_|github_pat_|glpat-|sk_live_|rk_live_|js[kirl]_|sk-|xox[abposr]-)[\w-]{16,}"
    r"|(?:\b|(?<=%[0-9A-F]{2}))AKIA[0-9A-Z]{16}\b"
)
_FLAGS = re.IGNORECASE | re.DOTALL
_ANYWHERE = re.compile(rf"{_BEFORE_KEY}|{_OTHERS}|{_KEY_HEAD}.*?(?:{_KEY_END}|\Z)", _FLAGS)
_AT_A_PLACE = re.compile(rf"{_BEFORE_KEY}|{_OTHERS}", _FLAGS)
_KEY_HEAD_AT_A_PLACE = re.compile(_KEY_HEAD, _FLAGS)
_KEY_END_AT_A_PLACE = re.compile(_KEY_END, _FLAGS)

_KEY_HEAD_BEGINS, _KEY_END_BEGINS = "-----begin ", "-----end "
_BEGINNINGS = {
    "": ("bearer", "basic", "eyj", "akia"),
    ":": ("://",),
    "-": (_KEY_HEAD_BEGINS, "glpat-", "sk-", "xoxa-", "xoxb-", "xoxp-", "xoxo-", "xoxs-", "xoxr-"),
    "_": (
        *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "sk_live_", "rk_live_"),
        *("jsk_", "jsi_", "jsr_", "jsl_"),
    ),
}
"""What each form begins with, in small letters, by a sign in it that is found fast, or is not there at all; only the
names in queries end with what is looked for."""
_NAME_ENDS = ("token=", "key=", "password=", "secret=", "signature=")
_LONGEST_NAME = len("&access_client_")


def redacted_text(text: str) -> str:
    """``text`` with everything in it that has the form of a secret replaced; the words around it stay."""
    if len(text) <= SMALL_CHARACTERS:
        return _ANYWHERE.sub(_replacement, text) if len(text) >= SHORTEST else text
    # This letter alone becomes two when it is made small.
    small = text.replace("\u0130", "i").lower()
    pieces: list[str] = []
    shown = 0
    for start in _places(small):
        if start < shown:
            continue
        if small.startswith(_KEY_HEAD_BEGINS, start):
            end = _end_of_key(text, small, start)
            if end is None:
                continue
            replacement = HIDDEN
        else:
            found = _AT_A_PLACE.match(text, start)
            if found is None:
                continue
            end, replacement = found.end(), _replacement(found)
        pieces += (text[shown:start], replacement)
        shown = end
    return "".join((*pieces, text[shown:])) if pieces else text


def _places(small: str) -> Iterator[int]:
    """Where a form may begin, in order. Each look for the next one is short, so that threads take turns."""
    return heapq.merge(
        *(
            _occurrences(small, beginning)
            for sign, beginnings in _BEGINNINGS.items()
            if sign in small
            for beginning in beginnings
        ),
        *(_queries(small, end) for end in _NAME_ENDS if "=" in small),
    )


def _occurrences(small: str, beginning: str) -> Iterator[int]:
    place = small.find(beginning)
    while place >= 0:
        yield place
        place = small.find(beginning, place + 1)


def _queries(small: str, name_end: str) -> Iterator[int]:
    for place in _occurrences(small, name_end):
        first = max(0, place - _LONGEST_NAME)
        start = max(small.rfind("?", first, place), small.rfind("&", first, place))
        if start >= 0:
            yield start


def _end_of_key(text: str, small: str, start: int) -> int | None:
    """Where the private key ends whose head may begin at ``start``; ``None`` where it is no head."""
    head = _KEY_HEAD_AT_A_PLACE.match(text, start)
    if head is None:
        return None
    place = small.find(_KEY_END_BEGINS, head.end())
    while place >= 0:
        end = _KEY_END_AT_A_PLACE.match(text, place)
        if end is not None:
            return end.end()
        place = small.find(_KEY_END_BEGINS, place + 1)
    return len(text)


def _replacement(found: re.Match[str]) -> str:
    kept = found["scheme"] or found["user"] or found["query"] or ""
    return f"{kept}{HIDDEN}"
