"""What the page makes of documents."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.console.conftest import NOW
from tests.console.test_app import RUN, alert, event, lease
from tocsin.clock import iso
from tocsin.console import view
from tocsin.console.questions import Question


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (61_000, "1 min"),
        (3_600_000, "1 h"),
        (14_399_000, "3 h 59 min"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_a_span_has_its_two_largest_units(milliseconds: int, text: str) -> None:
    assert view.span(milliseconds) == text


@pytest.mark.parametrize(
    ("at", "text", "ahead"),
    [
        (NOW, "just now", False),
        (NOW - 119_000, "1 min ago", False),
        (iso(NOW - 7_200_000), "2 h ago", False),
        (NOW + 3_600_000, "in 1 h", True),
        (None, "", False),
        ("no time", "", False),
        (10**30, "", False),
    ],
)
def test_a_moment_is_said_relative_to_now(at: object, text: str, ahead: bool) -> None:
    found = view.moment(at, NOW)
    assert (found["text"], found["ahead"]) == (text, ahead)


@pytest.mark.parametrize(
    ("severity", "name"),
    [(99, "critical"), (90, "critical"), (73, "high"), (47, "medium"), (21, "low"), (10, "info"),
     (None, "info"), ("99", "info")],
)  # fmt: skip
def test_severities_have_sigmas_names(severity: object, name: str) -> None:
    assert view.level(severity) == name


def test_alerts_of_little_weight_are_one_row_a_rule() -> None:
    rows = view.alerts([alert("Noise", 21), alert("Break-in", 99), alert("Noise", 21)], NOW)
    assert [(row["rule"], row["more"], row["count"]) for row in rows] == [
        ("Noise", 1, 24),
        ("Break-in", 0, 12),
    ]
    weighty = view.alerts([alert("Break-in", 99), alert("Break-in", 99)], NOW)
    assert len(weighty) == 2


def test_a_run_is_one_row_with_its_steps_and_outcome() -> None:
    (row,) = view.runs(reversed(RUN), {"a-Guessing": "Guessing"}, NOW)
    assert (row["playbook"], row["outcome"], row["rule"]) == ("contain v3", "completed", "Guessing")
    assert {name: step["state"] for name, step in row["steps"].items()} == {
        "block": "ok",
        "tell": "refused",
    }
    assert row["steps"]["block"]["target"] == "203.0.113.9"
    assert row["steps"]["tell"]["why"] == "quiet hours"


def test_a_run_under_way_and_one_whose_beginning_is_gone() -> None:
    (under_way,) = view.runs(reversed(RUN[:2]), {}, NOW)
    assert (under_way["outcome"], under_way["steps"]["block"]["state"]) == ("running", "running")
    (headless,) = view.runs(reversed(RUN[2:]), {}, NOW)
    assert (headless["playbook"], headless["outcome"]) == ("", "completed")


def test_runs_are_told_apart_newest_first() -> None:
    newer = {**event("started", 0, playbook="other", version=1), "run_id": "run-2"}
    rows = view.runs([newer, *reversed(RUN)], {}, NOW)
    assert [row["id"] for row in rows] == ["run-2", "run-1"]


def test_leases_in_force_come_first_and_show_what_is_left() -> None:
    ended = lease(state="released", target="a")
    held = lease(target="b")
    overdue = lease(target="c", state="undo_failed", expires=NOW - 1_000 * 60 * 5)
    rows = view.leases([ended, held, overdue], NOW)
    assert [row["target"] for row in rows] == ["b", "c", "a"]
    assert [row["ends"]["text"] for row in rows] == ["in 2 h", "5 min ago", "1 min ago"]
    assert [row["tone"] for row in rows] == ["held", "failed", "done"]


def test_a_long_text_is_cut() -> None:
    row = view.dead_letter({"reason": "x" * 10_000}, NOW)
    assert len(row["reason"]) == view.MAX_TEXT
    assert row["reason"].endswith("…")


NAMES = st.sampled_from(
    ["event", "severity", "tocsin", "alert", "rule", "name", "threat", "technique", "id", "count",
     "state", "holders", "expires", "failure", "at", "kind", "data", "step", "run_id", "duration"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, JSON))
def test_any_document_can_be_shown(document: dict[str, Any]) -> None:
    rows = [
        *view.alerts([document], NOW),
        *view.leases([document], NOW),
        *view.runs(
            [document, {**document, "kind": "started"}, {**document, "kind": "failed"}], {}, NOW
        ),
        view.dead_letter(document, NOW),
    ]
    assert all(text.isprintable() for row in rows for text in row.values() if isinstance(text, str))


def test_an_approval_shows_what_an_action_takes_in_harmless_lines() -> None:
    inputs = {"ip": "192.0.2.7", "why": "\x1b[31mred\nnext", "data": {"a": [1]}, "none": None,
              "long": "x" * 10_000, "empty": ""}  # fmt: skip
    asked = Question("q", "run-1", "ask", NOW, actions=({"verb": "v", "inputs": inputs},))
    (action,) = view.question(asked, NOW)["actions"]
    told = dict(action["inputs"])
    assert told["ip"] == "192.0.2.7"
    assert told["data"] == '{"a":[1]}'
    assert set(told) == {"ip", "why", "data", "long"}
    assert all(text.isprintable() and len(text) <= view.MAX_TEXT for text in told.values())
    odd = Question("q", "run-1", "ask", NOW, actions=({"verb": "v", "inputs": [1]},))
    assert view.question(odd, NOW)["actions"][0]["inputs"] == []
