"""Invented documents, indicators and a GeoIP database to measure with."""

from __future__ import annotations

from typing import Any

from detect.indicators.table import Rows
from detect.indicators.values import Indicator
from tests.responders.mmdb import database as made

#: Ten kinds of user agents, so that parsing does not always take the same way.
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/{}.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605.1 Version/{} Safari/605.1",
    "curl/8.{}",
    "tool-{}",
)


def document(number: int) -> dict[str, Any]:
    """A web event of a middling size, different for each number."""
    ip = f"{128 + number % 90}.{number // 256 % 256}.{number % 256}.{number // 65_536 % 256}"
    host, user = f"www{number}.shop.example.co.uk", f"user-{number % 20_000}"
    path = f"/account/{number}/orders?page={number % 7}"
    return {
        "@timestamp": "2026-01-05T10:00:00.000Z",
        "ecs": {"version": "9.2.0"},
        "event": {
            "id": f"{number:032x}",
            "kind": "event",
            "category": ["web"],
            "outcome": "success",
            "dataset": "web.access",
            "original": f'{ip} - {user} [05/Jan/2026:10:00:00 +0000] "GET {path} HTTP/1.1" 200 51',
        },
        "message": f"{user} asked {host} for {path}",
        "source": {"ip": ip, "address": ip, "port": 40_000},
        "destination": {"ip": f"10.{number % 8}.{number % 256}.7"},
        "host": {"name": f"host-{number % 2_000}"},
        "user": {"name": user, "email": f"{user}@example.com"},
        "url": {"domain": host, "path": path.partition("?")[0], "original": path},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
        "user_agent": {"original": _AGENTS[number % len(_AGENTS)].format(number)},
        "related": {"ip": [ip], "user": [user], "hosts": [host]},
        "tocsin": {"source": "vpn", "tenant": "default", "origin": f"raw/0/{number}"},
    }


def database() -> bytes:
    """Addresses from 128.0.0.0 on have a place and a network."""
    return made(
        {
            "city": {"names": {"en": "Somewhere"}},
            "continent": {"code": "EU", "names": {"en": "Europe"}},
            "country": {"iso_code": "XS", "names": {"en": "Example Land"}},
            "location": {"latitude": 51.5, "longitude": -0.25, "time_zone": "Europe/Somewhere"},
            "autonomous_system_number": 64_500,
            "autonomous_system_organization": "Example Net",
        }
    )


def indicators(count: int) -> Rows:
    """Addresses, domains, hashes and URLs in equal parts, each with an id and an end."""
    rows = Rows("feed")
    for number in range(count):
        match number % 4:
            case 0:
                value = (
                    f"{number % 120 + 1}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
                )
                kind: Any = "ip"
            case 1:
                kind, value = "domain", f"bad-{number}.example.net"
            case 2:
                kind, value = "hash", f"{number:064x}"
            case _:
                kind, value = "url", f"bad-{number}.example.net/load/{number}.bin"
        rows.add(
            Indicator(
                kind,
                value,
                "feed",
                until=4_000_000_000_000,
                id=f"indicator--{number:036x}",
                about=f"family {number % 500}",
            )
        )
    return rows
