"""Where documents stand in Elasticsearch, and that they come out as they went in."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.index.documents import START, alert, alert_documents, event_document, lease, run_event
from tocsin.alert_document import alert_document
from tocsin.clock import parse_iso
from tocsin.errors import ConfigError
from tocsin.index import documents as shape
from tocsin.index.store import KINDS, StoreDocument


def run_document(kind: str = "succeeded") -> StoreDocument:
    event = run_event(3, kind)
    return StoreDocument("runs", event.id, None, event.at, event.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("dataset", "stream"),
    [
        ("system.auth", "logs-tocsin.system.auth-default"),
        ("AWS.CloudTrail", "logs-tocsin.aws.cloudtrail-default"),
        ("nobody.knows", "logs-tocsin.generic-default"),
        # The value stands in a log line: it can be anything, and a reserved name too.
        ("alerts", "logs-tocsin.generic-default"),
        ("audit", "logs-tocsin.generic-default"),
        ("a-b*,/?", "logs-tocsin.generic-default"),
        ("", "logs-tocsin.generic-default"),
        (7, "logs-tocsin.generic-default"),
        (["system.auth"], "logs-tocsin.generic-default"),
        (None, "logs-tocsin.generic-default"),
    ],
)
def test_events_go_to_the_stream_of_their_data_set(dataset: Any, stream: str) -> None:
    document = event_document(1, dataset=dataset)
    header, body = shape.action(document, "default")
    assert header == {"create": {"_index": stream, "_id": "event-1", "require_data_stream": True}}
    assert f"logs-{body['data_stream']['dataset']}-default" == stream


def test_no_event_can_reach_a_stream_of_another_kind() -> None:
    reserved = {name.removeprefix("tocsin.") for name in shape._DATASETS.values()}
    assert not reserved & (shape.EVENT_DATASETS | {shape.OTHER})


def test_every_data_set_is_a_possible_name() -> None:
    for name in (*shape.EVENT_DATASETS, shape.OTHER):
        assert name == name.lower()
        assert not set(name) & set('-\\/*?"<>| ,#:')
        assert len(f"tocsin.{name}".encode()) <= 100


def test_an_alert_stays_in_one_months_index() -> None:
    """Its window starts at 23:00 on the last of March; its events come before and after."""
    late = alert(1, at=START)
    early = late.model_copy(update={"first_seen": START - 40 * 60_000, "last_seen": START + 60_000})
    names = set()
    for each in (late, early):
        document = StoreDocument("alerts", each.id, 1, each.last_seen, alert_document(each))
        names.add(shape.alert_index(document, "default"))
    assert names == {"tocsin-alerts-default-2026.03"}


def test_alert_state_is_versioned_by_its_revision() -> None:
    header, _ = shape.action(alert_documents(5)[0], "default")
    assert header["index"]["version"] == 5
    assert header["index"]["version_type"] == "external"


@pytest.mark.parametrize("kind", KINDS)
def test_bodies_come_out_as_they_went_in(kind: str) -> None:
    bodies: dict[str, StoreDocument] = {
        "events": event_document(1),
        "alerts": alert_documents(2)[0],
        "alert_records": alert_documents(2)[1],
        "runs": run_document(),
        "audit": StoreDocument("audit", "h", None, 5, {"chain": "c", "seq": 0, "kind": "x"}),
        "dead_letters": StoreDocument("dead_letters", "d", None, 5, {"code": "c", "reason": "r"}),
        "leases": StoreDocument(
            "leases", "lease-1", 7, START, lease(7).model_dump(mode="json", exclude_none=True)
        ),
    }
    document = bodies[kind]
    before = copy.deepcopy(document.body)
    _, source = shape.action(document, "default")
    assert document.body == before, "the caller's document was changed"
    assert parse_iso(source["@timestamp"]) == document.at
    assert shape.body_of(kind, source) == before


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("succeeded", "success"), ("failed", "failure"), ("refused", "failure"),
        ("timed_out", "failure"), ("unknown", "unknown"), ("dry_run", None), ("let", None),
    ],
)  # fmt: skip
def test_a_run_event_reads_as_ecs(kind: str, outcome: str | None) -> None:
    _, source = shape.action(run_document(kind), "default")
    assert source["event"]["action"] == kind
    assert source["event"].get("outcome") == outcome
    assert source["event"]["sequence"] == 3
    assert source["event"]["dataset"] == "tocsin.actions"


@pytest.mark.parametrize("namespace", ["default", "soc", "a.b_c", "7"])
def test_possible_namespaces(namespace: str) -> None:
    assert shape.check_namespace(namespace) == namespace


@pytest.mark.parametrize("namespace", ["", "a-b", "Upper", "*", "a,b", "_x", "x" * 101, "é"])
def test_impossible_namespaces(namespace: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.namespace"):
        shape.check_namespace(namespace)
