"""What the cases of the log contract share: logs, topics, waiting with a deadline, children."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from tocsin.log.base import Outgoing, Topic, TopicPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from tests.contracts.log.harness import LogHarness
    from tocsin.log.base import Log, Record, Subscription

#: Most records of one poll; small enough that the cases poll more than once.
POLL = 100

#: How long one poll waits, seconds; the deadline of a case is the harness's patience.
POLL_TIMEOUT = 0.2

#: The same while members find each other: each waits this long in turn.
SETTLE_TIMEOUT = 0.02


class Workbench:
    """A backend, one log on it at a time, and names that no other test uses."""

    def __init__(self, harness: LogHarness) -> None:
        self.harness = harness
        self._log: Log | None = None
        self._run = uuid4().hex[:8]

    async def log(self) -> Log:
        """The open log."""
        if self._log is None:
            self._log = await self.harness.open()
        return self._log

    async def close(self) -> None:
        """Close the log."""
        log, self._log = self._log, None
        if log is not None:
            await log.close()

    async def reopen(self) -> Log:
        """The log as the next process finds it."""
        await self.close()
        return await self.log()

    def name(self, name: str) -> str:
        """`name`, unlike that of any other test run."""
        return f"{name}-{self._run}"

    async def topic(self, name: str = "in", partitions: int | None = None) -> str:
        """A new topic."""
        topic = self.name(name)
        log = await self.log()
        await log.create([Topic(topic, partitions or self.harness.partitions)])
        return topic

    async def drain(self, subscription: Subscription, count: int) -> list[Record]:
        """The next `count` records, in the order in which they came; never more."""
        records: list[Record] = []
        async with asyncio.timeout(self.harness.patience):
            while len(records) < count:
                most = min(POLL, count - len(records))
                records += flat(await subscription.poll(most, POLL_TIMEOUT))
        return records

    async def next_is(self, subscription: Subscription, topic: str) -> None:
        """Nothing is left to deliver: the next of each partition is what is appended only now."""
        log = await self.log()
        partitions = range(await log.partitions(topic))
        marks = [Outgoing(topic, b"mark", partition=n, timestamp=1) for n in partitions]
        await log.append(marks)
        records = await self.drain(subscription, len(marks))
        assert [record.value for record in records] == [b"mark"] * len(marks)

    async def settle(self, *members: Subscription, topic: str) -> list[Record]:
        """Poll until the members share all partitions; what records came meanwhile."""
        log = await self.log()
        everything = {TopicPartition(topic, n) for n in range(await log.partitions(topic))}
        records: list[Record] = []
        async with asyncio.timeout(self.harness.patience):
            while not _shared(members, everything):
                for member in members:
                    records += flat(await member.poll(POLL, SETTLE_TIMEOUT))
        return records

    async def read_all(self, topic: str) -> list[Record]:
        """Every record of a topic, outside any group."""
        log = await self.log()
        records: list[Record] = []
        for partition in range(await log.partitions(topic)):
            at = TopicPartition(topic, partition)
            offset = 0
            while batch := await log.read(at, offset, POLL):
                records += batch
                offset = batch[-1].offset + 1
        return records

    @asynccontextmanager
    async def child(self, mode: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """`python -m tests.contracts.log.child`; killed with SIGKILL at the end."""
        if self.harness.exclusive:
            await self.close()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.contracts.log.child", mode, json.dumps(self.harness.spec())),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()  # the rest of its output, and it is reaped


async def lines(process: asyncio.subprocess.Process, count: int, patience: float) -> list[str]:
    """The next `count` lines that a child prints."""
    assert process.stdout is not None
    found: list[str] = []
    async with asyncio.timeout(patience):
        while len(found) < count:
            line = await process.stdout.readline()
            assert line, f"the child ended after {found[-3:]}, its errors stand above"
            found.append(line.decode().strip())
    return found


async def kill(process: asyncio.subprocess.Process) -> list[str]:
    """kill -9, and every whole line that the child had printed before."""
    process.kill()
    output, _ = await process.communicate()
    text, _, _ = output.decode().rpartition("\n")
    return text.splitlines()


def flat(polled: Mapping[TopicPartition, Sequence[Record]]) -> list[Record]:
    """The records of a poll, partition after partition."""
    return [record for batch in polled.values() for record in batch]


def numbered(topic: str, count: int, *, keys: int = 7, start: int = 0) -> list[Outgoing]:
    """`count` records with values "0", "1", … spread over some keys."""
    return [
        Outgoing(topic, b"%d" % n, key=b"key-%d" % (n % keys), timestamp=1_700_000_000_000 + n)
        for n in range(start, start + count)
    ]


def values(records: Iterable[Record]) -> list[int]:
    """The numbers of `numbered` records, sorted."""
    return sorted(int(record.value) for record in records)


def next_offsets(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """What to commit once all of these are done."""
    done: dict[TopicPartition, int] = {}
    for record in records:
        at = TopicPartition(record.topic, record.partition)
        done[at] = max(done.get(at, 0), record.offset + 1)
    return done


def _shared(members: Sequence[Subscription], everything: set[TopicPartition]) -> bool:
    owned = [at for member in members for at in member.assignment]
    return (
        len(owned) == len(everything)
        and set(owned) == everything
        and all(member.assignment for member in members)
    )
