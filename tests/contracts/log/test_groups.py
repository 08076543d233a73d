"""Contract of every log: groups share partitions, and completed work is done exactly once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.contracts.log.workbench import (
    flat,
    kill,
    lines,
    next_offsets,
    numbered,
    values,
)
from tocsin.errors import Fenced
from tocsin.log.base import Completion, Outgoing, TopicPartition

if TYPE_CHECKING:
    from tests.contracts.log.workbench import Workbench
    from tocsin.log.base import Record, Subscription


async def done(subscription: Subscription, records: list[Record]) -> None:
    """Complete everything up to these records."""
    await subscription.complete([Completion(at, n) for at, n in next_offsets(records).items()])


async def test_uncompleted_records_come_again_after_close(bench: Workbench) -> None:
    log, topic, group = await bench.log(), await bench.topic(), bench.name("g")
    await log.append(numbered(topic, 20))
    first = await log.subscribe(group, topic)
    assert values(await bench.drain(first, 20)) == list(range(20))
    await first.close()
    second = await log.subscribe(group, topic)
    assert values(await bench.drain(second, 20)) == list(range(20))


async def test_uncompleted_records_come_again_after_kill_9(bench: Workbench) -> None:
    topic, group = await bench.topic(), bench.name("g")
    await (await bench.log()).append(numbered(topic, 60, keys=1))
    async with bench.child("hold", group, topic) as child:
        said = await lines(child, 60, bench.harness.patience)
        await kill(child)
    completed = {int(line.split()[1]) for line in said if line.startswith("done")}
    assert 0 < len(completed) < 60
    log = await bench.log()
    again = await bench.drain(await log.subscribe(group, topic), 60 - len(completed))
    assert set(values(again)) == set(range(60)) - completed


async def test_completed_records_do_not_come_again(bench: Workbench) -> None:
    log, topic, group = await bench.log(), await bench.topic(), bench.name("g")
    await log.append(numbered(topic, 20))
    first = await log.subscribe(group, topic)
    await done(first, await bench.drain(first, 20))
    committed = await log.committed(group, topic)
    assert committed == await log.end_offsets(topic)
    await first.close()
    log = await bench.reopen()
    assert await log.committed(group, topic) == committed
    await bench.next_is(await log.subscribe(group, topic), topic)


async def test_polling_goes_on_after_the_last_record_polled(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    await log.append(numbered(topic, 30))
    subscription = await log.subscribe(bench.name("g"), topic)
    assert values(await bench.drain(subscription, 30)) == list(range(30))
    await bench.next_is(subscription, topic)


async def test_a_waiting_poll_sees_what_is_appended(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    subscription = await log.subscribe(bench.name("g"), topic)
    await bench.settle(subscription, topic=topic)
    assert await subscription.poll(10, 0.01) == {}
    waiting = asyncio.create_task(subscription.poll(10, bench.harness.patience))
    await asyncio.sleep(0)  # it waits
    await log.append(numbered(topic, 1))
    assert values(flat(await waiting)) == [0]


async def test_two_groups_each_get_everything(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    await log.append(numbered(topic, 50))
    one = await log.subscribe(bench.name("one"), topic)
    two = await log.subscribe(bench.name("two"), topic)
    assert values(await bench.drain(one, 50)) == list(range(50))
    records = await bench.drain(two, 50)
    assert values(records) == list(range(50))
    await done(one, records)
    assert await log.committed(bench.name("one"), topic) == await log.end_offsets(topic)
    assert set((await log.committed(bench.name("two"), topic)).values()) == {0}


class Story:
    """A listener that writes down what it is told; `told` is shared by the members."""

    def __init__(self, name: str, told: list[tuple[str, str, TopicPartition]]) -> None:
        self.name = name
        self.told = told

    async def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        self.told += [(self.name, "assigned", at) for at in sorted(partitions)]

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.told += [(self.name, "revoked", at) for at in sorted(partitions)]


def owners(told: list[tuple[str, str, TopicPartition]]) -> dict[TopicPartition, str]:
    """Who owns what in the end; nothing may ever be assigned before its owner lost it."""
    owner: dict[TopicPartition, str] = {}
    for name, what, at in told:
        if what == "assigned":
            assert owner.setdefault(at, name) == name, f"{at} had two owners: {told}"
        else:
            assert owner.pop(at, name) == name, f"{at} was revoked from another: {told}"
    return owner


async def test_a_group_shares_partitions_and_revokes_before_it_assigns(bench: Workbench) -> None:
    log, topic, group = await bench.log(), await bench.topic(), bench.name("g")
    told: list[tuple[str, str, TopicPartition]] = []
    first = await log.subscribe(group, topic, listener=Story("first", told))
    await bench.settle(first, topic=topic)
    assert owners(told) == dict.fromkeys(first.assignment, "first")
    second = await log.subscribe(group, topic, listener=Story("second", told))
    await bench.settle(first, second, topic=topic)
    shared = dict.fromkeys(first.assignment, "first") | dict.fromkeys(second.assignment, "second")
    assert owners(told) == shared
    assert abs(len(first.assignment) - len(second.assignment)) <= 1

    await log.append(numbered(topic, 100))
    got: dict[Subscription, list[Record]] = {first: [], second: []}
    while sum(len(records) for records in got.values()) < 100:
        for member, records in got.items():
            records += flat(await member.poll(10, 0.05))
    assert values([*got[first], *got[second]]) == list(range(100))
    for member, records in got.items():
        assert {TopicPartition(r.topic, r.partition) for r in records} <= member.assignment


async def test_a_member_takes_over_what_another_left_undone(bench: Workbench) -> None:
    log, topic, group = await bench.log(), await bench.topic(), bench.name("g")
    first = await log.subscribe(group, topic)
    second = await log.subscribe(group, topic)
    await bench.settle(first, second, topic=topic)
    await log.append(numbered(topic, 40, keys=40))
    both: dict[Subscription, list[Record]] = {first: [], second: []}
    while sum(len(records) for records in both.values()) < 40:
        for member, records in both.items():
            records += flat(await member.poll(10, 0.05))
    await done(second, both[second])
    undone = values(both[first])
    assert undone
    assert both[second]
    await first.close()
    rest = await bench.settle(second, topic=topic)
    rest += await bench.drain(second, len(undone) - len(rest))
    assert values(rest) == undone


async def test_completing_a_lost_partition_is_fenced_and_changes_nothing(bench: Workbench) -> None:
    log, topic, out = await bench.log(), await bench.topic(), await bench.topic("out")
    group = bench.name("g")
    await log.append(numbered(topic, 40, keys=40))
    first = await log.subscribe(group, topic, stateful=True)
    records = await bench.drain(first, 40)
    states = {at: first.state(at.partition) for at in first.assignment}
    second = await log.subscribe(group, topic, stateful=True)
    await bench.settle(first, second, topic=topic)
    lost = min(second.assignment)
    offset = next_offsets(records)[lost]
    states[lost]["seen"] = offset
    with pytest.raises(Fenced, match=topic):
        await first.complete(
            [Completion(lost, offset, [Outgoing(out, b"x", timestamp=1)], states[lost])]
        )
    assert (await log.committed(group, topic))[lost] == 0
    assert await bench.read_all(out) == []
    assert dict(second.state(lost.partition)) == {}
    with pytest.raises(Fenced):
        first.state(lost.partition)


async def test_a_closed_member_is_fenced(bench: Workbench) -> None:
    log, topic, group = await bench.log(), await bench.topic(), bench.name("g")
    await log.append(numbered(topic, 10))
    member = await log.subscribe(group, topic)
    records = await bench.drain(member, 10)
    await member.close()
    with pytest.raises(Fenced):
        await done(member, records)
    assert set((await log.committed(group, topic)).values()) == {0}


async def test_paused_partitions_wait_and_polls_stay_small(bench: Workbench) -> None:
    log, topic = await bench.log(), await bench.topic()
    subscription = await log.subscribe(bench.name("g"), topic)
    await bench.settle(subscription, topic=topic)
    held = TopicPartition(topic, 0)
    subscription.pause(frozenset({held}))
    for partition in range(bench.harness.partitions):
        await log.append([Outgoing(topic, b"%d" % partition, partition=partition, timestamp=1)] * 9)
    flowing = 9 * (bench.harness.partitions - 1)
    records: list[Record] = []
    while len(records) < flowing:
        polled = flat(await subscription.poll(4, 0.1))
        assert len(polled) <= 4
        records += polled
    assert held.partition not in {record.partition for record in records}
    assert await subscription.poll(4, 0.05) == {}
    assert held in subscription.assignment
    subscription.resume(frozenset({held}))
    assert values(await bench.drain(subscription, 9)) == [0] * 9
