"""Loading: every mistake at once, each with its place; equal content, equal hash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from playbooks.editor import schema
from playbooks.loading import from_canonical, load_playbook, load_playbooks
from playbooks.model import PlaybookDocument
from tests.playbooks.doubles import ACTIONS, HEAD, playbook
from tocsin.errors import ContentErrors


def complaints(rest: str, head: str = HEAD) -> list[str]:
    with pytest.raises(ContentErrors) as raised:
        playbook(rest, head)
    return [str(error) for error in raised.value.errors]


def test_five_mistakes_are_five_errors_with_places() -> None:
    found = complaints(
        """\
vars: {ip: alert.source.ip}
steps:
  - id: look
    action: geoip.lokup
    with: {ip: !cel vars.pi}
  - id: block
    action: firewall.block_ip
    with: {ip: !cel vars.ip, coment: x}
  - id: tell
    if: steps.lok.status == "ok"
    action: notify.webhook
    with: {message: hello}
"""
    )
    assert found == [
        "test.yml:8:5: steps[0].action: no verb 'geoip.lokup' (did you mean 'geoip.lookup'?)",
        "test.yml:9:12: steps[0].with.ip: no variable 'pi' (known: ip)",
        "test.yml:10:5: steps[1]: 'firewall.block_ip' contains: 'hold' is missing "
        "(such as hold: {ttl: 1h})",
        "test.yml:12:30: steps[1].with.coment: 'firewall.block_ip' has no input 'coment' "
        "(did you mean 'comment'?)",
        "test.yml:14:5: steps[2].if: no step 'lok' (did you mean 'look'?)",
    ]


def test_mistakes_of_form_come_together_too() -> None:
    found = complaints(
        """\
limits: {deadline: 15}
steps:
  - {id: Bad Name, stop: enough}
  - {id: a, action: geoip.lookup, wiht: {ip: 192.0.2.1}}
  - {id: b, run: Another}
  - {id: c}
  - {id: d, action: geoip.lookup, retry: {on: [timeuot]}}
