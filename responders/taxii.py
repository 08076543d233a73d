"""Whether a TAXII 2.1 collection has an indicator for a value.

TAXII cannot be searched by value, so the collection is read in pages (`more`, `next`) into
memory, and later only what was added since (`added_after`). A revoked indicator, or one whose
time is over, does not count.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx

from responders.abusech import Indicator
from responders.base import Call, EntityKind, Manifest
from responders.enricher import Enricher, EnricherConfig, looks_up, unknown
from responders.product import Done, OptionalSecret, Url, rows
from tocsin.clock import iso, parse_iso
from tocsin.config_types import Duration
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tocsin.clock import Clock

LOOKUP = "taxii.lookup"
MEDIA = "application/taxii+json;version=2.1"

#: Most indicators and pages that are read.
MAX_INDICATORS, MAX_PAGES = 500_000, 5_000

# A comparison with one text: [type:path = 'value'].
_COMPARED = re.compile(r"[\w:.'\[\]-]{1,200}\s{0,4}=\s{0,4}'((?:[^'\\]|\\.){1,2000})'")

MANIFEST = Manifest(
    name="taxii",
    summary="Indicators of a TAXII 2.1 collection",
    actions=(
        looks_up(
            LOOKUP,
            Indicator,
            "indicator",
            EntityKind.HOST,
            "An indicator's record",
            id=str,
            name=str,
            labels=list,
            confidence=int,
            valid_until=str,
        ),
    ),
    secrets=("password",),
)


class TaxiiConfig(EnricherConfig):
    """`url` of the collection (…/collections/ID)."""

    url: Url
    username: str = ""
    password: OptionalSecret = ""
    refresh: Duration = 3_600_000
    keep: Duration = 60_000
    keep_unknown: Duration = 60_000


class Taxii(Enricher[TaxiiConfig]):
    """One collection."""

    MANIFEST = MANIFEST
    _limits: TaxiiConfig

    def __init__(
        self,
        config: TaxiiConfig,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(config, transport, clock)
        self._known: dict[str, dict[str, Any]] = {}
        self._values: dict[str, str] = {}
        self._read_at = 0
        self._added_after = ""

    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[Done]]]:
        return {LOOKUP: self._lookup}

    async def ping(self) -> str:
        """Read the collection's head."""
        call = Call("", "", {}, "", 10_000)
        head = (
            await self.send(call, "GET", f"{self._config.url}/", headers=self._headers())
        ).object()
        return f"taxii: the collection {head.get('title', 'without a title')} answers"

    async def _lookup(self, call: Call) -> Done:
        now = self._clock.now()
        if now - self._read_at >= self._config.refresh:
            await self._refresh(call)
            self._read_at = now
        found = self._known.get(self._values.get(call.target.lower(), ""))
        if found is None or _over(found, now):
            reason = "the collection has no indicator for it"
            empty: Done = {
                "id": "",
                "name": "",
                "labels": [],
                "confidence": None,
                "valid_until": "",
            }
            return unknown(reason, **empty)
        return {
            "found": True,
            "id": str(found.get("id", "")),
            "name": str(found.get("name", ""))[:200],
            "labels": [str(each) for each in found.get("indicator_types") or []][:20],
            "confidence": found.get("confidence"),
            "valid_until": str(found.get("valid_until", "")),
        }

    async def _refresh(self, call: Call) -> None:
        """Read what is new; a page that fails leaves what was read before."""
        # medallion 3.0 fails on a following page without a limit.
        params = {"match[type]": "indicator", "limit": "1000"}
        if self._added_after:
            params["added_after"] = self._added_after
        for _ in range(MAX_PAGES):
            url = f"{self._config.url}/objects/"
            answer = await self.send(call, "GET", url, headers=self._headers(), params=params)
            page = answer.object()
            for each in rows(page, "objects"):
                self._take(each)
            last = answer.headers.get("x-taxii-date-added-last", "")
            self._added_after = max(self._added_after, last)
            following = page.get("next")
            if page.get("more") is not True or not isinstance(following, str):
                return
            params["next"] = following
        raise ConnectorError("oversized", f"the collection has more than {MAX_PAGES} pages")

    def _take(self, indicator: dict[str, Any]) -> None:
        number, old = str(indicator.get("id")), self._known.get(str(indicator.get("id")), {})
        if str(old.get("modified", "")) > str(indicator.get("modified", "")):
            return
        if len(self._known) >= MAX_INDICATORS and number not in self._known:
            message = f"the collection has more than {MAX_INDICATORS} indicators"
            raise ConnectorError("oversized", message)
        for value in old.get("values", ()):
            if self._values.get(value) == number:
                del self._values[value]
        kept = ("id", "name", "indicator_types", "confidence", "valid_until", "revoked", "modified")
        pattern = str(indicator.get("pattern", ""))[:10_000]
        values = [re.sub(r"\\(.)", r"\1", each).lower() for each in _COMPARED.findall(pattern)]
        self._known[number] = {key: indicator[key] for key in kept if key in indicator}
        self._known[number]["values"] = values
        self._values |= dict.fromkeys(values, number)

    def _headers(self) -> dict[str, str]:
        headers = {"accept": MEDIA}
        if self._config.password:
            secret = self.secret(self._config.password)
            auth = httpx.BasicAuth(self._config.username, secret)
            request = next(auth.auth_flow(httpx.Request("GET", self._config.url)))
            headers["authorization"] = self.hide(request.headers["authorization"])
        return headers


def _over(indicator: dict[str, Any], now: int) -> bool:
    if indicator.get("revoked") is True:
        return True
    try:
        return parse_iso(str(indicator.get("valid_until") or iso(now + 1))) <= now
    except ValueError:
        return False
