"""The ECS document of an alert, and back: what the `alerts` topic and the store hold.

Beside ECS's own fields (which analysts and playbooks read) everything that makes the alert again
stands under `tocsin.alert`, so `parse_alert_document(alert_document(alert)) == alert`.
Field reference: Elastic Common Schema, field sets event, rule, threat, related.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

from pydantic import ValidationError

from tocsin.clock import iso, parse_iso
from tocsin.contracts import ECS_VERSION, Alert, Document
from tocsin.errors import BadInput

#: Identifiers of MITRE ATT&CK enterprise tactics, by the name that Sigma's tags use (v19, with
#: the name that "stealth" had before).
TACTICS = {
    "reconnaissance": "TA0043",
    "resource-development": "TA0042",
    "initial-access": "TA0001",
    "execution": "TA0002",
    "persistence": "TA0003",
    "privilege-escalation": "TA0004",
    "stealth": "TA0005",
    "defense-evasion": "TA0005",
    "defense-impairment": "TA0112",
    "credential-access": "TA0006",
    "discovery": "TA0007",
    "lateral-movement": "TA0008",
    "collection": "TA0009",
    "command-and-control": "TA0011",
    "exfiltration": "TA0010",
    "impact": "TA0040",
}

_TECHNIQUE = re.compile(r"attack\.(t\d{4})(?:\.(\d{3}))?", re.ASCII | re.IGNORECASE)
_RULESETS = {
    "sigma": "sigma",
    "correlation": "sigma",
    "behavior": "tocsin-behavior",
    "indicator": "tocsin-indicators",
    "system": "tocsin-system",
}
_ACTIONS = {
    "sigma": "rule-matched",
    "correlation": "correlation-matched",
    "behavior": "behavior-detected",
    "indicator": "indicator-matched",
    "system": "difference-noticed",
}

#: Rule tags that playbooks ask for; each is in every document under `tocsin`, true or false.
_FLAGS = {"tocsin.success-after-failures": "success_after_failures"}

#: Field sets whose meaning in an alert is fixed: a field of a finding never overwrites them.
_RESERVED = frozenset(
    {"@timestamp", "ecs", "event", "message", "related", "rule", "tags", "threat", "tocsin"}
)

#: Characters of the rule's hash that serve as its version.
VERSION_LENGTH = 12


def alert_document(alert: Alert) -> Document:
    """The alert as an ECS document; equal alerts give equal documents."""
    document: Document = {}
    for name, value in alert.fields.items():
        _put(document, name, value)
    document.update(_fixed(alert))
    related = _related(alert)
    if related:
        document["related"] = related
    threat = _threat(alert.rule.tags)
    if threat:
        document["threat"] = threat
    document["tocsin"] = {
        "tenant": alert.tenant,
        "alert": _own(alert),
        **{name: tag in alert.rule.tags for tag, name in _FLAGS.items()},
    }
    return document


def _put(document: Document, name: str, value: str) -> None:
    """Set a dotted field, unless its place is taken or the store would refuse the document."""
    *parents, leaf = name.split(".")
    if (parents[0] if parents else leaf) in _RESERVED or (leaf == "ip" and not _is_address(value)):
        return
    for parent in parents:
        inner = document.setdefault(parent, {})
        if not isinstance(inner, dict):
            return
        document = inner
    document.setdefault(leaf, value)


def _fixed(alert: Alert) -> Document:
    rule = alert.rule
    return {
        "@timestamp": iso(alert.last_seen),
        "ecs": {"version": ECS_VERSION},
        "message": alert.message,
        "tags": list(rule.tags),
        "event": {
            "id": alert.id,
            "kind": "alert",
            "category": ["intrusion_detection"],
            "type": ["info"],
            "action": _ACTIONS[rule.type],
            "module": "tocsin",
            "dataset": "tocsin.alerts",
            "severity": alert.severity,
            "risk_score": float(alert.severity),
            "start": iso(alert.first_seen),
            "end": iso(alert.last_seen),
        },
        "rule": {
            "id": rule.id,
            "name": rule.name,
            "version": rule.hash[:VERSION_LENGTH],
            "author": [rule.author] if rule.author else [],
            "license": rule.license,
            "ruleset": _RULESETS[rule.type],
            "category": rule.type,
            "description": rule.description,
            "tags": list(rule.tags),
        },
    }


def _related(alert: Alert) -> Document:
    """All addresses, users and hosts of the alert, each sorted."""
    found: dict[str, set[str]] = {}
    for name, values in (*alert.entities.items(), *((k, (v,)) for k, v in alert.fields.items())):
        kind = _related_kind(name)
        if kind:
            kept = values if kind != "ip" else filter(_is_address, values)
            found.setdefault(kind, set()).update(kept)
    return {kind: sorted(values) for kind, values in sorted(found.items()) if values}


def _related_kind(name: str) -> str:
    if name.endswith(".ip"):
        return "ip"
    if name in {"user.name", "user.id"}:
        return "user"
    return "hosts" if name == "host.name" else ""


def _is_address(text: str) -> bool:
    """Whether the store's `ip` type takes it (it knows no zones)."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _threat(tags: tuple[str, ...]) -> Document:
    """ATT&CK tactics and techniques that a rule's `attack.…` tags name."""
    tactics = sorted(
        {name for tag in tags if (name := tag.removeprefix("attack.")) != tag and name in TACTICS}
    )
    found = [match for tag in tags if (match := _TECHNIQUE.fullmatch(tag))]
    techniques = sorted({match[1].upper() for match in found})
    subtechniques = sorted({f"{m[1].upper()}.{m[2]}" for m in found if m[2]})
    if not tactics and not techniques:
        return {}
    threat: Document = {"framework": "MITRE ATT&CK"}
    if tactics:
        names = [name.replace("-", " ").title().replace(" And ", " and ") for name in tactics]
        threat["tactic"] = {"id": [TACTICS[name] for name in tactics], "name": names}
    if techniques:
        threat["technique"] = {"id": techniques}
        if subtechniques:
            threat["technique"]["subtechnique"] = {"id": subtechniques}
    return threat


