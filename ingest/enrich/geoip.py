"""Where an address is and whose network: MaxMind DB files in memory (MaxMind DB format 2.0).

GeoLite2, GeoIP2 and DB-IP databases of cities, countries, networks and anonymity; what one does
not have, another may. Fields: ECS field sets geo and as. A database that is missing or broken
costs an event nothing but the fields: it is counted, said once, and tagged.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import maxminddb

from tocsin.files import Watched

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from tocsin.contracts import Document

_log = logging.getLogger(__name__)

#: Largest database that is loaded, bytes (city databases have about 60 MB).
MAX_DATABASE = 512 * 1024 * 1024

#: Addresses whose place is remembered, about 1.5 KB each.
REMEMBERED = 16_384

#: Tag of an event that a database could not be asked about.
TAG = "geoip_unavailable"

_ENDPOINTS = ("source", "destination", "client", "server")
_MAX_ASN = 2**32 - 1

#: Keys of GeoIP2 Anonymous IP records, and what they are called in events.
_ANONYMITY = {
    "is_anonymous_vpn": "vpn",
    "is_hosting_provider": "hosting",
    "is_public_proxy": "proxy",
    "is_residential_proxy": "residential_proxy",
    "is_tor_exit_node": "tor",
}


class Place(NamedTuple):
    """What is known of an address; `failed`: a database could not answer."""

    geo: dict[str, Any]
    network: dict[str, Any]
    anonymity: tuple[str, ...]
    failed: bool


class Geoip:
    """Databases in memory, read again when their files change."""

    def __init__(self, paths: Iterable[Path], counters: Counter[str]) -> None:
        self._files = [Watched(path, load) for path in paths]
        self._counters = counters
        self._readers: list[maxminddb.Reader | None] = []
        self._told: set[str] = set()
        self._place: Callable[[str], Place] = self._look_up

    def refresh(self) -> None:
        """Read the files that have changed; what was read before stays in use until then."""
        readers = [file.current() for file in self._files]
        if readers != self._readers:
            self._readers, self._told = readers, set()
            self._place = lru_cache(REMEMBERED)(self._look_up)

    def apply(self, document: Document) -> None:
        """Add `geo` and `as` to each endpoint with an address that has none yet."""
        for name in _ENDPOINTS:
            if name not in document:
                continue
            body = document[name]
            if not isinstance(body, dict) or not isinstance(ip := body.get("ip"), str):
                continue
            place = self._place(ip)
            if place.geo and "geo" not in body:
                # Copies: what is remembered must not change with one event.
                geo = body["geo"] = place.geo.copy()
                if "location" in geo:
                    geo["location"] = geo["location"].copy()
            if place.network and "as" not in body:
                network = body["as"] = place.network.copy()
                if "organization" in network:
                    network["organization"] = network["organization"].copy()
            if place.anonymity:
                _anonymity(document, name, place.anonymity)
            if place.failed:
                self._counters["geoip"] += 1
                _tag(document)

    def problems(self) -> list[str]:
        """What is wrong with the files now."""
        return [file.problem for file in self._files if file.problem]

    def _look_up(self, ip: str) -> Place:
        geo: dict[str, Any] = {}
        network: dict[str, Any] = {}
        anonymity: set[str] = set()
        failed = False
        for file, reader in zip(self._files, self._readers, strict=True):
            if reader is None:
                failed = True
                continue
            try:
                record = reader.get(ip)
            except (maxminddb.InvalidDatabaseError, UnicodeDecodeError, RecursionError) as error:
                failed = True
                self._tell(file.path, error)
                continue
            except ValueError:
                # An IPv6 address in a database of IPv4: nothing is wrong with either.
                continue
            if isinstance(record, dict):
                geo = geo or _geo(record)
                network = network or _network(record)
                anonymity |= {told for key, told in _ANONYMITY.items() if record.get(key) is True}
        return Place(geo, network, tuple(sorted(anonymity)), failed)

    def _tell(self, path: Path, error: Exception) -> None:
        if path.name not in self._told:
            self._told.add(path.name)
            _log.warning(
                "%s is broken (%s): events it cannot answer for are tagged %s; download it again",
                path, type(error).__name__, TAG,
            )  # fmt: skip


def load(path: Path) -> maxminddb.Reader:
    """The database in memory, so that replacing or cutting the file cannot hurt.

    Through an anonymous file the C reader maps memory of our own: it is twelve times as fast as
    the one in Python (9 µs a look-up against 109), and a mapped file that somebody truncates
    would kill the process. Raises OSError or ValueError.
    """
    if (size := path.stat().st_size) > MAX_DATABASE:
        raise ValueError(f"{size} bytes, at most {MAX_DATABASE} are read")
    try:
        return _mapped(path.read_bytes())
    except (maxminddb.InvalidDatabaseError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"no MaxMind database: {error}") from None


def _mapped(content: bytes) -> maxminddb.Reader:
    descriptor = os.memfd_create("tocsin-mmdb")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return maxminddb.open_database(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _geo(record: Mapping[str, Any]) -> dict[str, Any]:
    """ECS geo of a city or country record."""
    country = _part(record, "country") or _part(record, "registered_country")
    continent, city = _part(record, "continent"), _part(record, "city")
    divisions = record.get("subdivisions")
    region = divisions[0] if isinstance(divisions, list) and divisions else {}
    region = region if isinstance(region, dict) else {}
    where, iso = _part(record, "location"), country.get("iso_code")
    told = {
        "city_name": _english(city),
        "continent_code": continent.get("code"),
        "continent_name": _english(continent),
        "country_iso_code": iso,
        "country_name": _english(country),
        "postal_code": _part(record, "postal").get("code"),
        "region_name": _english(region),
        "timezone": where.get("time_zone"),
    }
    if isinstance(iso, str) and isinstance(part := region.get("iso_code"), str):
        told["region_iso_code"] = f"{iso}-{part}"
    geo: dict[str, Any] = {key: text for key, text in told.items() if text and _is_text(text)}
    latitude, longitude = where.get("latitude"), where.get("longitude")
    # What is no place on Earth, and NaN, would have the store refuse the event.
    if _within(latitude, 90) and _within(longitude, 180):
        geo["location"] = {"lat": latitude, "lon": longitude}
    return geo


def _within(value: object, limit: int) -> bool:
    return isinstance(value, float) and -limit <= value <= limit


def _network(record: Mapping[str, Any]) -> dict[str, Any]:
    """ECS as of a record of autonomous systems."""
    network: dict[str, Any] = {}
    number = record.get("autonomous_system_number")
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number <= _MAX_ASN:
        network["number"] = number
    if (name := record.get("autonomous_system_organization")) and _is_text(name):
        network["organization"] = {"name": name}
    return network


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _english(part: Mapping[str, Any]) -> Any:
    return _part(part, "names").get("en")


def _part(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _anonymity(document: Document, name: str, kinds: tuple[str, ...]) -> None:
    """`tocsin.anonymity.<endpoint>`: ECS has no field for it."""
    own = document.setdefault("tocsin", {})
    own.setdefault("anonymity", {})[name] = list(kinds)


def _tag(document: Document) -> None:
    tags = document.get("tags")
    if tags is None:
        document["tags"] = [TAG]
    elif isinstance(tags, list) and TAG not in tags:
        document["tags"] = [*tags, TAG]  # a mapping's own list may be that of all its events
