"""Blocks addresses in a Linux packet filter: nftables sets whose elements time out by themselves.

One table of its own (`inet tocsin`), dropped before other chains see a packet; the rest of the
ruleset is never touched. Commands go as JSON to `nft -j -f -` (libnftables-json(5)), in one
transaction each. Measured on nftables 1.0.6: adding an element that exists leaves its timeout as
it was if the timeout is the same, so an extension deletes and adds; deleting a missing element
fails the whole transaction.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from responders import process, ssh
from responders.base import Call, Manifest
from responders.ssh import SshTarget
from responders.verbs import BLOCK_IP
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Before conntrack's users and the usual filter chains (priority 0), after defragmentation.
PRIORITY = -150

#: Longest timeout a set element can have, seconds (nft keeps milliseconds in 32 bits' worth of
#: days; a month is far beyond any lease).
MAX_TIMEOUT = 30 * 24 * 3600

Address = IPv4Address | IPv6Address

_SETS = {4: ("blocked4", "ipv4_addr", "ip"), 6: ("blocked6", "ipv6_addr", "ip6")}
_TIMES = re.compile(r"timeout (?P<timeout>\w+)(?: expires (?P<expires>\w+))?")
# What nft says of an element, set or table that is not there. "Error:" is nft's own: a missing
# program or network namespace is told in the same words without it.
_GONE = re.compile(
    r"nft refused: .{0,100}Error: .*(No such file or directory|element does not exist)"
)


class NftPlace(BaseModel):
    """`command` runs nft, without a shell; in another namespace: ip netns exec NAME nft.

    With `ssh` it runs on that machine; responders/agents/nft_gate.py is what the key may do there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    command: Annotated[tuple[str, ...], Field(min_length=1)] = ("nft",)
    ssh: SshTarget | None = None


class NftablesConfig(NftPlace):
    """A packet filter and the name of our table in it."""

    table: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")] = "tocsin"


MANIFEST = Manifest(
    name="nftables",
    summary="Blocks addresses with nftables on this machine or another",
    actions=(
        replace(
            BLOCK_IP,
            native_ttl=True,
            residual="Open connections end at once. Other machines are still open to the address.",
        ),
    ),
    max_concurrency=1,
)


