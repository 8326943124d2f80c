"""Hashes of random secrets: they need no slow hash, and only the hash is stored."""

from __future__ import annotations

import hashlib
import hmac


def hashed(secret: str) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_hash_of(kept: str, secret: str) -> bool:
    """Whether the hash is the secret's; compared in constant time."""
    return hmac.compare_digest(kept, hashed(secret))
