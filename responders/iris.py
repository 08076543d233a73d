"""Alerts in DFIR-IRIS (API of version 2.1 and later).

IRIS takes the same alert twice, so the case is its `alert_source_ref`, and is looked for first and
after a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from responders.base import Call, Manifest
from responders.product import Deed, Done, Product, ProductConfig, Secret, Url, rows
from responders.verbs import TICKET
from tocsin.clock import iso

if TYPE_CHECKING:
    from collections.abc import Mapping


#: IRIS's own numbers: informational 2, low 4, medium 1, high 5, critical 6; a new alert is 2.
_SEVERITIES = ((85, 6), (60, 5), (40, 1), (20, 4), (0, 2))
_NEW = 2

MANIFEST = Manifest(
    name="iris",
    summary="Alerts in DFIR-IRIS",
    actions=(TICKET,),
    secrets=("key",),
)


class IrisConfig(ProductConfig):
    """The API key of an account with `alerts_read` and `alerts_write`, and the customer's id."""

    url: Url
    key: Secret
    customer: int = 1


class Iris(Product[IrisConfig]):
    """One instance."""

    MANIFEST = MANIFEST

    def deeds(self) -> Mapping[str, Deed]:
        return {TICKET.verb: Deed(self._create, probe=self._alert)}

    async def ping(self) -> str:
        """Ask for the version."""
        await self._ask(Call("", "", {}, "", 10_000), "GET", "/api/ping")
        return "iris answers"

    async def _create(self, call: Call) -> Done:
        if (found := await self._alert(call)) is not None:
            return found
        severity = int(call.inputs.get("severity", 50))
        body = {
            "alert_title": call.inputs["title"],
            "alert_description": str(call.inputs.get("description") or ""),
            "alert_source": "tocsin",
            "alert_source_ref": call.target,
            "alert_severity_id": next(n for least, n in _SEVERITIES if severity >= least),
            "alert_status_id": _NEW,
            "alert_source_event_time": iso(self._clock.now()).removesuffix("Z"),
            "alert_customer_id": self._config.customer,
            "alert_tags": "tocsin",
        }
        made = await self._ask(call, "POST", "/alerts/add", json=body)
        if not isinstance(made, dict) or "alert_id" not in made:
            raise self.refused("the answer has no alert_id")
        return self._told(made)

    async def _alert(self, call: Call) -> Done | None:
        params = {"alert_source": "tocsin", "source_reference": call.target, "per_page": "20"}
        told = await self._ask(call, "GET", "/alerts/filter", params=params)
        for each in rows(told, "alerts"):
            # The filter may look for a part of the text.
            if each.get("alert_source_ref") == call.target and "alert_id" in each:
                return self._told(each)
        return None

    def _told(self, alert: Mapping[str, Any]) -> Done:
        number = str(alert["alert_id"])
        return {"ticket": number, "url": f"{self._config.url}/alerts?alert_ids={number}"}

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        """The `data` of an answer whose status is success."""
        headers = {"authorization": f"Bearer {self.secret(self._config.key)}"}
        url = self._config.url + path
        answer = await self.send(call, method, url, headers=headers, params=params, json=json)
        if (told := answer.object()).get("status") != "success":
            raise self.refused(told.get("message") or "status is no success")
        return told.get("data")
