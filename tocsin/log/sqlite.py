"""The embedded log: topics, offsets and keyed state in one SQLite file, for one process.

All SQLite work is done by one thread of its own, so the event loop never waits for the disk and
everything happens in the order in which it was asked for. Groups live in memory (all members
are in this process); what they have completed is in the file.

A compacted topic is kept whole: nothing of it is pruned.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tocsin.errors import LogError, LogInUse, RecordTooLarge
from tocsin.log.base import MAX_RECORD, TopicPartition
from tocsin.log.sqlite_errors import translated
from tocsin.log.sqlite_group import Group
from tocsin.log.sqlite_store import Store
from tocsin.log.sqlite_writer import Part, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.log.base import Listener, Outgoing, Position, Record, Topic
    from tocsin.log.sqlite_group import Member
    from tocsin.log.sqlite_store import Progress, Write, Written

P = ParamSpec("P")
T = TypeVar("T")


class SqliteLog:
    """tocsin.log.base.Log on one SQLite file, `path`, with `path`.lock beside it.

    `max_record` bounds a record's value, bytes. `clock` stamps records that bring no time.
    """

    def __init__(self, path: Path, *, clock: Clock, max_record: int = MAX_RECORD) -> None:
        self._path = path
        self._clock = clock
        self._max_record = max_record
        self._thread: ThreadPoolExecutor | None = None
        self._lock: int | None = None
        self._store: Store | None = None
        self._writer = Writer(self._write)
        self._topics: dict[str, Topic] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._groups: dict[tuple[str, str], Group] = {}

    async def start(self) -> None:
        """Open or create the file.

        Raises LogInUse if another process has it open, LogError if it is not an embedded log,
        LogUnavailable if it cannot be opened just now.
        """
        if self._thread is not None:
            raise LogError(f"the log {self._path} was started already")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="log")
        try:
            await self._run(self._open)
        except BaseException:
            await self.close()
            raise

    def _open(self) -> None:
        with translated(self._path, "opened"):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(self._path)
        self._store = Store(self._path)
        self._topics = dict(self._store.topics)
        self._ends = self._store.ends()

    async def close(self) -> None:
        """Write what is waiting, then close the file and let go of its lock."""
        thread = self._thread
        if thread is None:
            return
        for group in self._groups.values():
            await group.close()
        await self._writer.flush()
        await self._run(self._shut)
        self._thread = None
        thread.shutdown()

    def _shut(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run on the log's thread, in order. Nothing may be awaited before it is handed over."""
        if self._thread is None:
            raise self._closed()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def _closed(self) -> LogError:
        return LogError(f"the log {self._path} is not open: start() it, or it was closed")

    def _opened(self) -> Store:
        if self._store is None:
            raise self._closed()
        return self._store

    async def create(self, topics: Sequence[Topic]) -> None:
        """Create the topics that do not exist; see Log."""
        for topic in topics:
            if not topic.name or topic.partitions < 1:
                raise LogError(f"a topic needs a name and at least one partition: {topic}")
        store = self._opened()
        await self._run(store.create, topics)
        self._topics = dict(store.topics)
        for name, topic in self._topics.items():
            for number in range(topic.partitions):
                self._ends.setdefault(TopicPartition(name, number), 0)

    async def partitions(self, topic: str) -> int:
        """Number of partitions; raises LogError for a topic that does not exist."""
        self._opened()
        return self._topic(topic).partitions

    def _topic(self, name: str) -> Topic:
        if (topic := self._topics.get(name)) is None:
            known = ", ".join(sorted(self._topics)) or "none"
            raise LogError(
                f"there is no topic '{name}' in {self._path} (there is: {known}); create it first"
            )
        return topic

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, n) for n in range(self._topic(topic).partitions)]

    async def append(self, records: Sequence[Outgoing]) -> list[Position]:
        """Append in one transaction; see Log. After LogUnavailable nothing was appended."""
        return await self.write([Part(self.check(records))]) if records else []

    def check(self, records: Sequence[Outgoing]) -> list[Outgoing]:
        """The records as they can be written; raises LogError, RecordTooLarge."""
        checked = []
        topic = None
        for record in records:
            if topic is None or topic.name != record.topic:
                topic = self._topic(record.topic)
            if len(record.value) > self._max_record:
                raise RecordTooLarge(
                    f"a record of {len(record.value)} bytes for {record.topic} exceeds the limit "
                    f"of {self._max_record}; nothing of its batch was appended. Cut it up or send "
                    "it to the dead letters."
                )
            if record.partition is not None and not 0 <= record.partition < topic.partitions:
                raise LogError(
                    f"{record.topic} has no partition {record.partition}, only 0 to "
                    f"{topic.partitions - 1}; nothing was appended"
                )
            # Without a time of its own a record would be older than any retention.
            checked.append(record if record.timestamp else self._stamped(record))
        return checked

    def _stamped(self, record: Outgoing) -> Outgoing:
        return record._replace(timestamp=self._clock.now())

    async def write(self, parts: Sequence[Part]) -> list[Position]:
        """Queue for the next transaction (used by the log's own subscriptions)."""
        self._opened()
        return await self._writer.write(parts)

    async def _write(self, writes: Sequence[Write]) -> Written:
        written = await self._run(self._opened().write, writes, self._clock.now())
        if written.ends:
            self._ends.update(written.ends)
            grown = {at.topic for at in written.ends}
            for group in self._groups.values():
                if group.topic in grown:
                    group.wake()
        return written

    async def subscribe(
        self,
        group: str,
        topic: str,
        *,
        stateful: bool = False,
        listener: Listener | None = None,
    ) -> Member:
        """Join a group; the partitions come with the first poll. See Log."""
        self._opened()
        partitions = self._topic(topic).partitions
        joined = self._groups.setdefault((group, topic), Group(group, topic, partitions, self))
        return joined.join(listener, stateful=stateful)

    async def read(self, at: TopicPartition, offset: int, max_records: int) -> list[Record]:
        """Records from `offset` on; at most MAX_READ_BYTES of values. See Log."""
        self._existing(at)
        return (await self.fetch([(at, offset, max_records)]))[at]

    def _existing(self, at: TopicPartition) -> None:
        if not 0 <= at.partition < self._topic(at.topic).partitions:
            raise LogError(f"{at.topic} has no partition {at.partition}")

    async def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """The offset that the next record of each partition will get."""
        self._opened()
        return {at: self._ends[at] for at in self._partitions(topic)}

    async def committed(self, group: str, topic: str) -> dict[TopicPartition, int]:
        """Committed offsets of a group; 0 where it has none."""
        partitions = self._partitions(topic)
        progress = await self.progress(group, partitions, stateful=False)
        return {at: progress[at].offset for at in partitions}

    async def prune(self, now: int, unread: Mapping[TopicPartition, int] = {}) -> int:
        """Delete records older than their topic's retention; returns how many.

        In a partition that `unread` names, records from that offset on stay.

        Age counts from the appending, whatever time a record bears: an old log that was read in
        today is new. In small steps between which other work is done. The file keeps its size,
        the space in it is used again. Raises LogUnavailable; what was pruned until then is.
        """
        total = 0
        for topic in list(self._topics.values()):
            if topic.compacted or topic.retention < 0:
                continue
            for at in self._partitions(topic.name):
                more = True
                while more:
                    before, upto = now - topic.retention, unread.get(at, self._ends[at])
                    pruned, more = await self._run(self._opened().prune, at, before, upto)
                    total += pruned
        return total

    def end(self, at: TopicPartition) -> int:
        """Where the next record of a partition will stand (used by the subscriptions)."""
        return self._ends[at]

    async def fetch(
        self, wanted: Sequence[tuple[TopicPartition, int, int]]
    ) -> Mapping[TopicPartition, list[Record]]:
        """Records of several partitions (used by the subscriptions)."""
        return await self._run(self._opened().fetch, wanted)

    async def progress(
        self, group: str, partitions: Sequence[TopicPartition], *, stateful: bool
    ) -> Mapping[TopicPartition, Progress]:
        """Offsets and state of a group (used by the subscriptions)."""
        return await self._run(self._opened().progress, group, partitions, stateful=stateful)


def _locked(path: Path) -> int:
    """Descriptor of the lock file, held until it is closed or this process ends."""
    lock = path.with_name(path.name + ".lock")
    with translated(lock, "locked"):
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise _in_use(path, holder) from error
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def _in_use(path: Path, holder: str) -> LogInUse:
    return LogInUse(
        f"the log {path} is in use by process {holder}: the embedded log serves one process. "
        "Stop that one first, give this one its own data_dir, or use the kafka log for more than "
        "one process."
    )
