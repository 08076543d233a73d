"""Mistakes in what users write: all of them at once, each with its place, and nothing started."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from tests.faults.crashing import feed, read_outcome, worker
from tests.flow.world import END, PLAYBOOK, configure
from tocsin.cli.main import main
from tocsin.contracts import raw_record

if TYPE_CHECKING:
    from pathlib import Path

#: Nobody listens there, and nobody needs to: these configurations never start, or call nobody.
NOWHERE = "http://127.0.0.1:9"

RULE = """\
title: {title}
logsource: {{product: linux, service: sshd}}
detection:
  sel: {{{field}: {value}}}
  condition: {condition}
"""

GOOD = RULE.format(title="Good", field="user.name", value="mallory", condition="sel") + (
    "level: high\nlicense: Apache-2.0\nauthor: tests\n"
)


def rule(**changes: str) -> str:
    usual = {"title": "T", "field": "user.name", "value": "mallory", "condition": "sel"}
    return RULE.format(**{**usual, **changes})


#: A file for each kind of mistake, and where and what is said of it.
MISTAKES: dict[str, tuple[str | bytes, str]] = {
    "a-no-yaml.yml": ("title: T\ndetection: [open\n", ":2:12: no YAML"),
    "b-key-twice.yml": (rule() + "level: low\nlevel: high\n", ":7:1: no YAML: the key 'level'"),
    "c-no-condition.yml": (rule().replace("  condition: sel\n", ""), ":3:1: detection: "),
    "d-no-selection.yml": (rule(condition="sel or other"), ":5:3: detection.condition: .*'other'"),
    "e-modifier.yml": (rule(field="user.name|startwith"), ":4:9: .*Unknown modifier 'startwith'"),
    "f-level.yml": (rule() + "level: hihg\n", ":6:1: level: 'hihg'"),
    "g-regex.yml": (rule(field="user.name|re", value="'ro(ot'"), r":4:9: .*'ro\(ot' is invalid"),
    "h-list.yml": ("- a\n- list\n", ":1:1: a rule must be a mapping"),
    "i-latin1.yml": (b"title: T\nauthor: Andr\xe9\n", ":2: the file is not UTF-8"),
    "j-no-logsource.yml": (
        "title: T\ndetection: {sel: {a: b}, condition: sel}\n",
        ":1:1: .*source",
    ),
    "k-window.yml": (rule() + "tocsin: {window: soon}\n", ":6:1: tocsin: 'soon' is no duration"),
    "l-reference.yml": (
        "title: T\ncorrelation:\n  type: event_count\n  rules: [nobody]\n"
        "  group-by: [source.ip]\n  timespan: 5m\n  condition: {gte: 3}\n",
        ":4:3: correlation.rules: the rule 'nobody'",
    ),
}


def mistaken_rules(directory: Path) -> Path:
    """A directory with one good rule and all the others."""
    rules = directory / "rules"
    rules.mkdir(parents=True)
    (rules / "good.yml").write_text(GOOD, "utf-8")
    for name, (text, _) in MISTAKES.items():
        (rules / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return rules


def refused(config: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `tocsin run` says before it exits with 2 without having touched anything."""
    before = sorted(config.parent.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(["run", "-c", str(config)])
    said = capsys.readouterr()
    assert stop.value.code == 2, said.err
    assert said.out == ""
    assert said.err.startswith("tocsin: nothing was started:\n")
    assert "Traceback" not in said.err
    assert sorted(config.parent.rglob("*")) == before, "something was started"
    return said.err


def rewrite(config: Path, **response: Any) -> None:
    """Change the `response` section of a configuration."""
    settings = yaml.safe_load(config.read_text("utf-8"))
    settings["response"] = {**settings["response"], **response}
    config.write_text(yaml.safe_dump(settings), "utf-8")


def test_one_broken_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(tmp_path, NOWHERE, rules={"paths": ["rules"]})
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "broken.yml").write_text(rule(condition="slection"), "utf-8")
    said = refused(config, capsys)
    assert "1 mistake, nothing was loaded:" in said
    assert f"{tmp_path}/rules/broken.yml:5:3: detection.condition: " in said
    assert "'slection', which the rule does not define" in said


def test_a_directory_with_a_dozen_kinds_of_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mistaken_rules(tmp_path)
    said = refused(configure(tmp_path, NOWHERE, rules={"paths": ["rules"]}), capsys)
    assert f"{len(MISTAKES)} mistakes, nothing was loaded:" in said
    for name, (_, told) in MISTAKES.items():
        assert re.search(f"{re.escape(str(tmp_path))}/rules/{name}{told}", said), (name, said)
    assert "good.yml" not in said


