"""Accounts: who may make one, and how they are changed and disabled."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from server.auth.accounts.passwords import Passwords
from server.auth.sessions.sessions import Sessions
from server.auth.sessions.tokens import token_hash
from storage.people.accounts import Entry, OutsideIdentity, SqlAccounts, User, UserNotFoundError
from workflow.audit import AuditLog
from workflow.errors import ErrorKind, InvalidArgumentsError, JobsprintError
from workflow.identity import LOCAL_ID, NO_SCOPES, Actor
from workflow.ports import Clock, NewId

Registration = Literal["open", "invitation", "closed"]

OPERATOR = "operator"
"""The name of the server's operator in the audit log."""

LONGEST_EMAIL = 254
"""RFC 5321 (4.5.3.1.3), without the angle brackets."""
LONGEST_NAME = 200
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")


class RegistrationClosedError(JobsprintError):
    """Nobody may make an account of their own here, or only with an invitation."""

    code = "registration_closed"
    kind = ErrorKind.FORBIDDEN

    def __init__(self, registration: Registration) -> None:
        if registration == "invitation":
            message, fix = "Accounts are made by invitation.", "Send the invitation that you were given."
        else:
            message = "Nobody may make an account here."
            fix = "The server's operator can: `jobsprint users add EMAIL`, or JOBSPRINT_REGISTRATION."
        super().__init__(message, fix=fix)


class AccountDisabledError(JobsprintError):
    """The account exists and is disabled."""

    code = "account_disabled"
    kind = ErrorKind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("The account is disabled.", fix="Ask the server's operator.")


