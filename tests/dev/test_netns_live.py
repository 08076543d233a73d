"""Test hosts in network namespaces, with a real packet filter between them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dev.netns import NAMESPACES, Host, NetworkError, network, remove_abandoned

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

SERVER, ATTACKER, BYSTANDER = "10.77.0.10", "203.0.113.66", "10.77.0.20"
PORT = 8080

RULES = """\
table inet guard {
  set blocked { type ipv4_addr; flags timeout; }
  chain input {
    type filter hook input priority 0; policy accept;
    ip saddr @blocked drop
  }
}
"""


@contextmanager
def listening(host: Host) -> Iterator[None]:
    """A TCP server on `host` for as long as the block runs."""
    argv = host.argv(sys.executable, "-m", "http.server", str(PORT), "--bind", host.address)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 10
            while host.reach(host.address, PORT) != "open":
                assert server.poll() is None
                assert time.monotonic() < deadline
            yield
        finally:
            server.kill()


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    with network({"server": SERVER, "attacker": ATTACKER, "bystander": BYSTANDER}) as made:
        yield made


def test_nft_blocks_the_attacker_and_nobody_else(hosts: dict[str, Host]) -> None:
    server, attacker, bystander = hosts["server"], hosts["attacker"], hosts["bystander"]
    with listening(server):
        server.run("nft", "-f", "-", stdin=RULES)
        assert attacker.reach(SERVER, PORT) == "open"

        element = f"{{ {ATTACKER} timeout 1h }}"
        server.run("nft", "add", "element", "inet", "guard", "blocked", element)
        assert attacker.reach(SERVER, PORT, timeout_s=0.5) == "filtered"
        assert bystander.reach(SERVER, PORT) == "open"

        server.run("nft", "delete", "element", "inet", "guard", "blocked", f"{{ {ATTACKER} }}")
        assert attacker.reach(SERVER, PORT) == "open"


def test_the_server_sees_the_attackers_address(hosts: dict[str, Host]) -> None:
    script = "import socket; s = socket.create_server(('', 9)); print(s.accept()[1][0])"
    argv = hosts["server"].argv(sys.executable, "-c", script)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listener:
        deadline = time.monotonic() + 10
        while hosts["attacker"].reach(SERVER, 9) != "open":
            assert time.monotonic() < deadline
        assert listener.stdout is not None
        assert listener.stdout.read() == f"{ATTACKER}\n"


def test_a_closed_port_refuses(hosts: dict[str, Host]) -> None:
    assert hosts["attacker"].reach(SERVER, PORT) == "refused"


def test_this_machine_is_out_of_reach(hosts: dict[str, Host]) -> None:
    assert hosts["attacker"].reach("192.0.2.1", PORT) == "filtered"


def test_ipv6_hosts_reach_each_other() -> None:
    with (
        network({"server": "fd00:77::1", "attacker": "2001:db8::66"}) as made,
        listening(made["server"]),
    ):
        assert made["attacker"].reach("fd00:77::1", PORT) == "open"


def test_a_failing_command_says_what_it_printed(hosts: dict[str, Host]) -> None:
    with pytest.raises(NetworkError, match="No such file"):
        hosts["server"].run("nft", "list", "table", "inet", "absent")


def wait_inside(host: Host) -> None:
    """Return once a process runs on `host`."""
    deadline = time.monotonic() + 10
    while not subprocess.run(
        ["ip", "netns", "pids", host.namespace], capture_output=True, check=True
    ).stdout:
        assert time.monotonic() < deadline


def fail_midway(made: list[Host], sleepers: list[subprocess.Popen[bytes]]) -> None:
    with network({"a": SERVER, "b": ATTACKER}) as hosts:
        made.extend(hosts.values())
        sleepers.append(subprocess.Popen(hosts["a"].argv("sleep", "60")))
        wait_inside(hosts["a"])
        raise RuntimeError("midway")


def test_nothing_is_left_after_an_error() -> None:
    made: list[Host] = []
    sleepers: list[subprocess.Popen[bytes]] = []
    with pytest.raises(RuntimeError, match="midway"):
        fail_midway(made, sleepers)
    assert sleepers[0].wait(10) == -9
    assert len(made) == 2
    assert not any((NAMESPACES / host.namespace).exists() for host in made)


def test_what_a_killed_run_left_is_removed() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    name = f"tocsin-{gone.pid}-abcdef-server"
    subprocess.run(["ip", "netns", "add", name], check=True)
    assert name in remove_abandoned()
    assert not (NAMESPACES / name).exists()
