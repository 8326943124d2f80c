"""Who sent a webhook, by its signature: each provider signs in a way of its own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from engine.nodes.webhook import Signature
from workflow.errors import WebhookSignatureError

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_SECONDS = re.compile(r"[0-9]{1,12}")
_STANDARD_SECRET = "whsec_"  # the sign of such secrets, not one  # noqa: S105  # nosec B105


def check_signature(
    signature: Signature, secret: str, *, headers: Mapping[str, str], body: bytes, now_seconds: float
) -> None:
    """Let a request pass whose signature is right. Header names are lower case; ``body`` is as it was signed.

    Raises:
        WebhookSignatureError: it is missing, wrong, or too old.
    """
    match signature.scheme:
        case "token":
            header = _header(signature, "X-Gitlab-Token")
            if not hmac.compare_digest(headers.get(header.lower(), "").encode(), secret.encode()):
                raise WebhookSignatureError(
                    f"The header {header} does not hold the token.",
                    fix="Set the sender's token to the secret that the server knows by this name.",
                )
        case "github":
            _check_plain(signature, "X-Hub-Signature-256", "sha256", secret, headers, body)
        case "shopify":
            _check_plain(signature, "X-Shopify-Hmac-Sha256", "sha256", secret, headers, body)
        case "hmac":
            _check_plain(signature, "X-Hub-Signature-256", signature.algorithm, secret, headers, body)
        case "slack":
            _check_slack(signature, secret, headers, body, now_seconds)
        case "stripe":
            _check_stripe(signature, secret, headers, body, now_seconds)
        case "standard_webhooks":
            _check_standard(signature, secret, headers, body, now_seconds)


def _check_plain(
    signature: Signature, usual: str, algorithm: str, secret: str, headers: Mapping[str, str], body: bytes
) -> None:
    """The body's HMAC, with or without the algorithm's name before it, in hex or base64."""
    header = _header(signature, usual)
    given = headers.get(header.lower(), "").strip()
    name, sign, rest = given.partition("=")
    if sign and name.lower() == algorithm:
        given = rest
    digest = hmac.new(secret.encode(), body, getattr(hashlib, algorithm)).digest()
    if not hmac.compare_digest(_digest(given, len(digest)), digest):
        raise WebhookSignatureError(
            f"The header {header} does not hold the HMAC-{algorithm} of the body.",
            fix="Sign the raw body with the secret that the server knows by this name.",
        )


def _check_slack(
    signature: Signature, secret: str, headers: Mapping[str, str], body: bytes, now_seconds: float
) -> None:
    """``v0=`` and the HMAC of ``v0:time:body`` (Slack, "Verifying requests from Slack"; Zoom signs alike)."""
    header = _header(signature, "X-Slack-Signature")
    time_header = signature.timestamp_header or "X-Slack-Request-Timestamp"
    sent_at = _moment(headers.get(time_header.lower(), ""), time_header)
    given = headers.get(header.lower(), "").strip()
    digest = _sha256(secret.encode(), b"v0:" + sent_at.encode() + b":" + body)
    _compare(header, [given.removeprefix("v0=")] if given.startswith("v0=") else [], digest, "v0:time:body")
    _check_age(signature, sent_at, now_seconds)


def _check_stripe(
    signature: Signature, secret: str, headers: Mapping[str, str], body: bytes, now_seconds: float
) -> None:
    """``t=time,v1=…``, each ``v1`` an HMAC of ``time.body`` with one of the secrets in use (Stripe, "Webhooks")."""
    header = _header(signature, "Stripe-Signature")
    parts = [part.strip().partition("=") for part in headers.get(header.lower(), "").split(",")[:20]]
    sent_at = _moment(next((value for name, _, value in parts if name == "t"), ""), header)
    digest = _sha256(secret.encode(), sent_at.encode() + b"." + body)
    _compare(header, [value for name, _, value in parts if name == "v1"], digest, "time.body")
    _check_age(signature, sent_at, now_seconds)


def _check_standard(
    signature: Signature, secret: str, headers: Mapping[str, str], body: bytes, now_seconds: float
) -> None:
    """``v1,`` and the HMAC of ``id.time.body`` in base64, several with blanks between (Standard Webhooks; Svix too)."""
    prefix = "webhook" if "webhook-signature" in headers or signature.header else "svix"
    header = _header(signature, f"{prefix}-signature")
    sent_at = _moment(headers.get(f"{prefix}-timestamp", ""), f"{prefix}-timestamp")
    identifier = headers.get(f"{prefix}-id", "")
    if secret.startswith(_STANDARD_SECRET):
        try:
            key = base64.b64decode(secret.removeprefix(_STANDARD_SECRET), validate=True)
        except binascii.Error:
            raise WebhookSignatureError(
                f"The secret begins with {_STANDARD_SECRET} and goes on with what is no base64.",
                fix="Store the secret as the sender shows it.",
            ) from None
    else:
        key = secret.encode()
    digest = _sha256(key, b".".join([identifier.encode(), sent_at.encode(), body]))
    given = [part.partition(",") for part in headers.get(header.lower(), "").split()[:20]]
    _compare(header, [value for version, _, value in given if version == "v1"], digest, "id.time.body")
    _check_age(signature, sent_at, now_seconds)


def _header(signature: Signature, usual: str) -> str:
    return signature.header or usual


def _sha256(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _moment(text: str, where: str) -> str:
    """The text of a time in seconds since 1970, which is part of what was signed."""
    if not _SECONDS.fullmatch(text.strip()):
        raise WebhookSignatureError(
            f"{where} does not say when the request was signed.",
            fix="Send it as the scheme's documentation says, in seconds since 1970.",
        )
    return text.strip()


def _compare(header: str, given: Sequence[str], digest: bytes, signed: str) -> None:
    # Each is compared, so that the time it takes says nothing of which one was right.
    if not sum(hmac.compare_digest(_digest(each, len(digest)), digest) for each in given):
        raise WebhookSignatureError(
            f"The header {header} does not hold the HMAC-sha256 of {signed}.",
            fix="Sign with the secret that the server knows by this name.",
        )


def _check_age(signature: Signature, sent_at: str, now_seconds: float) -> None:
    """Refuse what was signed long ago, which somebody may send again, or in the future."""
    if abs(now_seconds - int(sent_at)) > signature.tolerance_seconds:
        raise WebhookSignatureError(
            f"The request was signed more than {signature.tolerance_seconds} s before or after now.",
            fix="Send it again with a new signature; check the clocks, or raise tolerance_seconds.",
        )


def _digest(text: str, size: int) -> bytes:
    """A digest of ``size`` bytes out of hex or base64 of either alphabet; nothing where it is neither."""
    text = text.strip()
    if len(text) == 2 * size and _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        return base64.b64decode(text.translate(_STANDARD_ALPHABET) + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


_STANDARD_ALPHABET = str.maketrans("-_", "+/")
