"""Users whom another service vouches for: found, or made where registration lets them have an account."""

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
    """Turns what a service says of somebody into one of our users."""

    def __init__(self, *, accounts: Accounts, first_run: FirstRun) -> None:
        self._accounts = accounts
        self._first_run = first_run
        self._locks: WeakValueDictionary[OutsideIdentity, asyncio.Lock] = WeakValueDictionary()

    async def user(self, signed_in: SignIn, *, may_register: bool, invitation: str | None = None, client: str) -> User:
        """The user; see :meth:`.Accounts.sign_in_as` for who gets an account and what it raises."""
        identity = OutsideIdentity(issuer=signed_in.issuer, subject=signed_in.subject)
        # An agent that comes for the first time sends several requests at once: they are one new user.
        lock = self._locks.setdefault(identity, asyncio.Lock())
        async with lock:
            user = await self._accounts.sign_in_as(
                with_address(signed_in), invitation=invitation, may_register=may_register, client=client
            )
        self._first_run.end()
        return user


def with_address(signed_in: SignIn) -> SignIn:
    """The same with an address: accounts have one, and not every service tells it.

    The one made up for that is nobody's: ``.invalid`` never exists (RFC 2606), and nobody can guess it beforehand.
    """
    if signed_in.email is not None:
        return signed_in
    host = urlsplit(signed_in.issuer).hostname or "issuer"
    return replace(signed_in, email=f"{secrets.token_hex(8)}@{host}.invalid", is_email_verified=False)
