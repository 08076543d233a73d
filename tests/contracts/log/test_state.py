"""Contract of every log: outputs, keyed state and offset of a completion happen together."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.contracts.log.workbench import kill, lines, numbered, values
from tocsin.errors import LogUnavailable, RecordTooLarge
from tocsin.log.base import MAX_RECORD, Completion, Outgoing, TopicPartition

if TYPE_CHECKING:
    from tests.contracts.log.workbench import Workbench

MEBIBYTE = 1024 * 1024

#: Times that the counting child is killed; each at another moment.
KILLS = 6


async def test_state_survives_and_belongs_to_its_partition(bench: Workbench) -> None:
    topic, group = await bench.topic(), bench.name("g")
    log = await bench.log()
    member = await log.subscribe(group, topic, stateful=True)
    await bench.settle(member, topic=topic)
    kept = {"a\x00b": [1, "zwei", None], "ключ": {"x": 1.5}, "": False, "'": "🙂"}
    state = member.state(0)
    state.update(kept)
    state["gone"] = 1
    await member.complete([Completion(TopicPartition(topic, 0), state=state)])
    del state["gone"]
    state["more"] = 2
    await member.complete([Completion(TopicPartition(topic, 0), state=state)])
    assert state.changes() == {}
    log = await bench.reopen()
    member = await log.subscribe(group, topic, stateful=True)
    await bench.settle(member, topic=topic)
    assert dict(member.state(0)) == {**kept, "more": 2}
    assert dict(member.state(1)) == {}
    assert set((await log.committed(group, topic)).values()) == {0}


async def test_state_moves_with_its_partition(bench: Workbench) -> None:
    topic, group = await bench.topic(), bench.name("g")
    log = await bench.log()
    first = await log.subscribe(group, topic, stateful=True)
    await bench.settle(first, topic=topic)
    for at in first.assignment:
        state = first.state(at.partition)
        state["saved"] = at.partition
        await first.complete([Completion(at, state=state)])
        state["unsaved"] = True
    second = await log.subscribe(group, topic, stateful=True)
    await bench.settle(first, second, topic=topic)
    for at in second.assignment:
        assert dict(second.state(at.partition)) == {"saved": at.partition}


async def test_state_changed_while_a_completion_is_written_is_kept(bench: Workbench) -> None:
    topic, group = await bench.topic(), bench.name("g")
    log = await bench.log()
    member = await log.subscribe(group, topic, stateful=True)
    await bench.settle(member, topic=topic)
    at, state = TopicPartition(topic, 0), member.state(0)

    state["early"] = 1
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(member.complete([Completion(at, state=state)]))
        await asyncio.sleep(0)  # it has begun
        state["late"] = 1
    state["last"] = 1
    await member.complete([Completion(at, state=state)])
    log = await bench.reopen()
    member = await log.subscribe(group, topic, stateful=True)
    await bench.settle(member, topic=topic)
    assert dict(member.state(0)) == {"early": 1, "late": 1, "last": 1}


@pytest.mark.timeout(300)
async def test_state_outputs_and_offset_agree_after_kill_9_at_any_point(bench: Workbench) -> None:
    """The child counts in its state, sends an output each, commits; it is killed in between."""
    topic, out, group = await bench.topic(), await bench.topic("out"), bench.name("g")
    await (await bench.log()).append(numbered(topic, 6000, keys=40))
    random = Random(4)  # noqa: S311  the moments of the kills, the same in each run
    for _ in range(KILLS):
        async with bench.child("count", group, topic, out) as child:
            said = await lines(child, random.randint(1, 40), bench.harness.patience)
            said += await kill(child)
        log = await bench.log()
        committed = {at.partition: n for at, n in (await log.committed(group, topic)).items()}
        member = await log.subscribe(group, topic, stateful=True)
        await bench.settle(member, topic=topic)
        seen = {n: member.state(n).get("seen", 0) for n in committed}
        await member.close()
        outputs = [record.value.decode() for record in await bench.read_all(out)]
        assert seen == committed
        assert sorted(outputs) == sorted(
            f"{topic}/{partition}/{offset}"
            for partition, end in committed.items()
            for offset in range(end)
        )
        for partition, offset in (map(int, line.split()) for line in said):
            assert committed[partition] >= offset, "an acknowledged completion is missing"
    assert 0 < sum(committed.values()) < 6000, "the kills came too late to show anything"


async def test_a_completion_fails_whole_and_can_be_repeated(bench: Workbench) -> None:
    log, topic, out = await bench.log(), await bench.topic(), await bench.topic("out")
    group = bench.name("g")
    await log.append(numbered(topic, 10, keys=1))
    member = await log.subscribe(group, topic, stateful=True)
    records = await bench.drain(member, 10)
    at = TopicPartition(topic, records[0].partition)
    state = member.state(at.partition)
    state["seen"] = 10
    outputs = [
        Outgoing(out, b"0", key=b"k", timestamp=1),
        Outgoing(out, bytes(MEBIBYTE), key=b"k", timestamp=1),
    ]
    async with bench.harness.away(log):
        with pytest.raises(LogUnavailable):
            await member.complete([Completion(at, 10, outputs, state)])
    assert state.changes() == {"seen": b"10"}
    assert (await log.committed(group, topic))[at] == 0
    assert await bench.read_all(out) == []
    await member.complete([Completion(at, 10, outputs, state)])
    assert [len(record.value) for record in await bench.read_all(out)] == [1, MEBIBYTE]
    assert (await log.committed(group, topic))[at] == 10


async def test_an_oversized_output_fails_the_completion(bench: Workbench) -> None:
    log, topic, out = await bench.log(), await bench.topic(), await bench.topic("out")
    group = bench.name("g")
    await log.append(numbered(topic, 10, keys=1))
    member = await log.subscribe(group, topic, stateful=True)
    records = await bench.drain(member, 10)
    at = TopicPartition(topic, records[0].partition)
    state = member.state(at.partition)
    state["seen"] = 10
    small = Outgoing(out, b"1", key=b"k", timestamp=1)
    huge = Outgoing(out, bytes(MAX_RECORD + 1), key=b"k", timestamp=1)
    with pytest.raises(RecordTooLarge):
        await member.complete([Completion(at, 10, [small, huge], state)])
    assert await bench.read_all(out) == []
    assert (await log.committed(group, topic))[at] == 0
    await member.complete([Completion(at, 10, [small], state)])
    assert values(await bench.read_all(out)) == [1]
