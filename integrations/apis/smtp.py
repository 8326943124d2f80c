"""Mail by SMTP (RFC 5321), to servers that the address rules let pass."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Literal

import aiosmtplib
from pydantic import Field

from integrations.addresses import GuardedBackend
from integrations.failures import broken, timed_out
from integrations.settings import ConnectionSettings
from workflow.actions import Action, ActionCall, ActionError, ActionResult
from workflow.connections import Connection
from workflow.credential_forms import BasicCredential, is_loopback
from workflow.credentials import CredentialRef, Vault
from workflow.errors import OutboundError
from workflow.items import JsonObject

CHECK_SECONDS = 15.0
MOST_RECIPIENTS = 100

_ADDRESSES: JsonObject = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": MOST_RECIPIENTS}]
}
_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "to": _ADDRESSES,
        "cc": _ADDRESSES,
        "bcc": _ADDRESSES,
        "reply_to": {"type": "string"},
        "subject": {"type": "string", "maxLength": 998},
        "text": {"type": "string"},
        "html": {"type": "string", "description": "Shown in place of text by those who can."},
    },
    "required": ["to", "subject", "text"],
    "additionalProperties": False,
}


class SmtpSettings(ConnectionSettings):
    """Settings of the connector ``smtp``. Its credential is of kind basic, and names the host among its own."""

    connector: Literal["smtp"]
    host: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:-]+$")
    port: int = Field(default=587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = Field(default="starttls", description="none is for this machine.")
    sender: str = Field(min_length=3, max_length=320, description="The address that mails come from.")


class Smtp:
    """Sends mails, each over a connection of its own."""

    def __init__(self, backend: GuardedBackend, *, vault: Vault) -> None:
        self._backend = backend
        self._vault = vault

    async def actions(self, connection: Connection) -> Sequence[Action]:
        """The one action, when the server has let us in.

        Raises:
            ActionError: it does not.
        """
        what = f"The connection {connection.name}"
        async with self._session(connection, what, None, CHECK_SECONDS):
            pass
        return [
            Action(
                connection=connection.name,
                name="send_mail",
                title="Send a mail",
                description=f"Send a mail from {connection.settings['sender']}.",
                input_schema=_SCHEMA,
                group="smtp",
            )
        ]

    async def run(self, connection: Connection, action: Action, call: ActionCall) -> ActionResult:
        """Send it.

        Raises:
            ActionError: it was not sent, or it is unknown whether it was.
        """
        what = f"{action.connection}/{action.name}"
        message, recipients = _message(connection, call)
        async with self._session(connection, what, action, call.timeout_seconds) as smtp:
            try:
                refused, said = await smtp.send_message(message, recipients=recipients)
            except aiosmtplib.SMTPRecipientsRefused as error:
                said = "; ".join(f"{each.recipient}: {each.message}" for each in error.recipients)
                raise _refused(what, said) from error
            except aiosmtplib.SMTPResponseException as error:
                raise _answered(what, error) from error
            except (aiosmtplib.SMTPException, OSError) as error:
                raise broken(what, action, str(error) or type(error).__name__, was_sent=True) from error
        data: JsonObject = {"message_id": message["Message-ID"], "answer": said}
        if refused:
            data["refused"] = {name: f"{code} {text}" for name, (code, text) in refused.items()}
        return ActionResult(data=data)

    @asynccontextmanager
    async def _session(
        self, connection: Connection, what: str, action: Action | None, seconds: float
    ) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection to the server, logged in."""
        settings = connection.settings
        host, port = settings["host"], settings.get("port", 587)
        if settings.get("security") == "none" and not is_loopback(host):
            raise _refused(what, "a mail without encryption is for this machine only")
        is_sending = False
        try:
            async with asyncio.timeout(seconds):
                sock = await self._socket(host, port)
                smtp = aiosmtplib.SMTP(
                    hostname=host,
                    port=None,
                    sock=sock,
                    # The library would look up our whole name, and all would wait for the answer.
                    local_hostname=socket.gethostname(),
                    use_tls=settings.get("security") == "tls",
                    start_tls=settings.get("security", "starttls") == "starttls",
                    tls_context=ssl.create_default_context(),
                    timeout=seconds,
                )
                try:
                    await smtp.connect()
                    await self._log_in(smtp, connection, host)
                    is_sending = action is not None
                    yield smtp
                    is_sending = False
                finally:
                    smtp.close()
        except TimeoutError:
            raise timed_out(what, action if is_sending else None, seconds) from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise ActionError(
                f"{what} is not let in: {error.code} {error.message}",
                code="connection_unauthorized",
                is_unavailable=True,
                fix="Replace the connection's credential.",
            ) from error
        except OutboundError as error:
            if isinstance(error, ActionError):
                raise
            raise ActionError(error.message, code=error.outbound_code, is_unavailable=True, fix=error.fix) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise broken(what, action, str(error) or type(error).__name__, was_sent=is_sending) from error

    async def _socket(self, host: str, port: int) -> socket.socket:
        address = await self._backend.checked_address(host, port)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _log_in(self, smtp: aiosmtplib.SMTP, connection: Connection, host: str) -> None:
        if connection.credential is None:
            return
        opened = await self._vault.open(CredentialRef(owner=connection.owner, name=connection.credential))
        form = opened.form
        if not isinstance(form, BasicCredential) or host.lower() not in form.hosts():
            why = f"its credential must be of kind basic, and allow the host {host}"
            raise _refused(connection.name, why, code="connection_unauthorized")
        await smtp.login(form.username.get_secret_value(), form.password.get_secret_value())


def _message(connection: Connection, call: ActionCall) -> tuple[EmailMessage, list[str]]:
    given = call.arguments
    message = EmailMessage()
    sender = connection.settings["sender"]
    message["From"] = sender
    recipients: list[str] = []
    try:
        for name in ("to", "cc", "bcc"):
            addresses = given.get(name) or []
            addresses = [addresses] if isinstance(addresses, str) else addresses
            recipients += addresses
            if addresses and name != "bcc":
                message[name.title()] = ", ".join(addresses)
        if given.get("reply_to"):
            message["Reply-To"] = given["reply_to"]
        message["Subject"] = given["subject"]
        # The same again when it is repeated: servers and readers can tell the second from the first.
        domain = sender.rpartition("@")[2].strip("> ")
        key = call.effect_key
        message["Message-ID"] = f"<{_word(key)}@{domain}>" if key is not None else make_msgid(domain=domain)
    except ValueError as error:
        raise ActionError(
            f"The mail cannot be made: {error}.",
            code="action_arguments",
            fix="Give addresses and a subject without line breaks.",
        ) from error
    message.set_content(given["text"])
    if given.get("html"):
        message.add_alternative(given["html"], subtype="html")
    return message, recipients


def _word(key: str) -> str:
    """A key as the left side of a message's id."""
    return "".join(each if each.isalnum() else "." for each in key).strip(".")


def _answered(what: str, error: aiosmtplib.SMTPResponseException) -> ActionError:
    """A refusal by code (RFC 5321, 4.2.1): 4yz may pass, 5yz does not. Nothing was sent."""
    if 400 <= error.code < 500:
        return ActionError(
            f"{what} was put off: {error.code} {error.message}",
            code="connection_failed",
            transient=True,
            is_unavailable=True,
            fix="It is tried again by itself.",
        )
    return _refused(what, f"{error.code} {error.message}")


def _refused(what: str, why: str, *, code: str = "action_refused") -> ActionError:
    fix = "Mend what it says, in the arguments or the connection."
    return ActionError(f"{what} refused: {why}.", code=code, fix=fix)
