"""Where the simulated company is: sites, home networks, hotels; all addresses are reserved ones.

Addresses are of the documentation networks (RFC 5737, RFC 3849) and of the benchmark network
(RFC 2544), autonomous systems of the documentation range (RFC 5398). Coordinates are rounded ones
of large cities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Network:
    """Where a connection comes from, as enrichment would say it."""

    ip: str
    asn: int
    country: str
    lat: float
    lon: float
    radius: int = 20  # km

    def fields(self) -> dict[str, Any]:
        """The value of ECS `source`; shared between events, which nobody may change."""
        return _fields(self)


@lru_cache(maxsize=65_536)
def _fields(network: Network) -> dict[str, Any]:
    return {
        "ip": network.ip,
        "address": network.ip,
        "as": {"number": network.asn},
        "geo": {
            "country_iso_code": network.country,
            "location": {"lat": network.lat, "lon": network.lon},
            "accuracy_radius": network.radius,
        },
    }


@dataclass(frozen=True, slots=True)
class Site:
    """An office: `offset` hours ahead of UTC, its egress addresses, its share of the staff."""

    name: str
    country: str
    lat: float
    lon: float
    offset: int
    egress: str
    asn: int
    share: float
    holiday: int  # the day of the 30 on which nearly nobody works there

    def network(self, last: int = 1) -> Network:
        """The office's shared egress."""
        return Network(f"{self.egress}.{last}", self.asn, self.country, self.lat, self.lon)


SITES = (
    Site("berlin", "DE", 52.5, 13.4, 1, "192.0.2", 64496, 0.4, 11),
    Site("lyon", "FR", 45.8, 4.8, 1, "198.51.100", 64497, 0.2, 17),
    Site("austin", "US", 30.3, -97.7, -6, "203.0.113", 64498, 0.25, 14),
    Site("pune", "IN", 18.5, 73.9, 5, "198.18.255", 64499, 0.15, 9),
)

#: The remote access gateway: whoever uses it seems to be here, wherever they are.
GATEWAY = Network("192.0.2.250", 64496, "DE", 52.5, 13.4)

#: What a deployment would name as its known egress.
KNOWN_EGRESS = (
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "198.18.255.0/24",
)

#: Where people travel to: country, latitude, longitude, hours from UTC.
TRIPS = (
    ("GB", 51.5, -0.1, 0),
    ("ES", 40.4, -3.7, 1),
    ("SE", 59.3, 18.1, 1),
    ("JP", 35.7, 139.7, 9),
    ("SG", 1.35, 103.8, 8),
    ("BR", -23.5, -46.6, -3),
    ("CA", 43.7, -79.4, -5),
)

#: Where attackers sit; nobody of the company is ever there.
HOSTILE = (
    ("KP", 39.0, 125.8),
    ("MD", 47.0, 28.9),
    ("NG", 6.5, 3.4),
    ("VN", 21.0, 105.8),
    ("PA", 9.0, -79.5),
    ("KZ", 43.2, 76.9),
)


def home(site: Site, number: int, lease: int, lat: float, lon: float) -> Network:
    """A home connection: its provider gives another address with each lease."""
    ip = f"198.18.{number % 250}.{1 + (number // 250 * 90 + lease) % 250}"
    return Network(ip, 64500 + SITES.index(site) * 4 + number % 4, site.country, lat, lon, 30)


def mobile(site: Site, number: int, lat: float, lon: float) -> Network:
    """A mobile carrier: few addresses for many, and a location good to some hundred km only."""
    ip = f"2001:db8:{SITES.index(site) + 16:x}::{number % 60 + 1:x}"
    return Network(ip, 64516 + SITES.index(site), site.country, lat, lon, 300)


def hotel(trip: int, number: int) -> Network:
    """A hotel or conference network."""
    country, lat, lon, _ = TRIPS[trip]
    return Network(f"198.19.{trip}.{number % 200 + 1}", 64520 + trip % 4, country, lat, lon, 50)


def hostile(place: int, number: int) -> Network:
    """A network that attackers use."""
    country, lat, lon = HOSTILE[place % len(HOSTILE)]
    ip = f"198.19.{100 + place % 100}.{number % 250 + 1}"
    return Network(ip, 64540 + place % 12, country, lat, lon, 50)
