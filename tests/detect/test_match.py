"""The match stage: what goes where, under which key, and that every record is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from detect.match import MAX_GROUPS, MAX_VALUE, MatchStage, bounded
from tests.detect.sigma.support import load, rule
from tests.detect.sigma.test_correlations import ONE, correlation
from tocsin.contracts import Finding, GroupedFinding, Topics
from tocsin.errors import BadInput
from tocsin.ids import finding_id
from tocsin.log.base import Outgoing, Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.stage import Batch

AT = 1_767_607_200_000


def event(**changes: Any) -> dict[str, Any]:
    return {
        "@timestamp": "2026-01-05T10:00:00.000Z",
        "event": {"id": "e1", "original": "the line"},
        "field": "value",
        "source": {"ip": "203.0.113.9"},
        "user": {"name": "root"},
        "host": {"name": "web-1"},
        "tocsin": {"origin": "raw/0/7", "tenant": "default"},
        **changes,
    }


def record(content: Any, offset: int = 0) -> Record:
    value = content if isinstance(content, bytes) else orjson.dumps(content)
    return Record("events", 0, offset, None, value, timestamp=AT + 5)


def process(directory: Path, contents: list[dict[str, Any]], *events: Any) -> Batch:
    stage = MatchStage(load(directory, *contents))
    records = [record(content, offset) for offset, content in enumerate(events)]
    batch = stage.process(records, KeyedState(), now=0)
    assert batch.accounted == len(records)
    return batch


def findings(outputs: list[Outgoing]) -> list[Finding]:
    return [Finding.decode(o.value) for o in outputs if o.topic == Topics.FINDINGS]


def grouped(outputs: list[Outgoing]) -> list[GroupedFinding]:
    return [GroupedFinding.decode(o.value) for o in outputs if o.topic == Topics.CORRELATE]


def test_a_match_is_a_finding_with_everything_an_alert_needs(tmp_path: Path) -> None:
    batch = process(tmp_path, [rule(1, author="Somebody")], event())
    (output,) = batch.outputs
    (finding,) = findings(batch.outputs)
    assert (batch.sent, output.timestamp, output.key) == (1, AT, finding.key.encode())
    assert finding.id == finding_id(finding.rule.hash, "e1")
    assert (finding.at, finding.severity, finding.window) == (AT, 73, 3_600_000)
    assert finding.fields == {
        "source.ip": "203.0.113.9",
        "user.name": "root",
        "host.name": "web-1",
    }
    assert finding.key == f"{ONE}|host.name=web-1|source.ip=203.0.113.9|user.name=root"
    assert finding.entities["source.ip"] == ("203.0.113.9",)
    (reason,) = finding.reasons
    assert (reason.selection, reason.field, reason.value) == ("selection", "field", "value")
    (evidence,) = finding.evidence
    assert evidence.model_dump() == {
        "event_id": "e1",
        "at": AT,
        "origin": "raw/0/7",
        "original": "the line",
    }
    assert finding.message == "Rule 1: user root from 203.0.113.9 on web-1"
    assert finding.rule.author == "Somebody"


def test_the_policy_of_the_rule_counts(tmp_path: Path) -> None:
    policy = {"dedup": ["source.ip", "absent.field"], "window": "30m", "severity": 60}
    (finding,) = findings(process(tmp_path, [rule(1, tocsin=policy)], event()).outputs)
    assert (finding.severity, finding.window) == (60, 1_800_000)
    assert finding.fields == {"source.ip": "203.0.113.9"}


def test_what_matches_nothing_is_filtered(tmp_path: Path) -> None:
    batch = process(tmp_path, [rule(1)], event(field="other"), event())
    assert (batch.sent, dict(batch.filtered)) == (1, {"no_match": 1})


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    contents = [rule(1), rule(2), correlation(generate=True)]
    first = process(tmp_path, contents, event(user={"name": "a"}))
    assert first.outputs == process(tmp_path, contents, event(user={"name": "a"})).outputs


def test_a_referenced_rule_goes_to_the_correlation_by_group(tmp_path: Path) -> None:
    batch = process(tmp_path, [rule(1), correlation(**{"group-by": ["source.ip"]})], event())
    assert not findings(batch.outputs)
    (found,) = grouped(batch.outputs)
    assert found.correlation.endswith("101")
    assert found.group == f"{found.correlation}|source.ip=203.0.113.9"
    assert found.group_fields == {"source.ip": "203.0.113.9"}
    assert found.value == "e1"
    assert found.finding.id == finding_id(found.finding.rule.hash, "e1", found.group)
    assert batch.outputs[0].key == found.group.encode()


def test_generate_gives_both(tmp_path: Path) -> None:
    contents = [rule(1), correlation(generate=True, **{"group-by": ["source.ip"]})]
    outputs = process(tmp_path, contents, event()).outputs
    assert len(findings(outputs)) == len(grouped(outputs)) == 1


def test_aliases_name_the_field_of_each_rule(tmp_path: Path) -> None:
    contents = [
        rule(1),
        rule(2, detection={"s": {"other": 1}, "condition": "s"}),
        correlation(
            type="temporal",
            rules=[ONE, ONE.replace("01", "02")],
            condition=None,
            aliases={"ip": {ONE: "source.ip", ONE.replace("01", "02"): "destination.ip"}},
            **{"group-by": ["ip"]},
        ),
    ]
    outgoing = event(field="", other=1, destination={"ip": "203.0.113.9"}, source={"ip": "x"})
    first, second = grouped(process(tmp_path, contents, event(), outgoing).outputs)
    assert first.group == second.group
    assert first.group_fields == {"source.ip": "203.0.113.9"}
    assert second.group_fields == {"destination.ip": "203.0.113.9"}
    assert (first.value, second.value) == (ONE, ONE.replace("01", "02"))


def test_value_count_counts_the_values_of_the_field(tmp_path: Path) -> None:
    counted = correlation(
        type="value_count", condition={"gte": 2, "field": "names"}, **{"group-by": ["source.ip"]}
    )
    outputs = process(tmp_path, [rule(1), counted], event(names=["a", "b", "a"])).outputs
    assert [found.value for found in grouped(outputs)] == ["a", "b"]


def test_an_event_without_a_group_or_counted_field_is_not_grouped(tmp_path: Path) -> None:
    contents = [rule(1), correlation(**{"group-by": ["absent"]})]
    assert dict(process(tmp_path, contents, event()).filtered) == {"not_grouped": 1}
    counted = correlation(type="value_count", condition={"gte": 2, "field": "absent"})
    batch = process(tmp_path, [rule(1), counted], event(user="a"))
    assert dict(batch.filtered) == {"not_grouped": 1}


def test_a_quiet_rule_without_correlation_is_accounted_for(tmp_path: Path) -> None:
    batch = process(tmp_path, [rule(1, tocsin={"alert": False})], event())
    assert dict(batch.filtered) == {"no_alert": 1}


def test_several_group_values_are_several_groups_but_not_without_bound(tmp_path: Path) -> None:
    contents = [rule(1), correlation(**{"group-by": ["names"]})]
    few = grouped(process(tmp_path, contents, event(names=["a", "b"])).outputs)
    assert {found.group_fields["names"] for found in few} == {"a", "b"}
    many = grouped(process(tmp_path, contents, event(names=list(range(1000)))).outputs)
    assert len(many) == MAX_GROUPS


def test_tenants_never_share_a_key(tmp_path: Path) -> None:
    contents = [rule(1), correlation(generate=True, **{"group-by": ["source.ip"]})]
    other = event(tocsin={"tenant": "other"})
    outputs = process(tmp_path, contents, event(), other).outputs
    assert len({finding.key for finding in findings(outputs)}) == 2
    assert len({found.group for found in grouped(outputs)}) == 2
    assert [finding.tenant for finding in findings(outputs)] == ["default", "other"]


def test_a_key_cannot_be_forged_by_a_value(tmp_path: Path) -> None:
    policy = {"dedup": ["a", "b"]}
    outputs = process(
        tmp_path, [rule(1, tocsin=policy)], event(a="x|b=y"), event(a="x", b="y")
    ).outputs
    assert len({output.key for output in outputs}) == 2


def test_long_values_are_cut_but_stay_apart(tmp_path: Path) -> None:
    one, two = "x" * 100_000 + "1", "x" * 100_000 + "2"
    assert bounded(one) != bounded(two)
    batch = process(
        tmp_path,
        [rule(1)],
        event(user={"name": one}, event={"id": "e", "original": "y" * 1_000_000}),
    )
    assert len(batch.outputs[0].value) < 20 * MAX_VALUE


def test_an_event_without_id_or_time_takes_those_of_its_record(tmp_path: Path) -> None:
    bare = {"field": "value", "@timestamp": "yesterday"}
    one, two = findings(process(tmp_path, [rule(1)], bare, bare).outputs)
    assert one.at == AT + 5
    assert one.id != two.id
    assert one.evidence[0].origin == "events/0/0"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"{", "not_json"), (b"", "not_json"), (b"[1]", "not_an_object"), (b"null", "not_an_object")],
)
def test_what_is_no_event_is_bad_input(tmp_path: Path, content: bytes, code: str) -> None:
    stage = MatchStage(load(tmp_path, rule(1)))
    with pytest.raises(BadInput) as caught:
        stage.process([record(content)], KeyedState(), 0)
    assert caught.value.reason_code == code


def test_time_alone_makes_nothing_due(tmp_path: Path) -> None:
    assert MatchStage(load(tmp_path, rule(1))).tick(0, KeyedState(), AT) == ()
