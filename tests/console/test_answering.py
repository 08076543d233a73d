"""Answers on the embedded pipeline, through the pages and links that people use.

Failure case 9 of the engine: an approval after its time-out, two at once, by the subject of the
alert, a replayed link, a changed plan.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.cli.asking import ADDRESS, AT, SECRETS, Asking, alert, asking, site
from tests.playbooks.counting_target import CountingTarget, counting_target
from tocsin.cli.console_pages import pages
from tocsin.clock import ManualClock
from tocsin.console.links import Links

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tocsin.approvers import Person
    from tocsin.console.desk import Told
    from tocsin.console.questions import Question

OTHER = "198.51.100.7"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


class World:
    """A pipeline that has asked, its product, its clock, and its pages."""

    def __init__(self, asking: Asking, product: CountingTarget, clock: ManualClock) -> None:
        self.asking = asking
        self.product = product
        self.clock = clock
        self.links = Links(asking.pipeline.settings.response.links)
        self.app = asking.pipeline.status_app(None, pages(asking.pipeline))

    def person(self, name: str) -> Person:
        found = self.asking.people.named(name)
        assert found is not None
        return found

    async def answer(self, name: str, question: Question, *, approve: bool = True) -> Told:
        return await self.asking.desk.answer(
            self.person(name), question, plan=question.plan, approve=approve
        )

    def browser(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8790", follow_redirects=True
        )

    def link(self, question: Question, by: str = "ana") -> str:
        return self.links.url(question, by=by, now=self.clock.now())

    async def contained(self) -> list[str]:
        """What the product holds once everything is done."""
        await self.asking.settle()
        return [address for address, held in self.product.held.items() if held]


@asynccontextmanager
async def world(directory: Path, *, quorum: int = 1) -> AsyncIterator[World]:
    clock = ManualClock(AT)
    async with counting_target() as product:
        config = site(directory, product.url, quorum=quorum)
        async with asking(config, alert(), clock=clock) as running:
            yield World(running, product, clock)


async def test_case_9_an_answer_after_the_time_out_is_recorded_and_changes_nothing(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        question = await w.asking.asked()
        w.clock.advance(31 * 60_000)
        told = await w.answer("ana", question)
        assert told.applied is False
        assert "after the time" in told.reason or "not open any more" in told.reason
        assert [(a["by"], a["applied"]) for a in told.question.answers] == [("ana", False)]
        assert await w.contained() == []


async def test_case_9_of_two_answers_at_once_one_counts_and_the_other_is_told_so(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        question = await w.asking.asked()
        both = await asyncio.gather(
            w.answer("ana", question), w.answer("bor", question, approve=False)
        )
        assert sorted(told.applied is True for told in both) == [False, True]
        [late] = [told for told in both if not told.applied]
        assert late.reason == "the question is not open any more"
        seen = await w.asking.desk.find(question.id)
        assert len(seen.answers) == 2
        held = [ADDRESS] if both[0].applied else []
        assert (await w.contained(), seen.state) == (held, "approved" if held else "denied")


async def test_case_9_the_subject_of_the_alert_does_not_decide(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        question = await w.asking.asked()
        assert "CORP\\mallory" in question.excluded
        told = await w.answer("mallory", question)
        assert (told.applied, told.reason) == (False, "mallory is excluded from this approval")
        assert told.question.state == "open"
        assert await w.contained() == []


async def test_case_9_a_link_is_good_once_and_only_its_button_acts(tmp_path: Path) -> None:
    async with world(tmp_path, quorum=2) as w, w.browser() as browser:
        question = await w.asking.asked()
        link = w.link(question)
        for _ in range(2):  # scanners open links, and open them again
            seen = await browser.get(link)
            assert seen.status_code == 200
            assert "Approve" in seen.text
        assert (await w.asking.desk.find(question.id)).answers == ()
        both = await asyncio.gather(
            browser.post(link, data={"decision": "approve"}),
            browser.post(link, data={"decision": "deny"}),
        )
        assert sorted(answer.status_code for answer in both) == [200, 410]
        again = await browser.post(link, data={"decision": "approve"})
        assert again.status_code == 410
        assert "used already" in again.text
        seen_now = await w.asking.desk.find(question.id)
        assert [(a["by"], a["applied"]) for a in seen_now.answers] == [("ana", True)]


async def test_case_9_a_changed_plan_is_asked_anew_and_answers_to_the_old_one_do_not_count(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.browser() as browser:
        question = await w.asking.asked()
        link = w.link(question)
        await w.asking.pipeline.log.append([alert(revision=2, ip=OTHER)])
        await w.asking.settle()
        told = await w.answer("ana", question)
        assert (told.applied, told.reason) == (False, "the plan has changed since it was asked")
        assert told.question.plan != question.plan
        [action] = told.question.actions
        assert action["target"] == OTHER
        refused = await browser.post(link, data={"decision": "approve"})
        assert refused.status_code == 410
        assert "has changed since the link was made" in refused.text
        old = await w.answer("bor", question)
        assert "another plan" in old.reason
        assert (await w.answer("ana", told.question)).applied is True
        assert await w.contained() == [OTHER]


async def test_somebody_signs_in_approves_sees_the_run_and_releases_the_lease(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.browser() as browser:
        question = await w.asking.asked()
        page = f"/approvals/{question.id}"
        assert "Sign in to answer" in (await browser.get(page)).text
        wrong = await browser.post("/sign-in", data={"token": "a token of nobody at all"})
        assert wrong.status_code == 401
        seen = await browser.post("/sign-in", data={"token": SECRETS["ASKING_ANA"], "next": page})
        for said in (f"Shut {ADDRESS} out?", "containment.webhook", "for 1 d", "ana, bor, mallory",
                     f"entity: <code>{ADDRESS}</code>", "SSH Brute Force"):  # fmt: skip
            assert said in seen.text
        form = dict(
            re.findall(r'type="hidden" name="(mark|plan|nonce)" value="([^"]+)"', seen.text)
        )
        forged = {**form, "mark": "0" * 64, "decision": "approve"}
        assert (await browser.post(page, data=forged)).status_code == 403
        other = {"origin": "http://attacker.example.com"}
        sent = {**form, "decision": "approve", "comment": "known bad"}
        assert (await browser.post(page, data=sent, headers=other)).status_code == 403
        assert (await w.asking.desk.find(question.id)).answers == ()
        for _ in range(2):  # a double click is one answer
            told = await browser.post(page, data=sent)
            assert "Your answer counts." in told.text
        assert len((await w.asking.desk.find(question.id)).answers) == 1
        assert await w.contained() == [ADDRESS]
        run = (await browser.get(f"/runs/{question.run_id}")).text
        for said in ("approval requested", "known bad", "completed"):
            assert said in run
        leases = (await browser.get("/leases")).text
        assert "Release" in leases
        lease = {"mark": form["mark"], "verb": "containment.webhook", "target": ADDRESS}
        assert (await browser.post("/leases/release", data=lease)).status_code == 200
        assert await w.contained() == []