"""
    )
    assert [text.split(": ", 1)[0] for text in found] == [
        "test.yml:5:10", "test.yml:7:6", "test.yml:8:35", "test.yml:9:13", "test.yml:10:5",
        "test.yml:11:48",
    ]  # fmt: skip
    words = ("unit", "form", "did you mean 'with'", "of the form", "exactly one", "timeuot")
    for text, word in zip(found, words, strict=True):
        assert word in text


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("steps: [{id: a, for_each: {in: x}}]", "'do' is missing"),
        ("steps: [{id: a, for_each: {in: '[1]', do: {id: b, action: geoip.lookup, with: "
         "{ip: !cel itm}}}}]", "itm"),
        ("steps: [{id: a, approval: {message: x, timeout: 1m}}]", "'approvers' is missing"),
        ("steps: [{id: a, approval: {message: x, timeout: 8d, approvers: {group: g}}}]",
         "less than or equal"),
        ("steps: [{id: a, approval: {message: '{{ f() }}', timeout: 1m, approvers: "
         "{group: g}}}]", "not allowed"),
        ("steps: [{id: a, approval: {message: x, timeout: 1m, approvers: {group: g}, "
         "on_timeout: escalate}}]", "belong together"),
        ("steps: [{id: a, run: x, wiht: {}}]", "did you mean 'with'"),
        ("inputs: {a: {required: true, default: 1}}\nsteps: [{id: a, stop: x}]", "not required"),
        ("inputs: {a: {}}\nsteps: [{id: a, let: {x: inputs.b}}]", "no input 'b' (known: a)"),
        ("outputs: {a: steps.b.x}\nsteps: [{id: a, stop: x}]", "no step 'b'"),
        ("steps: [{id: a, run: x}, {id: b, let: {x: steps.a.nope}}]", "has no 'nope'"),
        ("steps: [{id: a, action: firewall.block_ip, with: {ip: 192.0.2.1}, hold: {ttl: 1h, "
         "on_expiry: approval}}]", "hold.on_expiry: nobody is named to be asked"),
        ("steps: [{id: a, action: firewall.block_ip, with: {ip: 192.0.2.1}, hold: {ttl: 1h}, "
         "guard: {rate: {max: 1, per: 1m, exceed: approval}}}]", "nobody is named to be asked"),
        ("steps: [{id: a, action: geoip.lookup, with: {ip: 192.0.2.1}, guard: {max_percent: 0}}]",
         "greater than 0"),
        ("steps: [{id: a, action: geoip.lookup, with: {ip: 192.0.2.1}, guard: {quiet_hours: "
         "{from: '22:00', to: '6:00'}}}]", "of the form"),
        ("steps: [{id: a, action: geoip.lookup, with: {ip: 192.0.2.1}, guard: {quiet_hours: "
         "{zone: Mars/Base, from: '22:00'}}}]", "no time zone"),
        ("steps: [{id: a, action: geoip.lookup, with: {ip: 192.0.2.1}, guard: {quiet_hours: "
         "{from: '06:00', to: '06:00'}}}]", "the same time"),
        ("steps: [{id: a, wait: 5h}]", "deadline"),
        ("steps: [{id: a, action: geoip.lookup, verify: {}}]", "'until' is missing"),
        ("steps: [{id: a, let: {x: '1 +'}}]", "line 1, column 4"),
        ("steps: [{id: a, let: {x: alert.a}, if: 1 + 1}]", "true or false"),
        ("steps: [{id: a, let: {x: steps.b.y}}, {id: b, let: {y: 1}}]", "has not run yet"),
        ("steps: [{id: a, let: {x: 1}}, {id: b, let: {y: steps.a.z}}]", "has no 'z'"),
        ("steps: [{id: a, let: {x: 1}}, {id: a, let: {x: 1}}]", "taken by another step"),
        ("steps: [{id: in, let: {x: 1}}]", "word of CEL"),
        ("steps: [{id: a, let: {status: 1}}]", "the step's own"),
        ("steps: [{id: a, stop: '{% for x in y %}{% endfor %}'}]", "not allowed"),
        ("vars: {a: 1, b: vars.a}\nsteps: [{id: a, stop: x}]", "undeclared reference to 'vars.a'"),
        ("steps: [{id: a, let: {x: run.nope}}]", "a run has no 'nope'"),
        ("steps: [{id: a, action: geoip.lookup, with: {ip: 300.1.1.1}}]", "no IPv4"),
        ("steps: [{id: a, action: geoip.lookup}]", "needs the input 'ip'"),
        ("steps: [{id: a, action: geoip.lookup, with: {ip: 192.0.2.1}, hold: {ttl: 1h}}]",
         "nothing that could be held"),
        ("steps: [{id: a, action: case.report, hold: {ttl: 1h}}]", "(leave it out)"),
        ("steps: [{id: a, action: geoip.lookup, with: {ip: 192.0.2.1, pi: !cel alert.x}}]",
         "has no input 'pi'"),
        ("steps: [{id: a, action: firewall.block_ip, with: {ip: 192.0.2.1},"
         " hold: {ttl: 2h, max: 1h}}]", "shorter"),
        ("steps: [{id: a, action: pager.call, with: {message: x}, retry: {on: [timeout]}}]",
         "may happen twice"),
        ("steps: [{id: a, action: case.report, with: {run: {}}}]", "filled in by the engine"),
        ("steps: [{id: a, parallel: {join: {min_success: 2}, branches:"
         " [{id: b, action: geoip.lookup, with: {ip: 192.0.2.1}}]}}]", "can never succeed"),
        ("steps: [{id: a, parallel: {join: {any: true, all: true}, branches:"
         " [{id: b, action: geoip.lookup, with: {ip: 192.0.2.1}}]}}]", "one of all, any"),
        ("limits: {max_steps: 1}\nsteps: [{id: a, stop: x}, {id: b, stop: x}]", "max_steps"),
        ("limits: {max_fanout: 1}\nsteps: [{id: a, parallel: {branches:"
         " [{id: b, action: geoip.lookup, with: {ip: 192.0.2.1}},"
         " {id: c, action: geoip.lookup, with: {ip: 192.0.2.1}}]}}]", "max_fanout"),
        ("steps: []", "at least 1"),
    ],
)  # fmt: skip
def test_refused(rest: str, reason: str) -> None:
    assert any(reason in text for text in complaints(rest))


def test_trigger_mistakes() -> None:
    head = HEAD.replace('"true"', "vars.x").replace("}\n", "}\n")
    assert any("undeclared" in text for text in complaints("steps: [{id: a, stop: x}]", head))


def test_unknown_guard_list(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(
        HEAD + "steps: [{id: a, action: firewall.block_ip, with: {ip: 192.0.2.1}, hold: {ttl: 1h},"
        " guard: {never: [partnerz]}}]"
    )
    with pytest.raises(ContentErrors, match=r"never\[0\]: no guard list 'partnerz' \(did you"):
        load_playbooks([tmp_path], (), actions=ACTIONS, guard_lists=["partners"])


def test_a_set_is_loaded_whole_or_not_at_all(tmp_path: Path) -> None:
    good = HEAD + "steps: [{id: a, stop: x}]"
    (tmp_path / "a.yml").write_text(good)
    (tmp_path / "b.yml").write_text(good)
    (tmp_path / "b.test.yml").write_text("cases: []")
    (tmp_path / "c.yaml").write_text("steps: 1")
    missing = tmp_path / "none.yml"
    with pytest.raises(ContentErrors) as raised:
        load_playbooks([tmp_path, missing], (), actions=ACTIONS)
    text = str(raised.value)
    assert f"the id 'test' is taken by {tmp_path / 'a.yml'}" in text
    assert f"{tmp_path / 'c.yaml'}:1:1: apiVersion: 'apiVersion' is missing" in text
    assert f"{missing}: the file cannot be read" in text
    (tmp_path / "b.yml").unlink()
    (tmp_path / "c.yaml").unlink()
    assert list(load_playbooks([tmp_path], (), actions=ACTIONS).playbooks) == ["test"]


def test_verb_without_connector_needs_optional() -> None:
    text = "steps: [{id: a, action: geoip.lookup, with: {ip: 192.0.2.1}%s}]"
    known = ["geoip.lookup"]
    with pytest.raises(ContentErrors, match="no connector serves"):
        load_playbook("p.yml", (HEAD + text % "").encode(), {}, known)
    load_playbook("p.yml", (HEAD + text % ", optional: true").encode(), {}, known)
    with pytest.raises(ContentErrors, match="no verb"):
        load_playbook("p.yml", (HEAD + text % ", optional: true").encode(), {}, ["x.y"])


STEPS = "steps: [{id: a, action: geoip.lookup, with: {ip: !cel alert.source.ip}}]"


def test_hash_is_of_the_meaning() -> None:
    spelled = "# why\nsteps:\n  - action: geoip.lookup\n    timeout: 30000ms\n    id: a\n"
    spelled += "    with:\n      ip: !cel 'alert.source.ip'\n"
    assert playbook(STEPS).hash == playbook(spelled).hash
    assert playbook(STEPS).hash != playbook(STEPS.replace("source", "client")).hash


def test_pinned_source_gives_the_same_playbook() -> None:
    made = playbook(STEPS + "\nlimits: {deadline: 90s}\nvars: {x: 1}")
    again = from_canonical(made.source, ACTIONS)
    assert again.hash == made.hash
    assert PlaybookDocument.parse(again.source) == made.document
    with pytest.raises(ValueError, match="apiVersion"):
        from_canonical({"steps": []}, ACTIONS)


def test_schema_knows_the_language() -> None:
    made = schema()
    assert set(made["properties"]) >= {"apiVersion", "trigger", "limits", "vars", "steps"}
    assert made["$defs"]["ActionStep"]["properties"]["if"]
    assert made["$defs"]["Hold"]["properties"]["ttl"]["pattern"]


def test_editors_are_told_of_every_key_and_of_nothing_that_is_refused() -> None:
    made = schema()
    kinds = made["properties"]["steps"]["items"]["anyOf"]
    assert {each["$ref"].rpartition("/")[2] for each in kinds} == {
        "ActionStep", "LetStep", "ParallelStep", "EachStep", "RunStep", "ApprovalStep", "WaitStep",
        "StopStep",
    }  # fmt: skip
    for name, definition in {"": made, **made["$defs"]}.items():
        assert definition["additionalProperties"] is False, name
        for key, each in definition["properties"].items():
            assert each.get("description"), (name, key)


def test_the_published_schema_is_the_current_one() -> None:
    published = Path(__file__).parents[2] / "deploy" / "playbook.schema.json"
    now = "tocsin playbook schema -o deploy/playbook.schema.json writes it anew"
    assert json.loads(published.read_text("utf-8")) == schema(), now
