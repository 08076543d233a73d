"""Blocks addresses by entries of a network ACL (EC2).

A network ACL has few rule numbers and they decide the order: ours come from a range of their own,
below everything that allows. An entry that exists is refused by AWS as a duplicate; whether it is
ours is seen by what it denies.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from responders.aws import SECRETS, Aws, AwsConfig, AwsError, items
from responders.base import Call, Manifest
from responders.product import ALREADY, Deed, Done, alone, as_was, cidr, dig
from responders.verbs import BLOCK_IP
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


VERSION = "2016-11-15"
ATTEMPTS = 5

MANIFEST = Manifest(
    name="aws_nacl",
    summary="Blocks addresses by a network ACL of a VPC",
    actions=(
        replace(
            BLOCK_IP,
            residual="Only the subnets of this network ACL; machines elsewhere stay open.",
        ),
    ),
    max_concurrency=1,
    secrets=SECRETS,
)


class AwsNaclConfig(AwsConfig):
    """`network_acl` and the rule numbers that are ours; an ACL has 20 entries by default."""

    network_acl: Annotated[str, Field(pattern=r"^acl-[0-9a-f]{8,17}$")]
    first_rule: Annotated[int, Field(ge=1, le=32_766)] = 1
    last_rule: Annotated[int, Field(ge=1, le=32_766)] = 15

    @model_validator(mode="after")
    def _ordered(self) -> AwsNaclConfig:
        if self.last_rule < self.first_rule:
            raise ValueError("last_rule is below first_rule")
        return self


class AwsNacl(Aws[AwsNaclConfig]):
    """One network ACL."""

    MANIFEST = MANIFEST
    SERVICE = "ec2"

    def deeds(self) -> Mapping[str, Deed]:
        return {BLOCK_IP.verb: Deed(self._block, self._unblock, self._blocked)}

    async def ping(self) -> str:
        """Count the entries."""
        entries = await self._entries(Call("", "", {}, "", 10_000))
        return f"aws_nacl: {self._config.network_acl} has {len(entries)} inbound entries"

    async def held(self, verb: str, timeout: int) -> list[str]:
        """See Listing: what the entries with numbers of ours deny."""
        entries = await self._entries(Call(verb, "", {}, "", timeout))
        ours = range(self._config.first_rule, self._config.last_rule + 1)
        ranges = [
            str(each.get("cidrBlock") or each.get("ipv6CidrBlock") or "")
            for each in entries
            if each.get("ruleAction") == "deny" and int(each.get("ruleNumber", 0)) in ours
        ]
        return sorted(alone(each) for each in ranges if each)

    async def _block(self, call: Call) -> Done:
        range_ = cidr(call.target)
        for _ in range(ATTEMPTS):
            entries = await self._entries(call)
            if (number := _denying(entries, range_)) is not None:
                return {"rule": number, "range": range_, ALREADY: True}
            number = self._free(entries)
            side = "Ipv6CidrBlock" if ":" in range_ else "CidrBlock"
            entry = {"Protocol": "-1", "RuleAction": "deny", side: range_}
            try:
                await self._change(call, "CreateNetworkAclEntry", number, **entry)
            except AwsError as error:
                # Somebody took the number meanwhile: the next free one.
                if error.name != "NetworkAclEntryAlreadyExists":
                    raise
            else:
                return {"rule": number, "range": range_, ALREADY: False}
        message = f"others took rule numbers {ATTEMPTS} times in a row"
        raise ConnectorError("unavailable", message)

    async def _unblock(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was denied")
        # By what it denies, not by its number: numbers are used again.
        number = _denying(await self._entries(call), cidr(call.target))
        if number is not None:
            try:
                await self._change(call, "DeleteNetworkAclEntry", number)
            except AwsError as error:
                if error.name != "InvalidNetworkAclEntry.NotFound":
                    raise
        return {"removed": cidr(call.target)}

    async def _blocked(self, call: Call) -> Done | None:
        number = _denying(await self._entries(call), cidr(call.target))
        return None if number is None else {"rule": number, "range": cidr(call.target)}

    async def _entries(self, call: Call) -> list[dict[str, Any]]:
        """Inbound entries."""
        acl = {"NetworkAclId.1": self._config.network_acl}
        answer = await self.query(call, "DescribeNetworkAcls", VERSION, **acl)
        found = items(answer.get("networkAclSet"))
        if not found:
            raise self.refused(f"there is no {self._config.network_acl}")
        entries = items(dig(found[0], "entrySet"))
        return [each for each in entries if each.get("egress") == "false"]

    async def _change(self, call: Call, action: str, number: int, **entry: str) -> None:
        which = {"NetworkAclId": self._config.network_acl, "RuleNumber": str(number)}
        await self.query(call, action, VERSION, **which, Egress="false", **entry)

    def _free(self, entries: list[dict[str, Any]]) -> int:
        taken = {str(each.get("ruleNumber")) for each in entries}
        numbers = range(self._config.first_rule, self._config.last_rule + 1)
        free = next((number for number in numbers if str(number) not in taken), None)
        if free is None:
            message = f"all {len(numbers)} rule numbers for blocking are taken"
            raise ConnectorError("invalid", message)
        return free


def _denying(entries: list[dict[str, Any]], range_: str) -> int | None:
    """The number of the entry that denies everything from the range, None without one."""
    for each in entries:
        told = (each.get("ruleAction"), each.get("protocol"))
        if told == ("deny", "-1") and range_ in (each.get("cidrBlock"), each.get("ipv6CidrBlock")):
            return int(each["ruleNumber"])
    return None
