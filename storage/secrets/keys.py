"""The keys that credentials are encrypted with, and the encryption: AES-256-GCM, a random nonce for each time.

Several keys may be known at once: the first encrypts, all decrypt. What is encrypted is bound to its context, so that
it decrypts nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from workflow.credentials import VaultKeyError

KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 5.2.1.1

Load = Callable[[], Sequence[bytes]]


class UnknownKeyError(Exception):
    """None of the keys has this id."""


class TamperedError(Exception):
    """What was to be decrypted is not what was encrypted there."""


class VaultKeys:
    """The keys that ``load`` gives, the first of which encrypts.

    Raises:
        VaultKeyError: ``load`` gives none.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._keys: dict[str, AESGCM] = {}
        self.reload()

    @property
    def current_id(self) -> str:
        """The id of the key that encrypts."""
        return next(iter(self._keys))

    @property
    def ids(self) -> Sequence[str]:
        """Every key's id, in order."""
        return list(self._keys)

    def reload(self) -> None:
        """Look again for what keys there are: another process may have made one.

        Raises:
            VaultKeyError: they cannot be read.
        """
        keys = self._load()
        if not keys:
            raise VaultKeyError("There is no key for the vault.", fix="Make one with: jobsprint vault new-key.")
        self._keys = {key_id(key): AESGCM(key) for key in keys}

    def seal(self, plain: bytes, context: bytes) -> tuple[str, bytes]:
        """The id of the key and what it made of ``plain``."""
        current, nonce = self.current_id, os.urandom(NONCE_BYTES)
        return current, nonce + self._keys[current].encrypt(nonce, plain, _bound(context, current))

    def open(self, key: str, sealed: bytes, context: bytes) -> bytes:
        """What :meth:`seal` was given with the same context.

        Raises:
            UnknownKeyError: the key is not known.
            TamperedError: it is something else than what was sealed, or the context is another.
        """
        cipher = self._keys.get(key)
        if cipher is None:
            raise UnknownKeyError(key)
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(context, key))
        except (InvalidTag, ValueError) as error:
            raise TamperedError from error


def key_id(key: bytes) -> str:
    """The name of a key, from which nothing of the key can be learnt."""
    return hashlib.sha256(b"jobsprint vault key " + key).hexdigest()[:16]


def new_key() -> str:
    """A key in the form in which it is kept: 32 random bytes in base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def keys_in(text: str, *, source: str) -> list[bytes]:
    """The keys in a text, with commas or white space between them.

    Raises:
        VaultKeyError: one is not of the right form. It is not repeated.
    """
    found = []
    for place, word in enumerate(text.replace(",", " ").split(), start=1):
        try:
            key = base64.b64decode(word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise VaultKeyError(
                f"Key {place} in {source} is not {KEY_BYTES} bytes in base64.",
                fix="Make keys with: jobsprint vault new-key.",
            )
        found.append(key)
    return found


def _bound(context: bytes, key: str) -> bytes:
    return key.encode() + b"\0" + context
