"""Leases against what a product really has: found once, told, mended only where it may be."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from playbooks import act, reconciler
from playbooks.guards import SiteGuards
from playbooks.ranges import NamedList
from playbooks.reconcile import Drift, judged, observations
from playbooks.reconciler import Reconciler
from responders.base import Call, Listing
from tests.playbooks.act_bench import Bench, everything, open_log, working
from tests.playbooks.effects_on_trial import HOUR, IP, T0, Firewall, block, no_guards
from tocsin.clock import ManualClock
from tocsin.contracts import (
    AuditEntry,
    Finding,
    Holder,
    Lease,
    LeaseState,
    Mode,
    RunEvent,
    Topics,
)
from tocsin.errors import ConnectorError
from tocsin.metrics import Metrics
from tocsin.reconcile_config import ReconcileSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tocsin.log.base import Record

BY_HAND = "198.51.100.99"
VERB = "firewall.block_ip"


class Filter(Firewall):
    """A product in memory that can list what it holds."""

    silent = False

    async def held(self, verb: str, timeout: int) -> list[str]:
        self.calls["held"] += 1
        if self.silent:
            raise ConnectorError("unavailable", "the product is away")
        return sorted(self.blocked)


@pytest.fixture(autouse=True)
def _quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(act, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(reconciler, "PAUSE", 0.01)


@asynccontextmanager
async def site(
    path: Path,
    product: Filter,
    *,
    mode: Mode = Mode.ENFORCE,
    guards: Callable[[], SiteGuards] = no_guards,
    **settings: bool,
) -> AsyncIterator[Bench]:
    """A worker that compares every 20 ms."""
    clock = ManualClock(T0)
    log = await open_log(path / "log.db", clock)
    bench = Bench(
        log,
        {"filter": product},
        clock,
        mode=mode,
        guards=guards,
        reconcile=ReconcileSettings(every=20, **settings),
    )
    try:
        async with working(bench):
            yield bench
    finally:
        await log.close()


async def told(bench: Bench, kind: str) -> list[AuditEntry]:
    """Wait for an audit entry of that kind, and give all of differences so far."""

    def there(records: list[Record]) -> bool:
        return any(AuditEntry.decode(each.value).kind == kind for each in records)

    await bench.until(Topics.AUDIT, there)
    return [entry for entry in await bench.audit_holds() if entry.kind.startswith("drift.")]


async def looks(product: Filter, more: int) -> None:
    """Wait until the product was asked so many times more."""
    wanted = product.calls["held"] + more
    async with asyncio.timeout(10):
        while product.calls["held"] < wanted:  # noqa: ASYNC110  (the worker's own pace)
            await asyncio.sleep(0.01)


async def blocked(bench: Bench) -> None:
    await bench.ask(block())
    await bench.results(1)
    bench.clock.advance(1_000)


async def test_what_nobody_holds_is_told_once_and_left_alone(tmp_path: Path) -> None:
    product = Filter()
    async with site(tmp_path, product) as bench:
        await blocked(bench)
        product.blocked[BY_HAND] = product.blocked[IP]
        (entry,) = await told(bench, "drift.orphan")
        await looks(product, 3)
        assert [e.body["target"] for e in await told(bench, "drift.orphan")] == [BY_HAND]
        gauge = bench.metrics.registry.get_sample_value
        assert gauge("tocsin_lease_drift", {"kind": "orphan", "connector": "filter"}) == 1.0
        (finding,) = [Finding.decode(r.value) for r in await everything(bench.log, Topics.FINDINGS)]
        del product.blocked[BY_HAND]
        await told(bench, "drift.settled")
        await looks(product, 2)
        assert gauge("tocsin_lease_drift", {"kind": "orphan", "connector": "filter"}) == 0.0
    assert (entry.body["connector"], entry.body["verb"]) == ("filter", VERB)
    assert BY_HAND in finding.message
    assert finding.rule.name == "Containment That No Lease Holds"
    assert product.calls["undo"] == 0
    assert set(product.blocked) == {IP}


async def test_what_a_product_lost_is_told_to_the_runs_that_hold_it(tmp_path: Path) -> None:
    product = Filter()
    async with site(tmp_path, product) as bench:
        await blocked(bench)
        product.blocked.clear()
        (entry,) = await told(bench, "drift.missing")
        await looks(product, 2)
        events = [RunEvent.decode(r.value) for r in await everything(bench.log, Topics.RUNS)]
    assert entry.body["runs"] == ["run-1"]
    assert [(e.run_id, e.data["change"]) for e in events] == [
        ("run-1", "opened"),
        ("run-1", "missing"),
    ]
    assert product.blocked == {}


async def test_the_site_can_have_both_mended(tmp_path: Path) -> None:
    product = Filter()
    async with site(tmp_path, product, reapply_missing=True, remove_orphans=True) as bench:
        await blocked(bench)
        product.blocked[BY_HAND] = product.blocked.pop(IP)
        await told(bench, "drift.orphan_removed")
        kinds = {entry.kind for entry in await told(bench, "drift.reapplied")}
        changes = [each.data["change"] for each in await bench.lease_changes("reapplied")]
    assert set(product.blocked) == {IP}
    assert {"drift.orphan", "drift.missing"} <= kinds
    assert changes == ["opened", "missing", "reapplied"]


async def test_a_dry_run_mends_nothing(tmp_path: Path) -> None:
    product = Filter()
    product.blocked[BY_HAND] = block_call()
    async with site(tmp_path, product, mode=Mode.DRY_RUN, remove_orphans=True) as bench:
        await told(bench, "drift.orphan")
        await looks(product, 3)
    assert set(product.blocked) == {BY_HAND}


async def test_a_range_is_told_and_never_removed(tmp_path: Path) -> None:
    product = Filter()
    product.blocked["198.51.100.0/24"] = block_call()
    async with site(tmp_path, product, remove_orphans=True) as bench:
        await told(bench, "drift.orphan")
        await looks(product, 3)
    assert product.calls["undo"] == 0


async def test_what_a_guard_forbids_now_is_not_applied_again(tmp_path: Path) -> None:
    product, now, asked = Filter(), [SiteGuards()], list[SiteGuards]()

    def guards() -> SiteGuards:
        asked.append(now[0])
        return now[0]

    async with site(tmp_path, product, guards=guards, reapply_missing=True) as bench:
        await blocked(bench)
        now[0] = SiteGuards(
            lists={"own": NamedList.parse("own", ("203.0.113.0/24",))}, never=("own",)
        )
        async with asyncio.timeout(10):
            # Asked a second time, the worker has put the first answer to use.
            while asked.count(now[0]) < 2:  # noqa: ASYNC110  (the worker's own pace)
                await asyncio.sleep(0.01)
        product.blocked.clear()
        await told(bench, "drift.missing")
        await looks(product, 3)
    assert product.blocked == {}


async def test_a_silent_product_has_lost_nothing(tmp_path: Path) -> None:
    product = Filter()
    async with site(tmp_path, product) as bench:
        await blocked(bench)
        product.silent = True
        await looks(product, 3)
        errors = bench.metrics.account("act").errors["reconcile"]
        entries = await bench.audit_holds()
    assert errors >= 2
    assert not [entry for entry in entries if entry.kind.startswith("drift.")]


def lease(**changes: object) -> Lease:
    made = Lease(
        id="l", verb=VERB, target=IP, connector="filter", state=LeaseState.ACTIVE, generation=1,
        holders=(Holder(run_id="r", expires=T0 + HOUR),), opened=T0, expires=T0 + HOUR, changed=T0,
    )  # fmt: skip
    return made.model_copy(update=changes)


@pytest.mark.parametrize(
    ("found", "connector", "held", "verdict"),
    [
        (None, "filter", True, Drift.ORPHAN),
        (None, "filter", False, None),
        (lease(), "filter", True, None),
        (lease(), "filter", False, Drift.MISSING),
        (lease(), "other", True, Drift.ORPHAN),
        (lease(), "other", False, None),
        (lease(state=LeaseState.RELEASED), "filter", True, Drift.ORPHAN),
        (lease(state=LeaseState.RELEASED), "filter", False, None),
        (lease(state=LeaseState.UNDOING), "filter", True, None),
        (lease(state=LeaseState.UNDOING), "filter", False, None),
        (lease(state=LeaseState.UNDO_FAILED), "filter", False, None),
        (lease(state=LeaseState.ASKING), "filter", True, None),
        (lease(state=LeaseState.ASKING), "filter", False, Drift.MISSING),
        (lease(proof={"unconfirmed": True}), "filter", False, None),
    ],
)
def test_the_verdict_on_each_state(
    found: Lease | None, connector: str, held: bool, verdict: Drift | None
) -> None:
    assert judged(found, connector, held=held) is verdict


def test_another_workers_leases_are_asked_about_by_one_worker_only() -> None:
    states = [{"lease/1": lease().model_dump(mode="json")}]
    held = {IP, BY_HAND}
    assert observations(states, "filter", VERB, held, T0, orphans=False) == []
    (asked,) = observations(states, "filter", VERB, held, T0, orphans=True)
    assert (asked.target, asked.inputs["held"]) == (BY_HAND, True)


async def test_an_answer_older_than_the_lease_is_no_difference(tmp_path: Path) -> None:
    """Asked before the block, judged after it: the list could not show it yet."""
    product = Filter()
    clock = ManualClock(T0)
    watch = Reconciler(
        {"filter": product}, lambda _: asyncio.Semaphore(), clock, Metrics(), every=1
    )
    async with site(tmp_path, Filter()) as bench:
        await bench.ask(block())
        await bench.results(1)
        stale = {"lease/1": lease().model_dump(mode="json")}
        (seen,) = await watch.look(lambda: [stale], orphans=lambda: True)
        await bench.ask(seen)
        await bench.ask(block(run="run-2"))
        await bench.results(2)
        assert bench.metrics.account("act").filtered["seen_before_the_change"] == 1


def test_which_products_can_list() -> None:
    assert isinstance(Filter(), Listing)
    assert not isinstance(Firewall(), Listing)


def block_call() -> Call:
    return Call(VERB, BY_HAND, {"ip": BY_HAND}, "by hand", 1_000)
