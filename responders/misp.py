"""Whether a MISP instance knows a value (attributes/restSearch, MISP 2.4 and later)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from responders.abusech import Indicator
from responders.base import Call, EntityKind, Manifest
from responders.enricher import Enricher, EnricherConfig, looks_up, unknown
from responders.product import Done, Secret, Url, dig, rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

SEARCH = "misp.search"

MANIFEST = Manifest(
    name="misp",
    summary="Indicators and events of a MISP instance",
    actions=(
        looks_up(
            SEARCH,
            Indicator,
            "indicator",
            EntityKind.HOST,
            "Events that have a value",
            events=list,
            types=list,
            to_ids=bool,
            tags=list,
        ),
    ),
    secrets=("key",),
)


class MispConfig(EnricherConfig):
    """`url` of the instance and an automation key; warning lists are applied by MISP."""

    url: Url
    key: Secret
    limit: int = 100


class Misp(Enricher[MispConfig]):
    """One instance."""

    MANIFEST = MANIFEST

    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[Done]]]:
        return {SEARCH: self._search}

    async def ping(self) -> str:
        """Search for a documentation address."""
        await self._search(Call(SEARCH, "192.0.2.1", {}, "", 10_000))
        return "misp takes the key"

    async def _search(self, call: Call) -> Done:
        query = {
            "returnFormat": "json",
            "value": call.target,
            "limit": self._config.limit,
            "enforceWarninglist": True,
            "includeEventTags": True,
        }
        headers = {"authorization": self.secret(self._config.key)}
        url = f"{self._config.url}/attributes/restSearch"
        told = (await self.send(call, "POST", url, headers=headers, json=query)).object()
        if not isinstance(dig(told, "response", "Attribute"), list):
            raise self.refused(told.get("message") or "no attributes")
        found = rows(told, "response", "Attribute")
        if not found:
            return unknown("misp does not know it", events=[], tags=[], to_ids=False, types=[])
        tags = {str(tag.get("name")) for each in found for tag in rows(each, "Tag")}
        return {
            "found": True,
            "events": sorted({str(each.get("event_id")) for each in found})[:50],
            "types": sorted({str(each.get("type")) for each in found}),
            "to_ids": any(each.get("to_ids") is True for each in found),
            "tags": sorted(tags)[:50],
        }
