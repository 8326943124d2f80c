"""Secrets hidden in what is shown: results, logs, errors and exports. What nodes compute with is left alone.

A value is taken for a secret by the name it stands under (``authorization``, ``password``, ``x-api-key`` …) or by
its own form (a bearer token, a password in an address, the token formats of well-known services). This hides what
is likely to be one; it does not prove that nothing else is. Tokens of resume links are always hidden, under any name:
who may have such a link gets it as a :class:`ShownLink`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from workflow.secret_forms import HIDDEN, redacted_text

__all__ = [
    "HIDDEN",
    "ShownLink",
    "holds_secret",
    "may_hold_secrets",
    "redacted",
    "redacted_address",
    "redacted_text",
    "restored",
]

_SECRET_NAMES = frozenset(
    {
        "authorization",
        "proxyauthorization",
        "cookie",
        "setcookie",
        "xapikey",
        "apikey",
        "apitoken",
        "xauthtoken",
        "authtoken",
        "accesstoken",
        "refreshtoken",
        "idtoken",
        "sessiontoken",
        "token",
        "bearer",
        "password",
        "passwd",
        "passphrase",
        "secret",
        "clientsecret",
        "secretkey",
        "secretaccesskey",
        "privatekey",
        "credentials",
    }
)
RESUME_TOKEN = "jsl_"  # noqa: S105
"""How the token of a resume link begins."""
_NO_PAIRS = frozenset({"connections"})
"""Where two texts in a list are not a name and its value."""

_HINTS = (
    b"authorization",
    b"cookie",
    b"key",
    b"token",
    b"secret",
    b"passw",
    b"passphrase",
    b"credentials",
    b"bearer",
    b"basic ",
    b"signature",
    b"eyj",
    b"akia",
)
_HINTS_WITH_SIGNS = {
    b"@": (b"@",),
    b"-": (b"glpat-", b"sk-", b"xox"),
    b"_": (
        *(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        *(b"k_live", b"jsk_", b"jsi_", b"jsr_", b"jsl_"),
    ),
}
"""Others, by a sign in them that is found fast, or is not there at all."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SHORTEST_RANDOM = 20
"""Characters of a path's part with letters and digits, from which on it is taken for a secret."""


class ShownLink(str):
    """A resume link that is given to the caller on purpose: it is not hidden from them."""

    __slots__ = ()


def may_hold_secrets(text: bytes) -> bool:
    """Whether looking closer is worth the while; most results hold nothing that even sounds like a secret."""
    lowered = text.lower()
    if any(hint in lowered for hint in _HINTS):
        return True
    return any(sign in lowered and any(hint in lowered for hint in hints) for sign, hints in _HINTS_WITH_SIGNS.items())


def redacted(value: Any) -> Any:
    """``value`` with every secret in it replaced; the same object where there is none."""
    return _redacted(value, "")


def redacted_address(url: str) -> str:
    """An address without user, query and fragment; parts of its path that look drawn at random are hidden.

    Some services have the secret of a webhook or bot in the path. Ids that are UUIDs or numbers stay.
    """
    address = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, slashes, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    shown = "/".join(HIDDEN if _is_random(part) else part for part in path.split("/"))
    return redacted_text(f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{shown}")


def holds_secret(name: str, text: str, *, parent: str = "") -> bool:
    """Whether ``text``, standing under ``name`` in an object under ``parent``, would be hidden, even in part."""
    return _redacted_text(text, name, parent) != text


def restored(value: Any, original: Any) -> Any:
    """``value`` with the secrets of ``original`` back in their places.

    A definition that was shown and is sent back has :data:`HIDDEN` where secrets were; those places keep what they
    held. All other places of ``value`` stay as they are.
    """
    return _restored(value, original, redacted(original))


def _is_random(part: str) -> bool:
    has_both = any(map(str.isdigit, part)) and any(map(str.isalpha, part))
    return len(part) >= _SHORTEST_RANDOM and has_both and _UUID.fullmatch(part) is None


def _redacted(value: Any, name: str, parent: str = "") -> Any:
    if isinstance(value, str):
        return _redacted_text(value, name, parent)
    if isinstance(value, dict):
        spoken_of = _spoken_of(value)
        members = {
            key: _redacted(member, spoken_of if key == "value" and spoken_of else str(key), name)
            for key, member in value.items()
        }
        return members if any(members[key] is not value[key] for key in members) else value
    if isinstance(value, list):
        is_pair = len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str) and name not in _NO_PAIRS
        listed = [
            _redacted(member, value[0] if is_pair and place else name, parent) for place, member in enumerate(value)
        ]
        return listed if any(new is not old for new, old in zip(listed, value, strict=True)) else value
    return value


def _spoken_of(members: dict[str, Any]) -> str | None:
    """The name in ``{"name": …, "value": …}``, as some APIs write headers and fields."""
    return next((str(members[key]) for key in ("name", "key") if isinstance(members.get(key), str)), None)


def _redacted_text(text: str, name: str, parent: str = "") -> str:
    if isinstance(text, ShownLink):
        return text
    # A template computes its value; only what is written out in it can be a secret.
    if text and not text.startswith("=") and _is_secret_name(name, parent):
        return HIDDEN
    return redacted_text(text)


@lru_cache(4_096)
def _is_secret_name(name: str, parent: str) -> bool:
    plain = name.lower().replace("-", "").replace("_", "")
    # In a webhook's signature, secret is the name under which the server keeps one.
    return plain in _SECRET_NAMES and not (name == "secret" and parent == "signature")


def _restored(value: Any, original: Any, shown: Any) -> Any:
    if isinstance(value, str):
        return original if HIDDEN in value and value == shown else value
    if isinstance(value, dict) and isinstance(original, dict):
        return {
            key: _restored(member, original[key], shown[key]) if key in original else member
            for key, member in value.items()
        }
    if isinstance(value, list) and isinstance(original, list):
        return [
            _restored(member, original[index], shown[index]) if index < len(original) else member
            for index, member in enumerate(value)
        ]
    return value
