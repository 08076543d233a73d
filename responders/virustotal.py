"""What scanners say of files, addresses and domains (VirusTotal, API v3).

404 for a file means that nobody uploaded it, never that it is clean: `found` is false and the
counts are null, so that a comparison with them cannot pass by accident.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from responders.abuseipdb import Address
from responders.base import Call, EntityKind, Inputs, Manifest
from responders.enricher import Enricher, EnricherConfig, looks_up, unknown
from responders.product import Done, Secret, Url, dig, exact, segment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

IP, DOMAIN, FILE = "virustotal.ip", "virustotal.domain", "virustotal.file"
_COUNTS = ("malicious", "suspicious", "harmless", "undetected")


class File(Inputs):
    """A file by its MD5, SHA-1 or SHA-256."""

    hash: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64})$")]


class Domain(Inputs):
    """A domain."""

    domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,253}$")]


_OUTPUTS: dict[str, type] = {
    **dict.fromkeys(("malicious", "suspicious", "harmless", "undetected", "reputation"), int),
    "label": str,
}

MANIFEST = Manifest(
    name="virustotal",
    summary="What scanners say of files, addresses and domains",
    actions=(
        looks_up(IP, Address, "ip", EntityKind.ADDRESS, "Verdicts on an address", **_OUTPUTS),
        looks_up(DOMAIN, Domain, "domain", EntityKind.HOST, "Verdicts on a domain", **_OUTPUTS),
        looks_up(FILE, File, "hash", EntityKind.KEY, "Verdicts on a file by its hash", **_OUTPUTS),
    ),
    secrets=("key",),
)


class VirustotalConfig(EnricherConfig):
    """A public key may ask 4 times a minute and 500 times a day."""

    key: Secret
    url: Url = "https://www.virustotal.com/api/v3"
    per_minute: int = 4
    per_day: int = 500


class Virustotal(Enricher[VirustotalConfig]):
    """One key."""

    MANIFEST = MANIFEST

    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[Done]]]:
        return {
            IP: lambda call: self._ask(call, f"/ip_addresses/{segment(exact(call.target))}"),
            DOMAIN: lambda call: self._ask(call, f"/domains/{segment(call.target)}"),
            FILE: lambda call: self._ask(call, f"/files/{segment(call.target)}"),
        }

    async def ping(self) -> str:
        """Ask about a documentation address; costs one of the day's questions."""
        await self._ask(Call(IP, "", {}, "", 10_000), "/ip_addresses/192.0.2.1")
        return "virustotal takes the key"

    async def _ask(self, call: Call, path: str) -> Done:
        headers = {"x-apikey": self.secret(self._config.key)}
        url = self._config.url + path
        answer = await self.send(call, "GET", url, headers=headers, accept=(404,))
        if answer.status == 404:
            empty = dict.fromkeys(_COUNTS)
            return unknown("virustotal does not know it", **empty, reputation=None, label="")
        attributes = dig(answer.object(), "data", "attributes")
        counts = dig(attributes, "last_analysis_stats")
        if not isinstance(attributes, dict) or not isinstance(counts, dict):
            raise self.refused(dig(answer.object(), "error", "message") or "no analysis")
        label = dig(attributes, "popular_threat_classification", "suggested_threat_label")
        told: Done = {
            "found": True,
            "reputation": attributes.get("reputation"),
            "label": label or "",
        }
        return told | {name: counts.get(name, 0) for name in _COUNTS}
