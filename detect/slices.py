"""Windows in keyed state: events in slices of one timespan, in memory while they are worked on.

A slice holds the entries of one group from a multiple of the timespan to the next, sorted. A window
ends in one slice and begins in it or in the one before, so slices can be forgotten whole.

What a finding tells of an event, its member, stands in the entry; of a slice with more than
MEMBERS_WITHIN entries in a key of its own, so that a small change of a large slice writes little.
Keys: `slice|GROUP|TIMESPAN|START`, `closing|…` where what satisfies is known only later, and
`member|GROUP|START|EVENT|VALUE`. Slices that a batch changes are written once, at its end
(`flush`); values in the state are never mutated.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

from detect.chains import after, none
from detect.conditions import AT, EVENT, FIRED, MEMBER, OFFSET, SHOWN, VALUE, amount
from detect.expiry import Expiry
from detect.groups import CLOSING, LIVES, Family, Group, Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from detect.chains import Starts
    from detect.conditions import Condition, Entry, Number
    from tocsin.state import State

#: Slices of one partition beyond which the oldest are given up.
MAX_SLICES = 200_000
#: Entries of a slice that hold their members themselves.
MEMBERS_WITHIN = 8
#: What a finding tells of an event; plain JSON, opaque here.
Member: TypeAlias = dict[str, Any]


class Slice:
    """The entries of a group in [start, start + timespan).

    `closed`: events before this time are decided; `decided`: [offset, whether it fired] of the
    window itself, and of the empty one after it. `limit` is the number of entries from which on
    it is worth looking for some to drop.
    """

    __slots__ = (
        "after",
        "awaited",
        "before",
        "chains",
        "closed",
        "decided",
        "dirty",
        "entries",
        "group",
        "key",
        "lasts",
        "limit",
        "newest",
        "start",
        "sums",
    )

    def __init__(self, group: Group, start: int) -> None:
        self.group = group
        self.start = start
        self.key = f"{group.prefix}{start}"
        self.entries: list[Entry] = []
        self.closed = start
        self.decided: list[list[Any]] = []
        #: The time from which on something of it is looked at again.
        self.awaited: int | None = None
        self.before: Slice | None = None
        self.after: Slice | None = None
        #: Whether the state does not have it as it is; if it does, the entries are the state's,
        #: which must not be changed.
        self.dirty = False
        self.limit = group.family.first_limit
        self.newest = -1
        #: Of each value the last time, and the sums of values up to each entry; None where they
        #: must be counted again.
        self.lasts: dict[str, int] | None = None
        self.sums: list[Number] | None = None
        #: Where chains that go on in this slice begin (detect.chains), as long as nothing came
        #: before what was counted.
        self.chains: Starts | None = None

    def restore(self, value: dict[str, Any]) -> None:
        """Take over what the state holds."""
        self.entries = value["entries"]
        self.closed = value.get("closed", self.start)
        self.decided = value.get("decided", [])
        self.newest = max((newest(entry) for entry in self.entries), default=-1)

    def member_key(self, entry: Entry) -> str:
        """The key of a member that does not stand in its entry."""
        return f"member|{self.group.key}|{self.start}|{entry[EVENT]}|{entry[VALUE]}"

    def value(self) -> dict[str, Any]:
        """The slice as the state holds it, where something is decided later."""
        return {
            "entries": self.entries,
            "of": [*self.group.owner],
            "closed": self.closed,
            "decided": self.decided,
        }

    def reaches(self, until: int) -> bool:
        """Whether there is an entry before that time."""
        return bool(self.entries) and self.entries[0][AT] < until

    def counted(self) -> dict[str, int]:
        """Of each value the last time in this slice."""
        if self.lasts is None:
            self.lasts = {entry[VALUE]: entry[AT] for entry in self.entries}
        return self.lasts

    def summed(self) -> list[Number]:
        """The sums of the values up to each entry."""
        if self.sums is None:
            self.sums = list(accumulate([amount(entry[VALUE]) for entry in self.entries]))
        return self.sums

    def chained(self) -> Starts:
        """Where chains begin (detect.chains).

        What a slice further back changes in those of the one before is too long ago to matter.
        """
        if self.chains is None:
            condition, where = self.group.condition, self.group.family.places
            if self.before is None:
                begun = none(len(condition.order), condition.threshold)
            else:
                begun = self.before.chained()
            self.chains = after(begun, self.entries, where)
        return self.chains

    def forget(self) -> None:
        """What was counted has to be counted again, also of what goes on in the next slice."""
        self.lasts = self.sums = self.chains = None
        if self.after is not None:
            self.after.chains = None


def newest(entry: Entry) -> int:
    """The last record that an entry tells of."""
    return int(max(entry[OFFSET], entry[FIRED] or 0, entry[SHOWN] or 0))


class Slices:
    """All slices of one partition's state.

    `patience` is how long (ms) events of each correlation may come late, `lateness` that of all
    others.
    """

    def __init__(self, state: State, patience: Mapping[str, int], lateness: int) -> None:
        self.state = state
        self.evicted = 0
        self._patience, self._lateness = patience, lateness
        self._longest = max(patience.values(), default=lateness)
        self._families: dict[tuple[str, ...], Family] = {}
        self._groups: dict[str, Group] = {}
        #: The group of a key (detect.keys.group_key), None if it has no windows in memory.
        self.known: Callable[[str], Group | None] = self._groups.get
        self._live: dict[str, Slice] = {}
        #: What was changed since the last `flush`.
        self.changed: list[Slice] = []
        self.expiry = Expiry()
        self._stored: dict[str, list[int]] = {}
        self._size = 0
        for key in state:
            kind, _, rest = key.partition("|")
            if kind in LIVES:
                group, timespan, start = rest.split("|")
                self._stored.setdefault(group, []).append(int(start))
                self._expect(key, int(start) + LIVES[kind] * int(timespan))

    def closing(self) -> Iterator[tuple[str, Owner]]:
        """Keys and owners of the state's slices in which something may have to be decided."""
        for key in self.state:
            if key.startswith(CLOSING):
                yield key, Owner(*self.state[key]["of"])

    def live(self, key: str) -> Slice | None:
        """The slice in memory, None if it is not (or no more)."""
        return self._live.get(key)

    def group(self, owner: Owner, condition: Condition) -> Group:
        """The group, with its slices of the state."""
        found = self._groups.get(owner.group)
        if found is None:
            found = self._groups[owner.group] = Group(owner, self._family(owner, condition))
            for start in self._stored.pop(found.key, ()):
                made = Slice(found, start)
                stored = self.state.get(made.key)
                if stored is not None:
                    made.restore(stored)
                    self._link(made)
        return found

    def _family(self, owner: Owner, condition: Condition) -> Family:
        family = self._families.get(owner[:3])
        if family is None or family.condition is not condition:
            patience = self._patience.get(owner.correlation, self._lateness)
            family = self._families[owner[:3]] = Family(owner, condition, patience)
        return family

    def open(self, group: Group, start: int) -> Slice:
        """A slice that the group does not have yet."""
        if self._size >= MAX_SLICES:
            self._evict()
        made = Slice(group, start)
        self._link(made)
        self._expect(made.key, start + group.family.lives)
        return made

    def _link(self, made: Slice) -> None:
        group, start = made.group, made.start
        slices = group.slices
        if slices:
            span = group.family.timespan
            made.before, made.after = slices.get(start - span), slices.get(start + span)
            if made.before is not None:
                made.before.after = made
            if made.after is not None:
                made.after.before = made
                made.after.chains = None
        else:
            self._groups[group.owner.group] = group
        slices[start] = made
        self._live[made.key] = made

    def _expect(self, key: str, due: int) -> None:
        self._size += 1
        self.expiry.add(due + self._longest, key)

    def put(
        self, own: Slice, place: int, occurrence: tuple[int, str, str, int], member: Member
    ) -> None:
        """A new entry of the slice, and its member."""
        entries = own.entries if own.dirty else self.change(own)
        if len(entries) < MEMBERS_WITHIN:
            entries.insert(place, (*occurrence, None, None, member))
        else:
            entry = (*occurrence, None, None, None)
            entries.insert(place, entry)
            self.state[own.member_key(entry)] = member

    def member(self, own: Slice, entry: Entry) -> Member:
        """What a finding tells of an entry."""
        within: Member | None = entry[MEMBER]
        return self.state[own.member_key(entry)] if within is None else within

    def drop(self, own: Slice, gone: set[int]) -> None:
        """Take entries out of a slice, and forget their members."""
        entries = self.change(own)
        dropped = [entries[index] for index in gone]
        entries[:] = [entry for index, entry in enumerate(entries) if index not in gone]
        own.forget()
        for entry in dropped:
            if entry[MEMBER] is None:
                self.state.pop(own.member_key(entry), None)

    def change(self, touched: Slice) -> list[Entry]:
        """The slice's entries, to be changed in place; an entry itself is replaced instead."""
        if not touched.dirty:
            touched.entries = touched.entries.copy()
            touched.dirty = True
            self.changed.append(touched)
        return touched.entries

    def flush(self) -> None:
        """Write what changed.

        Members were written before the slices that name them, and are deleted after, so that a
        slice never names a missing one, wherever a sequence of writes is cut off.
        """
        state = self.state
        for touched in self.changed:
            if touched.dirty:
                touched.dirty = False
                at_once = touched.group.family.at_once
                state[touched.key] = {"entries": touched.entries} if at_once else touched.value()
        self.changed.clear()

    def expire(self, watermark: int | None, offset: int) -> None:
        """Forget slices that no event in time can need, and no record processed again."""
        for key in self.expiry.expired(watermark, offset, self):
            self._delete(key)

    def __contains__(self, key: object) -> bool:
        return key in self._live or key in self.state

    def _evict(self) -> None:
        """Give up the slice that would be forgotten next."""
        while (key := self.expiry.oldest()) is not None:
            gone = self._delete(key)
            if gone is not None:
                self.evicted += gone
                return

    def _delete(self, key: str) -> int | None:
        """Forget a slice and its members: how many of them were not emitted; None if it is gone."""
        live, stored = self._live.pop(key, None), self.state.pop(key, None)
        if live is None and stored is None:
            return None
        self._size -= 1
        entries = live.entries if live is not None else stored["entries"]
        _, group, _, start = key.split("|")
        for entry in entries:
            if entry[MEMBER] is None:
                self.state.pop(f"member|{group}|{start}|{entry[EVENT]}|{entry[VALUE]}", None)
        if live is None:
            self._stored.get(group, [int(start)]).remove(int(start))
        else:
            self._unlink(live)
        return sum(entry[FIRED] is None for entry in entries)

    def _unlink(self, gone: Slice) -> None:
        gone.dirty = False
        if gone.before is not None:
            gone.before.after = None
        if gone.after is not None:
            gone.after.before = None
            gone.after.forget()
        del gone.group.slices[gone.start]
        if not gone.group.slices:
            self._groups.pop(gone.group.owner.group, None)
