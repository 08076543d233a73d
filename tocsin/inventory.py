"""What is known of our own machines: a CSV or YAML file of assets.

Columns (CSV) or keys (YAML, a list of mappings): `name`, `addresses` (addresses and ranges),
`criticality` (low, medium, high, critical), `owner`, `tags`. In CSV several values in one field
are separated by blanks or `;`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

Network = IPv4Network | IPv6Network
Row = TypeVar("Row")

#: Largest file, bytes, and most rows that are read.
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
    return Assets(read_rows(path, _KEYS, frozenset({"addresses", "tags"}), _asset))


def read_rows(
    path: Path,
    keys: frozenset[str],
    lists: frozenset[str],
    make: Callable[[dict[str, Any]], Row],
) -> list[Row]:
    """What `make` makes of each row of a CSV (by suffix) or YAML file.

    `keys` are the columns or keys there may be, `lists` those that hold several values. Raises
    OSError, or ValueError naming every row that is wrong.
    """
    if (size := path.stat().st_size) > MAX_FILE:
        raise ValueError(f"{size} bytes, at most {MAX_FILE} are read")
    text = path.read_text("utf-8-sig")
    rows = _csv_rows(text, lists) if path.suffix.lower() == ".csv" else _yaml_rows(text)
    made, mistakes = list[Row](), []
    for number, row in rows:
        try:
            if unknown := sorted(str(key) for key in row if key not in keys):
                known = ", ".join(sorted(keys))
                raise ValueError(f"unknown {', '.join(unknown)}; known are {known}")
            made.append(make(row))
        except ValueError as error:
            mistakes.append(f"{number}: {error}")
    if mistakes:
        raise ValueError("; ".join(mistakes[:20]))
    if len(made) > MAX_ASSETS:
        raise ValueError(f"{len(made)} rows, at most {MAX_ASSETS} are read")
    return made


def _csv_rows(text: str, lists: frozenset[str]) -> list[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(text.splitlines())
    try:
        rows = [(f"line {reader.line_num}", dict(row)) for row in reader]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None
    return [
        (number, {key: _split(key, value, lists) for key, value in row.items()})
        for number, row in rows
    ]


def _split(key: str | None, value: Any, lists: frozenset[str]) -> Any:
    if key is None:
        raise ValueError("a row has more fields than the header")
    if key in lists:
        return (value or "").replace(";", " ").split()
    return value


def _yaml_rows(text: str) -> list[tuple[str, dict[str, Any]]]:
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {error}") from None
    if not isinstance(loaded, list) or not all(isinstance(row, dict) for row in loaded):
        raise ValueError("a list of mappings is needed at the top")
    return [(f"entry {number}", row) for number, row in enumerate(loaded, 1)]


def _asset(row: dict[str, Any]) -> Asset:
    return Asset(
        name=text(row, "name", required=True),
        networks=tuple(ip_network(text) for text in texts(row, "addresses")),
        criticality=criticality(row),
        owner=text(row, "owner"),
        tags=tuple(texts(row, "tags")),
    )


def text(row: Mapping[str, Any], key: str, *, required: bool = False) -> str:
    """The text of a row's field; raises ValueError if a required one is missing."""
    value = str(row.get(key) or "").strip()
    if required and not value:
        raise ValueError(f"it has no {key}")
    return value


def criticality(row: Mapping[str, Any]) -> str:
    """One of CRITICALITY, the first where nothing is said; raises ValueError."""
    value = text(row, "criticality").lower() or CRITICALITY[0]
    if value not in CRITICALITY:
        raise ValueError(f"criticality '{value}' is none of {', '.join(CRITICALITY)}")
    return value


def texts(row: Mapping[str, Any], key: str) -> list[str]:
    """The texts of a row's field that holds several; raises ValueError."""
    value = row.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key} is no list of texts")
    return value
