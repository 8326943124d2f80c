"""The vault: what is kept is encrypted, bound to its row, and can be re-encrypted at any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.clock import SystemClock
from storage.database.database import Database
from storage.ids import UuidFactory
from storage.secrets import vault as vault_module
from storage.secrets.keys import VaultKeys, key_id
from storage.secrets.vault import SqlVault
from storage.tables.accounts import credentials
from workflow.credential_forms import CredentialForm, form_of
from workflow.credentials import (
    CredentialNameTakenError,
    CredentialNotFoundError,
    CredentialNotUsableError,
    CredentialRef,
    TooManyCredentialsError,
)

SECRET = "planted-7f3a9c"
OLD, NEW, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))
MINE, THEIRS = (CredentialRef(owner=owner, name="crm") for owner in ("mine", "theirs"))


def vault(database: Database, *keys: bytes, load: Callable[[], Sequence[bytes]] | None = None) -> SqlVault:
    """A vault with these keys."""
    clock = SystemClock()
    made = VaultKeys(load or (lambda: keys or (OLD,)))
    return SqlVault(database, keys=made, clock=clock, new_id=UuidFactory(clock=clock))


def bearer(token: str = SECRET, *hosts: str) -> CredentialForm:
    """A bearer token."""
    return form_of("bearer", {"allowed_hosts": hosts or ["api.example.com"]}, {"token": token})


async def rows(database: Database) -> list[Any]:
    """Every row as it is stored."""
    async with database.transaction() as connection:
        return list(await connection.execute(select(credentials).order_by(credentials.c.owner, credentials.c.name)))


async def change(database: Database, ref: CredentialRef, **values: Any) -> None:
    """What somebody with write access to the database could do."""
    async with database.transaction() as connection:
        where = (credentials.c.owner == ref.owner, credentials.c.name == ref.name)
        await connection.execute(update(credentials).where(*where).values(values))


async def test_what_is_kept_comes_back_and_the_row_shows_none_of_it(database: Database) -> None:
    kept = await vault(database).create(MINE, bearer(), created_by="ada")
    assert (kept.kind, kept.created_by, kept.details) == ("bearer", "ada", {"allowed_hosts": ["api.example.com"]})
    opened = await vault(database).open(MINE)
    assert opened.form.secrets() == {"token": SECRET}
    assert SECRET not in repr(opened)
    (row,) = await rows(database)
    assert SECRET.encode() not in row.sealed
    assert row.key_id == key_id(OLD)


async def test_the_same_secret_looks_different_each_time(database: Database) -> None:
    await vault(database).create(MINE, bearer(), created_by="ada")
    await vault(database).create(THEIRS, bearer(), created_by="ada")
    first, second = await rows(database)
    assert first.sealed != second.sealed


async def test_names_are_a_workspaces_own(database: Database) -> None:
    store = vault(database)
    await store.create(MINE, bearer("token-of-mine"), created_by="ada")
    with pytest.raises(CredentialNameTakenError):
        await store.create(MINE, bearer(), created_by="ada")
    with pytest.raises(CredentialNotFoundError):
        await store.open(THEIRS)
    with pytest.raises(CredentialNotFoundError):
        await store.replace(THEIRS, bearer())
    with pytest.raises(CredentialNotFoundError):
        await store.rename(THEIRS, "other")
    with pytest.raises(CredentialNotFoundError):
        await store.delete(THEIRS)
    await store.create(THEIRS, bearer("token-of-theirs"), created_by="eve")
    assert (await store.open(MINE)).form.secrets() == {"token": "token-of-mine"}
    assert [each.owner for each in await store.of_workspace("mine")] == ["mine"]


async def test_a_missing_one_says_what_was_meant(database: Database) -> None:
    await vault(database).create(MINE, bearer(), created_by="ada")
    with pytest.raises(CredentialNotFoundError, match="Did you mean 'crm'"):
        await vault(database).get(CredentialRef(owner="mine", name="crn"))


async def test_rename_replace_and_delete(database: Database) -> None:
    store = vault(database)
    await store.create(MINE, bearer(), created_by="ada")
    other = CredentialRef(owner="mine", name="other")
    await store.create(other, bearer("token-of-other"), created_by="ada")
    with pytest.raises(CredentialNameTakenError):
        await store.rename(MINE, "other")
    renamed = await store.rename(MINE, "sales")
    assert (await store.open(renamed.ref)).form.secrets() == {"token": SECRET}
    before = (await store.open(renamed.ref)).revision
    replaced = await store.replace(renamed.ref, form_of("database", {}, {"url": "redis://:pass-word@host/0"}))
    assert (replaced.kind, replaced.details) == ("database", {"database": "redis://host/0"})
    assert (await store.open(renamed.ref)).revision != before
    await store.delete(renamed.ref)
    with pytest.raises(CredentialNotFoundError):
        await store.get(renamed.ref)


async def test_a_workspace_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "MOST_CREDENTIALS", 1)
    await vault(database).create(MINE, bearer(), created_by="ada")
    with pytest.raises(TooManyCredentialsError):
        await vault(database).create(CredentialRef(owner="mine", name="two"), bearer(), created_by="ada")


async def test_another_key_decrypts_nothing_and_says_so(database: Database) -> None:
    await vault(database, OLD).create(MINE, bearer(), created_by="ada")
    stranger = vault(database, NEW)
    with pytest.raises(CredentialNotUsableError, match=f"does not have the key {key_id(OLD)}"):
        await stranger.open(MINE)
    assert [each.name for each in await stranger.of_workspace("mine")] == ["crm"]
    await stranger.create(CredentialRef(owner="mine", name="new"), bearer(), created_by="ada")
    # A key that only claims to be the one is found out, too.
    await change(database, MINE, key_id=key_id(NEW))
    with pytest.raises(CredentialNotUsableError, match="not what was encrypted"):
        await stranger.open(MINE)


async def test_a_second_key_decrypts_what_it_encrypted(database: Database) -> None:
    await vault(database, OLD).create(MINE, bearer(), created_by="ada")
    assert (await vault(database, NEW, OLD).open(MINE)).form.secrets() == {"token": SECRET}


async def test_a_key_made_meanwhile_is_found(database: Database) -> None:
    known = [OLD]
    running = vault(database, load=lambda: list(known))
    await vault(database, NEW).create(MINE, bearer(), created_by="ada")
    known.insert(0, NEW)
    assert (await running.open(MINE)).form.secrets() == {"token": SECRET}


@pytest.mark.parametrize("swapped", ["sealed", "owner", "kind", "details"])
async def test_nothing_of_a_row_can_be_swapped_for_another_rows(database: Database, swapped: str) -> None:
    store = vault(database)
    await store.create(MINE, bearer("token-of-mine"), created_by="ada")
    eve = CredentialRef(owner="theirs", name="eves")
    await store.create(eve, bearer("token-of-eve", "evil.example.net"), created_by="eve")
    mine, _ = await rows(database)
    if swapped == "sealed":
        await change(database, eve, sealed=mine.sealed, details=mine.details)
        await is_found_out(store, eve)
    elif swapped == "owner":
        # Mine, moved into Eve's workspace as it is.
        await change(database, MINE, owner="theirs")
        await is_found_out(store, THEIRS)
    elif swapped == "kind":
        await change(database, MINE, kind="header")
        await is_found_out(store, MINE)
    else:
        # Eve's host in my row would have the secret sent to her.
        await change(database, MINE, details={"allowed_hosts": ["evil.example.net"]})
        await is_found_out(store, MINE)


async def is_found_out(store: SqlVault, ref: CredentialRef) -> None:
    """The row is found out."""
    with pytest.raises(CredentialNotUsableError, match="not what was encrypted") as caught:
        await store.open(ref)
    assert caught.value.fix is not None


@pytest.mark.parametrize("place", [0, 11, 12, 20, -1])
async def test_a_changed_byte_is_found_out_wherever_it_is(database: Database, place: int) -> None:
    store = vault(database)
    await store.create(MINE, bearer(), created_by="ada")
    (row,) = await rows(database)
    changed = bytearray(row.sealed)
    changed[place] ^= 1
    await change(database, MINE, sealed=bytes(changed))
    await is_found_out(store, MINE)
    await change(database, MINE, sealed=bytes(changed[:5]))
    await is_found_out(store, MINE)


async def fill(database: Database, count: int) -> list[CredentialRef]:
    """So many credentials under the old key."""
    store = vault(database, OLD)
    refs = [CredentialRef(owner="mine", name=f"c{number}") for number in range(count)]
    for ref in refs:
        await store.create(ref, bearer(f"token-{ref.name}"), created_by="ada")
    return refs


async def test_rotation_leaves_nothing_under_the_old_key(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "BATCH", 2)
    refs = await fill(database, 5)
    rotating = vault(database, NEW, OLD)
    rotation = await rotating.rotate()
    assert (rotation.done, rotation.failed) == (5, [])
    assert await rotating.count_by_key() == {key_id(NEW): 5}
    only_new = vault(database, NEW)
    for ref in refs:
        assert (await only_new.open(ref)).form.secrets() == {"token": f"token-{ref.name}"}
    assert (await rotating.rotate()).done == 0


@pytest.mark.parametrize("step", range(6))
async def test_rotation_killed_at_any_step_goes_on_where_it_stopped(
    database: Database, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """It dies at its ``step``-th row; what its transaction had done by then is gone with it."""
    monkeypatch.setattr(vault_module, "BATCH", 2)
    refs = await fill(database, 5)
    dying, left = vault(database, NEW, OLD), [step]
    reseal = dying._reseal

    async def reseal_until_killed(connection: AsyncConnection, *rest: Any) -> None:
        await reseal(connection, *rest)
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1

    monkeypatch.setattr(dying, "_reseal", reseal_until_killed, raising=True)
    if step < 5:
        with pytest.raises(KeyboardInterrupt):
            await dying.rotate()
    else:
        await dying.rotate()
    again = vault(database, NEW, OLD)
    counts = await again.count_by_key()
    assert counts.get(key_id(NEW), 0) == (5 if step == 5 else step // 2 * 2)
    for ref in refs:
        assert (await again.open(ref)).form.secrets() == {"token": f"token-{ref.name}"}
    await again.rotate()
    assert await again.count_by_key() == {key_id(NEW): 5}


async def test_rotation_names_what_it_cannot_decrypt_and_does_the_rest(database: Database) -> None:
    await fill(database, 2)
    lost = CredentialRef(owner="mine", name="lost")
    await vault(database, THIRD).create(lost, bearer(), created_by="ada")
    rotation = await vault(database, NEW, OLD).rotate()
    assert (rotation.done, rotation.failed) == (2, [lost])


async def test_rotation_does_not_undo_what_somebody_changes_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ref,) = await fill(database, 1)
    rotating = vault(database, NEW, OLD)
    (stale,) = await rows(database)
    await vault(database, OLD).replace(ref, bearer("changed-meanwhile"))
    rotation = vault_module.Rotation()
    async with database.transaction() as connection:
        await rotating._reseal(connection, stale, rotation)
    assert rotation.done == 0
    assert (await rotating.open(ref)).form.secrets() == {"token": "changed-meanwhile"}


async def test_put_back_yields_to_a_newer_secret(database: Database) -> None:
    store = vault(database)
    await store.create(MINE, bearer("first-token"), created_by="ada")
    opened = await store.open(MINE)
    await store.put_back(opened, bearer("second-token"))
    assert (await store.open(MINE)).form.secrets() == {"token": "second-token"}
    assert (await store.open(MINE)).revision == opened.revision
    await store.replace(MINE, bearer("third-token"))
    await store.put_back(opened, bearer("fourth-token"))
    assert (await store.open(MINE)).form.secrets() == {"token": "third-token"}


async def test_times_are_those_of_the_clock(database: Database) -> None:
    before = datetime.now(UTC)
    kept = await vault(database).create(MINE, bearer(), created_by="ada")
    assert before <= kept.created_at == kept.updated_at <= datetime.now(UTC)
