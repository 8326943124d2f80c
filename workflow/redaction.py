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

HIDDEN = "[hidden]"
"""Stands where a secret was. Sent back in a definition, it means the value that it hides (see :func:`restored`)."""

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

_IN_TEXT = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)(?=[^\s\"',;]*\d)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<user>://[^/\s:@\"']*:)[^/\s@\"']+(?=@)"
    r"|(?P<query>[?&](?:access_|auth_|api_|id_)?(?:token|api_?key|key|password|secret|client_secret|signature)=)"
    r"[^&\s#\"']+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<![\w-])eyJ[\w-]{10,}+\.[\w-]{10,}+\.[\w-]{10,}"
    # A token may stand in an address within an address, behind %3D.
    r"|(?:\b|(?<=%[0-9A-F]{2}))(?:gh[pousr]_|github_pat_|glpat-|sk_live_|rk_live_|js[kirl]_|sk-|xox[abposr]-)[\w-]{16,}"
    r"|(?:\b|(?<=%[0-9A-F]{2}))AKIA[0-9A-Z]{16}\b",
    re.IGNORECASE | re.DOTALL,
)

_HINTS = (
    b"@",
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
    b"ghp_",
    b"gho_",
    b"ghu_",
    b"ghs_",
    b"ghr_",
    b"github_pat",
    b"glpat",
    b"sk-",
    b"k_live",
    b"jsk_",
    b"jsi_",
    b"jsr_",
    b"jsl_",
    b"xox",
    b"akia",
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SHORTEST_RANDOM = 20
"""Characters of a path's part with letters and digits, from which on it is taken for a secret."""
_SHORTEST = 12
"""Nothing shorter has the form of a secret."""


class ShownLink(str):
    """A resume link that is given to the caller on purpose: it is not hidden from them."""

    __slots__ = ()


def may_hold_secrets(text: bytes) -> bool:
    """Whether looking closer is worth the while; most results hold nothing that even sounds like a secret."""
    lowered = text.lower()
    return any(hint in lowered for hint in _HINTS)


def redacted(value: Any) -> Any:
    """``value`` with every secret in it replaced; the same object where there is none."""
    return _redacted(value, "")


def redacted_text(text: str) -> str:
    """``text`` with everything in it that has the form of a secret replaced; the words around it stay."""
    return _IN_TEXT.sub(_replacement, text) if len(text) >= _SHORTEST else text


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


def _replacement(found: re.Match[str]) -> str:
    kept = found["scheme"] or found["user"] or found["query"] or ""
    return f"{kept}{HIDDEN}"


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
