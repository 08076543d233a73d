"""Mail over a real SMTP server, and what the allow-lists let through."""

from __future__ import annotations

import smtplib
import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import ValidationError

from responders.base import Call
from responders.http_api import Endpoint, HttpApi, HttpConfig
from responders.slack import Slack, SlackConfig
from responders.smtp import Smtp, SmtpConfig
from responders.ssh import SshTarget
from responders.ssh_command import Command, SshCommands, SshConfig
from tests.responders.vendors.cases import SECRET
from tests.responders.vendors.desk import FirewallVendor, SlackVendor
from tests.responders.vendors.identity import CANARY
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.responders.vendors.server import Vendor

    Mount = Callable[[Vendor], str]


class Mailbox:
    """Keeps what it gets; refuses one recipient, and another for now."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, to: str, _: Any) -> str:
        if to.startswith("nobody"):
            return "550 5.1.1 no such user"
        if to.startswith("later"):
            return "451 4.7.1 greylisted"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append(envelope)
        return "250 OK"


@contextmanager
def relay(tmp_path: Path) -> Iterator[tuple[Mailbox, dict[str, Any]]]:
    """A server that wants STARTTLS and a login; what a configuration needs for it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def login(server: Any, session: Any, envelope: Any, mechanism: str, auth: Any) -> AuthResult:
        return AuthResult(success=auth.password == CANARY.encode(), handled=False)

    mailbox = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(
        mailbox, "127.0.0.1", port, tls_context=context, require_starttls=True,
        authenticator=login, auth_required=True,
    )  # fmt: skip
    controller.start()
    channels = {name: (f"{name}@example.com",) for name in ("soc", "nobody", "later")}
    try:
        yield mailbox, {
            "host": "localhost", "port": port, "username": "tocsin", "password": SECRET,
            "sender": "tocsin@example.com", "ca_file": str(certificate), "channels": channels,
        }  # fmt: skip
    finally:
        controller.stop()


def mail(channel: str = "soc", **inputs: Any) -> Call:
    given = {"message": "Blocked 203.0.113.66", "channel": channel, **inputs}
    return Call("notify.email", channel, given, "effect-1", 10_000)


async def test_mail_arrives_once_recognisable_and_with_one_line_as_its_subject(
    tmp_path: Path,
) -> None:
    with relay(tmp_path) as (mailbox, options):
        smtp = Smtp(SmtpConfig(**options))
        assert "takes the login" in await smtp.check()
        sent = await smtp.act(mail(subject="Alert\r\nBcc: everybody@example.com"))
        again = await smtp.act(mail())
        assert sent["message_id"] == again["message_id"]
        text = mailbox.got[0].content.decode()
        assert "Subject: Alert Bcc: everybody@example.com\r\n" in text
        assert mailbox.got[0].rcpt_tos == ["soc@example.com"]
        assert "Blocked 203.0.113.66" in text
        assert sent["message_id"] in text


@pytest.mark.parametrize(
    ("change", "channel", "kind"),
    [
        ({}, "nobody", "invalid"),
        ({}, "later", "unavailable"),
        ({}, "unheard-of", "invalid"),
        ({"ca_file": ""}, "soc", "denied"),
        ({"password": "env:WRONG"}, "soc", "denied"),
        ({"password": "env:UNSET"}, "soc", "denied"),
        ({"security": "none"}, "soc", "denied"),
        ({"port": 1}, "soc", "unavailable"),
    ],
)
async def test_mail_that_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    channel: str,
    kind: str,
) -> None:
    monkeypatch.setenv("WRONG", "wrong-canary")
    with relay(tmp_path) as (mailbox, options):
        with pytest.raises(ConnectorError) as caught:
            await Smtp(SmtpConfig(**options | change)).act(mail(channel))
        assert (caught.value.kind, caught.value.after_send) == (kind, False)
        assert "canary" not in str(caught.value)
        assert not mailbox.got


async def test_an_alert_cannot_mention_a_channel(mount: Mount) -> None:
    vendor = SlackVendor()
    config = SlackConfig(token=SECRET, channels={"soc": "C1"}, url=mount(vendor), allow_http=True)
    slack = Slack(config)
    text = {"message": "<!channel> <https://evil.example|click> & more"}
    await slack.act(Call("notify.slack", "soc", text, "k", 5_000))
    sent = vendor.messages[0]["text"]
    assert sent == "&lt;!channel&gt; &lt;https://evil.example|click&gt; &amp; more"
    with pytest.raises(ConnectorError, match="configured: soc"):
        await slack.act(Call("notify.slack", "all", text, "k", 5_000))
    await slack.close()


