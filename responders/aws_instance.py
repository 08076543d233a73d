"""Isolates EC2 instances by exchanging their security groups for a quarantine group.

What the groups were is written into a tag of each network interface before anything changes, so
that undoing needs neither our memory nor the proof. Security groups are stateful: connections
that are tracked and open may go on until they fall silent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from responders.aws import SECRETS, Aws, AwsConfig, items
from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from responders.product import Deed, Done, dig
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


VERB = "cloud.isolate_instance"
VERSION = "2016-11-15"

#: The tag of an interface that holds its groups, separated by blanks.
TAG = "tocsin:security-groups"

_GROUPS = re.compile(r"sg-[0-9a-f]{8,17}( sg-[0-9a-f]{8,17}){0,15}")


class Instance(Inputs):
    """An instance by its id."""

    instance: Annotated[str, Field(pattern=r"^i-[0-9a-f]{8,17}$")]


MANIFEST = Manifest(
    name="aws_instance",
    summary="Isolates EC2 instances by their security groups",
    actions=(
        Action(
            verb=VERB,
            action_class=ActionClass.CONTAIN,
            idempotence=Idempotence.NATURAL,
            inputs=Instance,
            target="instance",
            entity=EntityKind.HOST,
            reversible=True,
            summary="Exchange an instance's security groups for the quarantine group",
            residual="Tracked connections go on until they fall silent; the instance's role "
            "credentials stay valid.",
        ),
    ),
    max_concurrency=2,
    secrets=SECRETS,
)


class AwsInstanceConfig(AwsConfig):
    """`quarantine_group` has no rules, or only those that investigators need."""

    quarantine_group: Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]


class AwsInstance(Aws[AwsInstanceConfig]):
    """The instances of one region."""

    MANIFEST = MANIFEST
    SERVICE = "ec2"

    @property
    def _group(self) -> str:
        return self._config.quarantine_group

    def deeds(self) -> Mapping[str, Deed]:
        return {VERB: Deed(self._isolate, self._restore, self._isolated)}

    async def ping(self) -> str:
        """Find the quarantine group."""
        call = Call("", "", {}, "", 10_000)
        await self.query(call, "DescribeSecurityGroups", VERSION, **{"GroupId.1": self._group})
        return f"aws_instance: the quarantine group {self._group} is there"

    async def _isolate(self, call: Call) -> Done:
        before: dict[str, list[str]] = {}
        for interface in await self._interfaces(call):
            name, groups = interface["networkInterfaceId"], _groups(interface)
            if groups == [self._group]:
                before[name] = _remembered(interface)
                continue
            tag = {"ResourceId.1": name, "Tag.1.Key": TAG, "Tag.1.Value": " ".join(groups)}
            await self.query(call, "CreateTags", VERSION, **tag)
            await self._set(call, interface, [self._group])
            before[name] = groups
        return {
            "instance": call.target,
            "group": self._group,
            "groups_before": before,
        }

    async def _restore(self, call: Call, proof: Mapping[str, Any]) -> Done:
        restored: dict[str, list[str]] = {}
        for interface in await self._interfaces(call):
            name = interface["networkInterfaceId"]
            if _groups(interface) != [self._group]:
                continue
            groups = _remembered(interface) or dig(proof.get("groups_before"), name)
            if not groups:
                message = f"nobody knows the security groups that {name} had before"
                raise ConnectorError("invalid", message)
            await self._set(call, interface, list(groups))
            tag = {"ResourceId.1": name, "Tag.1.Key": TAG}
            await self.query(call, "DeleteTags", VERSION, **tag)
            restored[name] = list(groups)
        return {"restored": restored}

    async def _isolated(self, call: Call) -> Done | None:
        interfaces = await self._interfaces(call)
        if any(_groups(interface) != [self._group] for interface in interfaces):
            return None
        return {"instance": call.target, "group": self._group}

    async def _interfaces(self, call: Call) -> list[dict[str, Any]]:
        given = {"Filter.1.Name": "attachment.instance-id", "Filter.1.Value.1": call.target}
        answer = await self.query(call, "DescribeNetworkInterfaces", VERSION, **given)
        found = items(answer.get("networkInterfaceSet"))
        if not found:
            raise ConnectorError("invalid", f"there is no instance {call.target} with interfaces")
        if len(found) == 1:
            # An instance with one interface has its groups as its own, and AWS keeps them equal.
            given = {"InstanceId.1": call.target}
            answer = await self.query(call, "DescribeInstances", VERSION, **given)
            instances = items(dig(items(answer.get("reservationSet")), 0, "instancesSet"))
            found[0] |= {"groupSet": dig(instances, 0, "groupSet"), "instance": call.target}
        return found

    async def _set(self, call: Call, interface: dict[str, Any], groups: list[str]) -> None:
        # The groups of an instance with several interfaces can only be set one by one.
        if "instance" in interface:
            given = {f"GroupId.{n}": group for n, group in enumerate(groups, 1)}
            given["InstanceId"] = call.target
            await self.query(call, "ModifyInstanceAttribute", VERSION, **given)
            return
        given = {f"SecurityGroupId.{n}": group for n, group in enumerate(groups, 1)}
        given["NetworkInterfaceId"] = interface["networkInterfaceId"]
        await self.query(call, "ModifyNetworkInterfaceAttribute", VERSION, **given)


def _groups(interface: dict[str, Any]) -> list[str]:
    return sorted(str(each.get("groupId")) for each in items(interface.get("groupSet")))


def _remembered(interface: dict[str, Any]) -> list[str]:
    """The groups of our tag; [] if there is none or it was tampered with."""
    for tag in items(interface.get("tagSet")):
        if tag.get("key") == TAG and _GROUPS.fullmatch(str(tag.get("value"))):
            return str(tag["value"]).split()
    return []
