"""Hashes of secrets that are random: nothing slower is needed, and nothing else is kept of them."""

from __future__ import annotations

import hashlib
import hmac


def hashed(secret: str) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_hash_of(kept: str, secret: str) -> bool:
    """Whether the hash is the secret's; it takes as long for a wrong one."""
    return hmac.compare_digest(kept, hashed(secret))
