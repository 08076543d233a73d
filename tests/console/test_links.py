"""Signed links: what is refused, and why."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tocsin.approver_config import LinkSettings
from tocsin.console.links import MAX_LINK, PATH, LinkRefused, Links
from tocsin.console.questions import Question, question_id
from tocsin.errors import ConfigError

NOW = 1_795_000_000_000
MINUTE = 60_000
QUESTION = Question(
    id=question_id("r", "ask"), run_id="r", step="ask", asked=NOW, due=NOW + 30 * MINUTE,
    plan="a" * 64, group="soc",
)  # fmt: skip
SETTINGS = LinkSettings(key="env:LINK_KEY", url="https://soc.example.com/")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINK_KEY", "a key of forty characters for these tests")


def signed(links: Links | None = None, by: str = "ana", now: int = NOW) -> str:
    url = (links or Links(SETTINGS)).url(QUESTION, by=by, now=now)
    assert url.startswith("https://soc.example.com/answer/")
    return urlsplit(url).path.removeprefix(PATH)


def refusal(link: str, now: int = NOW) -> str:
    with pytest.raises(LinkRefused) as refused:
        Links(SETTINGS).read(link, now)
    return str(refused.value)


def test_a_link_says_whose_answer_to_which_plan_it_is() -> None:
    claims = Links(SETTINGS).read(signed(), NOW)
    assert (claims.run_id, claims.step, claims.plan, claims.by) == ("r", "ask", "a" * 64, "ana")
    assert claims.expires == NOW + 30 * MINUTE


def test_two_links_of_one_person_are_one_answer_and_of_two_are_two() -> None:
    links = Links(SETTINGS)
    ids = [links.read(signed(by=by, now=NOW + n), NOW + 5).id
           for n, by in enumerate(("ana", "ana", "bor"))]  # fmt: skip
    assert ids[0] == ids[1] != ids[2]


def test_every_altered_character_is_noticed() -> None:
    link = signed()
    for place, character in enumerate(link):
        other = "A" if character != "A" else "B"
        assert refusal(link[:place] + other + link[place + 1 :])
    for odd in ("", ".", link[:-1], link + "A", link + "=", "x" * (MAX_LINK + 1), "ü.ü"):
        assert refusal(odd)


def test_a_link_ends_with_its_own_time_or_the_approvals_whichever_is_first() -> None:
    assert refusal(signed(), NOW + 30 * MINUTE) == "the link has expired"
    short = signed(Links(SETTINGS.model_copy(update={"ttl": MINUTE})))
    assert Links(SETTINGS).read(short, NOW + MINUTE - 1).by == "ana"
    assert refusal(short, NOW + MINUTE) == "the link has expired"


def test_another_key_and_no_key_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    link = signed()
    monkeypatch.setenv("LINK_KEY", "another key of forty characters, rotated in")
    assert "signed with another key" in refusal(link)
    monkeypatch.setenv("LINK_KEY", "too short")
    assert "switched off" in refusal(link)
    with pytest.raises(ConfigError, match="fewer than 32"):
        signed()
    with pytest.raises(ConfigError, match="must be a reference"):
        signed(Links(LinkSettings()))
