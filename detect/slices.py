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

from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from detect.chains import after, follow, none, places
from detect.conditions import AT, EVENT, FIRED, MEMBER, OFFSET, SHOWN, VALUE, Closing, amount
from detect.expiry import Expiry
from tocsin.ids import hasher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from hashlib import blake2b

    from detect.chains import Starts
    from detect.conditions import Condition, Entry, Number
    from tocsin.state import State

#: Slices of one partition beyond which the oldest are given up.
MAX_SLICES = 200_000
#: Events in a slice beyond which those that are not essential are dropped unemitted.
MAX_SLICE = 500
#: Events in a slice whose values are added up, averaged, ordered.
MAX_NUMBERS = 2_000
#: Entries of a slice that hold their members themselves.
MEMBERS_WITHIN = 8
#: By how many entries a small slice, and a full one, may exceed what it needs before it is looked
#: through.
FEW, SLACK = 8, 64

#: What a finding tells of an event; plain JSON, opaque here.
Member: TypeAlias = dict[str, Any]

_SLICE, _CLOSING = "slice", "closing"
#: Timespans from the start of a slice to where no event in time needs it: one may need windows a
#: timespan back; what is decided when its window has passed, or what must not have happened
#: afterwards, is needed a timespan longer.
_LIVES, _CLOSING_LIVES = 2, 3


class Owner(NamedTuple):
    """Whose windows: the correlation's id and content hash, the tenant, the group's key."""

    correlation: str
    hash: str
    tenant: str
    group: str


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
        self.limit = group.first_limit
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
            "of": self.group.told,
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

    def summed(self, value: str | None = None) -> list[Number]:
        """The sums of the values up to each entry; `value` was added at the end."""
        sums = self.sums
        if sums is None:
            sums = self.sums = list(accumulate([amount(entry[VALUE]) for entry in self.entries]))
        elif value is not None:
            sums.append((sums[-1] if sums else 0) + amount(value))
        return sums

    def chained(self, value: str = "", at: int | None = None) -> Starts:
        """Where chains begin (detect.chains); `value` was added `at` a time at the end.

        What a slice further back changes in those of the one before is too long ago to matter.
        """
        where, condition = self.group.places, self.group.condition
        if self.chains is not None:
            if at is not None:
                follow(self.chains, where.get(value, ()), at)
        elif self.before is None:
            begun = none(len(condition.order), condition.threshold)
            self.chains = after(begun, self.entries, where)
        else:
            self.chains = after(self.before.chained(), self.entries, where)
        return self.chains

    def forget(self) -> None:
        """What was counted has to be counted again, also of what goes on in the next slice."""
        self.lasts = self.sums = self.chains = None
        if self.after is not None:
            self.after.chains = None


def newest(entry: Entry) -> int:
    """The last record that an entry tells of."""
    return int(max(entry[OFFSET], entry[FIRED] or 0, entry[SHOWN] or 0))


class Group:
    """The windows of one group of a correlation.

    `least`: fewer different values than that satisfy nothing; `exact`: enough of them may satisfy
    nothing either.
    """

    __slots__ = (
        "_most",
        "at_once",
        "chain",
        "closing",
        "condition",
        "counts_events",
        "exact",
        "first_limit",
        "key",
        "least",
        "numeric",
        "owner",
        "places",
        "prefix",
        "slices",
        "timespan",
        "told",
    )

    def __init__(self, owner: Owner, condition: Condition) -> None:
        self.owner = owner
        self.condition = condition
        self.closing = condition.closing
        self.at_once = self.closing is Closing.AT_ONCE
        self.timespan = condition.timespan
        named = _window(owner.hash, owner.tenant).copy()
        group = owner.group.encode("utf-8", "surrogatepass")
        named.update(b"%d:%b" % (len(group), group))
        self.key = named.hexdigest()
        kind = _SLICE if self.at_once else _CLOSING
        self.prefix = f"{kind}|{self.key}|{condition.timespan}|"
        self.slices: dict[int, Slice] = {}
        #: The owner as the state has it.
        self.told = list(owner)
        self.counts_events = condition.measure == "events"
        self.exact = condition.measure in ("chain", "terms")
        #: Of rules in their order, the positions of each.
        self.places = places(condition.order)
        self.chain = condition.measure == "chain"
        self.numeric = condition.numeric
        self.least = condition.least
        self._most = MAX_NUMBERS if condition.numeric else MAX_SLICE
        self.first_limit = self.limit(0)

    def limit(self, size: int) -> int:
        """At how many entries to look again for some to drop, with `size` of them now."""
        if self._most == MAX_NUMBERS:
            return max(size, self._most) + SLACK
        few = 2 * max(size, self.least) + FEW
        if self.counts_events:
            return few
        return min(few, max(size, self._most) + SLACK)


@lru_cache(1_024)
def _window(rule_hash: str, tenant: str) -> blake2b:
    """What the ids of an owner's groups have in common."""
    return hasher("window", rule_hash, tenant)


class Slices:
    """All slices of one partition's state; `patience` (ms) is how long events may come late."""

    def __init__(self, state: State, patience: int) -> None:
        self.state = state
        self.evicted = 0
        self._patience = patience
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
            if kind in (_SLICE, _CLOSING):
                group, timespan, start = rest.split("|")
                self._stored.setdefault(group, []).append(int(start))
                lives = _LIVES if kind == _SLICE else _CLOSING_LIVES
                self._expect(key, int(start) + lives * int(timespan))

    def closing(self) -> Iterator[tuple[str, Owner]]:
        """Keys and owners of the state's slices in which something may have to be decided."""
        for key in self.state:
            if key.startswith(_CLOSING):
                yield key, Owner(*self.state[key]["of"])

    def live(self, key: str) -> Slice | None:
        """The slice in memory, None if it is not (or no more)."""
        return self._live.get(key)

    def group(self, owner: Owner, condition: Condition) -> Group:
        """The group, with its slices of the state."""
        found = self._groups.get(owner.group)
        if found is None:
            found = self._groups[owner.group] = Group(owner, condition)
            for start in self._stored.pop(found.key, ()):
                made = Slice(found, start)
                stored = self.state.get(made.key)
                if stored is not None:
                    made.restore(stored)
                    self._link(made)
        return found

    def open(self, group: Group, start: int) -> Slice:
        """A slice that the group does not have yet."""
        if self._size >= MAX_SLICES:
            self._evict()
        made = Slice(group, start)
        self._link(made)
        lives = _LIVES if group.at_once else _CLOSING_LIVES
        self._expect(made.key, start + lives * group.timespan)
        return made

    def _link(self, made: Slice) -> None:
        slices, span = made.group.slices, made.group.timespan
        made.before, made.after = slices.get(made.start - span), slices.get(made.start + span)
        if made.before is not None:
            made.before.after = made
        if made.after is not None:
            made.after.before = made
            made.after.chains = None
        slices[made.start] = made
        self._live[made.key] = made
        self._groups[made.group.owner.group] = made.group

    def _expect(self, key: str, due: int) -> None:
        self._size += 1
        self.expiry.add(due + self._patience, key)

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
                state[touched.key] = (
                    {"entries": touched.entries} if touched.group.at_once else touched.value()
                )
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
