"""Which of our own machines an event is about: the inventory's criticality, owner and tags.

What the inventory says of the host and of each endpoint stands in `tocsin.asset.<host, source,
destination, client, server>`: ECS has no fields for it. See tocsin.inventory for the file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tocsin.files import Watched
from tocsin.inventory import Asset, Assets, read_assets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tocsin.contracts import Document

#: Names and addresses whose asset, or that they have none, is remembered.
REMEMBERED = 32_768

#: Longest text that is looked up, characters.
MAX_NAME = 255

_ENDPOINTS = ("source", "destination", "client", "server")
_HOST_NAMES = ("name", "hostname", "ip")
_ENDPOINT_NAMES = ("ip", "domain", "address")


class Inventory:
    """The assets of a file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._file = Watched(path, read_assets)
        self._assets: Assets | None = None
        self._find: Callable[[str], Asset | None] = _nothing

    def refresh(self) -> None:
        """Read the file again if it has changed; what was read before stays in use until then."""
        assets = self._file.current()
        if assets is not None and assets is not self._assets:
            self._assets = assets
            self._find = lru_cache(REMEMBERED)(assets.find)

    def apply(self, document: Document) -> None:
        """Add what is known of the host and the endpoints."""
        found = {}
        if "host" in document and (told := self._told(document["host"], _HOST_NAMES)):
            found["host"] = told
        for name in _ENDPOINTS:
            if name in document and (told := self._told(document[name], _ENDPOINT_NAMES)):
                found[name] = told
        if found:
            document.setdefault("tocsin", {})["asset"] = found

    def problems(self) -> list[str]:
        """What is wrong with the file now."""
        return [self._file.problem] if self._file.problem else []

    def _told(self, body: object, names: tuple[str, ...]) -> dict[str, Any] | None:
        """Of the first name or address that the inventory knows."""
        if not isinstance(body, dict):
            return None
        for text in _texts(body, names):
            if len(text) <= MAX_NAME and (asset := self._find(text)) is not None:
                return _fields(asset)
        return None


def _texts(body: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    found = []
    for name in names:
        value = body.get(name)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            found += [each for each in value if isinstance(each, str)]
    return found


def _fields(asset: Asset) -> dict[str, Any]:
    told: dict[str, Any] = {"name": asset.name, "criticality": asset.criticality}
    if asset.owner:
        told["owner"] = asset.owner
    if asset.tags:
        told["tags"] = list(asset.tags)
    return told


def _nothing(text: str) -> None:
    """Before anything was read, nothing is known."""