class Nftables:
    """The packet filter of one network namespace."""

    manifest = MANIFEST

    def __init__(self, config: NftablesConfig) -> None:
        self._config = config
        self._ready = False

    async def act(self, call: Call) -> dict[str, Any]:
        """Block the address for `call.ttl`, or anew for that long; the proof is the element."""
        address = _exact(call.target)
        await self._prepare()
        element = self._element(address, call.ttl)
        # In one transaction: there is no instant at which the address is not blocked. The first
        # add makes the delete succeed whether or not the element was there.
        bare = self._element(address, None)
        await self._transaction([_add(bare), _delete(bare), _add(element)])
        proof = await self._element_now(address)
        if proof is None:
            raise ConnectorError(
                "internal",
                f"nft accepted {address} and its set does not have it: is something else "
                f"rewriting table inet {self._config.table}?",
                after_send=True,
            )
        return proof

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        """Remove the address; one that is not there (any more) is done."""
        address = _exact(call.target)
        try:
            await self._transaction([_delete(self._element(address, None))])
        except ConnectorError as error:
            if not is_gone(error):
                raise
        if await self._element_now(address) is not None:
            raise ConnectorError("internal", f"{address} is still in the set", after_send=True)
        return {"removed": str(address)}

    async def probe(self, call: Call) -> dict[str, Any] | None:
        """The element of the address, None if it is not blocked."""
        return await self._element_now(_exact(call.target))

    async def held(self, verb: str, timeout: int) -> list[str]:
        """See Listing: the elements of our sets, whoever added them."""
        listed: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(timeout / 1000):
                # One by one: nft 1.0.6 does not find the second set of a transaction.
                for name, _, _ in _SETS.values():
                    listed += await self._transaction([{"list": {"set": self._set(name)}}])
        except ConnectorError as error:
            if is_gone(error):
                return []
            raise
        except TimeoutError:
            raise ConnectorError("timeout", f"nft gave no answer in {timeout} ms") from None
        found = (each["set"].get("elem", ()) for each in listed if "set" in each)
        return sorted(_told(element) for elements in found for element in elements)

    async def check(self) -> str:
        """Say whether nft may be used here and the table stands; changes nothing."""
        table = f"table inet {self._config.table}"
        if await self._has_chains():
            return f"nftables works; {table} is in place"
        return f"nftables works; {table} will be made by the first block"

    async def close(self) -> None:
        """Nothing is held open."""

    async def _prepare(self) -> None:
        """Create table, sets and chains; what exists is left as it is, rules are added once."""
        if self._ready and await self._has_chains():
            return
        table = self._config.table
        commands: list[dict[str, Any]] = [{"add": {"table": {"family": "inet", "name": table}}}]
        commands += [
            _add({"set": self._set(name) | {"type": kind, "flags": ["timeout", "interval"]}})
            for name, kind, _ in _SETS.values()
        ]
        for hook in ("input", "forward"):
            chain = {"family": "inet", "table": table, "name": hook}
            based = {"type": "filter", "hook": hook, "prio": PRIORITY, "policy": "accept"}
            commands += [_add({"chain": chain | based}), {"flush": {"chain": chain}}]
            commands += [
                _add({"rule": self._drop(hook, protocol, name)})
                for name, _, protocol in _SETS.values()
            ]
        await self._transaction(commands)
        self._ready = True

    async def _has_chains(self) -> bool:
        """Whether the chains still stand: somebody may have flushed the ruleset."""
        listed = await self._transaction([{"list": {"chains": {"family": "inet"}}}])
        chains = [each["chain"] for each in listed if "chain" in each]
        names = {chain["name"] for chain in chains if chain["table"] == self._config.table}
        return names >= {"input", "forward"}

    def _drop(self, chain: str, protocol: str, name: str) -> dict[str, Any]:
        source = {"payload": {"protocol": protocol, "field": "saddr"}}
        return {
            "family": "inet",
            "table": self._config.table,
            "chain": chain,
            "expr": [
                {"match": {"op": "==", "left": source, "right": f"@{name}"}},
                {"counter": None},
                {"drop": None},
            ],
        }

    def _set(self, name: str) -> dict[str, Any]:
        return {"family": "inet", "table": self._config.table, "name": name}

    def _element(self, address: Address, ttl: int | None) -> dict[str, Any]:
        name, _, _ = _SETS[address.version]
        element: Any = str(address)
        if ttl is not None:
            element = {"elem": {"val": str(address), "timeout": seconds(ttl)}}
        return {"element": self._set(name) | {"elem": [element]}}

    async def _element_now(self, address: Address) -> dict[str, Any] | None:
        """What `get element` says, None if the set does not have it.

        In text: nft 1.0.6 refuses `get` in its JSON form and ignores `-j` on it.
        """
        name, _, _ = _SETS[address.version]
        words = ("get", "element", "inet", self._config.table, name, f"{{ {address} }}")
        try:
            said = await self._nft(words, b"")
        except ConnectorError as error:
            if is_gone(error):
                return None
            raise
        found = _TIMES.search(said.decode("utf-8", "replace"))
        return {
            "table": f"inet {self._config.table}",
            "set": name,
            "ip": str(address),
            "timeout": found["timeout"] if found else "none",
            "expires": found["expires"] if found else "never",
        }

    async def _transaction(self, commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Run commands as one transaction; all or none take effect."""
        out = await self._nft(("-j", "-f", "-"), orjson.dumps({"nftables": commands}))
        return list(orjson.loads(out)["nftables"]) if out.strip() else []

    async def _nft(self, words: tuple[str, ...], data: bytes) -> bytes:
        return await nft(self._config, words, data)


async def nft(where: NftPlace, words: tuple[str, ...], data: bytes) -> bytes:
    """Run nft there; what it wrote. Raises ConnectorError with its first words if it refuses."""
    argv = (*where.command, *words)
    if where.ssh is None:
        advice = "install nftables, and run with CAP_NET_ADMIN"
        ended = await process.run(argv, data, advice=advice)
    else:
        ended = await ssh.run(where.ssh, argv, data)
    if ended.status != 0:
        raise _refusal(ended.err)
    return ended.out


def _told(element: Any) -> str:
    """An element as text: alone, with its timeout around it, or a range."""
    match element:
        case {"elem": {"val": value}}:
            return _told(value)
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"range": [first, last]}:
            return f"{first}-{last}"
        case _:
            return str(element)


def _exact(target: str) -> Address:
    try:
        return ip_address(target)
    except ValueError:
        reason = f"'{target}' is no single address: this connector blocks no ranges"
        raise ConnectorError("invalid", reason) from None


def seconds(ttl: int) -> int:
    """The timeout of an element that ends after `ttl` ms."""
    return min(max(-(-ttl // 1000), 1), MAX_TIMEOUT)


def is_gone(error: ConnectorError) -> bool:
    """Whether nft refused because there is nothing of that name."""
    return error.kind == "invalid" and _GONE.match(str(error)) is not None


def _add(what: dict[str, Any]) -> dict[str, Any]:
    return {"add": what}


def _delete(what: dict[str, Any]) -> dict[str, Any]:
    return {"delete": what}


def _refusal(said: str) -> ConnectorError:
    """nft took nothing of the transaction; what it said is for a person."""
    first = next((line for line in said.splitlines() if line.strip()), "no reason given")
    denied = "Operation not permitted" in said or "must be root" in said
    return ConnectorError("denied" if denied else "invalid", f"nft refused: {first[:300]}")
