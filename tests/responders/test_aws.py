"""The AWS connectors against moto's server: stale locks, duplicates, keys, groups, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
from moto.server import ThreadedMotoServer

from responders.aws import Aws, AwsConfig, _parsed, items
from responders.aws_iam import KEY, POLICY, ROLE, AwsIam
from responders.aws_instance import VERB, AwsInstance, AwsInstanceConfig
from responders.aws_nacl import AwsNacl, AwsNaclConfig
from responders.aws_waf import AwsWaf, IpSet
from responders.base import Call
from responders.product import ALREADY, Deed, dig
from tocsin.clock import ManualClock
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = "firewall.block_ip"
EC2, IAM = "2016-11-15", "2010-05-08"
SOME = Call("", "", {}, "", 10_000)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def common(moto: str) -> dict[str, Any]:
    httpx.post(f"{moto}/moto-api/reset", trust_env=False)
    return {
        "region": "eu-central-1",
        "access_key_id": "env:CANARY",
        "secret_access_key": "env:CANARY",
        "endpoint": moto,
        "allow_http": True,
    }


class Raw(Aws[AwsConfig]):
    """AWS as an administrator or an attacker uses it."""

    def __init__(self, service: str, common: dict[str, Any]) -> None:
        self.SERVICE = service
        super().__init__(AwsConfig(**common))

    async def ec2(self, action: str, **given: str) -> dict[str, Any]:
        return await self.query(SOME, action, EC2, **given)

    def deeds(self) -> dict[str, Deed]:
        return {}

    async def ping(self) -> str:
        return "nothing is asked"


def block(address: str) -> Call:
    return Call(BLOCK, address, {"ip": address}, "k", 10_000)


async def waf(common: dict[str, Any], **seam: Any) -> tuple[AwsWaf, Raw]:
    raw = Raw("wafv2", common)
    sets: dict[str, Any] = {}
    for family in ("IPV4", "IPV6"):
        made = await raw.json_rpc(
            SOME, "AWSWAF_20190729.CreateIPSet", Name=family, Scope="REGIONAL",
            IPAddressVersion=family, Addresses=[],
        )  # fmt: skip
        sets[family.lower()] = f"{family}/{made['Summary']['Id']}"
    return AwsWaf(IpSet(**common, **sets), **seam), raw


async def test_waf_blocks_both_families_and_lets_go(common: dict[str, Any]) -> None:
    connector, _ = await waf(common)
    for address in ("203.0.113.66", "2001:db8:bad::66"):
        call = block(address)
        assert await connector.probe(call) is None
        proof = await connector.act(call)
        assert proof[ALREADY] is False
        assert (await connector.act(call))[ALREADY] is True
        assert await connector.probe(call) is not None
        await connector.act(block("203.0.113.67"))
        await connector.undo(call, proof)
        await connector.undo(call, proof)
        assert await connector.probe(call) is None
        assert await connector.probe(block("203.0.113.67")) is not None
    with pytest.raises(ConnectorError, match="no ranges"):
        await connector.act(block("203.0.113.0/24"))
    assert await connector.held(BLOCK, 10_000) == ["203.0.113.67"]
    assert "1 addresses in 2 sets" in await connector.check()


async def test_waf_a_stale_lock_is_read_anew_and_the_others_change_is_kept(
    common: dict[str, Any],
) -> None:
    """Somebody else adds an address between our reading and our writing, twice."""
    others = ["198.51.100.1", "198.51.100.2"]

    class Interfering(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.headers["x-amz-target"].endswith("UpdateIPSet") and others:
                await other.act(block(others.pop()))
            return await super().handle_async_request(request)

    connector, _ = await waf(common, transport=Interfering())
    other = AwsWaf(connector._config)
    await connector.act(block("203.0.113.66"))
    for address in ("203.0.113.66", "198.51.100.1", "198.51.100.2"):
        assert await connector.probe(block(address)) is not None, address


async def nacl(common: dict[str, Any], **given: Any) -> tuple[AwsNacl, Raw]:
    raw = Raw("ec2", common)
    vpc = dig(await raw.ec2("CreateVpc", CidrBlock="192.0.2.0/24"), "vpc", "vpcId")
    filters = {"Filter.1.Name": "vpc-id", "Filter.1.Value.1": vpc}
    found = items((await raw.ec2("DescribeNetworkAcls", **filters))["networkAclSet"])
    return AwsNacl(AwsNaclConfig(**common, network_acl=found[0]["networkAclId"], **given)), raw


async def test_nacl_entries_are_ours_one_each_and_never_a_duplicate(common: dict[str, Any]) -> None:
    connector, _ = await nacl(common, last_rule=2)
    call, second = block("203.0.113.66"), block("2001:db8:bad::66")
    proof = await connector.act(call)
    assert proof["rule"] == 1
    assert (await connector.act(call)) | {ALREADY: False} == proof
    assert (await connector.act(second))["rule"] == 2
    with pytest.raises(ConnectorError, match="all 2 rule numbers"):
        await connector.act(block("203.0.113.67"))
    await connector.undo(call, proof)
    await connector.undo(call, proof)
    assert await connector.probe(call) is None
    assert await connector.probe(second) is not None
    assert await connector.held(BLOCK, 10_000) == ["2001:db8:bad::66"]
    allowed = [each for each in await connector._entries(SOME) if each["ruleAction"] == "allow"]
    assert [each["ruleNumber"] for each in allowed] == ["100"]


async def test_nacl_a_number_that_somebody_took_meanwhile(common: dict[str, Any]) -> None:
    connector, raw = await nacl(common)
    entry = {
        "NetworkAclId": connector._config.network_acl, "RuleNumber": "1", "Egress": "false",
        "Protocol": "-1", "RuleAction": "deny", "CidrBlock": "198.51.100.1/32",
    }  # fmt: skip
    read: list[Any] = []
    connector_entries = connector._entries

    async def overtaken(call: Call) -> list[dict[str, Any]]:
        found = await connector_entries(call)
        if not read:
            read.append(found)
            await raw.ec2("CreateNetworkAclEntry", **entry)
        return found

    connector._entries = overtaken  # type: ignore[method-assign]
    assert (await connector.act(block("203.0.113.66")))["rule"] == 2


async def test_instance_groups_are_exchanged_and_restored(common: dict[str, Any]) -> None:
    raw = Raw("ec2", common)
    vpc = dig(await raw.ec2("CreateVpc", CidrBlock="192.0.2.0/24"), "vpc", "vpcId")
    subnet = await raw.ec2("CreateSubnet", VpcId=vpc, CidrBlock="192.0.2.0/25")
    groups = []
    for name in ("web", "monitored", "quarantine"):
        made = await raw.ec2(
            "CreateSecurityGroup", GroupName=name, GroupDescription=name, VpcId=vpc
        )
        groups.append(str(made["groupId"]))
    run = await raw.ec2(
        "RunInstances", ImageId="ami-12345678", MinCount="1", MaxCount="1",
        SubnetId=str(dig(subnet, "subnet", "subnetId")),
        **{"SecurityGroupId.1": groups[0], "SecurityGroupId.2": groups[1]},
    )  # fmt: skip
    instance = items(run["instancesSet"])[0]["instanceId"]
    connector = AwsInstance(AwsInstanceConfig(**common, quarantine_group=groups[2]))
    call = Call(VERB, instance, {"instance": instance}, "k", 10_000)
    assert await connector.probe(call) is None
    proof = await connector.act(call)
    (before,) = proof["groups_before"].values()
    assert before == sorted(groups[:2])
    # After a crash between the act and its record: the same again knows what was before.
    assert (await connector.act(call))["groups_before"] == proof["groups_before"]
    assert await connector.probe(call) is not None
    (restored,) = (await connector.undo(call, {}))["restored"].values()
    assert restored == sorted(groups[:2])
    assert await connector.probe(call) is None
    assert (await connector.undo(call, proof))["restored"] == {}
    assert groups[2] in await connector.check()


async def test_an_access_key_is_inactive_and_active_again(common: dict[str, Any]) -> None:
    raw = Raw("iam", common)
    await raw.query(SOME, "CreateUser", IAM, UserName="mallory")
    made = await raw.query(SOME, "CreateAccessKey", IAM, UserName="mallory")
    key = str(dig(made, "CreateAccessKeyResult", "AccessKey", "AccessKeyId"))
    connector = AwsIam(AwsConfig(**common))
    call = Call(KEY, key, {"key": key}, "k", 10_000)
    assert await connector.probe(call) is None
    proof = await connector.act(call)
    assert proof["user"] == "mallory"
    assert await connector.probe(call) == {"user": "mallory", "status": "Inactive"}
    again = await connector.act(call)
    assert "left_as_was" in await connector.undo(call, again)
    await connector.undo(call, proof)
    assert await connector.probe(call) is None
    with pytest.raises(ConnectorError) as caught:
        await connector.act(Call(KEY, "AKIA" + "0" * 16, {"user": "nobody"}, "k", 10_000))
    assert caught.value.kind == "http_4xx"
    assert "NoSuchEntity" in str(caught.value)


async def test_sessions_of_a_role_are_denied_by_the_time_of_their_token(
    common: dict[str, Any],
) -> None:
    raw = Raw("iam", common)
    await raw.query(SOME, "CreateRole", IAM, RoleName="app", AssumeRolePolicyDocument="{}")
    clock = ManualClock(1_700_000_000_000)
    connector = AwsIam(AwsConfig(**common), clock=clock)
    call = Call(ROLE, "app", {"role": "app"}, "k", 10_000)
    assert await connector.probe(call) is None
    proof = await connector.act(call)
    assert proof["issued_before"] == "2023-11-14T22:13:20.000Z"
    clock.advance(60_000)
    proof = await connector.act(call)
    which = {"RoleName": "app", "PolicyName": POLICY}
    stored = await raw.query(SOME, "GetRolePolicy", IAM, **which)
    document = httpx.QueryParams(f"p={dig(stored, 'GetRolePolicyResult', 'PolicyDocument')}")["p"]
    (statement,) = orjson.loads(document)["Statement"]
    assert statement["Effect"] == "Deny"
    when = statement["Condition"]["DateLessThan"]["aws:TokenIssueTime"]
    assert when == "2023-11-14T22:14:20.000Z"
    await connector.undo(call, proof)
    await connector.undo(call, proof)
    assert await connector.probe(call) is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"__type": "x#ThrottlingException", "message": "slow down"}', "rate_limited"),
        (400, b'{"__type": "AccessDeniedException", "Message": "no"}', "denied"),
        (403, b"<html>", "http_4xx"),
        (500, b"", "http_5xx"),
        (200, b'{"IPSet": {}}', "invalid"),
    ],
)
async def test_refusals(common: dict[str, Any], status: int, body: bytes, kind: str) -> None:
    answer = httpx.MockTransport(lambda request: httpx.Response(status, content=body))
    connector = AwsWaf(IpSet(**common, ipv4="a/b"), answer)
    with pytest.raises(ConnectorError) as caught:
        await connector.act(block("203.0.113.66"))
    assert caught.value.kind == kind
    assert "canary" not in str(caught.value)
    with pytest.raises(ConnectorError, match="no ipv6 set"):
        await connector.probe(block("2001:db8::1"))


def test_a_document_type_is_no_answer() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>'
    assert _parsed(bomb) == {}
    assert _parsed(b"<a xmlns='x'><b>1</b><b><c/></b></a>") == {"b": ["1", {"c": ""}]}
