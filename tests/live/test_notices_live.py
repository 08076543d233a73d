"""Approvals told by mail (a real SMTP server) and webhook, on the embedded pipeline."""

from __future__ import annotations

import email
import email.policy
import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
import yaml
from aiosmtpd.controller import Controller

from tests.cli.asking import AT, SECRETS, alert, asking, load_yaml, site
from tests.playbooks.counting_target import counting_target
from tocsin.cli.console_pages import pages
from tocsin.cli.topics import values
from tocsin.clock import ManualClock
from tocsin.contracts import Topics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

LINK = re.compile(r"http://127\.0\.0\.1:8790(/answer/\S+)")
CHANNELS = "channels: [email:oncall, webhook:soc]\n      timeout: 30m\n      on_timeout: escalate\n"
ESCALATE = "      escalate: {group: sales, timeout: 1h}"


class Mailbox:
    """Keeps what it gets; the first message is refused for now (greylisting)."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.tries = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.tries += 1
        if self.tries == 1:
            return "451 4.7.1 try again later"
        self.got.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


@contextmanager
def relay() -> Iterator[tuple[Mailbox, int]]:
    mailbox = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()


def told_site(directory: Path, target: str, port: int) -> Path:
    """The asking site, whose question has channels and an escalation."""
    path = site(directory, target)
    playbook = directory / "playbooks" / "ask.yml"
    text = playbook.read_text("utf-8").replace("timeout: 30m\n", CHANNELS + ESCALATE + "\n")
    playbook.write_text(text, "utf-8")
    content = load_yaml(path)
    content["response"]["connectors"]["target"]["channels"] = {"soc": f"{target}/notify"}
    content["response"]["connectors"]["mail"] = {
        "type": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "tocsin@example.com",
        "channels": {"oncall": ["oncall@example.com"]},
    }
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


async def test_a_question_is_told_repeated_after_a_failure_reminded_of_and_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    clock = ManualClock(AT)
    async with counting_target() as target:
        with relay() as (mailbox, port):
            config = told_site(tmp_path, target.url, port)
            async with asking(config, alert(), clock=clock) as world:
                await world.settle()
                assert (mailbox.tries, mailbox.got) == (1, [])
                clock.advance(5_000)
                await world.settle()
                clock.advance(30 * 60_000)
                await world.settle()
                question = (await world.desk.open())[0]
                first, reminder = mailbox.got
                link = LINK.search(reminder.get_content())
                assert link is not None
                app = world.pipeline.status_app(None, pages(world.pipeline))
                async with httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8790"
                ) as browser:
                    answer = await browser.get(link[1])
                records = [v async for v in values(world.pipeline.log, Topics.EFFECTS)]
                records += [v async for v in values(world.pipeline.log, Topics.RUNS)]
                records += [v async for v in values(world.pipeline.log, Topics.AUDIT)]
    assert (answer.status_code, answer.headers["location"]) == (303, f"/approvals/{question.id}")
    assert first["Subject"] == "Approval needed: Shut 203.0.113.9 out?"
    assert "containment.webhook 203.0.113.9" in first.get_content()
    assert "nobody has answered yet" in reminder.get_content()
    assert "sales" in reminder.get_content()
    assert first["Message-ID"] != reminder["Message-ID"]
    hooks = [orjson.loads(body) for body in target.bodies]
    assert [hook["data"]["escalated"] for hook in hooks] == [False, True]
    assert all(LINK.search(hook["message"]) for hook in hooks)
    assert max(target.keys["/notify"].values()) == 1
    assert not any(link[1].encode() in record for record in records)
