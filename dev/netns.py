"""Test hosts on one machine: network namespaces joined by a bridge, gone when the test ends.

Nothing of it touches this machine's own network: the bridge lies in a namespace of its own, so a
host can have any address, an attacker a public-looking one. Needs root and iproute2.
"""

import contextlib
import ipaddress
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

COMMAND_TIMEOUT_S = 30.0
INTERFACE = "eth0"
NAMESPACES = Path("/run/netns")
# tocsin-PID-RANDOM-ROLE: the process id tells a later run what a killed one left behind.
NAME = re.compile(r"tocsin-(\d+)-[0-9a-f]{6}-\w+")

Reach = Literal["open", "refused", "filtered"]

# Exits with the index of its answer in Reach.
PROBE = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()
except ConnectionRefusedError:
    sys.exit(1)
except OSError:
    sys.exit(2)
"""


class NetworkError(RuntimeError):
    """A command of the test network failed; the text has what it printed."""


@dataclass(frozen=True, slots=True)
class Host:
    """One network namespace with one address, on `INTERFACE`."""

    namespace: str
    address: str

    def argv(self, *command: str) -> list[str]:
        """`command` as one that runs on this host."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def run(self, *command: str, stdin: str = "") -> str:
        """Run `command` on this host to its end and return what it wrote to standard output.

        Raises:
            NetworkError: it failed, or took longer than `COMMAND_TIMEOUT_S`.
        """
        return _run(*self.argv(*command), stdin=stdin)

    def reach(self, address: str, port: int, timeout_s: float = 1.0) -> Reach:
        """How a TCP connection from this host to `address` fares.

        Returns "open" when it is made, "refused" when it is reset, and "filtered" when nothing
        comes back within `timeout_s` or the address is unreachable.

        Raises:
            NetworkError: the probe itself could not run.
        """
        probe = (sys.executable, "-I", "-S", "-c", PROBE, address, str(port), str(timeout_s))
        done = _complete(self.argv(*probe))
        answers: tuple[Reach, ...] = get_args(Reach)
        if done.stderr or not 0 <= done.returncode < len(answers):
            raise NetworkError(f"probe on {self.namespace} failed: {done.stderr.strip()}")
        return answers[done.returncode]


@contextlib.contextmanager
def network(addresses: Mapping[str, str]) -> Iterator[dict[str, Host]]:
    """Make one host for each role, every one reachable from every other, and remove them after.

    Args:
        addresses: role -> IPv4 or IPv6 address, such as `{"server": "10.77.0.10", "attacker":
            "203.0.113.66", "bystander": "10.77.0.20"}`; they need not share a subnet, for each
            host has a route to each other one and to nothing else.

    At the end whatever process still runs on one of the hosts is killed.

    Raises:
        NetworkError: a step failed (not root, no iproute2); what was made is removed.
        ValueError: an address is not one.
    """
    for address in addresses.values():
        ipaddress.ip_address(address)
    remove_abandoned()
    stem = f"tocsin-{os.getpid()}-{secrets.token_hex(3)}"
    switch = f"{stem}-switch"
    hosts = {role: Host(f"{stem}-{role}", address) for role, address in addresses.items()}
    try:
        _run("ip", "netns", "add", switch)
        _run("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", switch, "link", "set", "bridge", "up")
        for number, host in enumerate(hosts.values()):
            _plug_in(host, switch, f"port{number}")
        for host in hosts.values():
            for other in hosts.values():
                if other is not host:
                    route = ("route", "add", other.address, "dev", INTERFACE)
                    _run("ip", "-n", host.namespace, *route)
        yield hosts
    finally:
        for namespace in (*(host.namespace for host in hosts.values()), switch):
            _remove(namespace)


def remove_abandoned() -> list[str]:
    """Remove the namespaces of test processes that no longer exist; returns their names."""
    found = [path.name for path in NAMESPACES.glob("tocsin-*")]
    abandoned = [
        name
        for name in found
        if (parts := NAME.fullmatch(name)) and not Path(f"/proc/{parts[1]}").exists()
    ]
    for name in abandoned:
        _remove(name)
    return abandoned


def _plug_in(host: Host, switch: str, port: str) -> None:
    """Make the host's namespace and its cable to the switch."""
    _run("ip", "netns", "add", host.namespace)
    cable = ("type", "veth", "peer", "name", INTERFACE, "netns", host.namespace)
    _run("ip", "-n", switch, "link", "add", port, *cable)
    _run("ip", "-n", switch, "link", "set", port, "master", "bridge", "up")
    # Without a pause to find duplicates an IPv6 address serves at once.
    check = ("nodad",) if ":" in host.address else ()
    _run("ip", "-n", host.namespace, "address", "add", host.address, "dev", INTERFACE, *check)
    for interface in ("lo", INTERFACE):
        _run("ip", "-n", host.namespace, "link", "set", interface, "up")


def _remove(namespace: str) -> None:
    """Kill what runs in a namespace and delete it; one that is not there is no error."""
    if not (NAMESPACES / namespace).exists():
        return
    for pid in _complete(["ip", "netns", "pids", namespace]).stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _complete(["ip", "netns", "delete", namespace])


def _run(*command: str, stdin: str = "") -> str:
    done = _complete([*command], stdin)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise NetworkError(f"{' '.join(command)}: exit status {done.returncode}: {said}")
    return done.stdout


def _complete(command: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkError(f"{' '.join(command)}: {error}") from error
