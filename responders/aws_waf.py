"""Blocks addresses by an IP set of AWS WAF (WAFv2).

`UpdateIPSet` replaces the whole list under a lock token. Another writer makes our token stale:
then the list is read again and the change is made anew, a few times.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from responders.aws import SECRETS, Aws, AwsConfig, AwsError
from responders.base import Call, Manifest
from responders.product import ALREADY, Deed, Done, alone, as_was, cidr, dig
from responders.verbs import BLOCK_IP
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


#: How often a change is made anew after somebody else's.
ATTEMPTS = 5

#: What a set can hold (AWS's quota).
MAX_ADDRESSES = 10_000

MANIFEST = Manifest(
    name="aws_waf",
    summary="Blocks addresses by IP sets of AWS WAF",
    actions=(
        replace(
            BLOCK_IP,
            residual="A minute until all edges have it. Only web traffic through the web ACL; "
            "open connections go on until their next request.",
        ),
    ),
    max_concurrency=1,
    secrets=SECRETS,
)


class IpSet(AwsConfig):
    """`ipv4` and `ipv6` are "name/id" of the IP sets that a web ACL's rule blocks."""

    scope: Literal["REGIONAL", "CLOUDFRONT"] = "REGIONAL"
    ipv4: Annotated[str, Field(pattern=r"^[\w-]{1,128}/[\w-]{1,36}$")]
    ipv6: Annotated[str, Field(pattern=r"^[\w-]{1,128}/[\w-]{1,36}$|^$")] = ""


class AwsWaf(Aws[IpSet]):
    """The IP sets of one web ACL."""

    MANIFEST = MANIFEST
    SERVICE = "wafv2"

    def deeds(self) -> Mapping[str, Deed]:
        return {BLOCK_IP.verb: Deed(self._block, self._unblock, self._blocked)}

    async def ping(self) -> str:
        """Read the sets."""
        call = Call("", "", {}, "", 10_000)
        found = [await self._read(call, name) for name in self._names()]
        return f"aws_waf: {sum(len(each) for each, _ in found)} addresses in {len(found)} sets"

    async def held(self, verb: str, timeout: int) -> list[str]:
        """See Listing: all addresses of the sets, as nothing tells ours from others."""
        call = Call(verb, "", {}, "", timeout)
        found = [await self._read(call, name) for name in self._names()]
        return sorted(alone(each) for addresses, _ in found for each in addresses)

    async def _block(self, call: Call) -> Done:
        changed = await self._change(call, add=True)
        return {"address": cidr(call.target), "set": self._set(call), ALREADY: not changed}

    async def _unblock(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was in the set")
        await self._change(call, add=False)
        return {"removed": cidr(call.target)}

    async def _blocked(self, call: Call) -> Done | None:
        addresses, _ = await self._read(call, self._set(call))
        found = cidr(call.target) in addresses
        return {"address": cidr(call.target), "set": self._set(call)} if found else None

    async def _change(self, call: Call, *, add: bool) -> bool:
        """Whether the list had to be changed."""
        name, address = self._set(call), cidr(call.target)
        for _ in range(ATTEMPTS):
            addresses, token = await self._read(call, name)
            if (address in addresses) == add:
                return False
            kept = [each for each in addresses if each != address]
            wanted = sorted([*kept, address] if add else kept)
            if len(wanted) > MAX_ADDRESSES:
                raise ConnectorError("invalid", f"the IP set is full ({len(kept)} addresses)")
            try:
                await self._waf(call, "UpdateIPSet", name, Addresses=wanted, LockToken=token)
            except AwsError as error:
                if error.name != "WAFOptimisticLockException":
                    raise
            else:
                return True
        message = f"others changed the IP set {ATTEMPTS} times in a row"
        raise ConnectorError("unavailable", message)

    async def _read(self, call: Call, name: str) -> tuple[list[str], str]:
        answer = await self._waf(call, "GetIPSet", name)
        addresses, token = dig(answer, "IPSet", "Addresses"), answer.get("LockToken")
        if not isinstance(addresses, list) or not isinstance(token, str):
            raise self.refused("the answer has no addresses or no lock token")
        return addresses, token

    async def _waf(self, call: Call, action: str, name: str, **given: Any) -> dict[str, Any]:
        title, _, number = name.partition("/")
        which = {"Name": title, "Id": number, "Scope": self._config.scope}
        return await self.json_rpc(call, f"AWSWAF_20190729.{action}", **which, **given)

    def _names(self) -> list[str]:
        return [name for name in (self._config.ipv4, self._config.ipv6) if name]

    def _set(self, call: Call) -> str:
        version = ip_address(cidr(call.target).partition("/")[0]).version
        if not (name := self._config.ipv4 if version == 4 else self._config.ipv6):
            raise ConnectorError("invalid", f"no ipv6 set is configured for {call.target}")
        return name
