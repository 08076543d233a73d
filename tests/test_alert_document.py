"""The ECS document of an alert: what analysts read, and everything needed to make it again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alert_document import TACTICS, alert_document, parse_alert_document
from tocsin.contracts import Alert, AlertStatus, Evidence, Reason, Rule
from tocsin.errors import BadInput
from tocsin.ids import canonical_json

RULE = Rule(
    id="r-1",
    name="SSH brute force, then success",
    hash="0123456789abcdef" * 4,
    level="critical",
    type="correlation",
    author="Tocsin",
    license="Apache-2.0",
    description="Many failures, then a success.",
    references=("https://example.com/a",),
    tags=(
        "attack.credential-access",
        "attack.command-and-control",
        "attack.t1110.001",
        "attack.t1078",
        "attack.t1110",
        "tocsin.success-after-failures",
    ),
    falsepositives=("A person with a new keyboard",),
)
ALERT = Alert(
    id="a-1",
    rule=RULE,
    severity=99,
    key="r-1|source.ip=203.0.113.9",
    window_start=1_767_225_600_000,
    window=3_600_000,
    revision=12,
    count=12,
    first_seen=1_767_225_600_001,
    last_seen=1_767_225_900_999,
    status=AlertStatus.ACKNOWLEDGED,
    fields={"source.ip": "203.0.113.9", "user.name": "root"},
    entities={
        "source.ip": ("203.0.113.9", "2001:db8::1", "UNKNOWN", "fe80::1%eth0"),
        "host.name": ("web-1",),
        "file.path": ("/tmp/x",),
    },
    reasons=(Reason(selection="event_count", field="", value="at least 10 in 5m"),),
    evidence=(Evidence(event_id="e-1", at=1_767_225_600_001, origin="raw/0/7", original="x"),),
    message="SSH brute force: 12 events",
    tenant="blue",
)


def test_the_document_says_it_in_ecs() -> None:
    document = alert_document(ALERT)
    assert document["@timestamp"] == "2026-01-01T00:05:00.999Z"
    assert document["event"]["kind"] == "alert"
    assert document["event"]["id"] == "a-1"
    assert document["event"]["severity"] == 99
    assert document["event"]["category"] == ["intrusion_detection"]
    assert document["source"] == {"ip": "203.0.113.9"}
    assert document["user"] == {"name": "root"}
    assert document["rule"]["version"] == "0123456789ab"
    assert document["rule"]["author"] == ["Tocsin"]
    assert document["related"] == {
        "hosts": ["web-1"],
        "ip": ["2001:db8::1", "203.0.113.9"],
        "user": ["root"],
    }
    assert document["tocsin"]["alert"]["first_seen"] == "2026-01-01T00:00:00.001Z"
    assert document["tocsin"]["alert"]["status"] == "acknowledged"


def test_attack_tags_become_tactics_and_techniques() -> None:
    assert alert_document(ALERT)["threat"] == {
        "framework": "MITRE ATT&CK",
        "tactic": {
            "id": ["TA0011", "TA0006"],
            "name": ["Command and Control", "Credential Access"],
        },
        "technique": {"id": ["T1078", "T1110"], "subtechnique": {"id": ["T1110.001"]}},
    }
    plain = ALERT.model_copy(update={"rule": RULE.model_copy(update={"tags": ("cve.2024-1",)})})
    assert "threat" not in alert_document(plain)


def test_tactics_have_one_identifier_each() -> None:
    assert len(set(TACTICS.values())) == len(TACTICS) - 1
    assert TACTICS["stealth"] == TACTICS["defense-evasion"]


def test_flags_for_playbooks_are_always_there() -> None:
    assert alert_document(ALERT)["tocsin"]["success_after_failures"] is True
    plain = ALERT.model_copy(update={"rule": RULE.model_copy(update={"tags": ()})})
    assert alert_document(plain)["tocsin"]["success_after_failures"] is False


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"message": "forged", "event.severity": "0", "tocsin.alert.id": "forged"}, {}),
        ({"source.ip": "no address"}, {}),
        ({"user": "a", "user.name": "b"}, {"user": "a"}),
        ({"user.name": "b", "user": "a"}, {"user": {"name": "b"}}),
        ({"process.parent.name": "sh"}, {"process": {"parent": {"name": "sh"}}}),
    ],
)
def test_fields_never_displace_what_the_document_says(
    fields: dict[str, str], expected: dict[str, Any]
) -> None:
    alert = ALERT.model_copy(update={"fields": fields})
    document = alert_document(alert)
    assert {k: v for k, v in document.items() if k in {"source", "user", "process"}} == expected
    assert document["message"] == ALERT.message
    assert document["event"]["severity"] == 99
    assert parse_alert_document(document) == alert


TEXT = st.text(max_size=5)


@given(
    st.builds(
        ALERT.model_copy,
        update=st.fixed_dictionaries(
            {
                "fields": st.dictionaries(TEXT, TEXT, max_size=3),
                "entities": st.dictionaries(TEXT, st.tuples(TEXT, TEXT), max_size=3),
                "first_seen": st.integers(0, 2**41),
                "severity": st.integers(0, 100),
                "tenant": TEXT,
            }
        ),
    )
)
def test_an_alert_comes_back_from_its_document(alert: Alert) -> None:
    document = canonical_json(alert_document(alert))
    assert parse_alert_document(orjson.loads(document)) == alert


@pytest.mark.parametrize(
    "document", [{}, {"tocsin": None}, {"tocsin": {"alert": {}}, "rule": {}}, {"tocsin": "x"}]
)
def test_another_document_is_bad_input(document: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="alert"):
        parse_alert_document(document)
