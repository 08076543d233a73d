"""An anomaly as a finding: a sentence that can be read aloud, and its parts as reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.keys import dedup_key
from tocsin.contracts import SEVERITY, Evidence, Finding, Reason, Rule
from tocsin.ids import content_hash, finding_id
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.behavior.detector import Anomaly, Part, Spec
    from detect.behavior.observation import Entity, Sample

#: Raised when what a detector says changes: then its findings are others.
VERSION = 1
#: Window that the findings of a detector are collected in, ms.
WINDOW = 86_400_000
#: Longest value in a reason, characters.
_MAX_VALUE = 256
#: Longest sentence, characters.
MAX_SENTENCE = 600
_TENANT, _DEFAULT_TENANT = "tocsin.tenant", "default"
#: The ECS field that an entity stands in.
FIELD = {
    "user": "user.name",
    "host": "host.name",
    "source": "source.ip",
    "domain": "dns.question.registered_domain",
    "service": "service.name",
    "key": "user.id",
    "log": "event.module",
}
_CALLED = {"source": "address", "key": "API identity", "log": "log source"}


def rule_of(spec: Spec) -> Rule:
    """The detector as the rule of its findings."""
    tags = tuple(f"attack.{technique.casefold()}" for technique in spec.techniques)
    parameters = dict(sorted(spec.parameters.items()))
    return Rule(
        id=f"behavior.{spec.name}",
        name=spec.title,
        hash=content_hash([spec.name, VERSION, parameters]),
        level=spec.level,
        type="behavior",
        author="Tocsin",
        license="Apache-2.0",
        description=spec.description,
        tags=tags,
    )


def called(entity: Entity) -> str:
    """The entity for people: `user alice`, `address 192.0.2.7`."""
    return f"{_CALLED.get(entity.kind, entity.kind)} {entity.id}"


def finding(
    rule: Rule,
    anomaly: Anomaly,
    entity: Entity,
    start: int,
    samples: Sequence[Sample],
    *,
    surprise: float,
    risk: float,
) -> Finding:
    """The finding of an anomaly in the slice that starts at `start` (ms)."""
    fields = {FIELD[entity.kind]: entity.id, **dict(sorted(anomaly.fields.items()))}
    owned = fields if entity.tenant == _DEFAULT_TENANT else {**fields, _TENANT: entity.tenant}
    return Finding(
        id=finding_id(rule.hash, f"{entity.key}@{start}"),
        rule=rule,
        severity=SEVERITY[rule.level],
        at=anomaly.at,
        key=dedup_key(rule.id, {FIELD[entity.kind]: entity.id, **_tenant(owned)}),
        window=WINDOW,
        fields=fields,
        entities={name: (value,) for name, value in fields.items()},
        reasons=tuple(_reason(anomaly, part) for part in anomaly.parts)
        + _standing(anomaly, surprise, risk),
        evidence=tuple(
            Evidence(event_id=each.event_id, at=each.at, origin=each.origin) for each in samples
        ),
        message=f"{rule.name}: {sentence(anomaly, entity)}",
        tenant=entity.tenant,
    )


def _tenant(owned: dict[str, str]) -> dict[str, str]:
    return {_TENANT: owned[_TENANT]} if _TENANT in owned else {}


def _reason(anomaly: Anomaly, part: Part) -> Reason:
    shares = [
        f"{whose} {_share(share)}"
        for whose, share in (
            ("own", part.own),
            ("peers", part.peer),
            ("everybody", part.population),
        )
        if share is not None
    ]
    typical = f"usually {part.typical}" if part.typical else ""
    return Reason(
        selection=anomaly.detector,
        field=part.feature,
        value=part.actual[:_MAX_VALUE],
        modifier="unusual",
        expected="; ".join(filter(None, (typical, ", ".join(shares))))[:_MAX_VALUE],
    )


def _standing(anomaly: Anomaly, surprise: float, risk: float) -> tuple[Reason, ...]:
    """How rare, how well founded, by which model, and the entity's risk now."""
    told = (
        ("tocsin.behavior.p", f"{10**-surprise:.2g}", "p-value among the detector's own scores"),
        ("tocsin.behavior.baseline", f"{anomaly.baseline:.0f} days", "how much is known"),
        ("tocsin.behavior.confidence", confidence(anomaly.confidence), "low under 7 days"),
        ("tocsin.behavior.model", anomaly.model, ""),
        ("tocsin.behavior.risk", f"{risk:.1f}", "decaying sum, half-life 48 h"),
    )
    return tuple(
        Reason(selection=anomaly.detector, field=field, value=value, expected=expected)
        for field, value, expected in told
    )


def confidence(share: float) -> str:
    """In a word: low, medium, high."""
    return "high" if share >= 0.9 else "medium" if share >= 0.5 else "low"


def _share(share: float) -> str:
    if share <= 0:
        return "never"
    percent = 100 * share
    return (
        f"{percent:.0f} %" if percent >= 1 else f"{percent:.1g} %" if percent >= 0.01 else "<0.01 %"
    )


def sentence(anomaly: Anomaly, entity: Entity) -> str:
    """What is unusual, what would be usual, and how sure that is."""
    told = f"{called(entity)} {anomaly.what}"
    part = next((each for each in anomaly.parts if each.typical or each.own is not None), None)
    if part is not None:
        own = "never before" if not part.own else f"{_share(part.own)} of its own days"
        around = [] if part.own is None else [own]
        if part.population is not None:
            around.append(f"{_share(part.population)} of everybody's")
        if part.typical:
            around.append(f"usually {part.typical}")
        if around:
            told += ": " + ", ".join(around)
    return printable(f"{told} ({confidence(anomaly.confidence)} confidence)")[:MAX_SENTENCE]
