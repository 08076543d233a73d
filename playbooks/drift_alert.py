"""What the reconciler finds, as a finding for the alert queue: one alert a connector, verb, day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.contracts import SEVERITY, Evidence, Finding, Rule, Topics
from tocsin.ids import content_hash, digest
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from tocsin.contracts import Effect

#: The aligned window that differences of one kind, connector and verb are collected in, ms.
WINDOW = 24 * 3_600_000

_TOLD = {
    "orphan": (
        "Containment That No Lease Holds",
        "A product contains something that nobody asked Tocsin for, or that it gave up: it will "
        "not end by itself.",
    ),
    "missing": (
        "Containment Missing in the Product",
        "A lease holds a containment that the product does not have (any more): what it should "
        "keep out is not kept out.",
    ),
}


def alert_of(kind: str, connector: str, effect: Effect, now: int) -> Outgoing:
    """The record of `findings` for a difference of `kind` (orphan, missing)."""
    name, description = _TOLD[kind]
    identity = f"tocsin-lease-{kind}"
    rule = Rule(
        id=identity,
        name=name,
        hash=content_hash({"rule": identity}),
        level="high" if kind == "missing" else "medium",
        type="system",
        author="Tocsin",
        description=description,
    )
    key = f"{identity}|{connector}|{effect.verb}"
    about = f"{effect.verb} on {effect.target}"
    finding = Finding(
        id=digest("drift", effect.id, kind),
        rule=rule,
        severity=SEVERITY[rule.level],
        at=now,
        key=key,
        window=WINDOW,
        fields={"service.name": connector},
        evidence=(Evidence(event_id=effect.id, at=now, origin="act", original=about),),
        message=f"{name}: {connector}, {about}",
    )
    return Outgoing(Topics.FINDINGS, finding.encode(), key=key.encode(), timestamp=now)
