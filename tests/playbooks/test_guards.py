"""Guards: what is listed is never touched, however it is spelt."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from playbooks import guards
from playbooks.guard_lists import GuardLists, own_addresses
from playbooks.guards import Part, SiteGuards, allowed, count, evaluate
from playbooks.ranges import RESERVED, NamedList, parse_interval
from playbooks.targets import canonical_target
from responders.base import Action, ActionClass, EntityKind, Idempotence
from tests.playbooks.effects_on_trial import HOUR, IP, LOOK, T0, Look, block, block_action, look
from tocsin.config import GuardSettings
from tocsin.contracts import Effect, Guard, Hold, Mode, Rate
from tocsin.errors import ConfigError, ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tocsin.state import State


def refusing(effect: Effect, site: SiteGuards, *windows: State, now: int = T0) -> list[str]:
    verdicts = evaluate(effect, block_action(), site, windows, now)
    return [verdict.guard for verdict in verdicts if not verdict.allowed]


def listed(*entries: str) -> SiteGuards:
    return SiteGuards({"own": NamedList.parse("own", entries)}, never=("own",))


# ---- spellings ---------------------------------------------------------------------------------

SPELLINGS: tuple[Callable[[IPv4Address], str], ...] = (
    str,
    lambda a: f"::ffff:{a}",
    lambda a: f"::FFFF:{int(a):x}".replace(f"{int(a):x}", f"{int(a) >> 16:x}:{int(a) & 0xFFFF:x}"),
    lambda a: f"0:0:0:0:0:ffff:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}",
    lambda a: f"::{a}",
    lambda a: f"64:ff9b::{a}",
    lambda a: f"2002:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}::1",
    lambda a: f"2001:0:{int(a) >> 16:x}:{int(a) & 0xFFFF:x}::1",
    lambda a: str(IPv6Address((0x2001 << 112) | (~int(a) & 0xFFFFFFFF))),
    lambda a: ".".join(f"0{octet:o}" for octet in a.packed),
    lambda a: ".".join(f"{octet:03d}" for octet in a.packed),
    lambda a: ".".join(f"0x{octet:x}" for octet in a.packed),
    lambda a: f"0x{int(a):x}",
    lambda a: str(int(a)),
    lambda a: f"{a.packed[0]}.{int.from_bytes(a.packed[1:])}",
    lambda a: f"{a}%eth0",
    lambda a: f"::ffff:{a}%1",
    lambda a: f"{a}/32",
    lambda a: f"{a}/0",
    lambda a: f" {a}",
    lambda a: f"{a}.",
    lambda a: f"[::ffff:{a}]",
    lambda a: str(a).replace(".", "。"),
    lambda a: "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in str(a)),
)

v4 = st.integers(0, 2**32 - 1)
v4_ranges = st.tuples(v4, st.integers(0, 32)).map(lambda p: IPv4Network(p, strict=False))


@given(v4, st.lists(v4_ranges, max_size=5), st.sampled_from(SPELLINGS), st.booleans())
@example(0x7F000001, [], SPELLINGS[9], True)
def test_no_spelling_of_a_listed_address_is_allowed(
    number: int, ranges: list[IPv4Network], spell: Callable[[IPv4Address], str], canonical: bool
) -> None:
    address = IPv4Address(number)
    if ranges:  # half of all cases should be inside
        address = ranges[0][number % ranges[0].num_addresses] if number % 2 else address
    text = spell(address)
    if canonical:
        try:
            text = canonical_target(EntityKind.ADDRESS, text)
        except ValueError:
            return
    refused = refusing(block(text), listed(*map(str, ranges)))
    inside = any(address in network for network in ranges) or any(
        address in IPv4Network(entry) for entry in RESERVED.entries if "." in entry
    )
    if inside:
        assert refused
    elif text == str(address):
        assert not refused


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1), st.integers(0, 128))
def test_ipv6_lists_overlap_as_the_standard_library_says(
    target: int, base: int, length: int
) -> None:
    network = IPv6Network((base, length), strict=False)
    target = int(network[target % network.num_addresses]) if target % 2 else target
    if IPv6Address(target) in network:
        assert refusing(block(canonical_target(EntityKind.ADDRESS, str(IPv6Address(target)))),
                        listed(str(network)))  # fmt: skip


@given(v4_ranges, v4_ranges)
def test_ranges_overlap_in_both_directions(target: IPv4Network, entry: IPv4Network) -> None:
    found = NamedList.parse("l", [str(entry)]).overlapping(parse_interval(str(target)))
    assert (found is not None) == target.overlaps(entry)


@given(st.lists(v4_ranges, max_size=30), v4)
def test_the_search_finds_what_a_scan_finds(ranges: list[IPv4Network], number: int) -> None:
    address = IPv4Address(number)
    found = NamedList.parse("l", map(str, ranges)).overlapping(parse_interval(str(address)))
    assert (found is not None) == any(address in network for network in ranges)
    assert found is None or address in ip_network(found)


@pytest.mark.parametrize(
    "target",
    ["0.0.0.0", "127.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::",  # noqa: S104
     "::1",
     "fe80::1", "ff02::1", "0.0.0.0/0", "::/0", "240.0.0.1", "64:ff9b::7f00:1"],
)  # fmt: skip
def test_reserved_addresses_are_refused_without_any_list(target: str) -> None:
    assert "never:reserved_addresses" in refusing(block(target), SiteGuards())


def test_the_worker_never_blocks_itself() -> None:
    assert refusing(block(IP), SiteGuards(own=(IP,))) == ["never:own_addresses"]


def test_an_ipv6_list_of_everything_covers_ipv4() -> None:
    assert refusing(block(), listed("::/0")) == ["never:own"]


def test_an_ordinary_address_is_allowed_and_every_guard_has_a_verdict() -> None:
    verdicts = evaluate(block(), block_action(), listed("192.0.2.0/24"), [], T0)
    assert allowed(verdicts)
    assert [verdict.guard for verdict in verdicts] == [
        "target", "hold", "never:reserved_addresses", "never:own_addresses", "never:own",
    ]  # fmt: skip


# ---- lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    ["010.0.0.1", "0x0a.1.1.1", "10.0.0", "10.0.0.1/8", "10.0.0.9-10.0.0.1", "fe80::1%eth0",
     "10.0.0.256", "1.2.3.4/33", "db*", "2001:db8::g/200", "3232235777"],
)  # fmt: skip
def test_an_entry_meant_as_an_address_is_never_taken_as_a_name(entry: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        NamedList.parse("own", [entry])


@pytest.mark.parametrize("name", ["db1", "fe", "admin", "CORP\\svc", "a@example.com", "h.example"])
def test_names_are_names(name: str) -> None:
    assert NamedList.parse("own", [name]).naming(name) is not None


@pytest.mark.parametrize(
    ("entry", "target", "touches"),
    [
        ("breakglass", "BreakGlass", True),
        ("breakglass", "CORP\\breakglass", True),
        ("breakglass@example.com", "breakglass", True),
        ("breakglass", "\uff42reakglass", True),
        ("straße", "STRASSE", True),
        ("breakglass@example.com", "breakglass@example.net", False),
        ("breakglass", "breakglass2", False),
        ("jane", "jane.doe", False),
    ],
)
def test_user_names_that_may_mean_the_same_touch(entry: str, target: str, touches: bool) -> None:
    action = Action("identity.disable_user", ActionClass.DESTRUCTIVE, Idempotence.NATURAL, Look,
                    "ip", EntityKind.USER)  # fmt: skip
    effect = block(target, hold=None)
    refused = not allowed(evaluate(effect, action, listed(entry), [], T0))
    if canonical_target(EntityKind.USER, target) == target:
        assert refused == touches


def test_host_names_match_with_and_without_their_domain() -> None:
    db = NamedList.parse("own", ["db1.example.com"])
    assert db.naming("db1", host=True)
    assert db.naming("DB1.example.com.", host=True)
    assert not db.naming("db1.example.net", host=True)


def test_a_playbook_cannot_loosen_the_site_and_can_add_to_it() -> None:
    site = SiteGuards(
        {"own": NamedList.parse("own", [IP]), "more": NamedList.parse("more", ["198.51.100.1"])},
        never=("own",),
    )
    assert refusing(block(guard=Guard(never=())), site) == ["never:own"]
    added = block("198.51.100.1", guard=Guard(never=("more",)))
    assert refusing(added, site) == ["never:more"]


def test_a_list_that_does_not_exist_refuses() -> None:
    assert refusing(block(guard=Guard(never=("typo",))), SiteGuards()) == ["never:typo"]


def test_a_target_that_is_not_the_input_is_refused() -> None:
    assert "target" in refusing(block(inputs={"ip": "198.51.100.7"}), SiteGuards())


def test_reading_is_not_restricted_by_the_site() -> None:
    assert allowed(evaluate(look("127.0.0.1"), LOOK, listed("127.0.0.0/8"), [], T0))


@pytest.mark.parametrize(
    "hold",
    [None, Hold(ttl=0, max=HOUR), Hold(ttl=2 * HOUR, max=HOUR),
     Hold(ttl=HOUR, max=HOUR, on_expiry="approval")],
)  # fmt: skip
def test_a_containment_without_a_sound_hold_is_refused(hold: Hold | None) -> None:
    assert refusing(block(hold=hold), SiteGuards()) == ["hold"]


# ---- rates -------------------------------------------------------------------------------------

LIMITED = Guard(rate=Rate(max=2, per=60_000))


def test_a_rate_slides_and_counts_over_all_partitions() -> None:
    first: State = {}
    second: State = {}
    guards.count(block("198.51.100.1", guard=LIMITED), SiteGuards(), first, T0)
    guards.count(block("198.51.100.2", guard=LIMITED), SiteGuards(), second, T0 + 30_000)
    third = block("198.51.100.3", guard=LIMITED)
    both = (first, second)
    assert refusing(third, SiteGuards(), *both, now=T0 + 59_999) == ["rate:playbook"]
    assert refusing(third, SiteGuards(), *both, now=T0 + 60_000) == []
    assert refusing(third, SiteGuards(), first, now=T0 + 30_000) == []


def test_the_same_effect_counts_once() -> None:
    state: State = {}
    effects = [block("198.51.100.1", guard=LIMITED), block("198.51.100.2", guard=LIMITED)]
    for effect in (*effects, *effects):
        assert refusing(effect, SiteGuards(), state) == []
        guards.count(effect, SiteGuards(), state, T0)


def test_a_clock_that_jumps_back_frees_nothing() -> None:
    state: State = {}
    for target in ("198.51.100.1", "198.51.100.2"):
        guards.count(block(target, guard=LIMITED), SiteGuards(), state, T0)
    late = block("198.51.100.3", guard=LIMITED)
    assert refusing(late, SiteGuards(), state, now=T0 - HOUR) == ["rate:playbook"]


def test_a_dry_run_takes_nothing_from_what_is_enforced() -> None:
    state: State = {}
    for target in ("198.51.100.1", "198.51.100.2"):
        dry = block(target, guard=LIMITED, mode=Mode.DRY_RUN)
        guards.count(dry, SiteGuards(), state, T0)
    assert refusing(block(guard=LIMITED), SiteGuards(), state) == []


def test_the_site_limits_a_verb_for_all_playbooks_together() -> None:
    site = SiteGuards(rates={"firewall.block_ip": Rate(max=1, per=60_000)})
    state: State = {}
    guards.count(block("198.51.100.1", playbook="a"), site, state, T0)
    assert refusing(block("198.51.100.2", playbook="b"), site, state) == ["rate:site"]


@given(st.lists(st.integers(0, 200_000), max_size=40), st.integers(1, 5))
def test_never_more_than_max_in_any_window(times: list[int], most: int) -> None:
    rate = Guard(rate=Rate(max=most, per=60_000))
    state: State = {}
    done: list[int] = []
    for number, at in enumerate(sorted(times)):
        effect = block(f"198.51.100.{number}", guard=rate)
        if not refusing(effect, SiteGuards(), state, now=at):
            guards.count(effect, SiteGuards(), state, at)
            done.append(at)
    for at in done:
        assert sum(at - 60_000 < other <= at for other in done) <= most


# ---- files -------------------------------------------------------------------------------------


def test_lists_come_from_files_and_follow_them(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("# ours\n192.0.2.0/24  # office\n\n")
    settings = GuardSettings(lists={"own": ("file:own.txt", "db1")}, never=("own",))
    lists = GuardLists(settings, base=tmp_path)
    assert refusing(block("192.0.2.9"), lists.current()) == ["never:own"]
    assert refusing(block("198.51.100.9"), lists.current()) == []
    file.write_text("192.0.2.0/24\n198.51.100.0/24\n")
    assert refusing(block("198.51.100.9"), lists.current()) == ["never:own"]


def test_a_list_that_breaks_keeps_what_it_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "own.txt"
    file.write_text("192.0.2.0/24\n")
    settings = GuardSettings(lists={"own": ("file:own.txt",)}, never=("own",))
    lists = GuardLists(settings, base=tmp_path)
    file.write_text("192.0.2.0/99 is not a range\n")
    assert refusing(block("192.0.2.9"), lists.current()) == ["never:own"]
    file.unlink()
    assert refusing(block("192.0.2.9"), lists.current()) == ["never:own"]
    assert "kept as it was" in caplog.text


def test_lists_that_cannot_be_read_at_the_start_are_all_named(tmp_path: Path) -> None:
    settings = GuardSettings(lists={"a": ("file:absent",), "b": ("300.1.1.1",)}, never=("c",))
    with pytest.raises(ConfigError, match=r"(?s)a:.*b:.*never: c"):
        GuardLists(settings, base=tmp_path)


def test_the_inventory_gives_lists_too() -> None:
    settings = GuardSettings(never=("critical_assets",))
    lists = GuardLists(settings, inventory=lambda: {"critical_assets": ("192.0.2.5/32", "db1")})
    assert refusing(block("192.0.2.5"), lists.site) == ["never:critical_assets"]


def test_an_inventory_that_breaks_later_keeps_its_lists(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[dict[str, tuple[str, ...]]] = [{"critical_assets": ("192.0.2.5/32",)}]

    def inventory() -> dict[str, tuple[str, ...]]:
        if not answers:
            raise ConnectorError("invalid", "the file is gone")
        return answers.pop()

    lists = GuardLists(GuardSettings(never=("critical_assets",)), inventory=inventory)
    assert refusing(block("192.0.2.5"), lists.current()) == ["never:critical_assets"]
    assert "the file is gone" in caplog.text
    with pytest.raises(ConfigError, match="the file is gone"):
        GuardLists(GuardSettings(), inventory=inventory)


def test_own_addresses_are_addresses() -> None:
    for address in own_addresses():
        parse_interval(address)


def test_the_parts_of_all_workers_are_the_limit_however_partitions_are_owned() -> None:
    for partitions in (1, 3, 4, 12):
        for most in (1, 2, 5, 12, 30, 100):
            for workers in (1, 2, 3, 5):
                owned = [
                    frozenset(n for n in range(partitions) if n % workers == w)
                    for w in range(workers)
                ]
                parts = [Part(each, partitions).of(most) for each in owned]
                assert sum(parts) == most, (partitions, most, owned)
    assert Part(frozenset(range(12)), 12).of(7) == 7


def test_a_worker_among_several_refuses_beyond_its_part_and_says_so() -> None:
    site = SiteGuards(rates={"firewall.block_ip": Rate(max=4, per=60_000)})
    half = replace(site, part=Part(frozenset({0, 1}), 4))
    state: dict[str, Any] = {}
    first, second = block("192.0.2.1"), block("192.0.2.2")
    assert allowed(evaluate(first, block_action(), half, [state], T0))
    count(first, half, state, T0)
    count(second, half, state, T0)
    (no,) = [v for v in evaluate(block("192.0.2.3"), block_action(), half, [state], T0)
             if not v.allowed]  # fmt: skip
    assert no.reason == "2 in the last 60 s, at most 4 allowed, 2 of them by this worker"
    none = replace(site, part=Part(frozenset({9}), 12))
    (no,) = [v for v in evaluate(first, block_action(), none, [{}], T0) if not v.allowed]
    assert no.reason == "0 in the last 60 s, at most 4 allowed, 0 of them by this worker"
