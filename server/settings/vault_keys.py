"""Where the settings put the vault's keys, and the lock of the data folder."""

from __future__ import annotations

from server.settings.settings import Settings
from storage.secrets.key_sources import OWN_FILE, VaultKeySources

LOCK_FILE = "jobsprint.lock"


def key_sources(settings: Settings) -> VaultKeySources:
    """The source of the keys, as the settings name it."""
    service, _, user = (settings.vault_keyring or "").partition("/")
    return VaultKeySources(
        text=settings.vault_keys.get_secret_value() if settings.vault_keys is not None else None,
        file=settings.vault_key_file,
        keyring=(service, user) if service else None,
        own_file=settings.data_dir / OWN_FILE,
    )
