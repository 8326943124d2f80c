"""Where the vault's keys come from: the environment, a file, the operating system's keyring, or a file of our own."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.secrets.keys import keys_in, new_key
from workflow.credentials import VaultKeyError

logger = logging.getLogger(__name__)

OWN_FILE = "vault.keys"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(slots=True, frozen=True, kw_only=True)
class VaultKeySources:
    """What was set, in the order in which it counts; ``repr`` shows no key.

    ``own_file`` is made where nothing else is set. Once it is there it counts last, so that what it encrypted can be
    decrypted until it has been re-encrypted. ``keyring`` is a service and a user, as the keyring names its entries.
    """

    text: str | None = None
    file: Path | None = None
    keyring: tuple[str, str] | None = None
    own_file: Path

    def __repr__(self) -> str:
        return f"VaultKeySources(file={self.file}, keyring={self.keyring}, own_file={self.own_file})"

    def load(self) -> Sequence[bytes]:
        """Every key, in order.

        Raises:
            VaultKeyError: a source that was set cannot be read, or holds none.
        """
        keys: list[bytes] = []
        if self.text is not None:
            keys += _some(keys_in(self.text, source="JOBSPRINT_VAULT_KEYS"), "JOBSPRINT_VAULT_KEYS")
        if self.file is not None:
            keys += _some(_keys_in_file(self.file), str(self.file))
        if self.keyring is not None:
            keys += self._keys_in_keyring(*self.keyring)
        if not keys and not self.own_file.exists():
            _write_new(self.own_file, f"{new_key()}\n")
        if self.own_file.exists():
            keys += _some(_keys_in_file(self.own_file), str(self.own_file))
        return keys

    def add_key(self) -> str:
        """Put a new key in front of those there are, and say where.

        Raises:
            VaultKeyError: it cannot be done from here.
        """
        if self.text is not None:
            raise VaultKeyError(
                "The keys come from JOBSPRINT_VAULT_KEYS, which cannot be changed from here.",
                fix="Make one with jobsprint vault new-key, set it in front of the others, and start the server again.",
            )
        if self.file is None and self.keyring is not None:
            keyring, (service, user) = _keyring(), self.keyring
            old = self._text_in_keyring(keyring, service, user) or ""
            keyring.set_password(service, user, f"{new_key()} {old}".strip())
            return f"the keyring ({service}/{user})"
        path = self.file or self.own_file
        self.load()
        try:
            _replace(path, f"{new_key()}\n{path.read_text()}")
        except OSError as error:
            raise _unreadable(path, error) from error
        return str(path)

    def _keys_in_keyring(self, service: str, user: str) -> list[bytes]:
        """The keys in the keyring's entry, which is made where there is none."""
        keyring, source = _keyring(), f"the keyring ({service}/{user})"
        text = self._text_in_keyring(keyring, service, user)
        if text is None:
            text = new_key()
            try:
                keyring.set_password(service, user, text)
            except keyring.errors.KeyringError as error:
                raise _no_keyring(f"does not take a key: {type(error).__name__}") from error
        return _some(keys_in(text, source=source), source)

    @staticmethod
    def _text_in_keyring(keyring: Any, service: str, user: str) -> str | None:
        try:
            found: str | None = keyring.get_password(service, user)
        except keyring.errors.KeyringError as error:
            raise _no_keyring(f"cannot be read: {type(error).__name__}") from error
        return found


def _keyring() -> Any:
    try:
        import keyring
        import keyring.errors
    except ImportError as error:
        raise VaultKeyError(
            "JOBSPRINT_VAULT_KEYRING is set, and the package keyring is not installed.",
            fix="Install jobsprint[keyring].",
        ) from error
    return keyring


def _no_keyring(why: str) -> VaultKeyError:
    return VaultKeyError(
        f"The operating system's keyring {why}.",
        fix="Unlock it, or set JOBSPRINT_VAULT_KEY_FILE in place of JOBSPRINT_VAULT_KEYRING.",
    )


def _some(keys: list[bytes], source: str) -> list[bytes]:
    if not keys:
        raise VaultKeyError(f"There is no key in {source}.", fix="Make one with: jobsprint vault new-key.")
    return keys


def _keys_in_file(path: Path) -> list[bytes]:
    try:
        if os.name == "posix" and path.stat().st_mode & OTHERS:
            logger.warning("others than its owner can read the vault's keys in %s; chmod 600 would end that", path)
        return keys_in(path.read_text(), source=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> VaultKeyError:
    why = (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is not text"
    return VaultKeyError(
        f"The file of the vault's keys, {path}, cannot be used: {why}.",
        fix="See that the server can read and write it, or set JOBSPRINT_VAULT_KEYS.",
    )


def _write_new(path: Path, text: str) -> None:
    """Make the file whole or not at all; leave it alone where another process was faster."""
    made = _written_beside(path, text)
    try:
        os.link(made, path)
    except FileExistsError:
        return
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        made.unlink()


def _replace(path: Path, text: str) -> None:
    _written_beside(path, text).replace(path)


def _written_beside(path: Path, text: str) -> Path:
    """A file of the text beside the path, on the disk, for its owner only."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _unreadable(path, error) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return beside
