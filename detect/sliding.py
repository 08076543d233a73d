"""Sliding event-time windows whose result depends on the set of events alone.

An event e satisfies a condition by the events in (e.at - timespan, e.at]. More events only make
more of them satisfied (what is different is decided in detect.closing), so the set of satisfied
events, and of the events in their windows, is the same for every order of arrival. That set is
what is emitted, each event as soon as it is known.

An entry is `[at, event id, value, offset, fired, shown, member]`: `offset` is of the record that
brought the event, `fired` and `shown` of the record that first emitted it as satisfied and as
evidence. A record that is processed again (offset o) emits again exactly what is marked with o or
later: whatever was emitted before o is durable.

Bounds. Of a slice, the first event of each of the N values seen first and the last event of
each of the N values seen last are *essential* (N = threshold). A window covers a beginning or an
end of a slice, and if it covers N values there, so does it cover N of the essential ones; hence
others are dropped once they were emitted, without any loss. Others that were not emitted yet are
dropped only beyond MAX_SLICE events in a slice, and counted: whether a group fires stays exact
then, which events are evidence does not. Rules in their order are exact up to MAX_SLICE, sums up
to MAX_NUMBERS events in a slice: beyond that the least values go. Events alone have none to lose:
one that is not essential is satisfied itself.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from detect.chains import complete, follow
from detect.conditions import AT, EVENT, FIRED, MEMBER, OFFSET, SHOWN, VALUE, amount
from detect.expiry import REDELIVERY
from detect.groups import MAX_NUMBERS, MAX_SLICE
from detect.satisfaction import at_of, satisfied
from detect.slices import MEMBERS_WITHIN
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from detect.conditions import Condition, Entry, Measure
    from detect.groups import Group
    from detect.slices import Member, Slice, Slices

#: Longest value that is kept as it is; longer ones are kept as a digest, being only compared.
MAX_VALUE = 64

_identity = itemgetter(AT, EVENT, VALUE)


class Occurrence(NamedTuple):
    """An event of a group: when, which, what is measured of it, and the record that brought it."""

    at: int
    event_id: str
    value: str
    offset: int


class Shown(NamedTuple):
    """An event of evidence."""

    at: int
    event_id: str
    member: Member


class Firing(NamedTuple):
    """A satisfied event with the events of its window that were not evidence yet, and itself.

    Of a window that is decided as a whole `window` is the beginning; then `event` is the last one
    known of the group by its end.
    """

    event: Shown
    evidence: tuple[Shown, ...]
    window: int | None = None


class Added(NamedTuple):
    """What became of an occurrence; `evicted` counts events that were dropped unemitted."""

    firings: tuple[Firing, ...] = ()
    evicted: int = 0
    duplicate: bool = False
    late: bool = False


NOTHING = Added()
#: As Shown(*…) and Added((firing,)), which take four times as long.
_SHOWN = partial(tuple.__new__, Shown)
_FIRING = partial(tuple.__new__, Firing)
_ADDED = partial(tuple.__new__, Added)


def compact(value: str) -> str:
    """The value as an entry has it."""
    return value if len(value) <= MAX_VALUE else digest("value", value)


def shown(slices: Slices, part: Slice, entry: Entry) -> Shown:
    """An entry as evidence."""
    member = entry[MEMBER]
    return _SHOWN(
        (entry[AT], entry[EVENT], slices.member(part, entry) if member is None else member)
    )


def is_open(mark: int | None, offset: int) -> bool:
    """Whether an emission is due: never made, or made by this record or a later one."""
    return mark is None or mark >= offset


def add(slices: Slices, group: Group, occurrence: Occurrence, member: Member) -> Added:
    """Put an occurrence into the windows of its group and see what fires.

    Idempotent: see the module on records that are processed again. The last event of all, which is
    the usual one, satisfies itself or nothing; that is decided without going through the window.
    """
    at, event_id, value, offset = occurrence
    family = group.family
    if family.counts_events:
        value = ""
    elif len(value) > MAX_VALUE:
        value = compact(value)
    span = family.timespan
    start = at // span * span
    own = group.slices.get(start)
    if own is None:
        own = slices.open(group, start)
    entries = own.entries
    if (
        (entries and at <= entries[-1][AT])
        or offset <= own.newest
        or (own.after is not None and own.after.reaches(at + span))
        or (own.before is not None and offset <= own.before.newest)
    ):
        return _insert(slices, own, Occurrence(at, event_id, value, offset), member)
    if own.after is not None:
        own.after.chains = None
    if not own.dirty:  # as `change`, without the call
        own.dirty = True
        entries = own.entries = entries.copy()
        slices.changed.append(own)
    if len(entries) < MEMBERS_WITHIN:
        entries.append((at, event_id, value, offset, None, None, member))
    else:
        slices.put(own, len(entries), (at, event_id, value, offset), member)
    own.newest = offset
    size = len(entries)
    if (size >= family.least or own.before is not None) and _COMPLETES[family.measure](
        own, at, value
    ):
        firing = _fire_last(slices, own, offset)
        evicted = _prune(slices, own, offset) if size > own.limit else 0
        return _ADDED(((firing,), evicted, False, False))
    if size > own.limit:
        return Added((), _prune(slices, own, offset))
    return NOTHING


def _insert(slices: Slices, own: Slice, new: Occurrence, member: Member) -> Added:
    """Put an occurrence anywhere into a slice."""
    identity = new[:OFFSET]
    place = bisect_left(own.entries, identity, key=_identity)
    if place < len(own.entries) and _identity(own.entries[place]) == identity:
        return Added(tuple(_fire(slices, own, place, new.offset)), duplicate=True)
    slices.put(own, place, new, member)
    own.newest = max(own.newest, new.offset)
    own.forget()
    fired = tuple(_fire(slices, own, place, new.offset))
    return Added(fired, _prune(slices, own, new.offset))


# Whether the last event of a slice, `value` at `at`, is satisfied; nothing comes after it. All of
# the slice is in its window, and of the one before what is later than a timespan ago.


def _enough(own: Slice, at: int, value: str) -> bool:
    family, before = own.group.family, own.before
    missing = family.least - len(own.entries)
    if missing <= 0 or before is None:
        return missing <= 0
    entries = before.entries
    return missing <= len(entries) and bool(entries[-missing][AT] > at - family.timespan)


def _different(own: Slice, at: int, value: str) -> bool:
    lasts, family = own.lasts, own.group.family
    if lasts is None:
        lasts = own.counted()
    else:
        lasts[value] = at
    missing = family.least - len(lasts)
    if missing <= 0:
        return True
    if own.before is None:
        return False
    earlier = own.before.lasts
    if earlier is None:
        earlier = own.before.counted()
    if len(earlier) >= missing:
        since = at - family.timespan
        for each, last in earlier.items():
            if last > since and each not in lasts:
                missing -= 1
                if not missing:
                    return True
    return False


def _terms(own: Slice, at: int, value: str) -> bool:
    return _different(own, at, value) and _judged(own)


def _chain(own: Slice, at: int, value: str) -> bool:
    family = own.group.family
    positions = family.places.get(value)
    if positions is None:
        return False
    if own.chains is not None:
        follow(own.chains, positions, at)
    if value not in family.ends:
        return False
    return complete(own.chained(), positions, at - family.timespan)


def _sum(own: Slice, at: int, value: str) -> bool:
    family, before, sums = own.group.family, own.before, own.sums
    if sums is None:
        sums = own.summed()
    else:
        sums.append((sums[-1] if sums else 0) + amount(value))
    total = sums[-1]
    if before is None or not before.entries:
        return family.reached(total)
    earlier = before.summed()
    if not family.reached(total + earlier[-1]):
        return False  # nothing is below zero
    place = bisect_right(before.entries, at - family.timespan, key=at_of)
    return family.reached(total + earlier[-1] - (earlier[place - 1] if place else 0))


_COMPLETES: dict[Measure, Callable[[Slice, int, str], bool]] = {
    "events": _enough,
    "values": _different,
    "rules": _different,
    "terms": _terms,
    "chain": _chain,
    "sum": _sum,
}


def _judged(own: Slice) -> bool:
    """Whether the last event is satisfied, the general way."""
    entries = own.entries if own.before is None else own.before.entries + own.entries
    return any(satisfied(own.group.condition, entries, [len(entries) - 1]))


def _fire_last(slices: Slices, own: Slice, offset: int) -> Firing:
    """Emit the last event of all, and what of its window was not evidence yet.

    All of the window of an event that fired was evidence, so behind such a one nothing is left.
    """
    part: Slice | None = own
    entries = own.entries if own.dirty else slices.change(own)
    last = entries[-1]
    at, event_id, value, brought, _, _, member = last
    since = at - own.group.family.timespan
    entries[-1] = (at, event_id, value, brought, offset, offset, member)
    first = _SHOWN((at, event_id, slices.member(own, last) if member is None else member))
    place = len(entries) - 2
    if place >= 0 and entries[place][FIRED] is not None:
        return _FIRING((first, (first,), None))  # the usual case of an attack
    evidence = [first]
    while part is not None:
        entries = part.entries
        while place >= 0:
            at, event_id, value, brought, fired, given, member = entry = entries[place]
            if at <= since or fired is not None:
                evidence.reverse()
                return _FIRING((first, tuple(evidence), None))
            if given is None:
                if not part.dirty:
                    entries = slices.change(part)
                if part.newest < offset:
                    part.newest = offset
                entries[place] = (at, event_id, value, brought, None, offset, member)
                if member is None:
                    member = slices.member(part, entry)
                evidence.append(_SHOWN((at, event_id, member)))
            place -= 1
        part = part.before
        place = len(part.entries) - 1 if part is not None else -1
    evidence.reverse()
    return _FIRING((first, tuple(evidence), None))


def _fire(slices: Slices, own: Slice, place: int, offset: int) -> Iterator[Firing]:
    """Emit the events that the one at `place` satisfies, mark them and what they show."""
    window = Stretch(slices, own)
    entries, condition = window.entries, own.group.condition
    index = len(window.parts[0].entries) + place if own.before is not None else place
    at = entries[index][AT]
    first = bisect_left(entries, at, key=at_of)
    last = bisect_left(entries, at + condition.timespan, key=at_of)
    open_ = [i for i in range(first, last) if is_open(entries[i][FIRED], offset)]
    fired = list(window.emitted(satisfied(condition, entries, open_), offset))
    yield from (firing for _, firing in fired)
    if index not in window.given and is_open(entries[index][SHOWN], offset):
        # It satisfies nothing more, but may have come late into a window that has fired.
        earlier = (i for i in range(first, last) if entries[i][FIRED] is not None)
        if (shower := next(earlier, None)) is not None:
            window.given.add(index)
            evidence = (window.shown(index), window.shown(shower))
            yield Firing(evidence[1], evidence)
    window.mark(FIRED, (i for i, _ in fired), offset)
    window.mark(SHOWN, window.given, offset)


class Stretch:
    """A slice with the one before and the one after, as one list of entries."""

    def __init__(self, slices: Slices, own: Slice) -> None:
        self._slices = slices
        self.parts = [part for part in (own.before, own, own.after) if part is not None]
        self.entries = [entry for part in self.parts for entry in part.entries]
        #: Indices of what was given as evidence.
        self.given: set[int] = set()

    def _place(self, index: int) -> tuple[Slice, int]:
        for part in self.parts:
            if index < len(part.entries):
                return part, index
            index -= len(part.entries)
        raise IndexError(index)

    def shown(self, index: int) -> Shown:
        """The entry as evidence."""
        return shown(self._slices, self._place(index)[0], self.entries[index])

    def emitted(
        self, found: Iterable[tuple[int, int, int]], offset: int
    ) -> Iterator[tuple[int, Firing]]:
        """The firing of each satisfied event, with the evidence that is due."""
        for index, low, high in found:
            fresh = [
                i
                for i, entry in enumerate(self.entries[low:high], low)
                if (mark := entry[SHOWN]) is None or mark >= offset or i == index
            ]
            if not self.given.isdisjoint(fresh):
                fresh = [i for i in fresh if i == index or i not in self.given]
            self.given.update(fresh)
            yield index, Firing(self.shown(index), tuple(map(self.shown, fresh)))

    def mark(self, column: int, indices: Iterable[int], offset: int) -> None:
        """Note the record that emitted entries first."""
        for index in indices:
            if self.entries[index][column] is None:
                part, place = self._place(index)
                marked = [*self.entries[index]]
                marked[column] = offset
                self.entries[index] = self._slices.change(part)[place] = marked
                part.newest = max(part.newest, offset)


def _prune(slices: Slices, own: Slice, offset: int) -> int:
    """Drop what the slice need not hold, once it is worth it; how many were not emitted."""
    if len(own.entries) <= own.limit:
        return 0
    if own.group.condition.measure == "sum":
        gone, evicted = _least(own)
    else:
        gone, evicted = _unneeded(own, offset)
    if gone:
        slices.drop(own, gone)
    own.limit = own.group.family.limit(len(own.entries))
    return evicted


def _least(own: Slice) -> tuple[set[int], int]:
    """The least values beyond MAX_NUMBERS."""
    excess = len(own.entries) - MAX_NUMBERS
    if excess <= 0:
        return set(), 0
    order = sorted(range(len(own.entries)), key=lambda i: amount(own.entries[i][VALUE]))
    gone = set(order[:excess])
    return gone, sum(own.entries[index][FIRED] is None for index in gone)


def _unneeded(own: Slice, offset: int) -> tuple[set[int], int]:
    entries, condition = own.entries, own.group.condition
    essential = _essential(entries, condition, own.group.family.least)
    gone: set[int] = set()
    if condition.measure != "chain" and not condition.ordered:
        gone.update(
            i
            for i, entry in enumerate(entries)
            if i not in essential and _is_durable(entry, offset)
        )
    excess = len(entries) - len(gone) - MAX_SLICE
    if excess <= 0 or condition.measure == "events":
        return gone, 0
    rest = [i for i in range(len(entries)) if i not in essential and i not in gone]
    rest.sort(key=lambda i: entries[i][SHOWN] is None)
    return gone.union(rest[:excess]), len(rest[:excess])


def _is_durable(entry: Entry, offset: int) -> bool:
    """Whether nothing but an event's own record, processed again, could have to emit it."""
    fired = entry[FIRED]
    if fired is None:
        return False
    return bool(fired == entry[OFFSET] or fired <= offset - REDELIVERY)


def _essential(entries: list[Entry], condition: Condition, count: int) -> set[int]:
    """Firsts of the N values that are seen first, lasts of the N that are seen last."""
    size = len(entries)
    if condition.measure == "events":
        return {*range(min(count, size)), *range(max(0, size - count), size)}
    if condition.measure in ("chain", "terms"):
        count = size
    found: set[int] = set()
    for indices in (range(size), range(size - 1, -1, -1)):
        seen: set[str] = set()
        for index in indices:
            if entries[index][VALUE] not in seen:
                seen.add(entries[index][VALUE])
                found.add(index)
                if len(seen) == count:
                    break
    return found
