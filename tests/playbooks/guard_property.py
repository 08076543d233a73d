"""No effect ever touches a listed range: `python -m tests.playbooks.guard_property [CASES [SEED]]`.

Addresses and ranges, in every spelling that somebody might write, against lists of networks and
the orchestrator's own addresses. What is right is known from how a case was made and from
`ipaddress` alone: an oracle that shares nothing with `playbooks.ranges`.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, summarize_address_range
from typing import TYPE_CHECKING

from playbooks.guards import SiteGuards, allowed, evaluate
from playbooks.ranges import RESERVED, NamedList, parse_interval
from playbooks.targets import canonical_target
from responders.base import EntityKind
from tests.playbooks.effects_on_trial import T0, block, block_action

if TYPE_CHECKING:
    from collections.abc import Callable

#: Cases of a run of its own, and how many share the same lists.
CASES, SAME_LISTS = 1_000_000, 500

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

#: Spellings of an IPv4 address that mean it, or that some product takes for it.
V4_SPELLINGS: tuple[Callable[[IPv4Address], str], ...] = (
    str,
    str,
    lambda a: f"::ffff:{a}",
    lambda a: f"::FFFF:{int(a) >> 16:X}:{int(a) & 0xFFFF:X}",
    lambda a: f"0000:0000:0000:0000:0000:ffff:{int(a) >> 16:04x}:{int(a) & 0xFFFF:04x}",
    lambda a: f"::{a}",
    lambda a: f"64:ff9b::{a}",
    lambda a: f"64:ff9b:0:0:0:0:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}",
    lambda a: f"2002:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}::1",
    lambda a: f"2001:0:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}::1",
    lambda a: str(IPv6Address((0x2001 << 112) | (~int(a) & 0xFFFFFFFF))),
    lambda a: ".".join(f"0{octet:o}" for octet in a.packed),
    lambda a: ".".join(f"{octet:03d}" for octet in a.packed),
    lambda a: ".".join(f"0x{octet:x}" for octet in a.packed),
    lambda a: hex(int(a)),
    lambda a: str(int(a)),
    lambda a: oct(int(a)),
    lambda a: f"{a.packed[0]}.{int.from_bytes(a.packed[1:])}",
    lambda a: f"{a.packed[0]}.{a.packed[1]}.{int.from_bytes(a.packed[2:])}",
    lambda a: f"{a}%eth0",
    lambda a: f"::ffff:{a}%1",
    lambda a: f" {a}",
    lambda a: f"{a}\n",
    lambda a: f"{a}.",
    lambda a: f"{a}/32",
    lambda a: f"[{a}]",
    lambda a: f"{a}:443",
    lambda a: f"http://{a}/",
    lambda a: "".join(chr(0xFF10 + int(c)) if c.isdigit() else c for c in str(a)),
    lambda a: "".join(chr(0x0660 + int(c)) if c.isdigit() else c for c in str(a)),
    lambda a: str(a).replace(".", "\u3002"),
    lambda a: f"{a}\u200b",
)
V6_SPELLINGS: tuple[Callable[[IPv6Address], str], ...] = (
    str,
    str,
    lambda a: a.exploded,
    lambda a: str(a).upper(),
    lambda a: f"{a}%0",
    lambda a: f"[{a}]",
    lambda a: f"{a}/128",
    lambda a: f"{a}\t",
    lambda a: a.exploded.replace(":0", ":", 1),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A target as text, and what it means: first and last address."""

    text: str
    first: Address
    last: Address

    def touches(self, networks: list[Network]) -> bool:
        """Whether it shares an address with one of the networks: the oracle."""
        return any(
            network.version == self.first.version
            and int(network.network_address) <= int(self.last)
            and int(self.first) <= int(network.broadcast_address)
            for network in networks
        )


