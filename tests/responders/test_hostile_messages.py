"""What an alert says stays text in mail, chat and tables: no header, link, formula or trick."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest

from responders.base import Call
from responders.slack import escaped
from responders.smtp import Smtp, SmtpConfig
from responders.teams import Teams, TeamsConfig
from tests.responders.vendors.desk import TeamsVendor
from tocsin.cli.scan.formats import _harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.responders.vendors.server import Vendor

HOSTILE = (
    "[Approve](https://evil.example.com) **x** <@U1> <!channel>\x1b[31m\u202egnp.exe\x00\x07"
    "\r\nBcc: all@example.com\r\n\r\n.\r\nMAIL FROM:<x@example.com>"
)


def call(**inputs: Any) -> Call:
    return Call("notify.email", "soc", {"channel": "soc", **inputs}, "key", 1_000)


def test_mail_has_the_headers_that_we_gave_it_and_readable_text() -> None:
    smtp = Smtp(
        SmtpConfig(host="h", sender="t@example.com", channels={"soc": ("soc@example.com",)})
    )
    for inputs in ({"subject": HOSTILE, "message": HOSTILE}, {"message": HOSTILE}):
        message = smtp._message(call(**inputs))
        head = message.as_bytes().split(b"\n\n")[0].decode()
        names = {line.split(":")[0] for line in head.splitlines() if not line.startswith(" ")}
        assert not {name.lower() for name in names} & {"bcc", "cc", "mail from"}
        assert message["To"] == "soc@example.com"
        for text in (str(message["Subject"]), message.get_content()):
            assert all(char.isprintable() or char == "\n" for char in text)


async def test_a_card_is_text_without_markup(
    mount: Callable[[Vendor], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = TeamsVendor()
    monkeypatch.setenv("TEAMS_HOOK", f"{mount(vendor)}/workflows/1/invoke")
    teams = Teams(TeamsConfig(channels={"soc": "env:TEAMS_HOOK"}, allow_http=True))
    await teams.act(Call("notify.teams", "soc", {"message": HOSTILE}, "key", 5_000))
    await teams.close()
    (request, *_) = vendor.requests
    body = request.json["attachments"][0]["content"]["body"]
    assert {block["type"] for block in body} == {"RichTextBlock"}
    runs = [run for block in body for run in block["inlines"]]
    assert {run["type"] for run in runs} == {"TextRun"}
    assert all(run["text"].isprintable() for run in runs)


def test_slack_takes_no_mention_and_no_link() -> None:
    assert not set(escaped(HOSTILE)) & set("<>")


@pytest.mark.parametrize("begin", [*"=+-@\uff1d", "\t=", "\r=", "\n=", "  =", "\xa0@"])
def test_a_cell_is_no_formula(begin: str) -> None:
    cell = f'{begin}HYPERLINK("https://evil.example.com")'
    stream = io.StringIO()
    csv.writer(stream).writerow([_harmless(cell)])
    (row,) = csv.reader(io.StringIO(stream.getvalue()))
    assert row == ["'" + cell]
    assert _harmless("203.0.113.9") == "203.0.113.9"
