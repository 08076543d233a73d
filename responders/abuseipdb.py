"""What others reported about an address (AbuseIPDB, API v2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from responders.base import Call, EntityKind, Inputs, Manifest
from responders.enricher import DAY, Enricher, EnricherConfig, looks_up, unknown
from responders.product import Done, Secret, Url, exact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

CHECK = "abuseipdb.check_ip"
_EMPTY = {"score": 0, "reports": 0, "reporters": 0, "country": "", "isp": "", "usage": ""}


class Address(Inputs):
    """The address to look up."""

    ip: str


MANIFEST = Manifest(
    name="abuseipdb",
    summary="Reports of abuse by address",
    actions=(
        looks_up(
            CHECK,
            Address,
            "ip",
            EntityKind.ADDRESS,
            "Score (0 to 100) and reports of an address",
            score=int,
            reports=int,
            reporters=int,
            country=str,
            isp=str,
            usage=str,
        ),
    ),
    secrets=("key",),
)


class AbuseipdbConfig(EnricherConfig):
    """A free key may ask 1,000 times a day."""

    key: Secret
    max_age_days: Annotated[int, Field(ge=1, le=365)] = 90
    url: Url = "https://api.abuseipdb.com/api/v2"
    keep: int = DAY // 4
    per_day: int = 1_000


class Abuseipdb(Enricher[AbuseipdbConfig]):
    """One key."""

    MANIFEST = MANIFEST

    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[Done]]]:
        return {CHECK: self._check}

    async def ping(self) -> str:
        """Ask about a documentation address; costs one of the day's questions."""
        await self._check(Call(CHECK, "192.0.2.1", {}, "", 10_000))
        return "abuseipdb takes the key"

    async def _check(self, call: Call) -> Done:
        headers = {"key": self.secret(self._config.key)}
        params = {"ipAddress": exact(call.target), "maxAgeInDays": str(self._config.max_age_days)}
        url = f"{self._config.url}/check"
        # 422: a private or reserved address, which nobody can have reported.
        answer = await self.send(call, "GET", url, headers=headers, params=params, accept=(422,))
        if answer.status == 422:
            return unknown("abuseipdb knows no such address", **_EMPTY)
        data = answer.object().get("data")
        if not isinstance(data, dict) or not isinstance(data.get("abuseConfidenceScore"), int):
            raise self.refused(answer.object().get("errors", "no data"))
        return {
            "found": bool(data.get("totalReports")),
            "score": data["abuseConfidenceScore"],
            "reports": data.get("totalReports") or 0,
            "reporters": data.get("numDistinctUsers") or 0,
            "country": data.get("countryCode") or "",
            "isp": data.get("isp") or "",
            "usage": data.get("usageType") or "",
        }