def _own(alert: Alert) -> Document:
    """Everything of the alert that its ECS fields do not say exactly."""
    rule = alert.rule
    return {
        "id": alert.id,
        "status": alert.status.value,
        "dedup_key": alert.key,
        "count": alert.count,
        "revision": alert.revision,
        "first_seen": iso(alert.first_seen),
        "last_seen": iso(alert.last_seen),
        "window_start": iso(alert.window_start),
        "window": alert.window,
        "rule": {
            "hash": rule.hash,
            "level": rule.level,
            "author": rule.author,
            "references": list(rule.references),
            "falsepositives": list(rule.falsepositives),
        },
        "fields": [{"name": name, "value": value} for name, value in sorted(alert.fields.items())],
        "entities": [
            {"name": name, "values": list(values)}
            for name, values in sorted(alert.entities.items())
        ],
        "reasons": [reason.model_dump(mode="json") for reason in alert.reasons],
        "evidence": [
            {
                "event_id": evidence.event_id,
                "at": iso(evidence.at),
                "origin": evidence.origin,
                "original": evidence.original,
            }
            for evidence in alert.evidence
        ],
    }


def parse_alert_document(document: Document) -> Alert:
    """The alert that a document was made of; raises BadInput if it is no alert's document."""
    try:
        return _parse(document)
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise BadInput("alert_document", f"this is no alert document: {error!r}") from error


def _parse(document: Document) -> Alert:
    own, rule = document["tocsin"]["alert"], document["rule"]
    return Alert.model_validate(
        {
            "id": own["id"],
            "rule": {
                **own["rule"],
                **{key: rule[key] for key in ("id", "name", "license", "description", "tags")},
                "type": rule["category"],
            },
            "severity": document["event"]["severity"],
            "key": own["dedup_key"],
            "window_start": parse_iso(own["window_start"]),
            "window": own["window"],
            "revision": own["revision"],
            "count": own["count"],
            "first_seen": parse_iso(own["first_seen"]),
            "last_seen": parse_iso(own["last_seen"]),
            "status": own["status"],
            "fields": {field["name"]: field["value"] for field in own["fields"]},
            "entities": {entity["name"]: entity["values"] for entity in own["entities"]},
            "reasons": own["reasons"],
            "evidence": [_evidence(evidence) for evidence in own["evidence"]],
            "message": document["message"],
            "tenant": document["tocsin"]["tenant"],
        }
    )


def _evidence(stored: dict[str, Any]) -> dict[str, Any]:
    return {**stored, "at": parse_iso(stored["at"])}
