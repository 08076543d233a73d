"""What is known of our own machines, for playbooks: see tocsin.inventory for the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from tocsin.errors import ConnectorError
from tocsin.files import Watched
from tocsin.inventory import read_assets

if TYPE_CHECKING:
    from collections.abc import Mapping


class InventoryConfig(BaseModel):
    """`path` of the file; its suffix (.csv, .yml, .yaml) says which form it has."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    path: Path


class Lookup(Inputs):
    """An address or a name."""

    entity: str


MANIFEST = Manifest(
    name="inventory",
    summary="Owner and criticality of our own assets, from a local file",
    actions=(
        Action(
            verb="inventory.lookup",
            action_class=ActionClass.READ,
            idempotence=Idempotence.NATURAL,
            inputs=Lookup,
            target="entity",
            entity=EntityKind.HOST,
            summary="Owner, criticality and tags of an address or name",
            outputs={"found": bool, "name": str, "criticality": str, "owner": str, "tags": list},
        ),
    ),
    max_concurrency=32,
)


class Inventory:
    """The inventory file, read again when it changes."""

    manifest = MANIFEST

    def __init__(self, config: InventoryConfig) -> None:
        self._file = Watched(config.path, read_assets)

    async def act(self, call: Call) -> dict[str, Any]:
        """{found, name, criticality, owner, tags}."""
        assets = self._file.current()
        asset = assets.find(str(call.inputs["entity"])) if assets else None
        if asset is None:
            return {
                "found": False,
                "name": "",
                "criticality": "",
                "owner": "",
                "tags": [],
                "reason": self._file.problem or f"{call.inputs['entity']} is not in the inventory",
            }
        return {
            "found": True,
            "name": asset.name,
            "criticality": asset.criticality,
            "owner": asset.owner,
            "tags": list(asset.tags),
        }

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ConnectorError: there is nothing to undo."""
        raise ConnectorError("invalid", "a look-up cannot be undone")

    async def probe(self, call: Call) -> dict[str, Any] | None:
        """Raises ConnectorError: a look-up leaves nothing behind."""
        raise ConnectorError("invalid", "a look-up leaves nothing to ask for")

    async def check(self) -> str:
        """Read the file; raises ConnectorError saying what is wrong with it."""
        assets = self._file.current()
        if assets is None or self._file.problem:
            raise ConnectorError("invalid", self._file.problem)
        return f"inventory has {len(assets.all)} assets"

    async def close(self) -> None:
        """Nothing is held open."""

    def guard_lists(self) -> dict[str, tuple[str, ...]]:
        """Guard lists of names and addresses: `fleet` (all), `critical_assets`, `tag:NAME` of each.

        Raises ConnectorError if the inventory was never readable: a guard may not be empty by
        accident.
        """
        assets = self._file.current()
        if assets is None:
            raise ConnectorError("invalid", f"no guard lists: {self._file.problem}")
        lists: dict[str, list[str]] = {"fleet": [], "critical_assets": []}
        for asset in assets.all:
            entries = [asset.name, *(str(network) for network in asset.networks)]
            lists["fleet"] += entries
            if asset.criticality == "critical":
                lists["critical_assets"] += entries
            for tag in asset.tags:
                lists.setdefault(f"tag:{tag}", []).extend(entries)
        return {name: tuple(entries) for name, entries in lists.items()}
