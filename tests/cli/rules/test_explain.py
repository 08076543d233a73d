"""`tocsin rules explain`: why a rule matches an event, or does not."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.cli.rules.conftest import ROOT_SHELL, Place, shell_rule, sudo_line

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

ECS = {
    "@timestamp": "2026-01-05T10:00:00.000Z",
    "ecs": {"version": "9.2.0"},
    "event": {"dataset": "system.auth"},
    "process": {"name": "sudo", "command_line": "/bin/sh -c id"},
}


@pytest.mark.parametrize("name", [ROOT_SHELL, "root_shell", "Shell as root", "shell AS root"])
def test_a_match_is_explained_part_by_part(run: Run, site: Place, name: str) -> None:
    ran = run("explain", name, site.log(sudo_line("/bin/sh")))
    assert ran.code == 0
    assert "Shell as root" in ran.out
    assert "matches" in ran.out
    assert "✔ selection: COMMAND|contains: /bin/sh" in ran.out
    assert "← /bin/sh" in ran.out


def test_a_miss_is_explained_too(run: Run, site: Place) -> None:
    ran = run("explain", "root_shell", site.log(sudo_line("/bin/ls")))
    assert ran.code == 1
    assert "does not match" in ran.out
    assert "✘ selection: COMMAND|contains: /bin/sh  ← /bin/ls" in " ".join(ran.out.split(" "))


def test_an_event_of_another_logsource(run: Run, site: Place) -> None:
    access = '203.0.113.9 - - [05/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8"'
    ran = run("explain", "root_shell", site.log(access, name="access.log"))
    assert ran.code == 1
    assert "the rule is for product=linux service=sudo; the event is of category=webserver" in (
        " ".join(ran.out.split())
    )
    assert "✘" in ran.out


def test_json_has_every_step(run: Run, site: Place) -> None:
    ran = run("explain", "root_shell", site.log(sudo_line("/bin/sh")), "--json")
    (row,) = ran.rows()
    assert row["matched"] is True
    assert row["rule"]["id"] == ROOT_SHELL
    assert row["seen"][0]["steps"][0]["held"] is True
    assert "product=linux service=sudo" in row["event_logsources"]


def test_an_event_as_ecs_in_one_line_or_many(
    run: Run, site: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in (0, orjson.OPT_INDENT_2):
        path = site.directory / "event.json"
        path.write_bytes(orjson.dumps(ECS, option=option))
        assert run("explain", "root_shell", path).code == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(orjson.dumps(ECS))))
    assert run("explain", "root_shell").code == 0


def test_one_record_of_several(run: Run, site: Place) -> None:
    log = site.log(sudo_line("/bin/ls"), sudo_line("/bin/sh"))
    assert run("explain", "root_shell", log).code == 1
    assert run("explain", "root_shell", log, "--record", 1).code == 0
    ran = run("explain", "root_shell", log, "--record", 2)
    assert (ran.code, "has 2 records" in ran.err) == (2, True)


def test_what_cannot_be_explained_is_said(run: Run, site: Place) -> None:
    site.write(
        shell_rule(),
        shell_rule(
            id="00000000-0000-4000-8000-000000000009",
            name=None,
            title="Look-ahead",
            detection={"s": {"f|re": "(?=x)y"}, "condition": "s"},
        ),
        {
            "title": "Several",
            "name": "several",
            "correlation": {
                "type": "event_count",
                "rules": ["root_shell"],
                "group-by": ["host.name"],
                "timespan": "5m",
                "condition": {"gte": 3},
            },
        },
    )
    log = site.log(sudo_line("/bin/sh"))
    for name, words in (
        ("root_shel", "did you mean root_shell"),
        ("Look-ahead", "cannot be evaluated"),
        ("several", "is a correlation"),
    ):
        ran = run("explain", name, log)
        assert ran.code == 2
        assert words in ran.err
    empty = site.log("", name="empty.log")
    assert "has 0 records" in run("explain", "root_shell", empty).err
    broken = site.log('{"cut": "off', name="broken.log")
    ran = run("explain", "root_shell", broken)
    assert ran.code == 2
    assert "is no event" in ran.err


def test_hostile_values_do_not_reach_the_terminal(run: Run, site: Place) -> None:
    ran = run("explain", "root_shell", site.log(sudo_line("/bin/sh \x1b[31m\x9b2J\u202e")))
    assert "\x1b" not in ran.out
    assert "\x9b" not in ran.out
    assert "\u202e" not in ran.out


def test_a_wrapped_event(run: Run, site: Place) -> None:
    wrapped = orjson.dumps({"file": "a.evtx", "event": sudo_line("/bin/sh")}).decode()
    assert run("explain", "root_shell", site.log(wrapped), "--input-field", "event").code == 0
    ran = run("explain", "root_shell", site.log(wrapped), "--input-field", "log")
    assert ran.code == 2
    assert "no field log" in ran.err
