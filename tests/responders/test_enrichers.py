"""Enrichers ask once, say "unknown" for what is unknown, and stay within the rates."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dns.message
import dns.rrset
import pytest

from responders.abuseipdb import Abuseipdb, AbuseipdbConfig
from responders.base import Call
from responders.dns import RESOLVE, REVERSE, Dns, DnsConfig
from responders.rdap import Rdap, RdapConfig
from responders.taxii import Taxii, TaxiiConfig
from tests.responders.vendors.cases import CASES, SECRET
from tests.responders.vendors.intel import BAD, QUIET, AbuseipdbVendor, RdapVendor, TaxiiVendor
from tocsin.clock import ManualClock
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.responders.vendors.server import Vendor

    Mount = Callable[[Vendor], str]

CHECK = "abuseipdb.check_ip"


def ask(ip: str, timeout: int = 10_000, verb: str = CHECK, field: str = "ip") -> Call:
    return Call(verb, ip, {field: ip}, "k", timeout)


def abuseipdb(url: str, clock: ManualClock, **given: Any) -> Abuseipdb:
    config = AbuseipdbConfig(key=SECRET, url=url, allow_http=True, **given)
    return Abuseipdb(config, clock=clock)


async def test_known_and_unknown_things(mount: Mount) -> None:
    """What is not known has `found: false`, a reason, and all fields a playbook may read."""
    for case in CASES:
        if not case.verb.startswith(("abuse", "grey", "virus", "urlh", "threat", "mal", "misp",
                                     "taxii", "rdap", "events")):  # fmt: skip
            continue
        connector = case.make(mount(case.vendor()))
        found = await connector.act(case.call())
        quiet = "cd" * 32 if case.field == "hash" else QUIET
        unseen = await connector.act(
            Call(case.verb, quiet, {case.field: quiet, **case.inputs}, "k", 10_000)
        )
        await connector.close()
        assert found["found"] is True, case.name
        assert unseen["found"] is False, case.name
        assert set(found) - set(unseen) <= {"confidence", "valid_until"}, case.name


async def test_an_answer_is_kept_and_asked_for_once_at_a_time(mount: Mount) -> None:
    vendor, clock = AbuseipdbVendor(), ManualClock(1_000)
    connector = abuseipdb(mount(vendor), clock)
    answers = await asyncio.gather(*(connector.act(ask(BAD)) for _ in range(20)))
    assert len(vendor.requests) == 1
    assert {each["score"] for each in answers} == {98}
    assert (await connector.act(ask(BAD)))["cached"] is True
    await connector.act(ask(QUIET))
    clock.advance(3_600_001)
    await connector.act(ask(QUIET))
    await connector.act(ask(BAD))
    assert len(vendor.requests) == 3
    clock.advance(6 * 3_600_000)
    assert (await connector.act(ask(BAD)))["cached"] is False
    assert (await connector.act(ask("10.0.0.1")))["reason"] == "abuseipdb knows no such address"
    await connector.close()


async def test_who_gives_up_does_not_take_the_answer_from_others(mount: Mount) -> None:
    vendor = AbuseipdbVendor()
    connector = abuseipdb(mount(vendor), ManualClock(1_000))
    impatient = asyncio.create_task(connector.act(ask(BAD)))
    patient = asyncio.create_task(connector.act(ask(BAD)))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient)["score"] == 98
    await connector.close()


async def test_the_day_is_spent_and_the_pause_is_kept(mount: Mount) -> None:
    vendor, clock = AbuseipdbVendor(), ManualClock(1_000)
    connector = abuseipdb(mount(vendor), clock, per_day=2)
    await connector.act(ask("203.0.113.1"))
    await connector.act(ask("203.0.113.2"))
    with pytest.raises(ConnectorError, match="may be asked again") as caught:
        await connector.act(ask("203.0.113.3"))
    assert (caught.value.kind, caught.value.retry_after) == ("rate_limited", 43_200_000)
    assert (await connector.act(ask("203.0.113.1")))["cached"] is True
    clock.advance(43_200_000)
    vendor.arm("429")
    with pytest.raises(ConnectorError) as caught:
        await connector.act(ask("203.0.113.3"))
    vendor.arm("")
    clock.advance(43_200_000 * 2)
    vendor.arm("429")
    with pytest.raises(ConnectorError):
        await connector.act(ask("203.0.113.3"))
    vendor.arm("")
    before = len(vendor.requests)
    with pytest.raises(ConnectorError) as caught:
        await connector.act(ask("203.0.113.4"))
    assert (caught.value.retry_after, len(vendor.requests)) == (7_000, before)
    await connector.close()


async def test_a_collection_is_read_in_pages_then_only_its_news(mount: Mount) -> None:
    vendor, clock = TaxiiVendor(), ManualClock(1_800_000_000_000)
    url = f"{mount(vendor)}/collections/c"
    config = TaxiiConfig(url=url, username="reader", password=SECRET, allow_http=True)
    connector = Taxii(config, clock=clock)

    async def known(value: str) -> bool:
        call = ask(value, verb="taxii.lookup", field="indicator")
        return bool((await connector.act(call))["found"])

    assert await known(BAD)
    assert await known("HTTP://B/")
    assert not await known("192.0.2.8"), "its time is over"
    assert len(vendor.requests) == 4
    vendor.add("indicator--bad", "[ipv4-addr:value = '192.0.2.99']")
    vendor.add("indicator--0", "[ipv4-addr:value = '203.0.113.0']", revoked=True)
    clock.advance(3_600_000)
    assert not await known(BAD), "the newer version is about something else"
    assert await known("192.0.2.99")
    assert not await known("203.0.113.0")
    assert await known("203.0.113.1")
    assert len(vendor.requests) == 5
    await connector.close()


async def test_registries_send_on_to_registries_only(mount: Mount) -> None:
    last, first = RdapVendor(), RdapVendor()
    first.elsewhere = mount(last)
    url = mount(first)
    call = ask(BAD, verb="rdap.ip")
    connector = Rdap(RdapConfig(url=url, registries=("127.0.0.1",), allow_http=True))
    told = await connector.act(call)
    assert (told["abuse"], told["range"]) == ("abuse@example.net", "203.0.113.0 - 203.0.113.255")
    last.elsewhere = url
    await connector.close()
    for registries, what in ((("127.0.0.1",), "more than 2 times"), ((), "not in registries")):
        connector = Rdap(RdapConfig(url=url, registries=registries, allow_http=True))
        with pytest.raises(ConnectorError, match=what) as caught:
            await connector.act(call)
        assert caught.value.kind == "redirect"
        await connector.close()


@contextmanager
def name_server() -> Iterator[int]:
    """Answers over UDP for example.com and one address; silent about silent.example.com."""
    records = {
        ("www.example.com.", "A"): ["192.0.2.7", "192.0.2.8"],
        ("www.example.com.", "TXT"): ['"v=spf1 -all"'],
        ("66.113.0.203.in-addr.arpa.", "PTR"): ["scanner.example.net."],
    }
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, peer = server.recvfrom(4096)
            if data == b"end":
                return
            query = dns.message.from_wire(data)
            name, kind = str(query.question[0].name), query.question[0].rdtype.name
            reply = dns.message.make_response(query)
            if name.startswith("silent"):
                continue
            if found := records.get((name, kind)):
                reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *found))
            elif not any(name == known for known, _ in records):
                reply.set_rcode(dns.rcode.NXDOMAIN)
            server.sendto(reply.to_wire(), peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port: int = server.getsockname()[1]
    try:
        yield port
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"end", ("127.0.0.1", port))
        thread.join(5)
        server.close()


async def test_names_and_addresses_by_dns() -> None:
    with name_server() as port:
        connector = Dns(DnsConfig(servers=("127.0.0.1",), port=port))
        told = await connector.act(ask("www.example.com", verb=RESOLVE, field="domain"))
        assert told["a"] == ["192.0.2.7", "192.0.2.8"]
        assert (told["txt"], told["mx"]) == (["v=spf1 -all"], [])
        assert (await connector.act(ask(BAD, verb=REVERSE)))["names"] == ["scanner.example.net"]
        none = await connector.act(ask("no.example.com", verb=RESOLVE, field="domain"))
        assert (none["found"], none["a"]) == (False, [])
        with pytest.raises(ConnectorError) as caught:
            await connector.act(ask("silent.example.com", 400, RESOLVE, "domain"))
        assert caught.value.kind == "timeout"
        await connector.close()