async def test_only_endpoints_of_the_list_and_values_stay_one_part_of_the_path(
    mount: Mount,
) -> None:
    vendor = FirewallVendor()
    url = f"{mount(vendor)}/v1/blocks/{{what}}"
    endpoint = Endpoint(url=url, headers={"x-key": SECRET})
    api = HttpApi(HttpConfig(endpoints={"held": endpoint}, allow_http=True))

    def ask(what: str, endpoint: str = "held", verb: str = "http.read") -> Call:
        return Call(verb, endpoint, {"endpoint": endpoint, "params": {"what": what}}, "k", 5_000)

    vendor.blocked = {"a/../../b?x#y"}
    assert (await api.act(ask("a/../../b?x#y")))["status"] == 200
    for call in (ask(".."), ask(""), ask("a", "other"), ask("a", verb="http.send")):
        with pytest.raises(ConnectorError) as caught:
            await api.act(call)
        assert caught.value.kind == "invalid"
    assert len(vendor.requests) == 1
    await api.close()
    for wrong in ("https://{host}/x", "https://a.example.com/x?{q}", "ftp://a/", "https://u@a/"):
        with pytest.raises(ValidationError, match="places"):
            Endpoint(url=wrong)


async def test_only_commands_of_the_list_with_values_that_match(tmp_path: Path) -> None:
    """`ssh` is a program that says how it was called: the quoting is what the other side gets."""
    program = tmp_path / "ssh"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[-2:])\n")
    program.chmod(0o755)
    target = SshTarget(host="192.0.2.10", program=str(program))
    lock = Command(argv=("usermod", "--lock", "{user}"), values={"user": r"[a-z' ;]+"})
    show = Command(argv=("uptime",), reads=True)
    ssh = SshCommands(SshConfig(hosts={"Web-1": target}, commands={"lock": lock, "show": show}))

    def run(
        command: str, values: dict[str, str], verb: str = "ssh.run", host: str = "web-1"
    ) -> Call:
        given = {"host": host, "command": command, "values": values}
        return Call(verb, host, given, "k", 5_000)

    told = await ssh.act(run("lock", {"user": "x'; reboot"}))
    assert told["output"].strip() == str(["192.0.2.10", "usermod --lock 'x'\"'\"'; reboot'"])
    for wrong in (
        run("lock", {"user": "root$"}),
        run("lock", {"user": "a", "more": "b"}),
        run("lock", {}),
        run("reboot", {}),
        run("show", {}),
        run("lock", {"user": "a"}, verb="ssh.read"),
        run("show", {}, verb="ssh.read", host="db-1"),
    ):
        with pytest.raises(ConnectorError) as caught:
            await ssh.act(wrong)
        assert caught.value.kind == "invalid"
    with pytest.raises(ValidationError, match="every"):
        Command(argv=("rm", "{path}"))
    with pytest.raises(ValidationError):
        SshTarget(host="-oProxyCommand=reboot")


@pytest.mark.parametrize(
    ("said", "kind", "after_send"),
    [
        ("ssh: connect to host x port 22: Connection refused", "unavailable", False),
        ("root@x: Permission denied (publickey).", "denied", False),
        ("Connection to x closed by remote host.", "unavailable", True),
    ],
)
async def test_how_ssh_ends(tmp_path: Path, said: str, kind: str, after_send: bool) -> None:
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 255\n")
    program.chmod(0o755)
    target = SshTarget(host="x", program=str(program))
    show = Command(argv=("uptime",), reads=True)
    ssh = SshCommands(SshConfig(hosts={"x": target}, commands={"show": show}))
    call = Call("ssh.read", "x", {"host": "x", "command": "show"}, "k", 5_000)
    with pytest.raises(ConnectorError) as caught:
        await ssh.act(call)
    assert (caught.value.kind, caught.value.after_send) == (kind, after_send)


def test_smtplib_has_what_is_relied_on() -> None:
    """`SMTPAuthenticationError` is a `SMTPResponseException`: it must be met first."""
    assert issubclass(smtplib.SMTPAuthenticationError, smtplib.SMTPResponseException)
