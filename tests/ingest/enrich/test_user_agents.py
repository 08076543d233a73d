"""User agents: ECS fields, and that they cost nothing where nothing is known."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.enrich.user_agents import UserAgents

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36"
)


@pytest.fixture(scope="module")
def agents() -> UserAgents:
    return UserAgents()


def test_a_browser(agents: UserAgents) -> None:
    document: dict[str, Any] = {"user_agent": {"original": CHROME}}
    agents.apply(document)
    assert document["user_agent"] == {
        "original": CHROME,
        "name": "Chrome",
        "version": "120.0.0.0",
        "os": {"name": "Windows", "version": "10", "full": "Windows 10"},
    }


def test_a_tool_and_what_nobody_knows(agents: UserAgents) -> None:
    document: dict[str, Any] = {"user_agent": {"original": "curl/8.5.0"}}
    agents.apply(document)
    assert (document["user_agent"]["name"], document["user_agent"]["version"]) == ("curl", "8.5.0")
    unknown: dict[str, Any] = {"user_agent": {"original": "qqq"}}
    agents.apply(unknown)
    assert unknown == {"user_agent": {"original": "qqq"}}


def test_what_the_event_says_itself_stays_and_nothing_is_shared(agents: UserAgents) -> None:
    first: dict[str, Any] = {"user_agent": {"original": CHROME, "name": "mine"}}
    agents.apply(first)
    assert first["user_agent"]["name"] == "mine"
    first["user_agent"]["os"].clear()
    second: dict[str, Any] = {"user_agent": {"original": CHROME}}
    agents.apply(second)
    assert second["user_agent"]["os"]["full"] == "Windows 10"


@pytest.mark.parametrize("body", [None, "x", [], {}, {"original": 7}, {"original": "(" * 100_000}])
def test_odd_shapes_and_long_texts(agents: UserAgents, body: Any) -> None:
    document = {"user_agent": body}
    agents.apply(document)
    assert document == {"user_agent": body}
