"""Faults: a product that misbehaves, and kill -9 of the worker at every point of an effect."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from responders.base import Idempotence
from tests.playbooks.act_bench import Bench, open_log, record, working
from tests.playbooks.counting_target import CountingTarget, counting_target
from tests.playbooks.doomed_worker import POINTS, VERB, Product
from tests.playbooks.effects_on_trial import IP, Firewall, block, block_action
from tocsin.clock import ManualClock, SystemClock
from tocsin.contracts import Effect, EffectStatus
from tocsin.errors import Fenced, LogUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tocsin.log.base import Completion, Log, Subscription

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", "only for tests")


@pytest.fixture
async def target() -> AsyncIterator[CountingTarget]:
    async with counting_target() as running:
        yield running


def contain(attempt: int = 1, timeout: int = 5_000) -> Effect:
    return block(verb=VERB, inputs={"entity": IP}, attempt=attempt, timeout=timeout)


async def with_product(
    path: Path, target: CountingTarget, plan: list[str], *effects: Effect
) -> list[tuple[EffectStatus, str]]:
    """Give effects one after the other to a worker; how each ended, and its failure's kind."""
    clock = ManualClock(SystemClock().now())
    log = await open_log(path / "log.db", clock)
    target.plan = plan
    product = Product(target.url, Idempotence.KEYED)
    async with working(Bench(log, {"product": product}, clock)) as bench:
        for number, effect in enumerate(effects):
            await bench.ask(effect)
            results = await bench.results(number + 1)
            clock.advance(60_000)
    await product.close()
    await log.close()
    return [(r.status, r.failure.kind if r.failure else "") for r in results]


async def test_act_and_drop_is_repeated_with_the_same_key_and_counts_once(
    tmp_path: Path, target: CountingTarget
) -> None:
    ends = await with_product(tmp_path, target, ["act_and_drop"], contain(), contain(attempt=2))
    assert ends == [(EffectStatus.FAILED, "unavailable"), (EffectStatus.OK, "")]
    assert target.requests["/apply"] == 2
    assert target.held == {IP: 1}
    assert len(target.keys["/apply"]) == 1


async def test_act_and_hang_is_repeated_with_the_same_key_and_counts_once(
    tmp_path: Path, target: CountingTarget
) -> None:
    effects = contain(timeout=200), contain(attempt=2)
    ends = await with_product(tmp_path, target, ["act_and_hang"], *effects)
    assert ends == [(EffectStatus.FAILED, "timeout"), (EffectStatus.OK, "")]
    assert target.held == {IP: 1}


@pytest.mark.parametrize(("how", "kind"), [("429", "rate_limited"), ("500", "http_5xx")])
async def test_refused_then_accepted(
    tmp_path: Path, target: CountingTarget, how: str, kind: str
) -> None:
    ends = await with_product(tmp_path, target, [how], contain(), contain(attempt=2))
    assert ends == [(EffectStatus.FAILED, kind), (EffectStatus.OK, "")]
    assert target.held == {IP: 1}


# ---- kill -9 -----------------------------------------------------------------------------------

#: Requests that the product sees in all, and how the run is told, by point and idempotence.
EXPECTED = {
    ("before_started", "natural"): (1, EffectStatus.OK),
    ("before_started", "keyed"): (1, EffectStatus.OK),
    ("before_started", "probe"): (1, EffectStatus.OK),
    ("before_started", "none"): (1, EffectStatus.OK),
    ("after_started", "natural"): (1, EffectStatus.OK),
    ("after_started", "keyed"): (1, EffectStatus.OK),
    ("after_started", "probe"): (1, EffectStatus.OK),
    ("after_started", "none"): (0, EffectStatus.UNKNOWN),
    ("after_effect", "natural"): (2, EffectStatus.OK),
    ("after_effect", "keyed"): (2, EffectStatus.OK),
    ("after_effect", "probe"): (1, EffectStatus.OK),
    ("after_effect", "none"): (1, EffectStatus.UNKNOWN),
    ("after_result", "natural"): (1, EffectStatus.OK),
    ("after_result", "keyed"): (1, EffectStatus.OK),
    ("after_result", "probe"): (1, EffectStatus.OK),
    ("after_result", "none"): (1, EffectStatus.OK),
}


