"""Groups of the embedded log: members in one process that share the partitions of a topic.

A join or a leave marks the group as unsettled; the next poll of any member settles it: revoked
on all who lose, progress read from the file, assigned on all who gain, and only then do records
flow. Settling is a task of its own, so a poll that is cancelled or times out does not stop it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tocsin.errors import Fenced, LogError
from tocsin.log.balance import balance
from tocsin.log.base import TopicPartition
from tocsin.log.sqlite_store import Commit
from tocsin.log.sqlite_writer import Part
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from tocsin.log.base import Completion, Listener, Outgoing, Position, Record
    from tocsin.log.sqlite_store import Progress

#: How long a listener may take before its member is given up, seconds (Kafka: max.poll.interval).
LISTENER_TIMEOUT = 60.0

Partitions = frozenset[TopicPartition]


class Backing(Protocol):
    """What groups need of the log."""

    def end(self, at: TopicPartition) -> int: ...

    def check(self, records: Sequence[Outgoing]) -> list[Outgoing]: ...

    def fetch(
        self, wanted: Sequence[tuple[TopicPartition, int, int]]
    ) -> Awaitable[Mapping[TopicPartition, list[Record]]]: ...

    def progress(
        self, group: str, partitions: Sequence[TopicPartition], *, stateful: bool
    ) -> Awaitable[Mapping[TopicPartition, Progress]]: ...

    def write(self, parts: Sequence[Part]) -> Awaitable[list[Position]]: ...


class Group:
    """One group on one topic."""

    def __init__(self, name: str, topic: str, partitions: int, log: Backing) -> None:
        self.name = name
        self.topic = topic
        self._partitions = [TopicPartition(topic, n) for n in range(partitions)]
        self._log = log
        self._members: list[Member] = []
        self._stale = False
        self._settling: asyncio.Task[LogError | None] | None = None

    def join(self, listener: Listener | None, *, stateful: bool) -> Member:
        """A new member; it owns nothing before the group has settled."""
        member = Member(self, self._log, listener, stateful=stateful)
        self._members.append(member)
        self._unsettle()
        return member

    def leave(self, member: Member) -> None:
        """Its partitions are free from now on."""
        if member in self._members:
            self._members.remove(member)
            self._unsettle()

    def _unsettle(self) -> None:
        self._stale = True
        self.wake()

    def wake(self) -> None:
        """There may be something to do for those who wait in a poll."""
        for member in self._members:
            member.wake()

    @property
    def settled(self) -> bool:
        """Whether every partition is with its owner and the owners have been told."""
        return not self._stale and self._settling is None

    async def settle(self, timeout: float) -> None:
        """Wait until settled, at most `timeout` seconds; raises what reading progress raised."""
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle(), name=f"settle {self.name}")
        task = self._settling
        await asyncio.wait({task}, timeout=max(0.0, timeout))
        if task.done() and not task.cancelled() and (error := task.result()) is not None:
            raise error

    async def close(self) -> None:
        """The log closes: stop settling, and whoever polls or completes is told."""
        if (task := self._settling) is not None:
            task.cancel()
            await asyncio.wait({task})
        for member in self._members:
            member.fail(LogError(f"the log was closed under group {self.name} on {self.topic}"))

    async def _settle(self) -> LogError | None:
        try:
            while self._stale:
                self._stale = False
                await self._move()
        except LogError as error:
            self._stale = True  # whoever polls next tries again
            return error
        finally:
            self._settling = None
            self.wake()
        return None

    async def _move(self) -> None:
        owners = {at: member for member in self._members for at in member.assignment}
        target = balance(self._partitions, self._members, owners)
        moving = {at: member for at, member in target.items() if owners.get(at) is not member}
        lost = _by_member({at: owners[at] for at in moving if at in owners})
        await asyncio.gather(*(member.revoke(gone) for member, gone in lost.items()))
        gained = _by_member(moving)
        loaded = [
            (member, await self._log.progress(self.name, sorted(got), stateful=member.stateful))
            for member, got in gained.items()
        ]
        await asyncio.gather(*(member.assign(progress) for member, progress in loaded))


def _by_member(owners: Mapping[TopicPartition, Member]) -> dict[Member, Partitions]:
    return {
        member: frozenset(at for at, owner in owners.items() if owner is member)
        for member in owners.values()
    }


class Member:
    """A subscription of the embedded log (tocsin.log.base.Subscription)."""

    def __init__(
        self, group: Group, log: Backing, listener: Listener | None, *, stateful: bool
    ) -> None:
        self.stateful = stateful
        self._group = group
        self._log = log
        self._listener = listener
        self._next: dict[TopicPartition, int] = {}  # what is owned, and where to read on
        self._states: dict[TopicPartition, KeyedState] = {}
        self._paused: set[TopicPartition] = set()
        self._turn = 0
        self._wake = asyncio.Event()
        self._failure: LogError | None = None
        self._closed = False

    @property
    def assignment(self) -> Partitions:
        """The partitions owned now; those being revoked until the listener has returned."""
        return frozenset(self._next)

    def wake(self) -> None:
        """Let a waiting poll look again."""
        self._wake.set()

    def fail(self, error: LogError) -> None:
        """Every call from now on raises `error`."""
        self._failure = error
        self._wake.set()

    async def poll(
        self, max_records: int, timeout: float
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        """Records that are next; see Subscription. One poll at a time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            self._wake.clear()  # before looking, so that nothing that comes now is missed
            self._check()
            if not self._group.settled:
                await self._group.settle(deadline - loop.time())
            elif wanted := self._wanted(max_records):
                if records := await self._fetch(wanted):
                    return records
                continue
            elif not await self._woken(deadline - loop.time()):
                return {}
            if loop.time() >= deadline and not self._group.settled:
                return {}

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise LogError(
                f"the subscription of group {self._group.name} to {self._group.topic} is closed"
            )

    async def _woken(self, timeout: float) -> bool:
        if timeout <= 0:
            return False
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _wanted(self, max_records: int) -> list[tuple[TopicPartition, int, int]]:
        """Where to read how much: each partition its share, and no partition always first."""
        ready = [
            at
            for at, offset in self._next.items()
            if at not in self._paused and offset < self._log.end(at)
        ]
        if not ready or max_records <= 0:
            return []
        self._turn = (self._turn + 1) % len(ready)
        ready = ready[self._turn :] + ready[: self._turn]
        wanted = []
        for count, at in enumerate(ready):
            left = len(ready) - count
            share = min(-(-max_records // left), self._log.end(at) - self._next[at])
            if share > 0:
                wanted.append((at, self._next[at], share))
                max_records -= share
        return wanted

    async def _fetch(
        self, wanted: Sequence[tuple[TopicPartition, int, int]]
    ) -> dict[TopicPartition, list[Record]]:
        ends = {at: self._log.end(at) for at, _, _ in wanted}
        found = await self._log.fetch(wanted)
        if not self._group.settled:
            return {}  # read again once it is known whose they are
        records = {}
        for at, offset, _ in wanted:
            # A listener or close() may have changed what is owned while the file was read.
            if at not in found or at in self._paused or self._next.get(at) != offset:
                continue
            if batch := found[at]:
                records[at] = batch
                self._next[at] = batch[-1].offset + 1
            else:
                self._next[at] = ends[at]  # all of it was pruned
        return records

    def state(self, partition: int) -> KeyedState:
        """The keyed state of an owned partition, as of its last durable completion."""
        at = TopicPartition(self._group.topic, partition)
        if not self.stateful:
            raise LogError(f"group {self._group.name} subscribed to {at.topic} without state")
        if at not in self._states:
            raise Fenced(f"group {self._group.name} member does not own {at.topic}/{partition}")
        return self._states[at]

    async def complete(self, work: Sequence[Completion]) -> None:
        """Outputs, state and offsets in one transaction.

        Raises Fenced if a partition was lost; the others' work was written all the same.
        """
        if self._failure is not None:
            raise self._failure
        checked = [self._log.check(done.outputs) for done in work]
        parts = []
        for done, outputs in zip(work, checked, strict=True):
            changes = done.state.changes() if done.state is not None else {}
            commit = Commit(self._group.name, done.partition, done.offset, changes)
            parts.append(Part(outputs, commit, partial(self.owns, state=done.state)))
        # The journal is cleared now, not afterwards: what changes while this is being written
        # belongs to the next completion.
        for done in work:
            if done.state is not None:
                done.state.saved()
        try:
            await self._log.write(parts)
        except BaseException:
            for done, part in zip(work, parts, strict=True):
                if done.state is not None and part.commit is not None:
                    done.state.unsaved(part.commit.changes)
            raise

    def owns(self, at: TopicPartition, state: KeyedState | None) -> bool:
        """Whether `at` is owned, and still in the tenure that `state` was loaded for."""
        return at in self._next and (state is None or self._states.get(at) is state)

    def pause(self, partitions: Partitions) -> None:
        """Stop delivering these; one that is not owned any more is left out."""
        self._paused |= partitions & self._next.keys()

    def resume(self, partitions: Partitions) -> None:
        """Deliver these again."""
        self._paused -= partitions
        self._wake.set()

    async def close(self) -> None:
        """Leave the group; the listener is not called: who closes knows."""
        if not self._closed:
            self._closed = True
            self._drop(self.assignment)
            self._group.leave(self)
            self._wake.set()

    async def revoke(self, partitions: Partitions) -> None:
        """Tell the listener, which may still complete work, then give the partitions up."""
        if self._listener is not None:
            await self._told(self._listener.revoked(partitions & self._next.keys()), "revoked")
        self._drop(partitions)

    async def assign(self, progress: Mapping[TopicPartition, Progress]) -> None:
        """Take partitions over from where the group has got to."""
        if self._closed:  # its leaving has made the group stale: they go to someone else next
            return
        for at, (offset, stored) in progress.items():
            self._next[at] = offset
            if self.stateful:
                self._states[at] = KeyedState(stored)
        if self._listener is not None:
            await self._told(self._listener.assigned(frozenset(progress)), "assigned")

    async def _told(self, call: Awaitable[None], name: str) -> None:
        """A listener that fails or hangs must not stop the group; its own next poll raises."""
        try:
            async with asyncio.timeout(LISTENER_TIMEOUT):
                await call
        except Exception as error:
            failure = LogError(
                f"the {name} callback of group {self._group.name} on {self._group.topic} failed "
                f"({error!r}); this member stops, close it: its partitions go to the others"
            )
            failure.__cause__ = error
            self.fail(failure)

    def _drop(self, partitions: Partitions) -> None:
        for at in partitions:
            self._next.pop(at, None)
            self._states.pop(at, None)
            self._paused.discard(at)
