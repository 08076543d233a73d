"""Where a document stands in Elasticsearch and what it looks like there.

Events and alerts are ECS documents already. The others are put into an ECS document as the tree
`tocsin.run`, `tocsin.audit`, … and taken out of it unchanged when they are read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tocsin.clock import iso, parse_iso
from tocsin.contracts import ECS_VERSION
from tocsin.errors import ConfigError
from tocsin.index.store import (
    ALERT_RECORDS,
    ALERTS,
    AUDIT,
    DEAD_LETTERS,
    EVENTS,
    LEASES,
    RUNS,
    StoreDocument,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: A namespace as Elastic allows it, without the "-" that parts the names.
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_.]{0,99}", re.ASCII)

#: Data streams of kinds other than events.
_DATASETS = {
    ALERT_RECORDS: "tocsin.alerts",
    RUNS: "tocsin.actions",
    AUDIT: "tocsin.audit",
    DEAD_LETTERS: "tocsin.dead_letters",
}

#: `event.dataset` of an event -> its data stream. A closed table: the value comes out of a log
#: line, and each new stream costs the cluster a shard.
EVENT_DATASETS = frozenset(
    (
        *("apache.access", "apache.error", "auditd.log", "aws.cloudtrail", "aws.vpcflow"),
        *("azure.auditlogs", "azure.signinlogs", "crowdsec", "ecs", "gcp.audit", "github.audit"),
        *("json", "kubernetes.audit", "nginx.access", "nginx.error", "o365.audit"),
        *("okta.system", "suricata.eve", "system.auth", "system.syslog", "text", "web.access"),
        *("windows.powershell", "windows.security", "windows.sysmon_operational"),
        *("windows.system", "zeek"),
    )
)
#: Where an event of any other data set goes.
OTHER = "generic"

#: How a run event's kind reads as ECS `event.outcome`.
_OUTCOMES = {
    "succeeded": "success",
    "failed": "failure",
    "refused": "failure",
    "timed_out": "failure",
    "unknown": "unknown",
}

#: The tree that holds a document of a kind which is no ECS document by itself.
_TREES = {RUNS: "run", AUDIT: "audit", DEAD_LETTERS: "dead_letter", LEASES: "lease"}


def check_namespace(namespace: str) -> str:
    """The namespace; raises ConfigError if it cannot be part of a data stream's name."""
    if _NAMESPACE.fullmatch(namespace) is None:
        raise ConfigError(
            f"store.namespace '{namespace}' is not possible; write lower-case letters, digits, "
            "'_' and '.', at most 100 and no '-'"
        )
    return namespace


def dataset(document: StoreDocument) -> str:
    """The data set (`tocsin.…`) of a document that goes to a data stream."""
    if document.kind != EVENTS:
        return _DATASETS[document.kind]
    event = document.body.get("event")
    name = event.get("dataset") if isinstance(event, dict) else None
    known = name.lower() if isinstance(name, str) else ""
    return f"tocsin.{known if known in EVENT_DATASETS else OTHER}"


def action(document: StoreDocument, namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bulk action of a document: its header and its source."""
    if document.kind in (ALERTS, LEASES):
        name = alert_index(document, namespace) if document.kind == ALERTS else _leases(namespace)
        header = {
            "_index": name,
            "_id": document.id,
            "version": document.version,
            "version_type": "external",
        }
        return {"index": header}, source(document)
    stream = dataset(document)
    body = source(document)
    body["data_stream"] = {"type": "logs", "dataset": stream, "namespace": namespace}
    header = {
        "_index": f"logs-{stream}-{namespace}",
        "_id": document.id,
        "require_data_stream": True,
    }
    return {"create": header}, body


def alert_index(document: StoreDocument, namespace: str) -> str:
    """The month's index of an alert, by the start of its window.

    Not by `first_seen`: a late event can move that into the month before, and then the next
    revision would be a second document in another index.
    """
    start = iso(parse_iso(document.body["tocsin"]["alert"]["window_start"]))
    return f"tocsin-alerts-{namespace}-{start[:4]}.{start[5:7]}"


def _leases(namespace: str) -> str:
    return f"tocsin-leases-{namespace}"


def source(document: StoreDocument) -> dict[str, Any]:
    """The ECS document that is stored, a new top level over the same values."""
    if document.kind not in _TREES:
        return dict(document.body)
    body = document.body
    event: dict[str, Any] = {"id": document.id, "kind": "event"}
    event.update(_EVENTS[document.kind](body))
    if document.kind in _DATASETS:
        event["dataset"] = _DATASETS[document.kind]
    return {
        "@timestamp": iso(document.at),
        "ecs": {"version": ECS_VERSION},
        "event": event,
        "tocsin": {_TREES[document.kind]: body},
    }


def _run_event(body: Mapping[str, Any]) -> dict[str, Any]:
    event = {"action": body["kind"], "sequence": body["seq"]}
    if (outcome := _OUTCOMES.get(body["kind"])) is not None:
        event["outcome"] = outcome
    return event


def _audit_event(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"action": body["kind"], "sequence": body["seq"]}


def _dead_letter_event(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "pipeline_error", "code": body["code"], "reason": body["reason"]}


def _lease_event(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "state", "action": body["state"]}


_EVENTS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    RUNS: _run_event,
    AUDIT: _audit_event,
    DEAD_LETTERS: _dead_letter_event,
    LEASES: _lease_event,
}


def body_of(kind: str, stored: dict[str, Any]) -> dict[str, Any]:
    """What was written as the body of a document whose source is `stored`."""
    if kind in _TREES:
        tree: dict[str, Any] = stored["tocsin"][_TREES[kind]]
        return tree
    stored.pop("data_stream", None)
    return stored


def field_of(kind: str, field: str) -> str:
    """Where a field of the body stands in the source."""
    return f"tocsin.{_TREES[kind]}.{field}" if kind in _TREES else field


def target(kind: str, namespace: str) -> str:
    """The index expression that reads all documents of a kind and no others."""
    match kind:
        case "alerts":
            return f"tocsin-alerts-{namespace}-*"
        case "leases":
            return _leases(namespace)
        case "events":
            # Without the wildcard an exclusion does not reach a data stream's backing indices.
            others = (f"-logs-{name}-{namespace}*" for name in _DATASETS.values())
            return ",".join((f"logs-tocsin.*-{namespace}", *others))
        case _:
            return f"logs-{_DATASETS[kind]}-{namespace}"
