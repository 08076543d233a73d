"""What DNS says of a name, and the names of an address (extra `dns`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from responders.abuseipdb import Address
from responders.base import Call, EntityKind, Manifest
from responders.enricher import Enricher, EnricherConfig, looks_up, unknown
from responders.product import Done, exact
from responders.virustotal import Domain
from tocsin.config_types import Duration
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

RESOLVE, REVERSE = "dns.resolve", "dns.reverse"
TYPES = ("A", "AAAA", "MX", "TXT")
MAX_RECORDS = 50

MANIFEST = Manifest(
    name="dns",
    summary="Names and addresses by DNS",
    actions=(
        looks_up(
            RESOLVE,
            Domain,
            "domain",
            EntityKind.HOST,
            "Addresses, mail hosts and texts",
            **dict.fromkeys(map(str.lower, TYPES), list),
        ),
        looks_up(REVERSE, Address, "ip", EntityKind.ADDRESS, "The names of an address", names=list),
    ),
)


class DnsConfig(EnricherConfig):
    """`servers` are addresses; none means those of this machine.

    Whoever runs a domain's servers sees that it is asked for.
    """

    servers: tuple[str, ...] = ()
    port: Annotated[int, Field(ge=1, le=65_535)] = 53
    keep: Duration = 300_000
    keep_unknown: Duration = 60_000


class Dns(Enricher[DnsConfig]):
    """A resolver."""

    MANIFEST = MANIFEST

    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[Done]]]:
        return {RESOLVE: self._resolve, REVERSE: self._reverse}

    async def ping(self) -> str:
        """Ask for the root's name servers."""
        await self._records(Call("", ".", {}, "", 5_000), ".", "NS")
        return "dns answers"

    async def _resolve(self, call: Call) -> Done:
        found = {kind.lower(): await self._records(call, call.target, kind) for kind in TYPES}
        if not any(found.values()):
            return unknown("the name has no records", **found)
        return {"found": True, **found}

    async def _reverse(self, call: Call) -> Done:
        from dns.reversename import from_address

        names = await self._records(call, from_address(exact(call.target)).to_text(), "PTR")
        return {"found": True, "names": names} if names else unknown("it has no name", names=[])

    async def _records(self, call: Call, name: str, kind: str) -> list[str]:
        try:
            from dns import asyncresolver, exception
            from dns.resolver import NXDOMAIN, NoAnswer
        except ImportError:
            message = "the DNS connector needs the extra: pip install 'tocsin[dns]'"
            raise ConnectorError("unavailable", message) from None
        resolver = asyncresolver.Resolver(configure=not self._config.servers)
        if self._config.servers:
            resolver.nameservers = list(self._config.servers)
            resolver.port = self._config.port
        resolver.lifetime = call.timeout / 1000 / len(TYPES)
        try:
            answer: Any = await resolver.resolve(name, kind, raise_on_no_answer=False)
        except (NXDOMAIN, NoAnswer):
            return []
        except exception.Timeout:
            raise ConnectorError("timeout", f"no DNS server answered about {name}") from None
        except exception.DNSException as error:
            told = f"DNS has no answer about {name}: {type(error).__name__}"
            raise ConnectorError("unavailable", told) from None
        texts = (each.to_text().rstrip(".").strip('"') for each in answer.rrset or ())
        return sorted(texts)[:MAX_RECORDS]
