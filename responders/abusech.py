"""Known malware sites, indicators and samples (abuse.ch: URLhaus, ThreatFox, MalwareBazaar).

All three answer 200 with a `query_status`; `no_results` and its kind mean "not known".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from responders.base import Call, EntityKind, Inputs, Manifest
from responders.enricher import Enricher, EnricherConfig, looks_up, unknown
from responders.product import Done, Secret, Url, dig, rows
from responders.virustotal import File

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

HOST, IOC, SAMPLE = "urlhaus.host", "threatfox.search", "malwarebazaar.file"
_UNKNOWN = ("no_results", "no_result", "hash_not_found", "illegal_hash", "invalid_host")


class Host(Inputs):
    """A domain or an address."""

    host: Annotated[str, Field(min_length=1, max_length=253)]


class Indicator(Inputs):
    """An address, domain, url or hash."""

    indicator: Annotated[str, Field(min_length=3, max_length=2_048)]


MANIFEST = Manifest(
    name="abusech",
    summary="Malware sites, indicators and samples of abuse.ch",
    actions=(
        looks_up(
            HOST,
            Host,
            "host",
            EntityKind.HOST,
            "Malware urls of a host (URLhaus)",
            urls=int,
            online=int,
            tags=list,
        ),
        looks_up(
            IOC,
            Indicator,
            "indicator",
            EntityKind.HOST,
            "An indicator (ThreatFox)",
            malware=str,
            confidence=int,
            tags=list,
        ),
        looks_up(
            SAMPLE,
            File,
            "hash",
            EntityKind.KEY,
            "A malware sample (MalwareBazaar)",
            signature=str,
            file_name=str,
            tags=list,
        ),
    ),
    secrets=("key",),
)


class AbusechConfig(EnricherConfig):
    """One `Auth-Key` for all three."""

    key: Secret
    urlhaus: Url = "https://urlhaus-api.abuse.ch/v1"
    threatfox: Url = "https://threatfox-api.abuse.ch/api/v1"
    malwarebazaar: Url = "https://mb-api.abuse.ch/api/v1"
    per_minute: int = 60


class Abusech(Enricher[AbusechConfig]):
    """One key."""

    MANIFEST = MANIFEST

    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[Done]]]:
        return {HOST: self._host, IOC: self._indicator, SAMPLE: self._sample}

    async def ping(self) -> str:
        """Ask URLhaus about a documentation address."""
        await self._host(Call(HOST, "192.0.2.1", {}, "", 10_000))
        return "abusech takes the key"

    async def _host(self, call: Call) -> Done:
        url, empty = f"{self._config.urlhaus}/host/", {"urls": 0, "online": 0, "tags": []}
        told = await self._ask(call, url, form={"host": call.target})
        if told is None:
            return unknown("urlhaus does not know it", **empty)
        urls = rows(told, "urls")
        return {
            "found": True,
            "urls": len(urls),
            "online": sum(each.get("url_status") == "online" for each in urls),
            "tags": _tags(urls),
        }

    async def _indicator(self, call: Call) -> Done:
        query = {"query": "search_ioc", "search_term": call.target, "exact_match": True}
        told = await self._ask(call, f"{self._config.threatfox}/", json=query)
        if told is None:
            return unknown("threatfox does not know it", malware="", confidence=0, tags=[])
        best = max(rows(told, "data"), key=_confidence, default={})
        return {
            "found": bool(best),
            "malware": str(best.get("malware_printable") or ""),
            "confidence": _confidence(best),
            "tags": _tags([best]),
        }

    async def _sample(self, call: Call) -> Done:
        query = {"query": "get_info", "hash": call.target}
        told = await self._ask(call, f"{self._config.malwarebazaar}/", form=query)
        if told is None:
            return unknown("malwarebazaar does not know it", signature="", file_name="", tags=[])
        sample = dig(told, "data", 0) or {}
        return {
            "found": bool(sample),
            "signature": str(sample.get("signature") or ""),
            "file_name": str(sample.get("file_name") or "")[:200],
            "tags": _tags([sample]),
        }

    async def _ask(self, call: Call, url: str, **body: Any) -> dict[str, Any] | None:
        """The answer, None if it is not known."""
        headers = {"auth-key": self.secret(self._config.key)}
        told = (await self.send(call, "POST", url, headers=headers, **body)).object()
        status = told.get("query_status")
        if status in _UNKNOWN:
            return None
        if status != "ok":
            raise self.refused(status or told.get("error") or "no query_status")
        return told


def _confidence(row: dict[str, Any]) -> int:
    level = row.get("confidence_level")
    return level if isinstance(level, int) else 0


def _tags(found: list[dict[str, Any]]) -> list[str]:
    tags = {str(tag) for each in found for tag in each.get("tags") or []}
    return sorted(tags)[:50]
