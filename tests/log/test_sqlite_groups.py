"""Members of a group in one process: listeners that fail or hang, disks that do, and fences."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tocsin.errors import Fenced, LogError, LogUnavailable
from tocsin.log import sqlite_group
from tocsin.log.base import Completion, Outgoing, Topic, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.log.base import Subscription
    from tocsin.log.sqlite import SqliteLog
    from tocsin.log.sqlite_store import Progress

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


class Listener:
    """Does nothing; the cases override what they are about."""

    async def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        pass

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        pass


class CompletesWhenRevoked(Listener):
    """Finishes its work in the callback, as a stage does."""

    subscription: Subscription | None = None

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        assert self.subscription is not None
        await self.subscription.complete([Completion(at, 1) for at in partitions])


class FailsWhenRevoked(Listener):
    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        raise RuntimeError("the listener is broken")


class HangsWhenAssigned(Listener):
    async def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        await asyncio.Event().wait()


async def two_records(log: SqliteLog) -> None:
    """Topic t with a record in each of two partitions."""
    await log.create([Topic("t", 2)])
    await log.append([Outgoing("t", b"%d" % n, partition=n, timestamp=1) for n in (0, 1)])


async def joined(*members: Subscription) -> None:
    """Until each member owns something; no record is delivered."""
    async with asyncio.timeout(30.0):
        while not all(member.assignment for member in members):
            for member in members:
                await member.poll(0, 0.01)


async def test_work_may_be_completed_while_it_is_revoked(log: SqliteLog) -> None:
    await two_records(log)
    listener = CompletesWhenRevoked()
    listener.subscription = first = await log.subscribe("g", "t", listener=listener)
    assert set(await first.poll(9, 30.0)) == {T0, T1}
    second = await log.subscribe("g", "t")
    await joined(second)
    [moved] = second.assignment
    assert (await log.committed("g", "t"))[moved] == 1


async def test_a_broken_listener_stops_its_member_only(log: SqliteLog) -> None:
    await two_records(log)
    first = await log.subscribe("g", "t", listener=FailsWhenRevoked())
    assert set(await first.poll(9, 30.0)) == {T0, T1}
    second = await log.subscribe("g", "t")
    assert len(await second.poll(9, 30.0)) == 1
    with pytest.raises(LogError, match=r"revoked callback .*broken") as caught:
        await first.poll(9, 0)
    assert isinstance(caught.value.__cause__, RuntimeError)
    await first.close()
    assert len(await second.poll(9, 30.0)) == 1
    assert second.assignment == {T0, T1}


async def test_a_listener_that_hangs_is_given_up(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_group, "LISTENER_TIMEOUT", 0.02)
    await two_records(log)
    member = await log.subscribe("g", "t", listener=HangsWhenAssigned())
    with pytest.raises(LogError, match=r"assigned callback .*TimeoutError"):
        await member.poll(9, 30.0)


async def test_a_poll_ends_on_time_though_a_listener_does_not(log: SqliteLog) -> None:
    await two_records(log)
    member = await log.subscribe("g", "t", listener=HangsWhenAssigned())
    async with asyncio.timeout(5.0):
        assert await member.poll(9, 0.02) == {}
        poll = asyncio.create_task(member.poll(9, 50.0))
        await asyncio.sleep(0)  # it waits for the listener
        poll.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poll
    await member.close()


async def test_partitions_wait_until_their_progress_can_be_read(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_records(log)
    member = await log.subscribe("g", "t", stateful=True)

    async def broken(
        group: str, partitions: Sequence[TopicPartition], *, stateful: bool
    ) -> Mapping[TopicPartition, Progress]:
        raise LogUnavailable("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(log, "progress", broken)
        for _ in range(2):
            with pytest.raises(LogUnavailable, match="the disk is away"):
                await member.poll(9, 30.0)
    assert set(await member.poll(9, 30.0)) == {T0, T1}


async def test_the_owned_part_of_a_fenced_completion_is_written(log: SqliteLog) -> None:
    await two_records(log)
    first = await log.subscribe("g", "t", stateful=True)
    assert set(await first.poll(9, 30.0)) == {T0, T1}
    states = {at: first.state(at.partition) for at in (T0, T1)}
    second = await log.subscribe("g", "t")
    await second.poll(9, 30.0)
    [lost], [kept] = second.assignment, first.assignment
    work = []
    for at, state in states.items():
        state["done"] = True
        outputs = [Outgoing("t", b"out", partition=at.partition, timestamp=1)]
        work.append(Completion(at, 1, outputs, state))
    with pytest.raises(Fenced, match=f"^t/{lost.partition} went"):
        await first.complete(work)
    assert await log.committed("g", "t") == {kept: 1, lost: 0}
    assert await log.end_offsets("t") == {kept: 2, lost: 1}


async def test_work_of_an_earlier_tenure_is_fenced(log: SqliteLog) -> None:
    await two_records(log)
    first = await log.subscribe("g", "t", stateful=True)
    await first.poll(9, 30.0)
    stale = {at: first.state(at.partition) for at in (T0, T1)}
    second = await log.subscribe("g", "t", stateful=True)
    await second.poll(9, 30.0)
    [moved] = second.assignment
    await second.close()
    assert [list(records) for records in (await first.poll(9, 30.0)).values()]
    assert first.assignment == {T0, T1}
    stale[moved]["half"] = "counted"
    with pytest.raises(Fenced):
        await first.complete([Completion(moved, 1, (), stale[moved])])
    assert dict(first.state(moved.partition)) == {}
    await first.complete([Completion(moved, 1, (), first.state(moved.partition))])


async def test_a_completion_asked_for_before_the_partition_went_still_counts_or_is_fenced(
    log: SqliteLog,
) -> None:
    """Either the next owner sees it, or it is Fenced: never both and never neither."""
    await two_records(log)
    for round_ in range(20):
        group = f"g{round_}"
        first = await log.subscribe(group, "t")
        assert set(await first.poll(9, 30.0)) == {T0, T1}
        complete = asyncio.create_task(first.complete([Completion(T0, 1)]))
        for _ in range(round_ % 4):
            await asyncio.sleep(0)  # the completion gets a little further each round
        await first.close()
        second = await log.subscribe(group, "t")
        seen = await second.poll(9, 30.0)
        [result] = await asyncio.gather(complete, return_exceptions=True)
        assert isinstance(result, Fenced) == (T0 in seen), round_
        await second.close()


async def test_state_needs_a_stateful_subscription(log: SqliteLog) -> None:
    await two_records(log)
    member = await log.subscribe("g", "t")
    await member.poll(9, 30.0)
    with pytest.raises(LogError, match="without state"):
        member.state(0)


async def test_more_members_than_partitions(log: SqliteLog) -> None:
    await two_records(log)
    members = [await log.subscribe("g", "t") for _ in range(3)]
    polled = [await member.poll(9, 30.0) for member in members[:2]]
    assert [len(records) for records in polled] == [1, 1]
    assert await members[2].poll(9, 0.01) == {}
    assert sorted(at for member in members for at in member.assignment) == [T0, T1]


async def test_each_partition_gets_its_share_of_a_poll(log: SqliteLog) -> None:
    await log.create([Topic("t", 2)])
    await log.append([Outgoing("t", b"v", partition=0, timestamp=1)] * 100)
    await log.append([Outgoing("t", b"v", partition=1, timestamp=1)] * 3)
    member = await log.subscribe("g", "t")
    polled = await member.poll(10, 30.0)
    assert sum(map(len, polled.values())) <= 10
    assert {at: len(records) for at, records in polled.items()} in ({T0: 5, T1: 3}, {T0: 7, T1: 3})


async def test_partitions_take_turns(log: SqliteLog) -> None:
    await log.create([Topic("t", 2)])
    await log.append([Outgoing("t", b"v", partition=n, timestamp=1) for n in (0, 1) for _ in "ab"])
    member = await log.subscribe("g", "t")
    order = [at for _ in range(4) for at in await member.poll(1, 30.0)]
    assert sorted(order[:2]) == sorted(order[2:]) == [T0, T1]


async def test_resume_wakes_a_waiting_poll(log: SqliteLog) -> None:
    await two_records(log)
    member = await log.subscribe("g", "t")
    await joined(member)
    member.pause(frozenset({T0, T1}))
    waiting = asyncio.create_task(member.poll(9, 30.0))
    await asyncio.sleep(0)  # it waits
    member.resume(frozenset({T1}))
    assert set(await waiting) == {T1}


class Gate:
    """Holds the answers of one of the log's calls back until it is opened."""

    def __init__(self, log: SqliteLog, name: str, patch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        call = getattr(log, name)

        async def held(*args: object, **kwargs: object) -> object:
            answer = await call(*args, **kwargs)
            self.reached.set()
            await self.open.wait()
            return answer

        patch.setattr(log, name, held)


async def test_records_read_while_their_partition_moves_are_not_delivered(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_records(log)
    first = await log.subscribe("g", "t")
    await joined(first)
    with monkeypatch.context() as patch:
        gate = Gate(log, "fetch", patch)
        poll = asyncio.create_task(first.poll(9, 30.0))
        await gate.reached.wait()
    second = await log.subscribe("g", "t")
    [moved] = await second.poll(9, 30.0)
    gate.open.set()
    assert set(await poll) == {T0, T1} - {moved}


class WaitsWhenRevoked(Listener):
    """Takes its time to let go."""

    def __init__(self) -> None:
        self.called, self.done = asyncio.Event(), asyncio.Event()

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.called.set()
        await self.done.wait()


async def test_no_records_flow_before_the_listener_has_returned(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_records(log)
    listener = WaitsWhenRevoked()
    first = await log.subscribe("g", "t", listener=listener)
    await joined(first)
    with monkeypatch.context() as patch:
        gate = Gate(log, "fetch", patch)
        poll = asyncio.create_task(first.poll(9, 30.0))
        await gate.reached.wait()
    second = await log.subscribe("g", "t")
    taking = asyncio.create_task(second.poll(9, 30.0))
    await listener.called.wait()
    gate.open.set()
    assert (await asyncio.wait({poll}, timeout=0.05))[0] == set()
    listener.done.set()
    assert {*await poll, *await taking} == {T0, T1}


async def test_a_member_that_closes_while_it_is_given_partitions_gets_none(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_records(log)
    first = await log.subscribe("g", "t")
    with monkeypatch.context() as patch:
        gate = Gate(log, "progress", patch)
        poll = asyncio.create_task(first.poll(9, 30.0))
        await gate.reached.wait()
    await first.close()
    gate.open.set()
    with pytest.raises(LogError, match="is closed"):
        await poll
    second = await log.subscribe("g", "t")
    assert set(await second.poll(9, 30.0)) == {T0, T1}
    assert first.assignment == frozenset()
