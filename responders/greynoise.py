"""Whether an address scans everybody (GreyNoise, community API v3).

404 means "not seen", which is an answer; `riot` means a known business service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from responders.abuseipdb import Address
from responders.base import Call, EntityKind, Manifest
from responders.enricher import Enricher, EnricherConfig, looks_up, unknown
from responders.product import Done, Secret, Url, exact, segment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

COMMUNITY = "greynoise.community"
_EMPTY = {"noise": False, "riot": False, "classification": "unknown", "name": "", "last_seen": ""}

MANIFEST = Manifest(
    name="greynoise",
    summary="Whether an address scans the whole internet",
    actions=(
        looks_up(
            COMMUNITY,
            Address,
            "ip",
            EntityKind.ADDRESS,
            "Noise, business service or unseen",
            noise=bool,
            riot=bool,
            classification=str,
            name=str,
            last_seen=str,
        ),
    ),
    secrets=("key",),
)


class GreynoiseConfig(EnricherConfig):
    """A community key."""

    key: Secret
    url: Url = "https://api.greynoise.io"
    per_minute: int = 30


class Greynoise(Enricher[GreynoiseConfig]):
    """One key."""

    MANIFEST = MANIFEST

    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[Done]]]:
        return {COMMUNITY: self._community}

    async def ping(self) -> str:
        """Ask about a documentation address."""
        await self._community(Call(COMMUNITY, "192.0.2.1", {}, "", 10_000))
        return "greynoise takes the key"

    async def _community(self, call: Call) -> Done:
        headers = {"key": self.secret(self._config.key)}
        url = f"{self._config.url}/v3/community/{segment(exact(call.target))}"
        answer = await self.send(call, "GET", url, headers=headers, accept=(404,))
        if answer.status == 404:
            return unknown("greynoise has not seen it", **_EMPTY)
        told = answer.object()
        if not isinstance(told.get("noise"), bool):
            raise self.refused(told.get("message", "no verdict"))
        return {"found": True} | {key: told.get(key) or default for key, default in _EMPTY.items()}
