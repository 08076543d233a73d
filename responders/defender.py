"""Isolates machines with Microsoft Defender for Endpoint.

Isolation is asynchronous: it is a *machine action* that is pending until the machine takes it.
The state of a machine is its last isolate or unisolate action that was not given up.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from responders.base import Call, Manifest
from responders.microsoft import MicrosoftConfig, tokens
from responders.product import (
    ALREADY,
    Deed,
    Done,
    Product,
    Url,
    as_was,
    rows,
    segment,
)
from responders.verbs import ISOLATE
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from responders.oauth import Tokens

#: Ends of a machine action that changed nothing.
_VOID = ("Failed", "TimeOut", "Cancelled")

MANIFEST = Manifest(
    name="defender",
    summary="Isolates machines with Microsoft Defender for Endpoint",
    actions=(
        replace(
            ISOLATE,
            residual="Until the machine takes the action (status Pending); an offline one when it "
            "comes back, within three days. Programs on it go on.",
        ),
    ),
    secrets=("client_secret",),
)


class DefenderConfig(MicrosoftConfig):
    """An application with `Machine.Isolate` and `Machine.Read.All`."""

    isolation: Literal["Full", "Selective"] = "Full"
    url: Url = "https://api.security.microsoft.com"


class Defender(Product[DefenderConfig]):
    """One tenant's machines."""

    MANIFEST = MANIFEST

    @cached_property
    def _tokens(self) -> Tokens:
        scope = "https://api.securitycenter.microsoft.com/.default"
        return tokens(self, self._config, scope)

    def deeds(self) -> Mapping[str, Deed]:
        return {ISOLATE.verb: Deed(self._isolate, self._release, self._isolated)}

    async def ping(self) -> str:
        """Look for one machine."""
        await self._ask(Call("", "", {}, "", 10_000), "GET", "/api/machines", {"$top": "1"})
        return "defender answers"

    async def _isolate(self, call: Call) -> Done:
        machine = await self._machine(call)
        if (last := await self._last(call, machine)).get("type") == "Isolate":
            return _told(last) | {ALREADY: True}
        body = {"Comment": _comment(call), "IsolationType": self._config.isolation}
        path = f"/api/machines/{machine}/isolate"
        return _told(await self._ask(call, "POST", path, json=body)) | {ALREADY: False}

    async def _release(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was isolated")
        machine = await self._machine(call)
        if (await self._last(call, machine)).get("type") != "Isolate":
            return {"released": True}
        path, body = f"/api/machines/{machine}/unisolate", {"Comment": _comment(call)}
        return _told(await self._ask(call, "POST", path, json=body)) | {"released": True}

    async def _isolated(self, call: Call) -> Done | None:
        last = await self._last(call, await self._machine(call))
        return _told(last) if last.get("type") == "Isolate" else None

    async def _last(self, call: Call, machine: str) -> dict[str, Any]:
        """The last action that counts, {} if there was none."""
        params = {
            "$filter": f"machineId eq '{machine}' and (type eq 'Isolate' or type eq 'Unisolate')",
            "$top": "1000",
        }
        found = rows(await self._ask(call, "GET", "/api/machineactions", params), "value")
        counted = [each for each in found if each.get("status") not in _VOID]
        # The API filters and does not sort.
        return max(counted, key=lambda each: str(each.get("creationDateTimeUtc", "")), default={})

    async def _machine(self, call: Call) -> str:
        """The id of the one machine of that name; several would mean isolating the wrong one."""
        if "'" in call.target:
            raise ConnectorError("invalid", f"'{call.target}' is no host name")
        params = {"$filter": f"computerDnsName eq '{call.target}'", "$top": "2"}
        found = rows(await self._ask(call, "GET", "/api/machines", params), "value")
        if len(found) != 1 or not isinstance(found[0].get("id"), str):
            message = f"defender knows {'several machines' if found else 'no machine'}"
            raise ConnectorError("invalid", f"{message} {call.target}")
        return segment(found[0]["id"])

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> dict[str, Any]:
        headers = await self._tokens.bearer(call, self._clock.now())
        url = self._config.url + path
        answer = await self.send(call, method, url, headers=headers, params=params, json=json)
        return answer.object()


def _comment(call: Call) -> str:
    """Our effect's id, so that the product's own record leads back to ours."""
    return f"{call.inputs.get('comment') or 'tocsin'} ({call.key})"[:250]


def _told(action: dict[str, Any]) -> Done:
    return {"action_id": str(action.get("id", "")), "status": str(action.get("status", ""))}
