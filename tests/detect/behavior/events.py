"""Events of invented people and machines, as the normalize stage would write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tocsin.clock import iso
from tocsin.contracts import Topics
from tocsin.log.base import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.contracts import Document

#: Monday, 6 January 2025, 00:00 UTC, ms.
MONDAY = 1_736_121_600_000
HOUR, DAY = 3_600_000, 86_400_000

OFFICE = ("192.0.2.10", "DE", 52.5, 13.4)
ABROAD = ("203.0.113.77", "BR", -23.5, -46.6)


def event(at: int, category: str, **sections: Any) -> Document:
    """An event of that category; `id` names it, `source` is what sent it."""
    told = {"category": [category], **sections.pop("event", {})}
    told.setdefault("id", f"{category}-{at}")
    return {
        "@timestamp": iso(at),
        "event": told,
        "tocsin": {"origin": f"raw/0/{at}", "source": "tests", **sections.pop("tocsin", {})},
        **sections,
    }


def logon(
    at: int,
    user: str = "ada",
    place: tuple[str, str, float, float] = OFFICE,
    *,
    ok: bool = True,
    device: str = "laptop",
    id: str = "",
) -> Document:
    """A logon at the identity provider."""
    address, country, lat, lon = place
    return event(
        at,
        "authentication",
        event={
            "outcome": "success" if ok else "failure",
            "type": ["start"],
            "id": id or f"logon-{user}-{at}",
        },
        user={"name": user},
        source={
            "ip": address,
            "as": {"number": 64_500},
            "geo": {
                "country_iso_code": country,
                "location": {"lat": lat, "lon": lon},
                "accuracy_radius": 20,
            },
        },
        device={"id": device},
        host={"name": "sso"},
    )


def process(at: int, name: str, user: str = "ada", host: str = "ws-ada") -> Document:
    """A program that was started."""
    return event(
        at,
        "process",
        event={"type": ["start"], "id": f"process-{user}-{host}-{name}-{at}"},
        user={"name": user},
        host={"name": host},
        process={"name": name, "parent": {"name": "explorer.exe"}},
    )


def flow(at: int, sent: int, destination: str = "files.example.com", host: str = "ws") -> Document:
    """A connection to outside."""
    return event(
        at,
        "network",
        event={"id": f"flow-{host}-{destination}-{at}"},
        host={"name": host},
        source={"ip": "192.0.2.40", "bytes": sent},
        destination={"domain": destination, "bytes": 900},
    )


def working_days(days: int, *, first: int = 0) -> Iterable[int]:
    """Mornings (8 h UTC) of working days, ms."""
    for day in range(first, first + days):
        if day % 7 < 5:
            yield MONDAY + day * DAY + 8 * HOUR


def records(
    events: Iterable[Document], *, topic: str = Topics.EVENTS, partition: int = 0
) -> list[Record]:
    """Records of events, numbered from 0."""
    return [
        Record(topic, partition, at, None, orjson.dumps(each), (), 0)
        for at, each in enumerate(events)
    ]