class EmailNotVerifiedError(JobsprintError):
    """An issuer's user has the e-mail address of an account here, and the issuer does not say that it is verified."""

    code = "email_not_verified"
    kind = ErrorKind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__(
            "There is an account with this e-mail address, and the issuer does not say that the address is yours.",
            fix="Log in with the account's password, or verify the address with the issuer.",
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class SignIn:
    """An issuer's statement of a user. ``subject`` is its permanent id of the user."""

    issuer: str
    subject: str
    email: str | None
    is_email_verified: bool
    name: str | None = None


class Accounts:
    """Makes, changes and disables accounts."""

    def __init__(
        self,
        *,
        store: SqlAccounts,
        passwords: Passwords,
        sessions: Sessions,
        audit: AuditLog,
        registration: Registration,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.store = store
        self.registration = registration
        self._passwords = passwords
        self._sessions = sessions
        self._audit = audit
        self._clock = clock
        self._new_id = new_id

    async def register(
        self,
        *,
        email: str,
        password: str,
        name: str | None = None,
        invitation: str | None = None,
        is_first: bool = False,
        client: str,
    ) -> User:
        """A new user. ``is_first``: on a server that has none and asks nobody; they own what the local user had.

        Raises:
            RegistrationClosedError: registration is closed, or needs an invitation.
            InvalidArgumentsError: the address, name or password is not valid.
            EmailTakenError, InvitationNotFoundError, NotFirstError: see there.
        """
        if not is_first:
            self._let_in(invitation, may_register=False)
        entry = Entry(
            invitation_hash=None if invitation is None else token_hash(invitation),
            is_first=is_first,
            takes_local=is_first,
        )
        user = await self._make(email, name, await self._passwords.hash(password), entry, client=client)
        if is_first:
            await self._sessions.end_all(LOCAL_ID)
        return user

    async def add(self, *, email: str, password: str, name: str | None = None, client: str) -> User:
        """A new user, made by the server's operator. The local user's workspace becomes theirs if nobody owns it.

        Raises:
            InvalidArgumentsError, EmailTakenError: as for :meth:`register`.
        """
        return await self._make(
            email, name, await self._passwords.hash(password), Entry(takes_local=True), client=client
        )

    async def sign_in_as(
        self, signed_in: SignIn, *, invitation: str | None = None, may_register: bool = False, client: str
    ) -> User:
        """The user whom an issuer has authenticated; a new one where there is none and they may have an account.

        They may where registration is open, with an invitation, or where ``may_register`` says so of this issuer. An
        account with the same e-mail address becomes theirs only if the issuer says that the address is verified. The
        account's password and sessions end then: another person may have chosen and opened them.

        Raises:
            AccountDisabledError, RegistrationClosedError, EmailNotVerifiedError, InvitationNotFoundError: see there.
            InvalidArgumentsError: the issuer gave no e-mail address, and a new account needs one.
        """
        identity = OutsideIdentity(issuer=signed_in.issuer, subject=signed_in.subject)
        user = await self.store.by_identity(identity)
        if user is None and signed_in.email is not None:
            user = await self._adopted(signed_in, identity, client=client)
        if user is None:
            self._let_in(invitation, may_register=may_register)
            user = await self._join(signed_in, identity, invitation, client=client)
        if user.disabled_at is not None:
            raise AccountDisabledError
        return user

    async def set_password(self, user: User, password: str) -> None:
        """Give a user another password. Their sessions go on.

        Raises:
            InvalidArgumentsError: the password is not valid.
        """
        await self.store.set_password(user.id, await self._passwords.hash(password))

    async def reset_password(self, email: str, password: str, *, client: str) -> User:
        """Give a user another password on behalf of the server's operator. The user's sessions end.

        Raises:
            UserNotFoundError: there is none with this address.
            InvalidArgumentsError: the password is not valid.
        """
        user = await self.of_email(email)
        await self.set_password(user, password)
        await self._sessions.end_all(user.id)
        await self._note(user, "user.password_changed", client, {}, by=OPERATOR)
        return user

    async def set_disabled(self, email: str, *, is_disabled: bool, client: str) -> User:
        """Disable a user and end their sessions, or enable them again, on behalf of the server's operator.

        Raises:
            UserNotFoundError: there is none with this address.
        """
        user = await self.of_email(email)
        await self.store.set_disabled(user.id, self._clock.now() if is_disabled else None)
        await self._sessions.end_all(user.id)
        await self._note(user, "user.disabled" if is_disabled else "user.enabled", client, {}, by=OPERATOR)
        return user

    async def of_email(self, email: str) -> User:
        """The user with an e-mail address, in whatever case.

        Raises:
            UserNotFoundError: there is none.
        """
        user = await self.store.by_email(email_key(email))
        if user is None:
            raise UserNotFoundError(email)
        return user

    def _let_in(self, invitation: str | None, *, may_register: bool) -> None:
        """Return where somebody new may have an account; whether the invitation counts shows when it is used."""
        if self.registration == "open" or may_register:
            return
        if invitation is None or self.registration == "closed":
            raise RegistrationClosedError(self.registration)

    async def _adopted(self, signed_in: SignIn, identity: OutsideIdentity, *, client: str) -> User | None:
        """The user who has the e-mail address already, if the issuer says that it is theirs."""
        user = await self.store.by_email(email_key(signed_in.email or ""))
        if user is None:
            return None
        if not signed_in.is_email_verified:
            raise EmailNotVerifiedError
        if user.disabled_at is None:
            await self.store.adopt(user.id, identity, now=self._clock.now())
            await self._sessions.end_all(user.id)
            await self._note(user, "user.identity_added", client, {"issuer": identity.issuer})
        return user

    async def _join(self, signed_in: SignIn, identity: OutsideIdentity, invitation: str | None, *, client: str) -> User:
        if signed_in.email is None:
            raise InvalidArgumentsError(
                "The issuer gave no e-mail address.",
                pointer="/email",
                fix="Let it share your address with this server, and sign in again.",
            )
        # An invitation may be for one address: then only the user with that address may use it.
        if invitation is not None and not signed_in.is_email_verified:
            raise EmailNotVerifiedError
        entry = Entry(identity=identity, invitation_hash=None if invitation is None else token_hash(invitation))
        return await self._make(signed_in.email, signed_in.name, None, entry, client=client)

    async def _make(
        self,
        email: str,
        name: str | None,
        password_hash: str | None,
        entry: Entry,
        *,
        client: str,
        by: str | None = None,
    ) -> User:
        address = checked_email(email)
        user = User(
            id=self._new_id(),
            email=address,
            name=_checked_name(name) or address.partition("@")[0],
            password_hash=password_hash,
            created_at=self._clock.now(),
        )
        await self.store.add(user, entry)
        await self._note(user, "user.registered", client, {"email": address}, by=by)
        return user

    async def _note(
        self, user: User, action: str, client: str, details: dict[str, str], *, by: str | None = None
    ) -> None:
        """Note a change of an account in the audit log of its user's own workspace; ``by`` is another actor."""
        actor = Actor(
            user_id=by or user.id,
            workspace_id=await self.store.home(user.id),
            scopes=NO_SCOPES,
            attainable=NO_SCOPES,
            client=client,
        )
        self._audit.note(actor, action, f"user:{user.id}", dict(details))
        await self._audit.written()


def email_key(email: str) -> str:
    """An e-mail address as it is kept: composed, in lower case."""
    return unicodedata.normalize("NFC", email.strip()).lower()


def checked_email(email: str) -> str:
    """The address as it is kept.

    Raises:
        InvalidArgumentsError: it is not an e-mail address.
    """
    address = email_key(email)
    if not is_email(address):
        raise InvalidArgumentsError(
            f"{email!r:.100} is no e-mail address.", pointer="/email", fix="Write it like ada@example.com."
        )
    return address


def is_email(address: str) -> bool:
    """Whether an account may have this address, as it is kept."""
    return len(address) <= LONGEST_EMAIL and _EMAIL.fullmatch(address) is not None and _is_text(address)


def _checked_name(name: str | None) -> str:
    shown = " ".join((name or "").split())
    if len(shown) > LONGEST_NAME or not shown.isprintable():
        raise InvalidArgumentsError(
            f"A name has up to {LONGEST_NAME} characters, all of which can be shown.",
            pointer="/name",
            fix="Shorten it.",
        )
    return shown


def _is_text(text: str) -> bool:
    """Whether every character can be stored: half surrogate pairs cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
