"""Mail (RFC 5321), with TLS that is verified.

Mail cannot be recalled nor asked for. Its Message-ID is made of the effect's id, by which many
mailboxes show a repeated one once; that is the best there is, so repeating counts as keyed: a
message that comes twice is better than one that a person has to look for.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from dataclasses import replace
from email.message import EmailMessage
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from responders.base import Call, Idempotence, Manifest
from responders.product import OptionalSecret
from responders.slack import named
from responders.verbs import MESSAGE, Line, Message
from tocsin.config import secret
from tocsin.errors import ConfigError, ConnectorError
from tocsin.ids import digest
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mail(Message):
    """A message with a subject; `channel` names configured recipients."""

    subject: Line = ""


_MAIL = replace(MESSAGE, verb="notify.email", inputs=Mail, idempotence=Idempotence.KEYED)

MANIFEST = Manifest(
    name="smtp",
    summary="Mail to configured recipients",
    actions=(replace(MESSAGE, idempotence=Idempotence.KEYED), _MAIL),
    max_concurrency=2,
    secrets=("password",),
)


class SmtpConfig(BaseModel):
    """`channels` maps our names to recipients. `security: none` is for a relay on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    host: str
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: OptionalSecret = ""
    sender: Annotated[str, Field(pattern=r"^[^\s<>]{1,64}@[^\s<>]{1,253}$")]
    channels: dict[str, tuple[Annotated[str, Field(pattern=r"^[^\s<>,]+@[^\s<>,]+$")], ...]]
    ca_file: str = ""


class Smtp:
    """One relay."""

    manifest = MANIFEST

    def __init__(self, config: SmtpConfig) -> None:
        self._config = config

    async def act(self, call: Call) -> dict[str, Any]:
        """Send; the answer has the Message-ID and who was refused."""
        if call.target not in self._config.channels:
            named(dict.fromkeys(self._config.channels, ""), call.target)
        message = self._message(call)
        password = self._password()
        timeout = call.timeout / 1000
        refused = await asyncio.to_thread(self._send, message, password, timeout)
        return {"message_id": message["Message-ID"], "refused": sorted(refused)}

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ConnectorError: mail cannot be recalled."""
        raise ConnectorError("invalid", "mail cannot be recalled")

    async def probe(self, call: Call) -> dict[str, Any] | None:
        """Raises ConnectorError: a mailbox cannot be asked."""
        raise ConnectorError("invalid", "mail cannot be asked for")

    async def check(self) -> str:
        """Log in; nothing is sent."""
        password = self._password()
        await asyncio.to_thread(self._send, None, password, 10.0)
        return f"smtp: {self._config.host} takes the login"

    async def close(self) -> None:
        """Nothing is held open."""

    def _password(self) -> str:
        try:
            return secret(self._config.password) if self._config.password else ""
        except ConfigError as error:
            raise ConnectorError("denied", f"smtp: {error}") from None

    def _message(self, call: Call) -> EmailMessage:
        message = EmailMessage()
        first = str(call.inputs.get("subject") or call.inputs["message"].split("\n", 1)[0])
        # A header has one line: what an alert says cannot add another.
        message["Subject"] = printable(" ".join(first.split()))[:200] or "Tocsin"
        message["From"] = self._config.sender
        message["To"] = ", ".join(self._config.channels[call.target])
        domain = self._config.sender.rpartition("@")[2]
        message["Message-ID"] = f"<{digest('mail', call.key)}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        lines = str(call.inputs["message"]).split("\n")
        # Nothing of it may drive a terminal or show what it is not.
        message.set_content("\n".join(printable(line.replace("\t", " ")) for line in lines))
        return message

    def _send(self, message: EmailMessage | None, password: str, timeout: float) -> list[str]:
        """Who was refused; runs in a thread, as smtplib waits."""
        sent = False
        try:
            with self._connection(timeout) as relay:
                if self._config.username:
                    relay.login(self._config.username, password)
                if message is None:
                    relay.noop()
                    return []
                sent = True
                return list(relay.send_message(message))
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError) as error:
            raise ConnectorError("denied", self._told(error, password)) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            told = f"{self._config.host} refuses every recipient ({codes})"
            # 4yz is for later (greylisting), 5yz for ever (RFC 5321, 4.2.1).
            later = any(400 <= code < 500 for code in codes)
            raise ConnectorError("unavailable" if later else "invalid", told) from None
        except smtplib.SMTPResponseException as error:
            kind = "unavailable" if error.smtp_code < 500 else "invalid"
            raise ConnectorError(kind, self._told(error, password)) from None
        except TimeoutError:
            told = f"{self._config.host} gave no answer in {timeout:g} s"
            raise ConnectorError("timeout", told, after_send=sent) from None
        except ssl.SSLError as error:
            raise ConnectorError("denied", self._told(error, password)) from None
        except (OSError, smtplib.SMTPException) as error:
            told = self._told(error, password)
            raise ConnectorError("unavailable", told, after_send=sent) from None

    def _connection(self, timeout: float) -> smtplib.SMTP:
        trust = ssl.create_default_context(cafile=self._config.ca_file or None)
        host, port = self._config.host, self._config.port
        if self._config.security == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=timeout, context=trust)
        relay = smtplib.SMTP(host, port, timeout=timeout)
        if self._config.security == "starttls":
            try:
                relay.starttls(context=trust)
            except BaseException:
                relay.close()
                raise
        return relay

    def _told(self, error: Exception, password: str) -> str:
        said = str(error)
        if password:
            said = said.replace(password, "***")
        return f"{self._config.host}: {said[:200]}"
