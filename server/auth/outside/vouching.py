"""Users whom an outside identity provider has authenticated: found, or made where registration allows it."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from server.auth.accounts.accounts import Accounts, SignIn
from server.auth.sessions.first_run import FirstRun
from storage.people.accounts import OutsideIdentity, User


class VouchedUsers:
    """Finds or makes the user for a person whom an identity provider has authenticated."""

    def __init__(self, *, accounts: Accounts, first_run: FirstRun) -> None:
        self._accounts = accounts
        self._first_run = first_run
        self._locks: WeakValueDictionary[OutsideIdentity, asyncio.Lock] = WeakValueDictionary()

    async def user(self, signed_in: SignIn, *, may_register: bool, invitation: str | None = None, client: str) -> User:
        """The user; see :meth:`.Accounts.sign_in_as` for who gets an account and what it raises."""
        identity = OutsideIdentity(issuer=signed_in.issuer, subject=signed_in.subject)
        # A new agent sends several requests at once: they must make one user, not several.
        lock = self._locks.setdefault(identity, asyncio.Lock())
        async with lock:
            user = await self._accounts.sign_in_as(
                with_address(signed_in), invitation=invitation, may_register=may_register, client=client
            )
        self._first_run.end()
        return user


def with_address(signed_in: SignIn) -> SignIn:
    """The same person with an e-mail address: accounts need one, and not every identity provider gives it.

    The made-up address belongs to nobody: ``.invalid`` never exists (RFC 2606), and it cannot be guessed.
    """
    if signed_in.email is not None:
        return signed_in
    host = urlsplit(signed_in.issuer).hostname or "issuer"
    return replace(signed_in, email=f"{secrets.token_hex(8)}@{host}.invalid", is_email_verified=False)
