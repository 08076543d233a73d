"""nftables with real traffic between network namespaces. Needs root, iproute2 and nftables."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from dev import netns
from responders.base import Call
from responders.nftables import Nftables, NftablesConfig
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("nft") or not shutil.which("ip"), reason="no nft or ip"),
]

PORT = 8022
SERVER = """\
import socket, sys
listening = socket.create_server((sys.argv[1], int(sys.argv[2])),
    family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("ready", flush=True)
while True:
    listening.accept()[0].close()
"""
FAMILIES = {
    4: {"server": "192.0.2.10", "attacker": "203.0.113.66", "bystander": "203.0.113.67"},
    6: {"server": "2001:db8::10", "attacker": "2001:db8:bad::66", "bystander": "2001:db8:bad::67"},
}


@contextmanager
def listening(server: netns.Host) -> Iterator[None]:
    command = server.argv(sys.executable, "-I", "-S", "-c", SERVER, server.address, str(PORT))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.kill()


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def hosts(request: pytest.FixtureRequest) -> Iterator[dict[str, netns.Host]]:
    with netns.network(FAMILIES[request.param]) as made, listening(made["server"]):
        yield made


@pytest.fixture
def firewall(hosts: dict[str, netns.Host]) -> Nftables:
    return Nftables(NftablesConfig(command=tuple(hosts["server"].argv("nft"))))


def call(hosts: dict[str, netns.Host], ttl: int | None = 600_000) -> Call:
    address = hosts["attacker"].address
    return Call("firewall.block_ip", address, {"ip": address}, "key", 5_000, ttl)


def reach(hosts: dict[str, netns.Host], role: str) -> netns.Reach:
    return hosts[role].reach(hosts["server"].address, PORT)


async def test_out_while_blocked_and_back_after_the_undo(
    hosts: dict[str, netns.Host], firewall: Nftables
) -> None:
    assert reach(hosts, "attacker") == "open"
    proof = await firewall.act(call(hosts))
    assert proof["ip"] == hosts["attacker"].address
    assert await firewall.probe(call(hosts)) is not None
    assert reach(hosts, "attacker") == "filtered"
    assert reach(hosts, "bystander") == "open"
    await firewall.undo(call(hosts), proof)
    assert await firewall.probe(call(hosts)) is None
    assert reach(hosts, "attacker") == "open"
    assert await firewall.undo(call(hosts), proof) == {"removed": hosts["attacker"].address}


async def test_back_by_the_products_own_time_limit(
    hosts: dict[str, netns.Host], firewall: Nftables
) -> None:
    await firewall.act(call(hosts, ttl=2_000))
    assert reach(hosts, "attacker") == "filtered"
    async with asyncio.timeout(10):
        # The kernel tells nobody when an element ends: it can only be asked.
        while await firewall.probe(call(hosts)) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert reach(hosts, "attacker") == "open"


async def test_an_extension_outlasts_the_first_limit(
    hosts: dict[str, netns.Host], firewall: Nftables
) -> None:
    """The same limit again must extend too: adding alone leaves the old end."""
    started = asyncio.get_running_loop().time()
    await firewall.act(call(hosts, ttl=3_000))
    await asyncio.sleep(1.5)
    await firewall.act(call(hosts, ttl=3_000))
    await asyncio.sleep(max(0.0, started + 3.3 - asyncio.get_running_loop().time()))
    assert reach(hosts, "attacker") == "filtered"


async def test_the_rest_of_the_ruleset_is_left_alone_and_ours_comes_back(
    hosts: dict[str, netns.Host], firewall: Nftables
) -> None:
    server = hosts["server"]
    server.run("nft", "add table inet others; add chain inet others c")
    await firewall.act(call(hosts))
    await firewall.act(call(hosts))
    assert "table inet others" in server.run("nft", "list", "ruleset")
    assert server.run("nft", "list", "table", "inet", "tocsin").count("drop") == 4
    server.run("nft", "flush", "ruleset")
    assert await firewall.probe(call(hosts)) is None
    await firewall.act(call(hosts))
    assert reach(hosts, "attacker") == "filtered"


async def test_undoing_where_nothing_ever_was(
    hosts: dict[str, netns.Host], firewall: Nftables
) -> None:
    assert await firewall.undo(call(hosts), {}) == {"removed": hosts["attacker"].address}


async def test_without_the_program_the_error_says_what_to_do() -> None:
    missing = Nftables(NftablesConfig(command=("/nonexistent/nft",)))
    with pytest.raises(ConnectorError, match="install nftables") as caught:
        await missing.check()
    assert caught.value.kind == "unavailable"


async def test_the_doctor_changes_nothing(hosts: dict[str, netns.Host], firewall: Nftables) -> None:
    assert "will be made" in await firewall.check()
    assert hosts["server"].run("nft", "list", "tables") == ""
    await firewall.act(call(hosts))
    assert "is in place" in await firewall.check()
