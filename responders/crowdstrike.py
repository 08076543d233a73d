"""Isolates hosts with CrowdStrike Falcon ("network containment").

Containing is asynchronous: the host does it when its sensor next speaks to the cloud. Until then
its status is `containment_pending`, which the proof tells.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from responders.base import Call, Manifest
from responders.oauth import Tokens
from responders.product import ALREADY, Deed, Done, Product, ProductConfig, Secret, Url, as_was, dig
from responders.verbs import ISOLATE
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


_HELD = ("contained", "containment_pending")

MANIFEST = Manifest(
    name="crowdstrike",
    summary="Isolates hosts with CrowdStrike Falcon",
    actions=(
        replace(
            ISOLATE,
            residual="Until the sensor speaks to the cloud (status containment_pending); an "
            "offline host is isolated when it comes back. Programs on it go on.",
        ),
    ),
    secrets=("client_secret",),
)


class CrowdstrikeConfig(ProductConfig):
    """An API client with read and write on hosts; `url` of your cloud."""

    client_id: str
    client_secret: Secret
    url: Url = "https://api.crowdstrike.com"


class Crowdstrike(Product[CrowdstrikeConfig]):
    """One customer's hosts."""

    MANIFEST = MANIFEST

    @cached_property
    def _tokens(self) -> Tokens:
        return Tokens(self, f"{self._config.url}/oauth2/token", self._config)

    def deeds(self) -> Mapping[str, Deed]:
        return {ISOLATE.verb: Deed(self._contain, self._lift, self._contained)}

    async def ping(self) -> str:
        """Look for one host."""
        call = Call("", "", {}, "", 10_000)
        await self._ask(call, "GET", "/devices/queries/devices/v1", params={"limit": "1"})
        return "crowdstrike answers"

    async def _contain(self, call: Call) -> Done:
        device = await self._device(call)
        already = device["status"] in _HELD
        if not already:
            await self._act(call, device["device_id"], "contain")
            device = await self._device(call)
        return {"device_id": device["device_id"], "status": device["status"], ALREADY: already}

    async def _lift(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was contained")
        device = await self._device(call)
        if device["status"] in _HELD:
            await self._act(call, device["device_id"], "lift_containment")
        return {"device_id": device["device_id"], "released": True}

    async def _contained(self, call: Call) -> Done | None:
        device = await self._device(call)
        held = device["status"] in _HELD
        return {"device_id": device["device_id"], "status": device["status"]} if held else None

    async def _act(self, call: Call, device: str, name: str) -> None:
        path, body = "/devices/entities/devices-actions/v2", {"ids": [device]}
        await self._ask(call, "POST", path, json=body, params={"action_name": name})

    async def _device(self, call: Call) -> dict[str, Any]:
        """The one sensor of that name; several would mean isolating the wrong one."""
        if any(character in call.target for character in "'\"\\*"):
            raise ConnectorError("invalid", f"'{call.target}' is no host name")
        query = {"filter": f"hostname:'{call.target}'", "limit": "2"}
        found = await self._ask(call, "GET", "/devices/queries/devices/v1", params=query)
        ids = found.get("resources") or []
        if len(ids) != 1:
            message = f"crowdstrike knows {'several hosts' if ids else 'no host'} {call.target}"
            raise ConnectorError("invalid", message)
        told = await self._ask(call, "POST", "/devices/entities/devices/v2", json={"ids": ids})
        device = dig(told, "resources", 0)
        if not isinstance(device, dict) or not isinstance(device.get("status"), str):
            raise self.refused("the host's answer has no status")
        return {"device_id": str(ids[0]), "status": device["status"]}

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        headers = await self._tokens.bearer(call, self._clock.now())
        url = self._config.url + path
        answer = await self.send(call, method, url, headers=headers, params=params, json=json)
        if errors := (told := answer.object()).get("errors"):
            raise self.refused(dig(errors, 0, "message"))
        return told