def networks_of(draw: random.Random) -> list[Network]:
    """Lists such as sites have: some large, some single addresses, next to each other at times."""
    made: list[Network] = []
    for _ in range(draw.randint(1, 12)):
        if draw.random() < 0.6:
            length = draw.choice((0, 8, 12, 16, 20, 22, 24, 28, 30, 31, 32, 32, 32))
            if length == 0 and draw.random() < 0.9:
                length = 32
            made.append(IPv4Network((draw.getrandbits(32), length), strict=False))
        else:
            length = draw.choice((32, 48, 56, 64, 96, 112, 127, 128, 128))
            made.append(
                IPv6Network(((0x2001 << 112) | draw.getrandbits(112), length), strict=False)
            )
    return made


def case_of(draw: random.Random, networks: list[Network]) -> Case:
    """A target: at, in, or next to the border of a network, or anywhere; or a range over it."""
    if draw.random() < 0.7:
        network = draw.choice(networks)
        first, last = int(network.network_address), int(network.broadcast_address)
        value = draw.choice((first, last, first - 1, last + 1, draw.randint(first, last)))
        bits = network.max_prefixlen
    else:
        bits = draw.choice((32, 128))
        value = draw.getrandbits(bits)
    value %= 1 << bits
    address: Address = IPv4Address(value) if bits == 32 else IPv6Address(value)
    if draw.random() < 0.25:
        return range_of(draw, address)
    if isinstance(address, IPv4Address):
        return Case(draw.choice(V4_SPELLINGS)(address), address, address)
    return Case(draw.choice(V6_SPELLINGS)(address), address, address)


def range_of(draw: random.Random, address: Address) -> Case:
    """A range around an address, as CIDR or `first-last`."""
    kind = IPv4Network if isinstance(address, IPv4Address) else IPv6Network
    bits = address.max_prefixlen
    network = kind((int(address), bits - draw.choice((0, 1, 2, 4, 8, 12, 16))), strict=False)
    if draw.random() < 0.6:
        return Case(str(network), network[0], network[-1])
    last = type(address)(min(int(address) + draw.getrandbits(10), (1 << bits) - 1))
    return Case(f"{address}-{last}", address, last)


def would_act(case: Case, site: SiteGuards, listed: NamedList) -> bool:
    """Whether an effect on the target would happen: an address through all guards, a range by
    overlap with the list and with what is reserved."""
    if "-" in case.text or "/" in case.text:
        try:
            interval = parse_interval(case.text)
        except ValueError:
            return False
        return listed.overlapping(interval) is None and RESERVED.overlapping(interval) is None
    try:
        target = canonical_target(EntityKind.ADDRESS, case.text)
    except ValueError:
        return False
    return allowed(evaluate(block(target), block_action(), site, [], T0))


def check(cases: int, seed: int) -> Counter[str]:
    """Count what happened to `cases` targets. Raises AssertionError with the first wrong one."""
    draw = random.Random(seed)  # noqa: S311
    counted: Counter[str] = Counter()
    own: list[Network] = []
    networks: list[Network] = []
    for number in range(cases):
        if number % SAME_LISTS == 0:
            networks = networks_of(draw)
            own = [IPv4Network(draw.getrandbits(32)), IPv6Network((0x20010DB8 << 96) + number)]
            entries = [spelled(draw, network) for network in networks]
            listed = NamedList.parse("own", entries)
            site = SiteGuards(
                {"own": listed}, never=("own",), own=tuple(str(each[0]) for each in own)
            )
            both = NamedList.parse("both", [*entries, *(str(each) for each in own)])
        case = case_of(draw, [*networks, *own])
        touches = case.touches([*networks, *own])
        acts = would_act(case, site, both)
        if acts and touches:
            raise AssertionError(f"seed {seed}, case {number}: {case.text!r} touches {networks}")
        counted["acts" if acts else "touches" if touches else "refused"] += 1
    return counted


def spelled(draw: random.Random, network: Network) -> str:
    """A network as CIDR or, now and then, as its first and last address."""
    if draw.random() < 0.8:
        return str(network)
    first, last = network[0], network[-1]
    assert list(summarize_address_range(first, last)) == [network]
    return f"{first}-{last}"


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:]]
    began = time.process_time()
    result = check(*(arguments + [CASES, 1][len(arguments) :]))
    seconds = round(time.process_time() - began, 1)
    print(json.dumps({**result, "cases": result.total(), "cpu_seconds": seconds}))  # noqa: T201
