"""Blocks addresses by decisions of a CrowdSec local API (LAPI).

A machine login writes alerts with decisions and deletes them; the decisions are read as every
bouncer does, with a bouncer's key. A second ban adds a decision beside the first, so ours carry a
scenario of our own and are looked for before one is added. A decision ends by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from responders.base import Call, Manifest
from responders.product import Deed, Done, Product, ProductConfig, Secret, Url, exact, rows, segment
from responders.verbs import BLOCK_IP
from tocsin.clock import iso
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from tocsin.clock import Clock

#: What our decisions are known by.
SCENARIO = "tocsin/response"

#: How long a decision lasts where the call names no time, ms.
DEFAULT_TTL = 24 * 3_600_000

MANIFEST = Manifest(
    name="crowdsec",
    summary="Blocks addresses by CrowdSec's bouncers",
    actions=(
        replace(
            BLOCK_IP,
            native_ttl=True,
            residual="Until the bouncers ask again (10 s by default); only where one runs.",
        ),
    ),
    max_concurrency=2,
    secrets=("password", "bouncer_key"),
)


class CrowdsecConfig(ProductConfig):
    """`machine` and `password` as `cscli machines add` made them, `bouncer_key` as
    `cscli bouncers add` did.
    """

    url: Url
    machine: str
    password: Secret
    bouncer_key: Secret


class Crowdsec(Product[CrowdsecConfig]):
    """One local API."""

    MANIFEST = MANIFEST

    def __init__(
        self,
        config: CrowdsecConfig,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(config, transport, clock)
        self._token = ""

    def deeds(self) -> Mapping[str, Deed]:
        return {BLOCK_IP.verb: Deed(self._block, self._unblock, self._blocked)}

    async def ping(self) -> str:
        """Log in and read."""
        call = Call("", "192.0.2.1", {}, "", 10_000)
        await self._login(call)
        await self._decisions(call)
        return "crowdsec takes the login and the bouncer key"

    async def held(self, verb: str, timeout: int) -> list[str]:
        """See Listing: decisions of our scenario."""
        headers = {"x-api-key": self.secret(self._config.bouncer_key)}
        url, params = f"{self._config.url}/v1/decisions", {"scope": "Ip"}
        call = Call(verb, "", {}, "", timeout)
        answer = await self.send(call, "GET", url, headers=headers, params=params)
        return sorted(
            {
                str(each.get("value"))
                for each in rows(answer.json())
                if each.get("scenario") == SCENARIO
            }
        )

    async def _block(self, call: Call) -> Done:
        old = await self._decisions(call)
        await self._machine(call, "POST", "/v1/alerts", [self._alert(call)])
        # The new one holds before the old ones go: there is no gap.
        for each in old:
            await self._delete(call, each)
        found = await self._decisions(call)
        if not found:
            message = f"crowdsec took the decision on {call.target} and does not show it"
            raise ConnectorError("internal", message, after_send=True)
        return _proof(found)

    async def _unblock(self, call: Call, proof: Mapping[str, Any]) -> Done:
        for each in await self._decisions(call):
            await self._delete(call, each)
        return {"removed": exact(call.target)}

    async def _blocked(self, call: Call) -> Done | None:
        found = await self._decisions(call)
        return _proof(found) if found else None

    async def _delete(self, call: Call, decision: dict[str, Any]) -> None:
        await self._machine(call, "DELETE", f"/v1/decisions/{segment(decision['id'])}")

    async def _decisions(self, call: Call) -> list[dict[str, Any]]:
        """Ours on that very address; other people's bans are left alone."""
        headers = {"x-api-key": self.secret(self._config.bouncer_key)}
        address = exact(call.target)
        url, params = f"{self._config.url}/v1/decisions", {"scope": "Ip", "value": address}
        answer = await self.send(call, "GET", url, headers=headers, params=params)
        return [
            each
            for each in rows(answer.json())
            if each.get("scenario") == SCENARIO and each.get("value") == address and "id" in each
        ]

    def _alert(self, call: Call) -> dict[str, Any]:
        now, address = iso(self._clock.now()), exact(call.target)
        source = {"scope": "Ip", "value": address, "ip": address}
        seconds = -(-(call.ttl or DEFAULT_TTL) // 1000)
        decision = {
            "duration": f"{seconds}s",
            "origin": "tocsin",
            "scenario": SCENARIO,
            "scope": "Ip",
            "type": "ban",
            "value": address,
        }
        return {
            "capacity": 0,
            "decisions": [decision],
            "events": [],
            "events_count": 1,
            "leakspeed": "0",
            "message": str(call.inputs.get("comment") or "blocked by tocsin")[:200],
            "scenario": SCENARIO,
            "scenario_hash": "",
            "scenario_version": "",
            "simulated": False,
            "source": source,
            "start_at": now,
            "stop_at": now,
        }

    async def _machine(self, call: Call, method: str, path: str, json: Any = None) -> None:
        """A request of the machine; with a new login if the old one has ended."""
        for fresh in (not self._token, True):
            if fresh:
                await self._login(call)
            url, accept = self._config.url + path, (401, 404) if method == "DELETE" else (401,)
            headers = {"authorization": f"Bearer {self._token}"}
            answer = await self.send(call, method, url, headers=headers, json=json, accept=accept)
            if answer.status != 401:
                return
            self._token = ""
        raise ConnectorError("denied", "crowdsec refuses the machine's login")

    async def _login(self, call: Call) -> None:
        given = {
            "machine_id": self._config.machine,
            "password": self.secret(self._config.password),
            "scenarios": [SCENARIO],
        }
        url = f"{self._config.url}/v1/watchers/login"
        token = (await self.send(call, "POST", url, json=given)).object().get("token")
        if not isinstance(token, str) or not token:
            raise ConnectorError("denied", "crowdsec gave no token")
        self._token = self.hide(token)


def _proof(found: list[dict[str, Any]]) -> Done:
    kept = ("id", "value", "type", "duration", "until")
    return {"decisions": [{key: each[key] for key in kept if key in each} for each in found[:20]]}