@pytest.mark.parametrize("idempotence", [each.value for each in Idempotence])
@pytest.mark.parametrize("point", POINTS)
async def test_kill(tmp_path: Path, target: CountingTarget, point: str, idempotence: str) -> None:
    path = tmp_path / "log.db"
    clock = ManualClock(SystemClock().now())
    log = await open_log(path, clock)
    await log.append([record(contain())])
    await log.close()
    await run_until_killed(path, target.url, idempotence, point)

    log = await open_log(path, clock)
    product = Product(target.url, Idempotence(idempotence))
    product.held = set(target.held)
    async with working(Bench(log, {"product": product}, clock)) as bench:
        results = await bench.results(1)
        entries = await bench.audit_holds()
    requests, status = EXPECTED[point, idempotence]
    assert results[0].status is status
    assert target.requests["/apply"] == requests
    assert len(target.keys["/apply"]) == min(requests, 1)
    # A containment that may be in force always has a lease that will end it.
    assert results[0].lease is not None
    assert [entry.kind for entry in entries][-1].startswith("effect.")
    await product.close()
    await log.close()


async def run_until_killed(path: Path, url: str, idempotence: str, point: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.playbooks.doomed_worker",
        str(path),
        url,
        idempotence,
        point,
        cwd=REPOSITORY,
        env=dict(os.environ),
    )
    try:
        async with asyncio.timeout(30):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == -signal.SIGKILL


# ---- the log goes away -------------------------------------------------------------------------


class Flaky:
    """A log whose completions fail by plan: "before" nothing was written, "after" all was."""

    def __init__(self, inner: Log, plan: list[str]) -> None:
        self.inner = inner
        self.plan = plan

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def subscribe(self, group: str, topic: str, **options: object) -> object:
        subscription = await self.inner.subscribe(group, topic, **options)  # type: ignore[arg-type]
        return FlakySubscription(subscription, self.plan) if group == "act" else subscription


class FlakySubscription:
    def __init__(self, inner: Subscription, plan: list[str]) -> None:
        self.inner = inner
        self.plan = plan

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def complete(self, work: Sequence[Completion]) -> None:
        how = self.plan.pop(0) if self.plan else "ok"
        if how == "before":
            raise LogUnavailable("the disk is full")
        if how == "fenced":
            raise Fenced("another worker owns the partition")
        await self.inner.complete(work)
        if how == "after":
            raise LogUnavailable("the answer was lost")


@pytest.mark.parametrize(
    "plan",
    [
        ["before"], ["after"], ["fenced"], ["ok", "before"], ["ok", "after"], ["ok", "fenced"],
        ["before", "before", "before"], ["ok", "before", "after", "before"],
    ],
    ids="-".join,
)  # fmt: skip
@pytest.mark.parametrize("idempotence", [Idempotence.NONE, Idempotence.NATURAL])
async def test_a_log_that_fails_makes_no_effect_twice(
    tmp_path: Path, plan: list[str], idempotence: Idempotence
) -> None:
    """Within one process not even an effect that cannot be repeated becomes unknown."""
    firewall = Firewall(block_action(idempotence))
    clock = ManualClock(SystemClock().now())
    inner = await open_log(tmp_path / "log.db", clock)
    bench = Bench(Flaky(inner, list(plan)), {"firewall": firewall}, clock)  # type: ignore[arg-type]
    async with working(bench):
        await bench.ask(block())
        results = await bench.results(1)
        await bench.audit_holds()
    after_start_lost = plan[0] == "after" and idempotence is Idempotence.NONE
    expected = EffectStatus.UNKNOWN if after_start_lost else EffectStatus.OK
    assert {result.status for result in results} == {expected}
    assert firewall.calls["act"] == (0 if after_start_lost else 1)
    await inner.close()
