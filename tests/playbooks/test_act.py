"""The act worker on the embedded log: order, leases, dry runs, refusals, account and audit."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from playbooks import act, act_partition
from playbooks.act_undo import release_record
from playbooks.guards import SiteGuards
from playbooks.ranges import NamedList
from responders.base import Idempotence
from tests.playbooks.act_bench import PARTITIONS, Bench, acting, everything, open_log, working
from tests.playbooks.effects_on_trial import (
    HOUR,
    IP,
    LOOK,
    T0,
    TELL,
    Firewall,
    block,
    block_action,
    look,
    no_guards,
)
from tocsin.clock import ManualClock
from tocsin.contracts import (
    Effect,
    EffectStatus,
    Guard,
    Hold,
    LeaseState,
    Mode,
    Rate,
    RunEvent,
    Topics,
)
from tocsin.errors import ConfigError, ConnectorError
from tocsin.log.base import Outgoing, TopicPartition

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.log.base import Record


@pytest.fixture(autouse=True)
def _quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(act, "TICK_SECONDS", 0.05)


def release(run: str = "run-1", *, everyone: bool = False, name: str = "release") -> Effect:
    effect = block(run=run, id=f"{name}-{run}", operation="release", hold=None)
    return effect.model_copy(update={"inputs": {"scope": "all"} if everyone else {}})


async def test_a_block_is_done_leased_reported_and_audited(tmp_path: Path) -> None:
    firewall = Firewall()
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block())
        (result,) = await bench.results(1)
        entries = await bench.audit_holds()
    assert result.status is EffectStatus.OK
    assert result.connector == "firewall"
    assert result.output == {"rule": IP}
    assert result.lease is not None
    assert result.lease.expires == T0 + HOUR
    assert set(firewall.blocked) == {IP}
    assert [entry.kind for entry in entries] == ["effect.started", "lease", "effect.ok"]


async def test_the_same_effect_again_gets_the_same_result_and_no_call(tmp_path: Path) -> None:
    firewall = Firewall()
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block(), block(), block(attempt=2))
        first, second, third = await bench.results(3)
    assert first == second
    assert third == first.model_copy(update={"attempt": 2})
    assert firewall.calls["act"] == 1


async def test_effects_on_one_target_are_in_order_and_never_two_at_once(tmp_path: Path) -> None:
    firewall = Firewall(LOOK, concurrency=50)
    effects = [look(run=f"run-{number:02d}") for number in range(20)]
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(*effects)
        results = await bench.results(20)
    assert firewall.most_per_target == 1
    assert sorted(result.run_id for result in results) == [effect.run_id for effect in effects]


async def test_targets_run_side_by_side_within_the_connectors_bound(tmp_path: Path) -> None:
    firewall = Firewall(LOOK, concurrency=3)
    firewall.gate = asyncio.Event()
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(*(look(f"198.51.100.{number}") for number in range(12)))
        await firewall.reached(3)
        firewall.gate.set()
        await bench.results(12)
    assert firewall.most == 3


async def test_a_slow_connector_holds_up_no_other(tmp_path: Path) -> None:
    slow, fast = Firewall(LOOK, concurrency=2), Firewall()
    slow.gate = asyncio.Event()
    clock = ManualClock(T0)
    log = await open_log(tmp_path / "log.db", clock)
    bench = Bench(log, {"slow": slow, "firewall": fast}, clock)
    async with working(bench):
        await bench.ask(*(look(f"198.51.{n // 250}.{n % 250}") for n in range(300)))
        await bench.ask(*(block(f"192.0.2.{n}") for n in range(20)))
        results = await bench.results(20)
        assert {result.connector for result in results} == {"firewall"}
        slow.gate.set()
        await bench.results(320)
    await log.close()
    assert slow.most == 2


async def test_back_pressure_pauses_a_partition_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act_partition, "MAX_UNDER_WAY", 10)
    firewall = Firewall(LOOK, concurrency=2)
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(*(look(f"198.51.{n // 250}.{n % 250}") for n in range(200)))
        results = await bench.results(200)
    assert len({result.effect_id for result in results}) == 200
    assert firewall.calls["act"] == 200


async def test_offsets_move_only_over_what_is_done(tmp_path: Path) -> None:
    """A record that hangs holds the offset; those after it are done, and not repeated later."""
    firewall = Firewall(LOOK, concurrency=4)
    firewall.gate = asyncio.Event()
    clock = ManualClock(T0)
    log = await open_log(tmp_path / "log.db", clock)
    other = Firewall()
    effects = [look("198.51.100.1"), block("192.0.2.1"), block("192.0.2.2")]
    await log.append(
        [
            Outgoing(Topics.EFFECTS, effect.encode(), key=effect.target.encode(), partition=0)
            for effect in effects
        ]
    )
    at = TopicPartition(Topics.EFFECTS, 0)
    bench = Bench(log, {"slow": firewall, "firewall": other}, clock)
    async with working(bench):
        await bench.results(2)
        assert (await log.committed("act", Topics.EFFECTS)).get(at, 0) == 0
        firewall.gate.set()
        await bench.results(3)
    assert (await log.committed("act", Topics.EFFECTS))[at] == 3
    assert other.calls["act"] == 2
    await log.close()


async def test_what_is_no_effect_is_dead_lettered_and_the_rest_goes_on(tmp_path: Path) -> None:
    firewall = Firewall()
    async with acting(tmp_path, firewall) as bench:
        poison = [b"", b"{}", b"\xff", b"[" * 10_000, block().encode() * 2, b"x" * 2_000_000]
        await bench.log.append([Outgoing(Topics.EFFECTS, data, partition=0) for data in poison])
        await bench.log.append([Outgoing(Topics.EFFECTS, block().encode(), partition=0)])
        await bench.results(1)
        dead = await everything(bench.log, Topics.DEAD_LETTERS)
        account = bench.metrics.account("act")
    assert len(dead) == len(poison)
    assert account.received == 7
    assert account.balanced
    assert account.dead == {"not_an_effect": 6}


async def test_a_verb_without_connector_and_wrong_inputs_fail_with_a_reason(
    tmp_path: Path,
) -> None:
    async with acting(tmp_path, Firewall()) as bench:
        await bench.ask(
            block(verb="host.isolate", id="1"),
            block(inputs={"ip": IP, "port": 22}, id="2"),
        )
        first, second = await bench.results(2)
    assert first.failure is not None
    assert "response.bindings.host.isolate" in first.failure.message
    assert second.failure is not None
    assert second.failure.message == "port: Extra inputs are not permitted"


def test_a_binding_to_nothing_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"firewall\.block_ip: nowhere"):
        Bench(None, {}, ManualClock(), bindings={"firewall.block_ip": "nowhere"})  # type: ignore[arg-type]


# ---- guards and dry run ------------------------------------------------------------------------


async def test_a_refusal_names_its_guards_and_calls_nothing(tmp_path: Path) -> None:
    site = SiteGuards({"own": NamedList.parse("own", ["203.0.113.0/24"])}, never=("own",))
    firewall = Firewall()
    async with acting(tmp_path, firewall, guards=lambda: site) as bench:
        await bench.ask(block())
        (result,) = await bench.results(1)
    assert result.status is EffectStatus.REFUSED
    assert [v.guard for v in result.verdicts if not v.allowed] == ["never:own"]
    assert firewall.calls.total() == 0


async def test_a_rate_holds_over_partitions_and_targets_in_flight(tmp_path: Path) -> None:
    firewall = Firewall(concurrency=20)
    firewall.gate = asyncio.Event()
    limited = Guard(rate=Rate(max=5, per=60_000))
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(
            *(block(f"198.51.100.{n}", run=f"run-{n}", guard=limited) for n in range(20))
        )
        refused = await bench.results(15)
        firewall.gate.set()
        results = await bench.results(20)
    assert {result.status for result in refused} == {EffectStatus.REFUSED}
    assert sum(result.status is EffectStatus.OK for result in results) == 5
    assert firewall.calls["act"] == 5


async def test_a_dry_run_reads_and_evaluates_and_changes_nothing(tmp_path: Path) -> None:
    site = SiteGuards({"own": NamedList.parse("own", ["192.0.2.0/24"])}, never=("own",))
    firewall = Firewall(block_action(), LOOK, TELL)
    tell = block("default", id="t", verb="notify.webhook", hold=None)
    tell = tell.model_copy(update={"inputs": {"message": "hello"}})
    async with acting(tmp_path, firewall, mode=Mode.DRY_RUN, guards=lambda: site) as bench:
        await bench.ask(look(), block(), block("192.0.2.1"), tell)
        results = {result.effect_id: result for result in await bench.results(4)}
    assert results[look().id].status is EffectStatus.OK
    blocked = results[block().id]
    assert blocked.status is EffectStatus.DRY_RUN
    assert blocked.output["would"] == "call"
    assert blocked.output["expires"] == T0 + HOUR
    assert blocked.lease is None
    assert results[block("192.0.2.1").id].status is EffectStatus.REFUSED
    assert results["t"].status is EffectStatus.DRY_RUN
    assert firewall.calls == {"act": 1}


async def test_an_effect_may_be_dry_where_the_site_is_not(tmp_path: Path) -> None:
    firewall = Firewall()
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block(mode=Mode.DRY_RUN))
        (result,) = await bench.results(1)
    assert result.status is EffectStatus.DRY_RUN
    assert not firewall.blocked


async def test_telling_people_in_a_dry_run_is_chosen(tmp_path: Path) -> None:
    firewall = Firewall(TELL)
    tell = block("default", verb="notify.webhook", hold=None, inputs={"message": "hello"})
    async with acting(tmp_path, firewall, mode=Mode.DRY_RUN, notify_in_dry_run=True) as bench:
        await bench.ask(tell)
        (result,) = await bench.results(1)
    # The channel is not among the inputs as given: the default counts.
    assert result.status is EffectStatus.OK


# ---- failures ----------------------------------------------------------------------------------


async def test_a_failure_is_reported_with_kind_and_pause_and_its_retry_is_made(
    tmp_path: Path,
) -> None:
    firewall = Firewall()
    firewall.answers = [ConnectorError("http_5xx", "no", retry_after=1500)]
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block(), block(attempt=2))
        first, second = await bench.results(2)
    assert first.failure is not None
    assert (first.failure.kind, first.failure.retry_after) == ("http_5xx", 1500)
    assert first.lease is None
    assert second.status is EffectStatus.OK


async def test_an_unforeseen_error_is_a_failure_and_the_worker_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    firewall = Firewall()
    firewall.answers = [RuntimeError("token=secret")]
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block())
        await bench.results(1)
        await bench.ask(block("192.0.2.1"))
        first, second = await bench.results(2)
    assert second.status is EffectStatus.OK
    assert first.failure is not None
    assert first.failure.kind == "internal"
    assert "secret" not in first.failure.message
    assert "RuntimeError" in caplog.text


async def test_a_hang_ends_at_the_time_out_and_may_have_happened(tmp_path: Path) -> None:
    firewall = Firewall()
    firewall.gate = asyncio.Event()
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block(timeout=50))
        (result,) = await bench.results(1)
    assert result.status is EffectStatus.FAILED
    assert result.failure is not None
    assert result.failure.kind == "timeout"
    assert result.lease is not None
    assert result.lease.proof == {"unconfirmed": True}


async def test_what_may_have_happened_and_cannot_be_repeated_is_unknown(tmp_path: Path) -> None:
    firewall = Firewall(block_action(Idempotence.NONE))
    firewall.answers = [ConnectorError("timeout", "no answer", after_send=True)]
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block(), block(attempt=2))
        results = await bench.results(2)
    assert [result.status for result in results] == [EffectStatus.UNKNOWN] * 2
    assert firewall.calls["act"] == 1


async def test_after_an_unclear_failure_a_probe_comes_before_the_retry(tmp_path: Path) -> None:
    firewall = Firewall(block_action(Idempotence.PROBE))
    firewall.answers = [ConnectorError("timeout", "no answer", after_send=True)]
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block())
        await bench.results(1)
        firewall.blocked[IP] = None  # type: ignore[assignment]
        await bench.ask(block(attempt=2))
        _, second = await bench.results(2)
    assert second.status is EffectStatus.OK
    assert second.output["probed"] is True
    assert firewall.calls == {"act": 1, "probe": 1}


async def test_a_product_that_never_answers_is_left_alone_for_a_while(tmp_path: Path) -> None:
    firewall = Firewall(LOOK)
    firewall.answers = [ConnectorError("unavailable", "gone") for _ in range(100)]
    async with acting(tmp_path, firewall) as bench:
        for number in range(8):
            await bench.ask(look(run=f"run-{number}"))
            results = await bench.results(number + 1)
        assert firewall.calls["act"] == 5
        waits = [r.failure.retry_after for r in results if r.failure and r.failure.retry_after]
        assert waits == [30_000] * 3
        bench.clock.advance(30_000)
        firewall.answers = []
        await bench.ask(look(run="run-9"))
        await bench.results(9)
    assert firewall.calls["act"] == 6


async def test_an_answer_too_large_to_travel_is_told_by_its_hash(tmp_path: Path) -> None:
    class Chatty(Firewall):
        async def act(self, call: object) -> dict[str, str]:
            return {"log": "x" * 100_000}

    async with acting(tmp_path, Chatty(LOOK)) as bench:
        await bench.ask(look())
        (result,) = await bench.results(1)
    assert result.output["oversized"] is True
    assert set(result.output) == {"oversized", "bytes", "sha256"}


# ---- leases ------------------------------------------------------------------------------------


async def test_a_lease_ends_by_itself(tmp_path: Path) -> None:
    firewall = Firewall()
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block())
        await bench.results(1)
        bench.clock.advance(HOUR)
        events = await bench.lease_changes("opened", "expired", "undone")
        entries = await bench.audit_holds()
    assert not firewall.blocked
    last = events[-1].data["lease"]
    assert last["state"] == LeaseState.RELEASED
    assert last["proof"] == {"verified": True}
    assert {event.run_id for event in events} == {"run-1"}
    assert [entry.kind for entry in entries].count("undo.started") == 1


async def test_a_lease_that_ended_while_everything_was_down_ends_late(tmp_path: Path) -> None:
    firewall, clock = Firewall(), ManualClock(T0)
    async with acting(tmp_path, firewall, clock=clock) as bench:
        await bench.ask(block())
        await bench.results(1)
    clock.advance(5 * HOUR)
    assert firewall.blocked
    async with acting(tmp_path, firewall, clock=clock) as bench:
        await bench.lease_changes("expired", "undone")
    assert not firewall.blocked


async def test_two_runs_hold_one_target_and_the_last_to_leave_undoes(tmp_path: Path) -> None:
    firewall = Firewall()
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block(), block(run="run-2"))
        _, joined = await bench.results(2)
        assert joined.status is EffectStatus.OK
        assert firewall.calls["act"] == 1
        await bench.ask(release("run-1"))
        await bench.results(3)
        assert firewall.blocked
        await bench.ask(release("run-2"))
        results = {result.effect_id: result for result in await bench.results(4)}
    assert results["release-run-1"].output == {"released": False}
    assert results["release-run-2"].output == {"released": True}
    assert not firewall.blocked
    assert firewall.calls["undo"] == 1


def changes(found: list[Record]) -> list[str]:
    return [RunEvent.decode(each.value).data["change"] for each in found]


async def test_a_person_ends_a_containment_for_all(tmp_path: Path) -> None:
    firewall = Firewall()
    by_hand = release_record("firewall.block_ip", IP, by="oncall", at=T0)
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block(), block(run="run-2"))
        await bench.results(2)
        await bench.log.append([by_hand, by_hand])
        await bench.until(Topics.RUNS, lambda found: changes(found).count("undone") == 2)
        entries = await bench.audit_holds()
        results = await bench.results(2)
        events = [RunEvent.decode(e.value) for e in await everything(bench.log, Topics.RUNS)]
    assert not firewall.blocked
    assert firewall.calls["undo"] == 1
    assert {event.run_id for event in events} == {"run-1", "run-2"}
    assert any(entry.body.get("step") == "released by oncall" for entry in entries)
    assert {result.run_id for result in results} == {"run-1", "run-2"}


async def test_several_workers_together_do_no_more_than_a_rate_allows(tmp_path: Path) -> None:
    """A worker sees its own partitions only: with half of them it may do half of the limit."""
    firewall, clock = Firewall(), ManualClock(T0)
    site = SiteGuards(rates={"firewall.block_ip": Rate(max=4, per=600_000)})
    log = await open_log(tmp_path / "log.db", clock)
    try:
        other = await log.subscribe(act.ActWorker.name, Topics.EFFECTS, stateful=True)
        one = Bench(log, {"firewall": firewall}, clock, guards=lambda: site)
        async with asyncio.timeout(20), working(one):
            while len(other.assignment) != PARTITIONS // 2:
                await other.poll(1, 0.1)
            await one.ask(*(block(f"192.0.2.{n}", run=f"run-{n}") for n in range(40)))
            ends = await log.end_offsets(Topics.EFFECTS)
            own = sum(end for at, end in ends.items() if at not in other.assignment)
            statuses = Counter(result.status for result in await one.results(own))
    finally:
        await log.close()
    assert statuses == {EffectStatus.OK: 2, EffectStatus.REFUSED: own - 2}
    assert len(firewall.blocked) == 2


async def test_a_release_delivered_again_ends_no_new_lease(tmp_path: Path) -> None:
    firewall = Firewall()
    by_hand = release("run-1", everyone=True)
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block(), by_hand, block(id="again"), by_hand)
        results = await bench.results(4)
    assert [result.status for result in results] == [EffectStatus.OK] * 4
    assert set(firewall.blocked) == {IP}
    assert firewall.calls == {"act": 2, "undo": 1, "probe": 1}


async def test_an_undo_that_fails_for_an_hour_is_tried_until_it_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    firewall = Firewall()
    firewall.undo_answers = [ConnectorError("unavailable", "down") for _ in range(6)]
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block())
        await bench.results(1)
        bench.clock.advance(HOUR)
        expected = ["opened", "expired", "undo_failed"]
        for _ in range(6):
            await bench.lease_changes(*expected)
            bench.clock.advance(16 * 60_000)
            expected += ["expired", "undo_failed"]
        await bench.lease_changes("expired", "undone")
    assert not firewall.blocked
    assert firewall.calls["undo"] == 7
    assert caplog.text.count("undo it by hand") == 1


async def test_a_product_that_lies_about_undoing_is_found_out(tmp_path: Path) -> None:
    class Liar(Firewall):
        async def undo(self, call: object, proof: object) -> dict[str, str]:
            return {}

    async with acting(tmp_path, Liar()) as bench:
        await bench.ask(block())
        await bench.results(1)
        bench.clock.advance(HOUR)
        events = await bench.lease_changes("expired", "undo_failed")
    assert "still" in events[-1].data["lease"]["failure"]["message"]


async def test_a_dry_site_still_undoes_what_is_in_force(tmp_path: Path) -> None:
    firewall, clock = Firewall(), ManualClock(T0)
    async with acting(tmp_path, firewall, clock=clock) as bench:
        await bench.ask(block())
        await bench.results(1)
    clock.advance(HOUR)
    async with acting(tmp_path, firewall, clock=clock, mode=Mode.DRY_RUN) as bench:
        await bench.lease_changes("expired", "undone")
    assert not firewall.blocked


async def test_a_native_time_limit_is_longer_than_ours_and_is_extended(tmp_path: Path) -> None:
    firewall = Firewall(block_action(native_ttl=True))
    async with acting(tmp_path, firewall) as bench:
        await bench.ask(block())
        await bench.results(1)
        assert firewall.blocked[IP].ttl == HOUR + 60_000
        bench.clock.advance(HOUR // 2)
        await bench.ask(block(run="run-2"))
        await bench.results(2)
        assert firewall.blocked[IP].ttl == HOUR + 60_000
    assert firewall.calls["act"] == 2


async def test_a_hold_may_not_outlast_its_max(tmp_path: Path) -> None:
    async with acting(tmp_path, Firewall()) as bench:
        for number in range(4):
            hold = Hold(ttl=HOUR, max=2 * HOUR, extend_on_repeat=3.0)
            await bench.ask(block(run=f"run-{number}", hold=hold))
            results = await bench.results(number + 1)
    spans = sorted(r.lease.expires - T0 for r in results if r.lease)
    assert spans == [HOUR, *[2 * HOUR] * 3]


# ---- the log -----------------------------------------------------------------------------------


async def test_the_guards_are_asked_again_while_running(tmp_path: Path) -> None:
    site = [no_guards()]
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def current() -> SiteGuards:
        loop.call_soon_threadsafe(asked.set)
        return site[0]

    async with acting(tmp_path, Firewall(), guards=current) as bench:
        await bench.ask(block())
        await bench.results(1)
        site[0] = SiteGuards({"own": NamedList.parse("own", ["0.0.0.0/0"])}, never=("own",))
        for _ in range(2):  # the first may have read before the change
            asked.clear()
            async with asyncio.timeout(10):
                await asked.wait()
        await bench.ask(block("192.0.2.7"))
        *_, result = await bench.results(2)
    assert result.status is EffectStatus.REFUSED


@pytest.mark.parametrize("count", [1, 3])
async def test_restarts_change_nothing(tmp_path: Path, count: int) -> None:
    """Everything asked for is done once, whatever the number of workers before."""
    firewall, clock = Firewall(), ManualClock(T0)
    for _ in range(count):
        async with acting(tmp_path, firewall, clock=clock) as bench:
            await bench.ask(*(block(f"198.51.100.{number}") for number in range(20)))
            results = await bench.results(20)
            await bench.audit_holds()
    assert len({result.effect_id for result in results}) == 20
    assert firewall.calls["act"] == 20
