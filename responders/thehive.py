"""Alerts in TheHive 5, unique by (type, source, sourceRef): the case is the sourceRef."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from responders.base import Call, Idempotence, Manifest
from responders.product import Deed, Done, Product, ProductConfig, Secret, Url, rows, segment
from responders.verbs import COMMENT, TICKET
from tocsin.errors import ConnectorError
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Mapping


_KIND, _SOURCE = "tocsin", "tocsin"
_SEVERITIES = ((85, 4), (60, 3), (30, 2), (0, 1))

MANIFEST = Manifest(
    name="thehive",
    summary="Alerts in TheHive",
    actions=(replace(TICKET, idempotence=Idempotence.KEYED), COMMENT),
    secrets=("key",),
)


class ThehiveConfig(ProductConfig):
    """The API key of a user with `manageAlert/create`; `organisation` if it has several."""

    url: Url
    key: Secret
    organisation: str = ""


class Thehive(Product[ThehiveConfig]):
    """One instance."""

    MANIFEST = MANIFEST

    def deeds(self) -> Mapping[str, Deed]:
        return {
            TICKET.verb: Deed(self._create, probe=self._alert),
            COMMENT.verb: Deed(self._comment, probe=self._commented),
        }

    async def ping(self) -> str:
        """Ask who the key belongs to."""
        me = await self._ask(Call("", "", {}, "", 10_000), "GET", "/user/current")
        name = me.get("login", "an unnamed user") if isinstance(me, dict) else "somebody"
        return f"thehive answers as {name}"

    async def _create(self, call: Call) -> Done:
        severity = int(call.inputs.get("severity", 50))
        body = {
            "type": _KIND,
            "source": _SOURCE,
            "sourceRef": _reference(call.target),
            "title": call.inputs["title"],
            "description": str(call.inputs.get("description") or call.inputs["title"]),
            "severity": next(number for least, number in _SEVERITIES if severity >= least),
            "tags": ["tocsin"],
        }
        try:
            made = await self._ask(call, "POST", "/alert", json=body)
        except ConnectorError as error:
            # It refuses an alert that it has; the one it has is ours.
            if error.kind == "http_4xx" and (found := await self._alert(call)):
                return found
            raise
        if not isinstance(made, dict) or not made.get("_id"):
            raise self.refused("the answer has no _id")
        return self._told(made["_id"])

    async def _alert(self, call: Call) -> Done | None:
        where = [
            {"_field": "source", "_value": _SOURCE},
            {"_field": "sourceRef", "_value": _reference(call.target)},
        ]
        query = [
            {"_name": "listAlert"},
            {"_name": "filter", "_and": [{"_eq": each} for each in where]},
            {"_name": "page", "from": 0, "to": 1},
        ]
        found = rows(await self._ask(call, "POST", "/query", json={"query": query}))
        return self._told(found[0].get("_id")) if found else None

    async def _comment(self, call: Call) -> Done:
        alert = await self._existing(call)
        body = {"message": f"{call.inputs['text']}\n\n{_mark(call)}"}
        made = await self._ask(
            call, "POST", f"/alert/{segment(alert['ticket'])}/comment", json=body
        )
        return alert | {"comment": str(made.get("_id", "")) if isinstance(made, dict) else ""}

    async def _commented(self, call: Call) -> Done | None:
        alert = await self._existing(call)
        query = [{"_name": "getAlert", "idOrName": alert["ticket"]}, {"_name": "comments"}]
        for each in rows(await self._ask(call, "POST", "/query", json={"query": query})):
            if _mark(call) in str(each.get("message")):
                return alert | {"comment": str(each.get("_id", ""))}
        return None

    async def _existing(self, call: Call) -> Done:
        if (found := await self._alert(call)) is None:
            raise ConnectorError("invalid", f"case {call.target} has no alert to comment on")
        return found

    def _told(self, number: object) -> Done:
        return {
            "ticket": str(number),
            "url": f"{self._config.url}/alerts/{segment(number)}/details",
        }

    async def _ask(self, call: Call, method: str, path: str, *, json: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.secret(self._config.key)}"}
        if self._config.organisation:
            headers["x-organisation"] = self._config.organisation
        url = f"{self._config.url}/api/v1{path}"
        return (await self.send(call, method, url, headers=headers, json=json)).json()


def _reference(case: str) -> str:
    return case if len(case) <= 128 else digest("case", case)


def _mark(call: Call) -> str:
    return f"[tocsin {digest('effect', call.key)[:16]}]"
