"""The vault's keys, wherever they come from."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from storage.secrets.key_sources import OWN_FILE, VaultKeySources
from storage.secrets.keys import VaultKeys, key_id, keys_in, new_key
from workflow.credentials import VaultKeyError


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring of this test's own; locked, it refuses."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("locked")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def ring() -> Iterator[MemoryKeyring]:
    """The keyring in place of the system's."""
    before, ring = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_without_settings_a_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        sources = VaultKeySources(own_file=tmp_path / OWN_FILE)
        (made,) = sources.load()
    finally:
        os.umask(before)
    assert list(sources.load()) == [made]
    assert mode(tmp_path / OWN_FILE) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [OWN_FILE]


def test_what_is_set_comes_first_and_our_own_file_stays_known(tmp_path: Path) -> None:
    own = VaultKeySources(own_file=tmp_path / OWN_FILE)
    (made,) = own.load()
    first, second, third = new_key(), new_key(), new_key()
    file = tmp_path / "keys"
    file.write_text(f"{third}\n")
    file.chmod(0o600)
    sources = VaultKeySources(text=f"{first},{second}", file=file, own_file=tmp_path / OWN_FILE)
    assert list(sources.load()) == [*keys_in(f"{first} {second} {third}", source="here"), made]
    assert first not in repr(sources)


def test_with_a_setting_no_file_is_made(tmp_path: Path) -> None:
    VaultKeySources(text=new_key(), own_file=tmp_path / OWN_FILE).load()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["short", "", "AAAA" * 20, "ü" * 44, f"{'A' * 43}!"])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(VaultKeyError) as caught:
        VaultKeySources(text=text, own_file=tmp_path / OWN_FILE).load()
    assert not text or text not in f"{caught.value.message}{caught.value.fix}"


def test_a_file_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(VaultKeyError, match="nowhere"):
        VaultKeySources(file=tmp_path / "nowhere", own_file=tmp_path / OWN_FILE).load()
    own = tmp_path / OWN_FILE
    own.write_text("")
    own.chmod(0o600)
    with pytest.raises(VaultKeyError, match=OWN_FILE):
        VaultKeySources(own_file=own).load()
    own.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VaultKeyError, match="not text"):
        VaultKeySources(own_file=own).load()


def test_a_file_that_others_can_read_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys"
    key = new_key()
    file.write_text(key)
    file.chmod(0o644)
    VaultKeySources(file=file, own_file=tmp_path / OWN_FILE).load()
    assert "chmod 600" in caplog.text
    assert key not in caplog.text


def test_a_new_key_goes_in_front_of_those_in_the_file(tmp_path: Path) -> None:
    sources = VaultKeySources(own_file=tmp_path / OWN_FILE)
    keys = VaultKeys(sources.load)
    old = keys.current_id
    sources.add_key()
    keys.reload()
    assert keys.current_id != old
    assert keys.ids[1:] == [old]
    assert mode(tmp_path / OWN_FILE) == 0o600


def test_a_new_key_cannot_be_put_into_the_environment(tmp_path: Path) -> None:
    with pytest.raises(VaultKeyError, match="cannot be changed from here"):
        VaultKeySources(text=new_key(), own_file=tmp_path / OWN_FILE).add_key()


def test_the_keyring_gets_a_key_once_and_further_ones_in_front(tmp_path: Path, ring: MemoryKeyring) -> None:
    sources = VaultKeySources(keyring=("jobsprint", "vault"), own_file=tmp_path / OWN_FILE)
    (made,) = sources.load()
    assert list(sources.load()) == [made]
    assert list(tmp_path.iterdir()) == []
    sources.add_key()
    first, second = sources.load()
    assert (second, first != made) == (made, True)


def test_a_locked_keyring_is_told_of(tmp_path: Path, ring: MemoryKeyring) -> None:
    ring.is_locked = True
    with pytest.raises(VaultKeyError, match="KeyringLocked"):
        VaultKeySources(keyring=("jobsprint", "vault"), own_file=tmp_path / OWN_FILE).load()


def test_a_keys_name_tells_nothing_of_it() -> None:
    (key,) = keys_in(new_key(), source="here")
    assert key_id(key) not in key.hex()
    assert len(key_id(key)) == 16
