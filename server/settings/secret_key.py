"""The key that links are signed with: set, or made once and kept in the data folder."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets

from server.settings.settings import BadSettingsError, Settings

FILE_NAME = "secret.key"
KEY_BYTES = 32


def derived_key(secret: bytes, purpose: str) -> bytes:
    """A separate key of 32 bytes for each purpose, so that a signature for one is not valid for another."""
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()


def load_secret_key(settings: Settings) -> bytes:
    """The key.

    Raises:
        BadSettingsError: it cannot be read or made.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.data_dir / FILE_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    except OSError as error:
        raise BadSettingsError(
            f"The key file {path} cannot be made: {error.strerror}.", fix="Set JOBSPRINT_SECRET_KEY."
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(KEY_BYTES)
        file.write(key)
    return key