def test_allow_errors_runs_the_rest_and_shows_the_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mistaken_rules(tmp_path)
    config = configure(
        tmp_path, NOWHERE, rules={"builtin": False, "paths": ["rules"], "allow_errors": True}
    )
    line = b"Nov 18 10:00:00 web-01 sshd[7]: Failed password for mallory from 203.0.113.5 port 22"
    asyncio.run(feed(config, [raw_record(line, source="auth.log", received=END)]))
    main(["run", "-c", str(config), "--until-idle", "30"])
    said = capsys.readouterr().err
    for name, (_, told) in MISTAKES.items():
        shown = f"a rule is left out .*{re.escape(str(tmp_path))}/rules/{name}{told}"
        assert re.search(shown, said), (name, said)
    alerts = asyncio.run(read_outcome(config)).alerts.values()
    assert [orjson.loads(alert)["rule"]["name"] for alert in alerts] == ["Good"]


FIVE_MISTAKES = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: five, version: 1, owner: tests}
trigger:
  when: alert.event.severity >= 47 && has(alert.source.ip)
vars: {ip: alert.source.ip}
steps:
  - id: asset
    action: inventory.lokup
    with: {entity: !cel vars.pi}
  - id: contain
    action: containment.webhook
    with: {entity: !cel vars.ip}
    guard: {never: [own_rnges]}
  - {id: tell, action: notify.webhook, with: {message: contained}, alwys: true}
"""


def test_a_playbook_with_five_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt key, which is a mistake of form, does not hide the four of meaning."""
    config = configure(tmp_path, NOWHERE)
    path = tmp_path / "playbooks" / "five.yml"
    path.write_text(FIVE_MISTAKES, "utf-8")
    said = refused(config, capsys)
    assert "5 mistakes, nothing was loaded:" in said
    assert [line.strip() for line in said.splitlines() if "five.yml" in line] == [
        f"{path}:9:5: steps[0].action: no verb 'inventory.lokup' "
        "(did you mean 'inventory.lookup'?)",
        f"{path}:10:12: steps[0].with.entity: no variable 'pi' (known: ip)",
        f"{path}:11:5: steps[1]: 'containment.webhook' contains: 'hold' is missing "
        "(such as hold: {ttl: 1h})",
        f"{path}:14:21: steps[1].guard.never[0]: no guard list 'own_rnges' "
        "(did you mean 'own_ranges'?)",
        f"{path}:15:68: steps[2].alwys: unknown key 'alwys' (did you mean 'always'?)",
    ]


def test_an_unknown_connector_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(tmp_path, NOWHERE)
    rewrite(config, connectors={"target": {"type": "webhok", "containment": NOWHERE}})
    said = refused(config, capsys)
    told = (
        "response.connectors.target.type: no connector is of type 'webhok'; did you mean webhook?"
    )
    assert told in said
    # Of the playbook, which needs the connector, nothing is wrong.
    assert "contain.yml" not in said


def test_a_binding_to_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(tmp_path, NOWHERE)
    rewrite(config, bindings={"notify.webhook": "tagret", "case.repotr": "report"})
    said = refused(config, capsys)
    assert (
        "response.bindings.notify.webhook: no connector is called tagret; did you mean target?"
        in said
    )
    assert (
        "response.bindings.case.repotr: report does not serve case.repotr, it serves case.report"
        in said
    )


def test_an_unknown_guard_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(tmp_path, NOWHERE)
    rewrite(config, guards={"lists": {"own_ranges": ["192.0.2.0/24"]}, "never": ["own_range"]})
    assert "never: own_range is no list; did you mean own_ranges?" in refused(config, capsys)


def test_mistakes_of_every_part_come_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A connector that cannot be made hides neither bindings nor guards nor playbooks nor rules."""
    config = configure(tmp_path, NOWHERE, rules={"paths": ["rules"]}, enrichment={})
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "broken.yml").write_text(rule(condition="slection"), "utf-8")
    (tmp_path / "playbooks" / "contain.yml").write_text(
        PLAYBOOK.replace("case.report,", "case.repotr,"), "utf-8"
    )
    rewrite(
        config,
        connectors={"target": {"type": "webhok"}},
        bindings={"notify.webhook": "tagret"},
        guards={"lists": {"own_ranges": ["192.0.2.0/24"]}, "never": ["own_range"]},
    )
    said = refused(config, capsys)
    for told in (
        "'slection'",
        "did you mean webhook?",
        "did you mean target?",
        "did you mean own_ranges?",
        "no verb 'case.repotr' (did you mean 'case.report'?)",
    ):
        assert told in said, (told, said)


async def test_the_command_itself_ends_with_two(tmp_path: Path) -> None:
    config = configure(tmp_path, NOWHERE)
    rewrite(config, guards={"never": ["nobody"]})
    process = await worker(config)
    assert await asyncio.wait_for(process.wait(), 30) == 2
    said = (tmp_path / "worker-0.log").read_text("utf-8")
    assert said.startswith("tocsin: nothing was started:\n")
    assert not (tmp_path / "data").exists()
