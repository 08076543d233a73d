"""A first playbook and its tests, to change."""

from __future__ import annotations

import json
import re

from playbooks.editor import schema
from tocsin.errors import ConfigError

#: The schema's file beside the playbooks, which the first line of each names.
SCHEMA_FILE = "playbook.schema.json"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

_PLAYBOOK = """\
{header}
apiVersion: tocsin/v1
kind: Playbook
metadata:
  id: {name}
  version: 1
  title: What it is for, in a few words
  attack: [T1110]
trigger:
  # CEL on the alert. `has(…)` asks whether something is there.
  when: >-
    alert.rule.tags.exists(t, t.startsWith("attack.t1110")) && has(alert.source.ip)
  # One run for each of these in an hour; further alerts are noted in it.
  dedup: {{key: 'alert.rule.id + "|" + alert.source.ip', window: 1h}}
vars: {{ip: alert.source.ip}}
steps:
  - id: geo
    action: geoip.lookup
    optional: true # skipped, and recorded, where no connector serves the verb
    on_error: continue
    with: {{ip: !cel vars.ip}}
  - id: block
    if: alert.event.severity >= 60
    action: firewall.block_ip
    optional: true
    with: {{ip: !cel vars.ip, comment: !cel '"run " + run.id'}}
    hold: {{ttl: 1h, max: 24h}} # undone by itself
    guard: {{rate: {{max: 30, per: 10m}}}}
  - {{id: report, always: true, action: case.report, optional: true}}
"""

_ALERT = """\
      rule: {{id: r-1, name: Password Guessing, tags: [attack.t1110]}}
      event: {{severity: {severity}}}
      source: {{ip: 203.0.113.9}}
"""

_TESTS = (
    """\
cases:
  - name: a loud one is blocked
    alert:
"""
    + _ALERT.format(severity=73)
    + """\
    expect: {outcome: completed, steps: {block: ok, report: ok}, targets: {block: 203.0.113.9}}

  - name: a quiet one is only reported
    alert:
"""
    + _ALERT.format(severity=21)
    + """\
    expect: {outcome: completed, steps: {block: skipped, report: ok}}

  - name: a guard refuses
    alert:
"""
    + _ALERT.format(severity=73)
    + """\
    answers: {block: {status: refused, verdicts: [{guard: own_ranges, allowed: false}]}}
    expect: {outcome: completed, steps: {block: refused, report: ok}}

  - name: the firewall does not let us
    alert:
"""
    + _ALERT.format(severity=73)
    + """\
    answers: {block: {status: failed, failure: {kind: denied, message: not permitted}}}
    expect: {outcome: failed, reason: not permitted, steps: {report: ok}}

  - name: a crash after the block blocks once
    alert:
"""
    + _ALERT.format(severity=73)
    + """\
    crash: block
    expect:
      steps: {block: ok}
      effects: {geoip.lookup: 1, firewall.block_ip: 1, case.report: 1}

  - name: something else does not concern it
    alert: {rule: {tags: [attack.t1078]}}
    expect: {triggered: false}
"""
)


def header(schema_file: str = SCHEMA_FILE) -> str:
    """The first line of a playbook, by which the YAML language server completes and checks it."""
    return f"# yaml-language-server: $schema={schema_file}"


def skeleton(name: str) -> dict[str, str]:
    """The files of a new playbook by name. Raises ConfigError for a name that no id may be."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is no id: lower case letters, digits and -, at most 63")
    return {
        f"{name}.yml": _PLAYBOOK.format(name=name, header=header()),
        f"{name}.test.yml": _TESTS,
        SCHEMA_FILE: json.dumps(schema(), indent=2) + "\n",
    }
