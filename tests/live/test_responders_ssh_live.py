"""nftables over a real sshd, behind the gate; and a machine that is cut off and comes back.

Needs root, iproute2, nftables and OpenSSH's server.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dev import netns
from responders import ssh
from responders.agents import nft_gate
from responders.base import Call
from responders.isolation import Isolation, IsolationConfig
from responders.nftables import Nftables, NftablesConfig, NftPlace
from responders.ssh import SshTarget
from tests.live.test_nftables_live import PORT, listening
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("nft") or not shutil.which("ip"), reason="no nft or ip"),
]

ADDRESSES = {"server": "192.0.2.10", "attacker": "203.0.113.66", "console": "198.51.100.7"}


@pytest.fixture
def hosts() -> Iterator[dict[str, netns.Host]]:
    with netns.network(ADDRESSES) as made, listening(made["server"]):
        yield made


@pytest.fixture
def target(tmp_path: Path, hosts: dict[str, netns.Host]) -> Iterator[SshTarget]:
    """A machine whose only key may do what the gate lets through."""
    sshd = shutil.which("sshd")
    if sshd is None:
        pytest.skip("no sshd")
    for name in ("host", "user"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(key, check=True)
    # The gate runs `nft`; here that is the one of the server's namespace.
    nft = tmp_path / "nft"
    nft.write_text(f'#!/bin/sh\nexec {" ".join(hosts["server"].argv("/usr/sbin/nft"))} "$@"\n')
    nft.chmod(0o755)
    gate = f"PATH={tmp_path}:$PATH {sys.executable} {nft_gate.__file__}"
    public = (tmp_path / "user.pub").read_text()
    (tmp_path / "authorized").write_text(f'restrict,command="{gate}" {public}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path / 'host'}\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path / 'authorized'}\nPermitRootLogin yes\nUsePAM no\n"
        f"PidFile none\nLogLevel VERBOSE\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with subprocess.Popen(
        [sshd, "-D", "-e", "-f", str(config)], stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        while "Server listening" not in (line := server.stderr.readline()):
            assert line, "sshd ended"
        try:
            yield SshTarget(
                host="127.0.0.1",
                user="root",
                port=port,
                identity_file=str(tmp_path / "user"),
                known_hosts=str(tmp_path / "known"),
            )
        finally:
            server.kill()


def block(address: str) -> Call:
    return Call("firewall.block_ip", address, {"ip": address}, "key", 10_000, 600_000)


async def test_blocked_over_ssh_and_the_key_can_do_nothing_else(
    hosts: dict[str, netns.Host], target: SshTarget, tmp_path: Path
) -> None:
    firewall = Nftables(NftablesConfig(ssh=target))
    call = block(hosts["attacker"].address)
    where = (hosts["server"].address, PORT)
    proof = await firewall.act(call)
    assert hosts["attacker"].reach(*where) == "filtered"
    assert hosts["console"].reach(*where) == "open"
    assert (await firewall.probe(call) or {})["ip"] == proof["ip"]
    by_hand = "{ 198.51.100.200, 198.51.100.64-198.51.100.127 }"
    hosts["server"].run("nft", f"add element inet tocsin blocked4 {by_hand}")
    held = await firewall.held(call.verb, 10_000)
    assert set(held) == {hosts["attacker"].address, "198.51.100.200", "198.51.100.64/26"}
    await firewall.undo(call, proof)
    assert await firewall.probe(call) is None
    assert hosts["attacker"].reach(*where) == "open"

    assert hosts["attacker"].address not in await firewall.held(call.verb, 10_000)
    flush = b'{"nftables": [{"flush": {"ruleset": null}}]}'
    foreign = b'{"nftables": [{"delete": {"table": {"family": "inet", "name": "mine"}}}]}'
    for words, data in (
        (("id",), b""),
        (("nft", "flush", "ruleset"), b""),
        (("nft", "-j", "-f", "-"), flush),
        (("nft", "-j", "-f", "-"), foreign),
    ):
        ended = await ssh.run(target, words, data)
        assert (ended.status, ended.out) == (1, b""), words
        assert "tocsin-nft-gate" in ended.err
    (tmp_path / "known").write_text("")
    with pytest.raises(ConnectorError, match="Host key verification failed") as caught:
        await firewall.act(call)
    assert (caught.value.kind, caught.value.after_send) == ("denied", False)


async def test_an_isolated_machine_reaches_its_keepers_alone_and_comes_back(
    hosts: dict[str, netns.Host],
) -> None:
    place = NftPlace(command=tuple(hosts["server"].argv("nft")))
    isolation = Isolation(
        IsolationConfig(hosts={"Web-1": place}, keep=(hosts["console"].address,))  # type: ignore[arg-type]
    )
    call = Call("host.isolate", "web-1", {"host": "web-1"}, "key", 10_000, 600_000)
    where = (hosts["server"].address, PORT)
    assert await isolation.probe(call) is None
    proof = await isolation.act(call)
    assert await isolation.held(call.verb, 10_000) == ["web-1"]
    assert proof["kept"] == [f"{hosts['console'].address}/32"]
    assert hosts["attacker"].reach(*where) == "filtered"
    assert hosts["console"].reach(*where) == "open"
    with listening(hosts["attacker"]):
        assert hosts["server"].reach(hosts["attacker"].address, PORT) == "filtered"
    await isolation.act(call)
    assert hosts["attacker"].reach(*where) == "filtered"
    # The kernel's own end: without the switch nothing is dropped, and the probe says so.
    hosts["server"].run("nft", "delete element inet tocsin_isolation isolated { ip, ip6 }")
    assert await isolation.probe(call) is None
    assert hosts["attacker"].reach(*where) == "open"
    await isolation.act(call)
    await isolation.undo(call, proof)
    assert await isolation.probe(call) is None
    assert await isolation.undo(call, proof) == {"released": "web-1"}
    assert hosts["attacker"].reach(*where) == "open"


async def test_the_kernel_ends_an_isolation_that_nobody_ends(
    hosts: dict[str, netns.Host],
) -> None:
    place = NftPlace(command=tuple(hosts["server"].argv("nft")))
    isolation = Isolation(
        IsolationConfig(hosts={"web-1": place}, keep=(hosts["console"].address,))  # type: ignore[arg-type]
    )
    await isolation.act(Call("host.isolate", "web-1", {"host": "web-1"}, "key", 10_000, 3_600_000))
    shown = hosts["server"].run("nft", "list", "set", "inet", "tocsin_isolation", "isolated")
    assert shown.count("timeout 1h") == 2
