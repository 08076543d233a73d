"""A small world for tests of the whole path: configuration, input, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from tocsin.cli.story import NOISE, story
from tocsin.contracts import Effect, Topics, raw_record
from tocsin.ids import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tocsin.log.base import Log, Outgoing, Record

#: When the story of the tests ends, ms: the result must not depend on today.
END = 1_795_000_000_000

PLAYBOOK = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: contain, version: 1, owner: tests}
trigger:
  when: alert.event.severity >= 47 && has(alert.source.ip)
  dedup: {key: 'alert.rule.id + "|" + alert.source.ip', window: 1d}
limits: {deadline: 10m}
vars: {ip: alert.source.ip}
steps:
  - id: asset
    action: inventory.lookup
    with: {entity: !cel vars.ip}
  - id: contain
    if: "!steps.asset.output.found"
    action: containment.webhook
    with: {entity: !cel vars.ip}
    hold: {ttl: 1d, max: 2d}
    guard: {never: [own_ranges]}
    retry: {max: 8, initial: 100ms, cap: 500ms, on: [timeout, unavailable, http_5xx]}
    timeout: 5s
  - {id: tell, action: notify.webhook, with: {message: !cel '"contained " + vars.ip'}}
  - {id: report, always: true, action: case.report, with: {title: !cel alert.rule.name}}
"""

INVENTORY = "name,addresses,criticality,owner,tags\noffice,192.0.2.8/29,critical,it@example.com,\n"


def configure(
    directory: Path,
    target: str,
    *,
    log: Mapping[str, Any] | None = None,
    batch_size: int = 1000,
    **sections: Any,
) -> Path:
    """Write a configuration that enforces against a counting target at `target` (a URL)."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "playbooks").mkdir(exist_ok=True)
    (directory / "playbooks" / "contain.yml").write_text(PLAYBOOK, "utf-8")
    (directory / "inventory.csv").write_text(INVENTORY, "utf-8")
    (directory / "secret").write_text("a test's secret", "utf-8")
    settings = {
        "data_dir": "data",
        "batch_size": batch_size,
        "log": dict(log or {"backend": "sqlite"}),
        "playbooks": {"builtin": [], "paths": ["playbooks"]},
        "enrichment": {"inventory": "inventory.csv"},
        "console": {"enabled": False},
        "response": {
            "mode": "enforce",
            "reports": "reports",
            "guards": {"lists": {"own_ranges": ["192.0.2.0/24"]}, "never": ["own_ranges"]},
            "connectors": {
                "target": {
                    "type": "webhook",
                    "containment": target,
                    "channels": {"default": f"{target}/notify"},
                    "secret": f"file:{directory / 'secret'}",
                    "allow_http": True,
                },
            },
        },
        **sections,
    }
    path = directory / "tocsin.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path


def story_records(*, noise: int = NOISE) -> list[Outgoing]:
    """The demo's story as raw records, spread over partitions by source and minute.

    A key a minute sends neighbouring lines of one attack through different partitions, so that
    they arrive out of order.
    """
    return [
        raw_record(
            line.data,
            source=line.source,
            received=line.at,
            key=f"{line.source}/{line.at // 20_000}".encode(),
        )
        for chapter in story(END, noise=noise)
        for line in chapter.lines
    ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of the pipeline came to, in a form that can be compared byte for byte."""

    alerts: dict[str, bytes]
    effects: dict[str, bytes]
    events: frozenset[str]
    dead: frozenset[str]


async def outcome(log: Log) -> Outcome:
    """Read the final alerts, distinct effects, events and dead letters from the log."""
    alerts: dict[str, bytes] = {}
    newest: dict[str, int] = {}
    for record in await records(log, Topics.ALERTS):
        about = orjson.loads(record.value)["tocsin"]["alert"]
        if about["revision"] >= newest.get(about["id"], 0):
            newest[about["id"]] = about["revision"]
            alerts[about["id"]] = record.value
    effects = {}
    for record in await records(log, Topics.EFFECTS):
        effect = Effect.decode(record.value)
        effects[effect.id] = decision(effect)
    events = [orjson.loads(r.value)["event"]["id"] for r in await records(log, Topics.EVENTS)]
    dead = [orjson.loads(r.value)["id"] for r in await records(log, Topics.DEAD_LETTERS)]
    return Outcome(alerts, effects, frozenset(events), frozenset(dead))


def decision(effect: Effect) -> bytes:
    """What was decided, without when: a report's input tells the run's own clock times."""
    inputs = {name: value for name, value in effect.inputs.items() if name not in ("run", "alert")}
    return canonical_json(
        [effect.verb, effect.target, effect.step, effect.playbook, effect.run_id, inputs]
    )


async def records(log: Log, topic: str) -> list[Record]:
    """Every record of a topic."""
    found: list[Record] = []
    for at, end in sorted((await log.end_offsets(topic)).items()):
        offset = 0
        while offset < end and (some := await log.read(at, offset, 1000)):
            found.extend(some)
            offset = some[-1].offset + 1
    return found
