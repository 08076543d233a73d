"""What a playbook would do and why, and tests made from runs: pure parts."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.explaining import explained, split
from playbooks.guards import SiteGuards
from playbooks.planning import planned
from playbooks.ranges import NamedList
from playbooks.rehearsal import children, rehearsed
from playbooks.testing import Answer, load_cases, play, run_test
from playbooks.writing import to_yaml
from tests.playbooks.doubles import ALERT
from tests.playbooks.test_sub_playbooks import BOOK
from tests.playbooks.worlds import MINUTE, Stage, written
from tocsin.cli.planning import impact
from tocsin.contracts import Failure, Verdict

NOW = 1_767_225_600_000
ASKS = """\
metadata: {id: asks}
trigger: {when: 'alert.event.severity >= 60 && (has(alert.source.ip) || alert.x == "a && b")',
          dedup: {key: alert.source.ip, window: 1h}}
limits: {deadline: 2h}
steps:
  - {id: look, action: geoip.lookup, with: {ip: !cel alert.source.ip}, on_error: continue}
  - {id: ask, approval: {message: "Block {{ alert.source.ip }}?", timeout: 30m,
     approvers: {group: soc, quorum: 2}}}
  - id: block
    if: steps.ask.decision == "approved" && steps.look.output.country == "NL"
    action: firewall.block_ip
    with: {ip: !cel alert.source.ip}
    hold: {ttl: 1h}
    on_error: continue
    retry: {max: 2, initial: 1s, on: [timeout]}
"""
MADE = written(ASKS)
NL = {"look": (Answer(output={"country": "NL"}),)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a && b || c", (["a && b", "c"], "||")),
        ("a && (b || c)", (["a", "(b || c)"], "&&")),
        ("""a == "x && y" && b == 'it\\'s || so'""",
         (['a == "x && y"', "b == 'it\\'s || so'"], "&&")),
        ("l.exists(x, x > 1 && x < 3)", ([], "")),
        ("a && b ? c : d", ([], "")),
        ("!(a && b)", ([], "")),
    ],
)  # fmt: skip
def test_conditions_are_split_where_they_are_joined(
    text: str, expected: tuple[list[str], str]
) -> None:
    assert split(text) == expected


def test_every_clause_says_what_it_is_and_what_it_saw() -> None:
    whole = explained(MADE.document.trigger.when, ALERT)
    assert (whole.value, whole.operator) == (True, "&&")
    severe, either = whole.parts
    assert (severe.value, severe.seen) == (True, {"alert.event.severity": 73})
    assert (either.operator, [each.text for each in either.parts]) == (
        "||", ["has(alert.source.ip)", 'alert.x == "a && b"'],
    )  # fmt: skip
    assert either.parts[0].value is True
    assert str(either.parts[1].value).startswith("error: ")
    assert explained("((alert.event.severity > 90))", ALERT).value is False


def test_a_plan_has_the_guards_word_and_does_nothing() -> None:
    site = SiteGuards(lists={"own": NamedList.parse("own", ["203.0.113.0/24"])}, never=("own",))
    made = planned(MADE, ALERT, site=site, now=NOW, answers=NL)
    block = next(each for each in made.steps if each.step == "block")
    assert (block.status, block.acts, block.target) == ("refused", True, "203.0.113.9")
    assert [v.guard for v in block.verdicts if not v.allowed] == ["never:own"]
    assert [each.step for each in made.steps] == ["look", "ask", "block"]
    free = planned(MADE, ALERT, site=SiteGuards(), now=NOW, answers=NL)
    assert [each.status for each in free.steps] == ["ok", "ok", "ok"]
    assert [q["message"] for q in free.questions] == ["Block 203.0.113.9?"]
    said_no = planned(MADE, ALERT, site=SiteGuards(), now=NOW, answers=NL, approve=False)
    assert said_no.steps[-1].status == "skipped"


def test_a_plan_goes_into_sub_playbooks() -> None:
    made = planned(BOOK, ALERT, site=SiteGuards(), now=NOW)
    assert [(each.step, each.status) for each in made.steps] == [
        ("sub", "ok"), ("sub/block", "ok"), ("seen", "ok"),
    ]  # fmt: skip


def test_impact_counts_runs_targets_and_refusals() -> None:
    simple = written(ASKS.replace(' && steps.look.output.country == "NL"', ""))
    own = {"revision": 1, "window_start": "2026-01-01T00:00:00.000Z"}
    alerts: list[dict[str, Any]] = [
        {
            **ALERT,
            "source": {"ip": f"203.0.113.{n % 3}"},
            "tocsin": {"alert": {**own, "id": f"{n}"}},
        }
        for n in range(9)
    ]
    alerts += [{**alerts[0], "event": {"severity": 5}}, {**alerts[0], "event": {}}]
    site = SiteGuards(lists={"own": NamedList.parse("own", ["203.0.113.2"])}, never=("own",))
    told = impact(simple, alerts, site, NOW)
    assert (told["alerts"], told["triggered"], told["trigger_errors"]) == (11, 9, 1)
    assert (told["runs"], told["questions"]) == (3, 3)
    assert told["targets"] == {"firewall.block_ip": {"203.0.113.0": 1, "203.0.113.1": 1}}
    assert told["refused"] == {"never:own": 1}


def test_a_run_becomes_a_test_that_holds_and_that_notices_a_change() -> None:
    stage = Stage(MADE)
    run = stage.start()
    stage.answer(stage.last("geoip.lookup"), output={"country": "NL"})
    stage.decide(run, "ask", by="zoe", groups=("sales",), at=MINUTE)
    stage.decide(run, "ask", by="ana", at=2 * MINUTE)
    stage.decide(run, "ask", by="bor", at=3 * MINUTE)
    block = stage.last("firewall.block_ip")
    failure = Failure(kind="timeout", message="slow")
    stage.answer(block, "failed", at=3 * MINUTE + 500, failure=failure)
    stage.timer(run, "retry/block")
    refusal = Verdict(guard="never:own", allowed=False, reason="ours")
    stage.answer(stage.last("firewall.block_ip"), "refused", at=4 * MINUTE, verdicts=(refusal,))
    events = [event.model_dump(mode="json") for event in stage.events]
    case = rehearsed("as it went", stage.given[0].model_dump()["alert"], {"": events})
    text = to_yaml({"cases": [case]})
    (read,) = load_cases("r.test.yml", text.encode())
    assert read.expect.steps == {"look": "ok", "ask": "ok", "block": "refused"}
    assert read.expect.targets["block"] == "203.0.113.9"
    assert run_test(MADE, read).problems == ()
    assert run_test(written(ASKS.replace('"NL"', '"SI"')), read).problems


def test_a_run_that_called_another_becomes_one_test() -> None:
    played = play(BOOK, ALERT, {})
    assert played.state is not None
    of: dict[str, list[dict[str, Any]]] = {}
    for event in played.events:
        of.setdefault(event.run_id, []).append(event.model_dump(mode="json"))
    main = of[played.state.run_id]
    ((step, child),) = children(main)
    case = rehearsed("both", ALERT, {"": main, f"{step}/": of[child]})
    (read,) = load_cases("r.test.yml", to_yaml({"cases": [case]}).encode())
    assert read.expect.targets == {"sub/block": "203.0.113.9"}
    assert run_test(BOOK, read).problems == ()
