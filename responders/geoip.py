"""Where an address is and whose: MaxMind DB files on this machine (MaxMind DB format 2.0)."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import maxminddb
from pydantic import BaseModel, ConfigDict, Field

from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from tocsin.errors import ConnectorError
from tocsin.files import Watched

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Largest database that is loaded, bytes (city databases have about 60 MB).
MAX_DATABASE = 512 * 1024 * 1024


class GeoipConfig(BaseModel):
    """`databases`: city or country and ASN files; what one does not have, another may."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    databases: Annotated[tuple[Path, ...], Field(min_length=1)]


class Lookup(Inputs):
    """The address to look up."""

    ip: str


MANIFEST = Manifest(
    name="geoip",
    summary="Country, city and network of an address, from local files",
    actions=(
        Action(
            verb="geoip.lookup",
            action_class=ActionClass.READ,
            idempotence=Idempotence.NATURAL,
            inputs=Lookup,
            target="ip",
            entity=EntityKind.ADDRESS,
            summary="Country, city and network of an address",
            outputs={
                "found": bool,
                "country": str,
                "country_name": str,
                "city": str,
                "location": dict,
                "asn": int,
                "organization": str,
            },
        ),
    ),
    max_concurrency=32,
)


class Geoip:
    """Databases in memory, read again when their files change."""

    manifest = MANIFEST

    def __init__(self, config: GeoipConfig) -> None:
        self._files = [Watched(path, _load) for path in config.databases]

    async def act(self, call: Call) -> dict[str, Any]:
        """{found, country, country_name, city, location, asn, organization}; without data
        found is False and `reason` says why.
        """
        try:
            address = str(ip_address(str(call.inputs["ip"])))
        except ValueError:
            return _nothing(f"'{call.inputs['ip']}' is no address")
        output = _nothing(f"{address} is in no database")
        for file in self._files:
            reader = file.current()
            if reader is None:
                output["reason"] = file.problem
                continue
            try:
                record = reader.get(address)
            except (ValueError, maxminddb.InvalidDatabaseError, RecursionError) as error:
                output["reason"] = f"{file.path.name} cannot answer for {address}: {error}"
                continue
            if isinstance(record, dict):
                _add(output, record)
        if output["found"]:
            del output["reason"]
        return output

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ConnectorError: there is nothing to undo."""
        raise ConnectorError("invalid", "a look-up cannot be undone")

    async def probe(self, call: Call) -> dict[str, Any] | None:
        """Raises ConnectorError: a look-up leaves nothing behind."""
        raise ConnectorError("invalid", "a look-up leaves nothing to ask for")

    async def check(self) -> str:
        """Read every database; raises ConnectorError naming the first that cannot be used."""
        told = []
        for file in self._files:
            reader = file.current()
            if reader is None or file.problem:
                message = f"{file.problem}; download it again or correct databases"
                raise ConnectorError("invalid", message)
            told.append(f"{file.path.name} ({reader.metadata().database_type})")
        return f"geoip has {', '.join(told)}"

    async def close(self) -> None:
        """Release the databases."""
        for file in self._files:
            if file.value is not None:
                file.value.close()
                file.value = None


def _load(path: Path) -> maxminddb.Reader:
    """Into memory, so that replacing the file cannot hurt; raises OSError or ValueError."""
    if (size := path.stat().st_size) > MAX_DATABASE:
        raise ValueError(f"{size} bytes, at most {MAX_DATABASE} are read")
    try:
        return maxminddb.open_database(path, maxminddb.MODE_MEMORY)
    except (maxminddb.InvalidDatabaseError, RecursionError) as error:
        raise ValueError(f"no MaxMind database: {error}") from None


def _nothing(reason: str) -> dict[str, Any]:
    return {
        "found": False,
        "country": "",
        "country_name": "",
        "city": "",
        "location": None,
        "asn": None,
        "organization": "",
        "reason": reason,
    }


def _add(output: dict[str, Any], record: dict[str, Any]) -> None:
    """What a record of a city, country or ASN database tells; the first database wins."""
    country = _part(record, "country") or _part(record, "registered_country")
    where = _part(record, "location")
    told: dict[str, Any] = {
        "country": country.get("iso_code"),
        "country_name": _part(country, "names").get("en"),
        "city": _part(_part(record, "city"), "names").get("en"),
        "asn": record.get("autonomous_system_number"),
        "organization": record.get("autonomous_system_organization"),
    }
    if isinstance(where.get("latitude"), float) and isinstance(where.get("longitude"), float):
        told["location"] = {"lat": where["latitude"], "lon": where["longitude"]}
    for key, value in told.items():
        if value not in (None, "") and not output[key]:
            output[key] = value
            output["found"] = True


def _part(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}
