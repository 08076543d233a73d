"""A rich incident: a run and an alert as the engine hands them to a report."""

from typing import Any

T0 = 1_774_000_000_000

LINES = (
    "Mar 20 09:46:40 web1 sshd[811]: Failed password for invalid user admin from 203.0.113.66"
    " port 40022 ssh2",
    "Mar 20 09:46:41 web1 sshd[811]: Failed password for root from 203.0.113.66 port 40024 ssh2",
    "Mar 20 09:47:12 web1 sshd[811]: Accepted password for deploy from 203.0.113.66 port 40031",
)


def case() -> dict[str, Any]:
    """Inputs of `case.report`, complete."""
    return {
        "case": "0f3c9a",
        "title": "",
        "template": "incident",
        "formats": ("md", "html"),
        "run": run(),
        "alert": alert(),
    }


def run() -> dict[str, Any]:
    held = T0 + 3_600_000
    return {
        "id": "0f3c9a",
        "playbook": "brute-force-containment",
        "version": 3,
        "hash": "5d41402abc4b2a76b9719d911017c592",
        "started": T0 + 40_000,
        "outcome": "",
        "reason": "",
        "vars": {"ip": "203.0.113.66"},
        "steps": [
            {
                "id": "context.geo", "status": "ok", "verb": "geoip.lookup",
                "target": "203.0.113.66", "attempt": 1, "started": T0 + 40_010,
                "output": {
                    "found": True, "country": "XX", "country_name": "Nowhere", "city": "",
                    "location": {"lat": 1.5, "lon": 2.5}, "asn": 64500,
                    "organization": "Example Transit",
                },
            },
            {
                "id": "context.asset", "status": "ok", "verb": "inventory.lookup",
                "target": "web1", "attempt": 1, "started": T0 + 40_011,
                "output": {"found": True, "name": "web1", "criticality": "high",
                           "owner": "web team", "tags": ["dmz", "linux"]},
            },
            {
                "id": "block", "status": "ok", "verb": "firewall.block_ip",
                "target": "203.0.113.66", "attempt": 2, "started": T0 + 40_100,
                "ended": T0 + 42_500, "held_until": held,
                "output": {"table": "inet tocsin", "set": "blocked4", "expires": "1h59s",
                           "residual": "Other machines are still open to the address.",
                           "residual_seconds": 300},
            },
            {
                "id": "block_internal", "status": "refused", "verb": "firewall.block_ip",
                "target": "192.0.2.10", "attempt": 1, "started": T0 + 40_200,
                "verdicts": [
                    {"guard": "target", "allowed": True, "reason": ""},
                    {"guard": "never:critical_assets", "allowed": False,
                     "reason": "192.0.2.10 touches 192.0.2.0/28"},
                ],
            },
            {
                "id": "quarantine", "status": "dry_run", "verb": "containment.webhook",
                "target": "203.0.113.66", "attempt": 1, "started": T0 + 40_300,
                "output": {"would": "call", "connector": "edr"},
            },
            {
                "id": "tell", "status": "failed", "verb": "notify.webhook", "target": "soc",
                "attempt": 5, "started": T0 + 40_400,
                "failure": {"kind": "timeout", "message": "chat.example.com gave no answer in "
                            "10000 ms"},
            },
            {"id": "ask", "status": "waiting", "verb": "", "started": T0 + 40_500},
            {"id": "report", "status": "running", "verb": "case.report", "target": "0f3c9a"},
            {"id": "sessions", "status": "skipped", "verb": "", "reason": "vars.user is empty"},
        ],
        "events": [
            {"seq": 0, "at": T0 + 40_000, "kind": "started", "step": "", "data": {}},
            {"seq": 1, "at": T0 + 40_010, "kind": "requested", "step": "context.geo", "data": {}},
            {"seq": 2, "at": T0 + 40_090, "kind": "succeeded", "step": "context.geo", "data": {}},
            {"seq": 3, "at": T0 + 40_100, "kind": "requested", "step": "block",
             "data": {"target": "203.0.113.66"}},
            {"seq": 4, "at": T0 + 40_190, "kind": "succeeded", "step": "block", "data": {}},
            {"seq": 5, "at": T0 + 40_200, "kind": "refused", "step": "block_internal", "data": {}},
            {"seq": 6, "at": T0 + 40_990, "kind": "failed", "step": "tell",
             "data": {"reason": "no answer"}},
        ],
    }  # fmt: skip


def alert() -> dict[str, Any]:
    return {
        "@timestamp": "2026-03-20T09:47:12.000Z",
        "message": "34 failed logins and one accepted from 203.0.113.66 on web1",
        "event": {"kind": "alert", "severity": 73},
        "rule": {
            "id": "9f6b8a2e-0000-4000-8000-000000000001",
            "name": "SSH password guessing that succeeded",
            "description": "Many failed logins from one address, then an accepted one.",
            "author": ["Example Author"],
            "license": "Apache-2.0",
        },
        "threat": {
            "framework": "MITRE ATT&CK",
            "tactic": {"id": ["TA0006"], "name": ["Credential Access"]},
            "technique": {"id": ["T1110"], "subtechnique": {"id": ["T1110.001"]}},
        },
        "tocsin": {
            "alert": {
                "id": "a1b2c3d4e5f60718",
                "count": 35,
                "first_seen": "2026-03-20T09:46:40.000Z",
                "last_seen": "2026-03-20T09:47:12.000Z",
                "rule": {"falsepositives": ["A vulnerability scanner of your own"]},
                "entities": [
                    {"name": "source.ip", "values": ["203.0.113.66"]},
                    {"name": "user.name", "values": ["admin", "deploy", "root"]},
                    {"name": "host.name", "values": ["web1"]},
                ],
                "reasons": [
                    {"selection": "failures", "field": "event.outcome", "value": "failure",
                     "modifier": "", "expected": "failure"},
                    {"selection": "count", "field": "source.ip", "value": "34",
                     "modifier": "gte", "expected": "10"},
                ],
                "evidence": [
                    {"event_id": f"e{number}", "at": f"2026-03-20T09:46:4{number}.000Z",
                     "origin": f"raw/2/{1000 + number}", "original": line}
                    for number, line in enumerate(LINES)
                ],
            }
        },
    }  # fmt: skip
