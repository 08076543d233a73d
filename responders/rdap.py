"""Who an address or domain is registered to (RDAP, RFC 9082 and 9083).

A registry sends a question on to the one that knows: such a redirect is followed, twice at most,
to the hosts of `registries` only, and nothing secret goes along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from responders.abuseipdb import Address
from responders.base import Call, EntityKind, Manifest
from responders.enricher import DAY, Enricher, EnricherConfig, looks_up, unknown
from responders.product import Done, Url, dig, exact, rows, segment
from responders.virustotal import Domain
from tocsin.config_types import Duration
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

IP, DOMAIN = "rdap.ip", "rdap.domain"
MAX_REDIRECTS = 2
_EMPTY = {"name": "", "handle": "", "country": "", "range": "", "abuse": "", "registered": ""}
_OUTPUTS: dict[str, type] = dict.fromkeys(_EMPTY, str)

MANIFEST = Manifest(
    name="rdap",
    summary="Who an address or domain is registered to",
    actions=(
        looks_up(
            IP, Address, "ip", EntityKind.ADDRESS, "Network, holder and abuse contact", **_OUTPUTS
        ),
        looks_up(
            DOMAIN, Domain, "domain", EntityKind.HOST, "Registration and its date", **_OUTPUTS
        ),
    ),
)


class RdapConfig(EnricherConfig):
    """`url` is asked first about addresses, `domain_url` about domains."""

    url: Url = "https://rdap.arin.net/registry"
    domain_url: Url = "https://rdap.verisign.com/com/v1"
    registries: tuple[str, ...] = (
        "rdap.arin.net",
        "rdap.db.ripe.net",
        "rdap.apnic.net",
        "rdap.lacnic.net",
        "rdap.afrinic.net",
        "rdap.verisign.com",
    )
    keep: Duration = 7 * DAY
    per_minute: int = 60


class Rdap(Enricher[RdapConfig]):
    """The registries."""

    MANIFEST = MANIFEST

    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[Done]]]:
        return {IP: self._ip, DOMAIN: self._domain}

    async def ping(self) -> str:
        """Ask for the registry's help page."""
        await self._ask(Call("", "", {}, "", 10_000), f"{self._config.url}/help")
        return "rdap answers"

    async def _ip(self, call: Call) -> Done:
        return await self._record(call, f"{self._config.url}/ip/{segment(exact(call.target))}")

    async def _domain(self, call: Call) -> Done:
        return await self._record(call, f"{self._config.domain_url}/domain/{segment(call.target)}")

    async def _record(self, call: Call, url: str) -> Done:
        told = await self._ask(call, url)
        if told is None:
            return unknown("no registry knows it", **_EMPTY)
        if not isinstance(told.get("objectClassName"), str):
            raise self.refused(told.get("title") or "no object")
        ends = [str(told.get(key) or "") for key in ("startAddress", "endAddress")]
        events = {str(e.get("eventAction")): str(e.get("eventDate")) for e in rows(told, "events")}
        return {
            "found": True,
            "name": str(told.get("name") or told.get("ldhName") or ""),
            "handle": str(told.get("handle") or ""),
            "country": str(told.get("country") or ""),
            "range": " - ".join(filter(None, ends)),
            "abuse": _abuse(rows(told, "entities")),
            "registered": events.get("registration", ""),
        }

    async def _ask(self, call: Call, url: str) -> dict[str, Any] | None:
        headers = {"accept": "application/rdap+json"}
        for _ in range(MAX_REDIRECTS + 1):
            accept = (301, 302, 303, 307, 308, 404)
            answer = await self.send(call, "GET", url, headers=headers, accept=accept)
            if answer.status == 404:
                return None
            if answer.status < 300:
                return answer.object()
            url = self._followed(url, answer.headers.get("location", ""))
        raise ConnectorError("redirect", f"rdap was redirected more than {MAX_REDIRECTS} times")

    def _followed(self, url: str, location: str) -> str:
        target = httpx.URL(url).join(location)
        if target.host not in self._config.registries or target.userinfo:
            message = f"rdap was redirected to {target.host[:100]}, which is not in registries"
            raise ConnectorError("redirect", message)
        return str(target)


def _abuse(entities: list[dict[str, Any]], depth: int = 0) -> str:
    """The first e-mail address of an entity with the role "abuse", or of one within."""
    for entity in entities:
        if "abuse" in (entity.get("roles") or []):
            for field in dig(entity, "vcardArray", 1) or []:
                if isinstance(field, list) and len(field) > 3 and field[0] == "email":
                    return str(field[3])[:200]
        if depth < 3 and (found := _abuse(rows(entity, "entities"), depth + 1)):
            return found
    return ""
