"""What is known of our own machines: a CSV or YAML file of assets.

Columns (CSV) or keys (YAML, a list of mappings): `name`, `addresses` (addresses and ranges),
`criticality` (low, medium, high, critical), `owner`, `tags`. In CSV several values in one field
are separated by blanks or `;`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Network = IPv4Network | IPv6Network

#: Largest file, bytes, and most assets that are read.
MAX_FILE = 64 * 1024 * 1024
MAX_ASSETS = 500_000

CRITICALITY = ("low", "medium", "high", "critical")
_KEYS = frozenset({"name", "addresses", "criticality", "owner", "tags"})


@dataclass(frozen=True, slots=True)
class Asset:
    """One row."""

    name: str
    networks: tuple[Network, ...]
    criticality: str
    owner: str
    tags: tuple[str, ...]


class Assets:
    """All rows, found by name, exact address, or the narrowest range."""

    def __init__(self, assets: Iterable[Asset]) -> None:
        self.all = tuple(assets)
        self._names = {asset.name.casefold(): asset for asset in reversed(self.all)}
        self._networks: dict[Network, Asset] = {}
        for asset in reversed(self.all):
            self._networks.update(dict.fromkeys(asset.networks, asset))
        self._lengths = sorted({(n.version, n.prefixlen) for n in self._networks}, reverse=True)

    def find(self, entity: str) -> Asset | None:
        """The asset of a name or address."""
        try:
            address = ip_address(entity)
        except ValueError:
            return self._names.get(entity.casefold().removesuffix("."))
        for version, length in self._lengths:
            if version == address.version:
                around = ip_network((address, length), strict=False)
                if (asset := self._networks.get(around)) is not None:
                    return asset
        return None


def read_assets(path: Path) -> Assets:
    """Raises OSError, or ValueError naming every row that is wrong."""
    if (size := path.stat().st_size) > MAX_FILE:
        raise ValueError(f"{size} bytes, at most {MAX_FILE} are read")
    text = path.read_text("utf-8-sig")
    rows = _csv_rows(text) if path.suffix.lower() == ".csv" else _yaml_rows(text)
    assets, mistakes = [], []
    for number, row in rows:
        try:
            assets.append(_asset(row))
        except ValueError as error:
            mistakes.append(f"{number}: {error}")
    if mistakes:
        raise ValueError("; ".join(mistakes[:20]))
    if len(assets) > MAX_ASSETS:
        raise ValueError(f"{len(assets)} assets, at most {MAX_ASSETS} are read")
    return Assets(assets)


def _csv_rows(text: str) -> list[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(text.splitlines())
    try:
        rows = [(f"line {reader.line_num}", dict(row)) for row in reader]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None
    return [
        (number, {key: _split(key, value) for key, value in row.items()}) for number, row in rows
    ]


def _split(key: str | None, value: Any) -> Any:
    if key is None:
        raise ValueError("a row has more fields than the header")
    if key in ("addresses", "tags"):
        return (value or "").replace(";", " ").split()
    return value


def _yaml_rows(text: str) -> list[tuple[str, dict[str, Any]]]:
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {error}") from None
    if not isinstance(loaded, list) or not all(isinstance(row, dict) for row in loaded):
        raise ValueError("a list of assets is needed at the top")
    return [(f"entry {number}", row) for number, row in enumerate(loaded, 1)]


def _asset(row: dict[str, Any]) -> Asset:
    if unknown := sorted(str(key) for key in row if key not in _KEYS):
        raise ValueError(f"unknown {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    name = str(row.get("name") or "").strip()
    criticality = str(row.get("criticality") or "low").strip().lower()
    if not name:
        raise ValueError("it has no name")
    if criticality not in CRITICALITY:
        raise ValueError(f"criticality '{criticality}' is none of {', '.join(CRITICALITY)}")
    return Asset(
        name=name,
        networks=tuple(ip_network(text) for text in _texts(row, "addresses")),
        criticality=criticality,
        owner=str(row.get("owner") or "").strip(),
        tags=tuple(_texts(row, "tags")),
    )


def _texts(row: dict[str, Any], key: str) -> list[str]:
    value = row.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key} is no list of texts")
    return value
