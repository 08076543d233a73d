"""Cuts a Linux machine off from the network with nftables; management stays reachable.

For machines without an agent of an EDR product. One table of its own (`inet tocsin_isolation`),
before every other chain: what is not to or from an address in `keep` is dropped, in and out and
through. The rules hold only while an element of a set is there, and the kernel removes that
element at the end of the time: a machine comes back even if nobody is left to let it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from responders.base import Call, Manifest
from responders.nftables import NftPlace, is_gone, nft, seconds
from responders.verbs import ISOLATE
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = "tocsin_isolation"

#: Before everything else that filters, our own blocking included.
PRIORITY = -160

Network = IPv4Network | IPv6Network

_HOOKS = {"input": "saddr", "output": "daddr", "forward": "saddr"}
_FAMILIES = {4: ("keep4", "ipv4_addr", "ip"), 6: ("keep6", "ipv6_addr", "ip6")}
_TABLE = {"family": "inet", "table": TABLE}


class IsolationConfig(BaseModel):
    """`hosts` by the names alerts have for them, and how to reach nft there.

    `keep`: addresses and ranges that stay reachable; Tocsin's own must be among them, or it
    cannot undo what it did.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    hosts: Annotated[dict[str, NftPlace], Field(min_length=1)]
    keep: Annotated[tuple[Network, ...], Field(min_length=1)]


MANIFEST = Manifest(
    name="isolation",
    summary="Isolates Linux machines with nftables",
    actions=(
        replace(
            ISOLATE,
            native_ttl=True,
            residual="Programs on the machine go on, and reach the kept addresses.",
        ),
    ),
)


class Isolation:
    """The machines that may be isolated."""

    manifest = MANIFEST

    def __init__(self, config: IsolationConfig) -> None:
        self._hosts = {name.lower(): place for name, place in config.hosts.items()}
        self._keep = [ip_network(each) for each in config.keep]

    async def act(self, call: Call) -> dict[str, Any]:
        """Isolate for `call.ttl`, or anew for that long; the proof has the chains."""
        place = self._place(call.target)
        await self._transaction(place, [*self._ground(), *_lit(call.ttl)])
        if (proof := await self._state(place)) is None:
            message = f"nft on {call.target} accepted the rules and does not have them"
            raise ConnectorError("internal", message, after_send=True)
        return proof | {"host": call.target, "kept": [str(each) for each in self._keep]}

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        """Remove the table; without one the machine is free."""
        try:
            await self._transaction(
                self._place(call.target),
                [{"delete": {"table": {"family": "inet", "name": TABLE}}}],
            )
        except ConnectorError as error:
            if not is_gone(error):
                raise
        return {"released": call.target}

    async def probe(self, call: Call) -> dict[str, Any] | None:
        """Whether the machine is isolated now."""
        return await self._state(self._place(call.target))

    async def held(self, verb: str, timeout: int) -> list[str]:
        """See Listing."""
        try:
            async with asyncio.timeout(timeout / 1000):
                states = {name: await self._state(place) for name, place in self._hosts.items()}
        except TimeoutError:
            raise ConnectorError("timeout", f"nft gave no answer in {timeout} ms") from None
        return sorted(name for name, state in states.items() if state is not None)

    async def check(self) -> str:
        """Ask nft of every machine; changes nothing."""
        for place in self._hosts.values():
            await self._state(place)
        return f"isolation reaches {', '.join(sorted(self._hosts))}"

    async def close(self) -> None:
        """Nothing is held open."""

    def _place(self, host: str) -> NftPlace:
        if (place := self._hosts.get(host.lower())) is None:
            known = ", ".join(sorted(self._hosts))
            raise ConnectorError("invalid", f"{host} is not configured; there are {known}")
        return place

    async def _state(self, place: NftPlace) -> dict[str, Any] | None:
        """The chains that stand, None unless all do and the switch is on."""
        listed = await self._transaction(place, [{"list": {"chains": {"family": "inet"}}}])
        chains = [each["chain"] for each in listed if "chain" in each]
        names = sorted(chain["name"] for chain in chains if chain["table"] == TABLE)
        if names != sorted(_HOOKS):
            return None
        words = ("get", "element", "inet", TABLE, "isolated", "{ ip }")
        try:
            await nft(place, words, b"")
        except ConnectorError as error:
            if is_gone(error):
                return None
            raise
        return {"table": f"inet {TABLE}", "chains": names}

    async def _transaction(self, place: NftPlace, commands: list[dict[str, Any]]) -> list[Any]:
        out = await nft(place, ("-j", "-f", "-"), orjson.dumps({"nftables": commands}))
        return list(orjson.loads(out)["nftables"]) if out.strip() else []

    def _ground(self) -> list[dict[str, Any]]:
        """Sets, chains and rules, whether or not they are there."""
        switch = _TABLE | {"name": "isolated", "type": "ether_type", "flags": ["timeout"]}
        commands: list[dict[str, Any]] = [
            {"add": {"table": {"family": "inet", "name": TABLE}}},
            {"add": {"set": switch}},
        ]
        for version, (name, kind, _) in _FAMILIES.items():
            commands.append(
                {"add": {"set": _TABLE | {"name": name, "type": kind, "flags": ["interval"]}}}
            )
            commands.append({"flush": {"set": _TABLE | {"name": name}}})
            if elements := [_range(each) for each in self._keep if each.version == version]:
                commands.append({"add": {"element": _TABLE | {"name": name, "elem": elements}}})
        for hook, side in _HOOKS.items():
            based = {"type": "filter", "hook": hook, "prio": PRIORITY, "policy": "accept"}
            commands.append({"add": {"chain": _TABLE | {"name": hook} | based}})
            commands.append({"flush": {"chain": _TABLE | {"name": hook}}})
            commands += [{"add": {"rule": _TABLE | {"chain": hook, "expr": expr}}}
                         for expr in _rules(side)]  # fmt: skip
        return commands


def _rules(side: str) -> list[list[dict[str, Any]]]:
    """Accepting here only means that later chains decide; dropping is final."""
    loop = _match({"meta": {"key": "iifname" if side == "saddr" else "oifname"}}, "lo")
    accept: dict[str, Any] = {"accept": None}
    kept = [
        [_match({"payload": {"protocol": protocol, "field": side}}, f"@{name}"), accept]
        for name, _, protocol in _FAMILIES.values()
    ]
    # Without neighbour discovery no kept IPv6 address can be reached.
    field = {"payload": {"protocol": "icmpv6", "field": "type"}}
    kinds = {"set": ["nd-neighbor-solicit", "nd-neighbor-advert"]}
    drop = [_match({"meta": {"key": "protocol"}}, "@isolated"), {"counter": None}, {"drop": None}]
    return [[loop, accept], *kept, [_match(field, kinds), accept], drop]


def _lit(ttl: int | None) -> list[dict[str, Any]]:
    """The switch, anew: adding to what is there would leave its old time."""
    bare = [{"elem": _TABLE | {"name": "isolated", "elem": ["ip", "ip6"]}}]
    timed: list[Any] = ["ip", "ip6"]
    if ttl is not None:
        timed = [{"elem": {"val": each, "timeout": seconds(ttl)}} for each in timed]
    element = bare[0]["elem"]
    return [
        {"add": {"element": element}},
        {"delete": {"element": element}},
        {"add": {"element": element | {"elem": timed}}},
    ]


def _match(left: dict[str, Any], right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": left, "right": right}}


def _range(network: Network) -> Any:
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
