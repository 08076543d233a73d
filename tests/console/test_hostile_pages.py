"""What an attacker writes into a log is text on every page that people act on."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import orjson

from tests.cli.asking import SECRETS, alert, asking, site
from tests.playbooks.counting_target import counting_target
from tocsin.cli.console_pages import pages

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=y></textarea><!--{{ 7*7 }}${7*7}"
    "\x1b[31m\u202egnp.exe\x00\x07\u2066&lt;b&gt; javascript:alert(2) \r\nSet-Cookie: a=b"
)


async def test_hostile_text_stays_text_on_the_pages_people_act_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    made = alert()
    document = orjson.loads(made.value)
    document |= {"message": HOSTILE, "user": {"name": HOSTILE}}
    document["rule"] |= {"name": HOSTILE, "description": HOSTILE}
    async with counting_target() as target:
        config = site(tmp_path, target.url)
        playbook = tmp_path / "playbooks" / "ask.yml"
        asks = playbook.read_text("utf-8").replace("out?", "out? {{ alert.message }}")
        playbook.write_text(asks, "utf-8")
        record = made._replace(value=orjson.dumps(document))
        async with asking(config, record) as world:
            question = await world.asked()
            person = world.people.named("ana")
            assert person is not None
            await world.desk.answer(
                person, question, plan=question.plan, approve=True, comment=HOSTILE
            )
            await world.settle()
            app = world.pipeline.status_app(None, pages(world.pipeline))
            odd = quote(HOSTILE.replace("/", ""), safe="")  # one part of a path
            paths = ["/", "/approvals", f"/approvals/{question.id}", "/runs",
                     f"/runs/{question.run_id}", "/leases", f"/sign-in?next={odd}",
                     f"/approvals/{odd}", f"/runs/{odd}", f"/answer/{odd}"]  # fmt: skip
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8790"
            ) as browser:
                answers = {path: await browser.get(path) for path in paths}
    for path, answer in answers.items():
        text = answer.text
        assert answer.status_code in (200, 404, 410, 422), path
        for markup in ("<script", "<img", "</textarea><", "<!--"):
            assert markup not in text.replace("<!DOCTYPE", ""), (path, markup)
        assert "49" not in answer.headers.get("location", "")
        assert "set-cookie" not in answer.headers, path
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        hidden = {unicodedata.name(c, hex(ord(c))) for c in text
               if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\r\t"}  # fmt: skip
        assert not hidden, (path, hidden)
    shown = answers[f"/approvals/{question.id}"].text
    assert "&lt;script&gt;alert(1)" in shown
