"""The stage: which values of an event are looked up, and what a match becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from detect.indicators.guards import Allowed
from detect.indicators.stage import MAX_FINDINGS, IndicatorStage, match
from detect.indicators.table import Table
from detect.indicators.values import Indicator
from tests.detect.indicators.support import (
    AT,
    NOBODY,
    event,
    findings,
    record,
    rows,
    table,
)
from tocsin.errors import BadInput
from tocsin.log.base import Outgoing
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from tocsin.contracts import Finding

MD5, SHA256 = "d41d8cd98f00b204e9800998ecf8427e", "ab" * 32


def found(document: dict[str, Any], *values: str | Indicator) -> list[Finding]:
    batch = match([record(document)], table(*values), NOBODY)
    assert batch.accounted == 1
    return findings(batch.outputs)


@pytest.mark.parametrize(
    ("field", "changes", "indicator", "how"),
    [
        ("destination.ip", {"destination": {"ip": "203.0.113.7"}}, "203.0.113.7", ""),
        ("source.ip", {"source": {"ip": "2001:db8::7"}}, "2001:DB8::7", ""),
        ("source.nat.ip", {"source": {"nat": {"ip": "203.0.113.7"}}}, "203.0.113.7", ""),
        ("destination.ip", {"destination": {"ip": "203.0.113.7"}}, "203.0.113.0/24", "range"),
        ("dns.resolved_ip", {"dns": {"resolved_ip": ["198.51.100.1", "203.0.113.7"]}},
         "203.0.113.7", ""),
        ("url.domain", {"url": {"domain": "Evil.Example.COM"}}, "evil.example.com", ""),
        ("url.domain", {"url": {"domain": "a.b.evil.example.com"}}, "evil.example.com",
         "subdomain"),
        ("url.domain", {"url": {"domain": "203.0.113.7"}}, "203.0.113.7", ""),
        ("dns.question.name", {"dns": {"question": {"name": "x.evil.example.com."}}},
         "evil.example.com", "subdomain"),
        ("url.full", {"url": {"full": "https://Evil.example.com/x?q=1#f"}},
         "http://evil.example.com/x?q=1", ""),
        ("url.full", {"url": {"full": "https://evil.example.com/x?q=1"}},
         "http://evil.example.com/x", ""),
        ("url.path", {"url": {"domain": "evil.example.com", "path": "/x", "query": "q=1"}},
         "http://evil.example.com/x?q=1", ""),
        ("url.path", {"url": {"domain": "evil.example.com", "path": "/x", "port": 8080}},
         "http://evil.example.com:8080/x", ""),
        ("url.path", {"url": {"domain": "evil.example.com", "original": "/x?q=1"}},
         "http://evil.example.com/x?q=1", ""),
        ("file.hash.sha256", {"file": {"hash": {"sha256": SHA256.upper()}}}, SHA256, ""),
        ("process.parent.hash.md5", {"process": {"parent": {"hash": {"md5": MD5}}}}, MD5, ""),
        ("tls.client.ja3", {"tls": {"client": {"ja3": MD5}}}, MD5, ""),
        ("email.from.address", {"email": {"from": {"address": ["Bad@evil.example"]}}},
         "bad@evil.example", ""),
        ("related.hosts", {"related": {"hosts": ["evil.example.com"]}}, "evil.example.com", ""),
        ("related.hash", {"related": {"hash": [MD5]}}, MD5, ""),
        # The field that says where it stands, not the one that has everything.
        ("source.ip", {"related": {"ip": ["203.0.113.7"]}, "source": {"ip": "203.0.113.7"}},
         "203.0.113.7", ""),
    ],
)  # fmt: skip
def test_where_values_are_looked_for(
    field: str, changes: dict[str, Any], indicator: str, how: str
) -> None:
    (finding,) = found(event(**changes), indicator)
    (reason,) = finding.reasons
    assert (reason.selection, reason.field, reason.modifier) == ("feed", field, how)


@pytest.mark.parametrize(
    "changes",
    [
        {"destination": {"ip": "203.0.113.8"}},
        {"url": {"domain": "notevil.example.com"}},
        {"url": {"domain": "example.com"}},
        {"url": {"domain": "evil.example.com.example.org"}},
        {"url": {"full": "https://evil.example.org/y"}},
        {"url": "evil.example.com"},
        {"url": {"domain": ["x"], "full": 7, "path": None}},
        {"file": {"hash": ["x"]}, "process": {"hash": {"md5": 7}}},
        {"destination": {"ip": {"a": "203.0.113.7"}}},
        {"message": "evil.example.com 203.0.113.7"},
        {"related": ["203.0.113.7"]},
    ],
)
def test_what_is_not_named(changes: dict[str, Any]) -> None:
    assert found(event(**changes), "203.0.113.7", "evil.example.com", MD5) == []


def test_a_finding_has_everything_an_alert_needs() -> None:
    document = event(
        destination={"ip": "203.0.113.7"}, source={"ip": "192.0.2.10"}, user={"name": "ada"}
    )
    indicator = Indicator("ip", "203.0.113.7", "feed", "critical", 0, "id-1", "Botnet C2")
    batch = match([record(document)], table(indicator), NOBODY)
    (output,), (finding,) = batch.outputs, findings(batch.outputs)
    assert (batch.sent, output.topic, output.timestamp) == (1, "findings", AT)
    assert output.key == finding.key.encode()
    assert (finding.rule.type, finding.rule.level, finding.severity) == (
        "indicator",
        "critical",
        99,
    )
    assert finding.rule.name == "Known Malicious Address"
    assert finding.fields == {
        "destination.ip": "203.0.113.7",
        "source.ip": "192.0.2.10",
        "host.name": "web-1",
    }
    assert finding.key == (
        "tocsin-indicator-ip|destination.ip=203.0.113.7|host.name=web-1|source.ip=192.0.2.10"
    )
    assert finding.entities["user.name"] == ("ada",)
    assert finding.evidence[0].model_dump() == {
        "event_id": "e1",
        "at": AT,
        "origin": "raw/0/7",
        "original": "the line",
    }
    assert finding.message.endswith("203.0.113.7 (Botnet C2)")


def test_several_feeds_are_one_finding_with_the_highest_level() -> None:
    document = event(destination={"ip": "203.0.113.7"})
    low = Indicator("ip", "203.0.113.7", "b", "low")
    high = Indicator("ip", "203.0.113.7", "a", "high")
    made = [
        findings(match([record(document)], Table(feeds), NOBODY).outputs)
        for feeds in (
            [rows(low, feed="b"), rows(high, feed="a")],
            [rows(high, feed="a"), rows(low, feed="b")],
        )
    ]
    assert made[0] == made[1]
    ((finding,), _) = made
    assert finding.rule.level == "high"
    assert [reason.selection for reason in finding.reasons] == ["a", "b"]


def test_the_same_event_gives_the_same_bytes_and_another_none_of_them() -> None:
    document = event(destination={"ip": "203.0.113.7"})
    made = [match([record(document, n)], table("203.0.113.7"), NOBODY).outputs for n in range(2)]
    assert made[0] == made[1]
    (other,) = found({**document, "event": {"id": "e2"}}, "203.0.113.7")
    assert other.id != findings(made[0])[0].id
    (value,) = found(event(destination={"ip": "203.0.113.8"}), "203.0.113.8")
    assert value.id != findings(made[0])[0].id


def test_expired_at_the_time_of_the_event() -> None:
    document = event(destination={"ip": "203.0.113.7"})
    for until, count in ((AT, 0), (AT + 1, 1), (0, 1)):
        assert len(found(document, Indicator("ip", "203.0.113.7", "feed", until=until))) == count


def test_what_is_allowed_never_matches_also_within_a_range() -> None:
    allowed = Allowed(["203.0.113.7", "good.evil.example"])
    for changes, count in (
        ({"destination": {"ip": "203.0.113.7"}}, 0),
        ({"destination": {"ip": "203.0.113.8"}}, 1),
        ({"url": {"domain": "a.good.evil.example"}}, 0),
        ({"url": {"domain": "bad.evil.example"}}, 1),
    ):
        batch = match([record(event(**changes))], table("203.0.113.0/24", "evil.example"), allowed)
        assert len(batch.outputs) == count, changes


def test_tenants_never_share_a_key() -> None:
    document = event(destination={"ip": "203.0.113.7"})
    (one,) = found(document, "203.0.113.7")
    (other,) = found({**document, "tocsin": {"tenant": "acme"}}, "203.0.113.7")
    assert one.key != other.key
    assert other.tenant == "acme"


def test_an_event_of_a_thousand_values_is_bounded() -> None:
    names = [f"evil-{number}.example.com" for number in range(1_000)]
    made = found(event(related={"hosts": names}), *names)
    assert len(made) == MAX_FINDINGS


def test_events_without_a_time_or_id_of_their_own() -> None:
    (finding,) = found({"destination": {"ip": "203.0.113.7"}}, "203.0.113.7")
    assert finding.at == AT
    assert len(finding.evidence[0].event_id) == 32


class TestStage:
    def test_the_table_in_force_is_asked(self) -> None:
        tables = [Table(), table("203.0.113.7")]
        stage = IndicatorStage(lambda: tables[0], NOBODY)
        records = [record(event(destination={"ip": "203.0.113.7"}))]
        batch = stage.process(records, KeyedState(), 0)
        assert (batch.outputs, dict(batch.filtered)) == ([], {"no_match": 1})
        tables.pop(0)
        assert len(stage.process(records, KeyedState(), 0).outputs) == 1
        assert stage.tick(0, KeyedState(), 0) == ()

    @pytest.mark.parametrize("content", [b"{", b"7", b"\xff"])
    def test_what_is_no_event(self, content: bytes) -> None:
        with pytest.raises(BadInput):
            match([record(content)], table("203.0.113.7"), NOBODY)

    def test_outputs_are_records_of_findings(self) -> None:
        batch = match(
            [record(event(destination={"ip": "203.0.113.7"}))], table("203.0.113.7"), NOBODY
        )
        assert all(isinstance(output, Outgoing) for output in batch.outputs)
