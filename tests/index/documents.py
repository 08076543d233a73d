"""Documents as they come off the topics: events, alerts, run events, leases, audit, letters."""

from __future__ import annotations

from typing import Any

from tocsin.alert_document import alert_document
from tocsin.audit import append
from tocsin.clock import iso
from tocsin.contracts import (
    Alert,
    DeadLetter,
    Evidence,
    Lease,
    LeaseState,
    Reason,
    Rule,
    RunEvent,
)
from tocsin.ids import canonical_json
from tocsin.index.store import StoreDocument
from tocsin.log.base import Record

#: 2026-03-31T23:30:00Z.
START = 1_775_000_000_000 - 1_775_000_000_000 % 3_600_000 + 1_800_000


def event(
    number: int, *, at: int = START, dataset: str = "system.auth", **fields: Any
) -> dict[str, Any]:
    """An event as it stands on the `events` topic."""
    return {
        "@timestamp": iso(at + number),
        "ecs": {"version": "9.2.0"},
        "event": {
            "id": f"event-{number}",
            "kind": "event",
            "category": ["authentication"],
            "type": ["start"],
            "action": "ssh_login",
            "outcome": "failure",
            "dataset": dataset,
            "created": iso(at + number),
            "original": "Failed password for root from 192.0.2.7 port 4022 ssh2",
        },
        "source": {"ip": "192.0.2.7", "port": 4022},
        "user": {"name": "root"},
        "host": {"name": "web-01"},
        "related": {"ip": ["192.0.2.7"], "user": ["root"]},
        "message": "Failed password for root from 192.0.2.7 port 4022 ssh2",
        "tocsin": {
            "origin": f"raw/0/{number}",
            "source": "auth",
            "tenant": "default",
            "parser": {"name": "sshd", "version": "1"},
        },
        **fields,
    }


def event_document(number: int, **fields: Any) -> StoreDocument:
    """The same, ready to store."""
    body = event(number, **fields)
    return StoreDocument("events", body["event"]["id"], None, START + number, body)


def alert(revision: int = 1, *, name: str = "a", at: int = START, severity: int = 73) -> Alert:
    """An alert of `revision` failed logins."""
    return Alert(
        id=f"alert-{name}",
        rule=Rule(
            id=f"rule-{name}",
            name=f"Many failed logins ({name})",
            hash="0123456789abcdef" * 4,
            level="high",
            type="correlation",
            author="Example Author",
            license="DRL 1.1",
            tags=("attack.credential-access", "attack.t1110.001"),
        ),
        severity=severity,
        key=f"rule-{name}|source.ip=192.0.2.7",
        window_start=at - at % 3_600_000,
        window=3_600_000,
        revision=revision,
        count=revision,
        first_seen=at,
        last_seen=at + revision,
        fields={"source.ip": "192.0.2.7", "user.name": "root", "host.name": "web-01"},
        entities={"source.ip": ("192.0.2.7",), "user.name": ("admin", "root")},
        reasons=(Reason(selection="failed", field="event.action", value="ssh_login"),),
        evidence=tuple(
            Evidence(event_id=f"event-{n}", at=at + n, origin=f"raw/0/{n}", original="Failed …")
            for n in range(min(revision, 3))
        ),
        message=f"{revision} failed logins from 192.0.2.7",
    )


def alert_documents(revision: int, *, name: str = "a", at: int = START) -> list[StoreDocument]:
    """State and record of an alert's revision, ready to store."""
    body = alert_document(alert(revision, name=name, at=at))
    at = at + revision
    return [
        StoreDocument("alerts", f"alert-{name}", revision, at, body),
        StoreDocument("alert_records", f"alert-{name}-{revision}", None, at, body),
    ]


def lease(changed: int, state: LeaseState = LeaseState.ACTIVE) -> Lease:
    return Lease(
        id="lease-1",
        verb="firewall.block_ip",
        target="192.0.2.7",
        connector="nftables",
        state=state,
        generation=1,
        holders=(),
        opened=START,
        expires=START + 3_600_000,
        changed=changed,
        proof={"set": "blocked4", "elements": [{"elem": {"val": "192.0.2.7"}}]},
    )


def run_event(seq: int, kind: str = "succeeded", **data: Any) -> RunEvent:
    return RunEvent(
        id=f"run-1-{seq}", run_id="run-1", seq=seq, at=START + seq, kind=kind, step="block",
        data=data,
    )  # fmt: skip


def lease_event(seq: int, changed: int, state: LeaseState = LeaseState.ACTIVE) -> RunEvent:
    stored = lease(changed, state).model_dump(mode="json", exclude_none=True)
    return run_event(seq, "lease", change="opened", lease=stored)


def letter(number: int) -> DeadLetter:
    return DeadLetter(
        id=f"letter-{number}", stage="normalize", code="not_text", reason="binary data",
        origin=f"raw/0/{number}", original=b"\x00\xff\xfe", headers={"source": "auth"}, at=START,
    )  # fmt: skip


def audit_record() -> bytes:
    entry, _ = append(None, "act-0", "effect.started", {"effect": "e", "n": [1, {"a": None}]}, 5)
    return entry.encode()


def record(topic: str, value: bytes | dict[str, Any], offset: int = 0) -> Record:
    """A record of a topic."""
    data = value if isinstance(value, bytes) else canonical_json(value)
    return Record(topic, 0, offset, None, data, (), START)
