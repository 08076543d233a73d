"""What is decided only when no event in time can change it any more.

Averages, and rules that must not have happened, are looked for in the window that ends with each
event, once that event has been passed by the allowed lateness (and, for what must not happen
afterwards, by a timespan more). What is compared with lt, lte, eq or neq is measured in windows
that follow each other, once the window has been passed; a group that was there in one of them and
not in the next is measured there as well, once, so that silence is noticed.

What is decided depends on the set of events in time alone. So does what is kept of more events
than a slice may hold: the earliest, the largest or those with the least digest, whichever the
measure needs, never those that came first. An event that comes when its time has been passed
changes nothing, and is counted.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from operator import itemgetter
from typing import TYPE_CHECKING

from detect.conditions import AT, EVENT, FIRED, SHOWN, VALUE, Closing, amount
from detect.groups import MAX_NUMBERS, MAX_SLICE
from detect.satisfaction import at_of, satisfied
from detect.slices import MEMBERS_WITHIN
from detect.sliding import MAX_VALUE, NOTHING, Added, Firing, Stretch, compact, shown
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from detect.conditions import Entry
    from detect.groups import Group
    from detect.slices import Member, Slice, Slices
    from detect.sliding import Occurrence

_identity = itemgetter(AT, EVENT, VALUE)


def insert(
    slices: Slices,
    agenda: Agenda,
    group: Group,
    occurrence: Occurrence,
    member: Member,
    watermark: int | None,
) -> Added:
    """Put an occurrence into its slice, and note when it has to be looked at.

    What is before the watermark by more than the group's patience is decided.
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
    place = 0
    if own is not None and own.entries:
        entries = own.entries
        place = len(entries)
        if at <= entries[-1][AT]:
            identity = (at, event_id, value)
            place = bisect_left(entries, identity, key=_identity)
            if place < len(entries) and _identity(entries[place]) == identity:
                return _DUPLICATE
    if watermark is not None:
        last = start + span - 1 if family.closing is Closing.WINDOW else at
        if last < watermark - family.patience:
            return _LATE
    if own is None:
        own = slices.open(group, start)
    if not own.dirty:  # as `Slices.change`, without the call
        own.dirty = True
        own.entries = own.entries.copy()
        slices.changed.append(own)
    entries = own.entries
    if place == len(entries) < MEMBERS_WITHIN:
        entries.append((at, event_id, value, offset, None, None, member))
    else:
        slices.put(own, place, (at, event_id, value, offset), member)
    if own.awaited is None or own.awaited > at + family.wait:
        agenda.expect(own, family.patience)
    if len(entries) > own.limit:
        return Added(evicted=cut(slices, own))
    return NOTHING


_DUPLICATE, _LATE = Added(duplicate=True), Added(late=True)


def due(own: Slice) -> int | None:
    """The time that must be passed for something more of the slice to be decided."""
    family = own.group.family
    if family.closing is Closing.WINDOW:
        if not own.decided:
            return own.start + family.timespan
        wanted = len(own.decided) < 2 and family.condition.empty_holds
        return own.start + 2 * family.timespan if wanted else None
    place = bisect_left(own.entries, own.closed, key=at_of)
    if place == len(own.entries):
        return None
    return int(own.entries[place][AT] + family.wait)


def decide(slices: Slices, own: Slice, passed: int, offset: int) -> Iterator[Firing]:
    """What of the slice is decided now that all before `passed` is known."""
    if own.group.family.closing is Closing.WINDOW:
        yield from _windows(slices, own, passed, offset)
        return
    condition = own.group.condition
    until = passed - condition.timespan + 1 if condition.forbidden else passed
    for part in (own.before, own, own.after):
        if part is not None:
            cut(slices, part)
    stretch = Stretch(slices, own)
    skipped = len(own.before.entries) if own.before is not None else 0
    first, last = (
        skipped + bisect_left(own.entries, bound, key=at_of) for bound in (own.closed, until)
    )
    found = satisfied(condition, stretch.entries, range(first, last))
    fired = list(stretch.emitted(found, offset))
    stretch.mark(FIRED, (index for index, _ in fired), offset)
    stretch.mark(SHOWN, stretch.given, offset)
    slices.change(own)
    own.closed = max(own.closed, until)
    yield from (firing for _, firing in fired)


def _windows(slices: Slices, own: Slice, passed: int, offset: int) -> Iterator[Firing]:
    """The window of the slice, and the one after it if the group was silent there."""
    condition = own.group.condition
    end = own.start + condition.timespan
    if not own.decided and end <= passed:
        cut(slices, own)
        measured = condition.measured(own.entries)
        slices.change(own)
        fired = measured is not None and condition.holds(measured)
        own.decided = [*own.decided, [offset, fired]]
        yield from _window(slices, own, 0)
    if len(own.decided) == 1 and end + condition.timespan <= passed and condition.empty_holds:
        slices.change(own)
        own.decided = [*own.decided, [offset, own.after is None]]
        yield from _window(slices, own, 1)


def _window(slices: Slices, own: Slice, which: int) -> Iterator[Firing]:
    """The firing of the slice's window (0) or of the empty one after it (1), if it fired."""
    if own.decided[which][1]:
        evidence = tuple(shown(slices, own, entry) for entry in own.entries)
        start = own.start + which * own.group.condition.timespan
        yield Firing(evidence[-1], evidence if not which else evidence[-1:], start)


def marks(own: Slice) -> set[int]:
    """The records that decided something of the slice that fired."""
    found = {offset for offset, fired in own.decided if fired}
    return found | {entry[FIRED] for entry in own.entries if entry[FIRED] is not None}


def again(slices: Slices, own: Slice, offset: int) -> Iterator[Firing]:
    """What the record at `offset` emitted of the slice, when it is processed again."""
    for which, (mark, _) in enumerate(own.decided):
        if mark == offset:
            yield from _window(slices, own, which)
    stretch = Stretch(slices, own)
    skipped = len(own.before.entries) if own.before is not None else 0
    fired = [skipped + i for i, entry in enumerate(own.entries) if entry[FIRED] == offset]
    found = satisfied(own.group.condition, stretch.entries, fired)
    yield from (firing for _, firing in stretch.emitted(found, offset))


def cut(slices: Slices, own: Slice) -> int:
    """Keep what the measure needs, or may have; how many entries that it needs were dropped."""
    kept, lossless = _kept(own)
    dropped = len(own.entries) - len(kept)
    if dropped:
        slices.drop(own, set(range(len(own.entries))) - set(kept))
    own.limit = own.group.family.limit(len(own.entries))
    return 0 if lossless else dropped


def _kept(own: Slice) -> tuple[Sequence[int], bool]:
    """Indices of what is kept, and whether nothing is lost by it."""
    entries, condition = own.entries, own.group.condition
    everything = range(len(entries))
    match condition.measure:
        case "events":
            return _with_last(everything[: condition.enough], everything[-1]), True
        case "values" | "rules":
            return _with_last(_firsts(entries)[: condition.enough], everything[-1]), True
        case "sum":
            return _best(
                everything, MAX_NUMBERS, lambda i: (-amount(entries[i][VALUE]), _lot(entries[i]))
            )
        case "average" | "median" | "percentile":
            return _best(everything, MAX_NUMBERS, lambda i: _lot(entries[i]))
        case _:
            return _of_terms(entries, condition.forbidden)


def _with_last(kept: Sequence[int], last: int) -> Sequence[int]:
    """The last one too, which is the one that satisfies a whole window."""
    return kept if kept[-1] == last else [*kept, last]


def _firsts(entries: Sequence[Entry]) -> list[int]:
    """The first entry of each value."""
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        seen.setdefault(entry[VALUE], index)
    return list(seen.values())


def _best(
    indices: Sequence[int], most: int, order: Callable[[int], object]
) -> tuple[Sequence[int], bool]:
    """As many as are allowed, in an order that does not depend on when they came."""
    if len(indices) <= most:
        return indices, True
    return sorted(indices, key=order)[:most], False  # type: ignore[arg-type]


def _lot(entry: Entry) -> str:
    return digest("lot", entry[EVENT], entry[VALUE])


def _of_terms(entries: Sequence[Entry], forbidden: frozenset[str]) -> tuple[Sequence[int], bool]:
    """Of what must not happen the first and the last suffice: a window covers one of them."""
    if len(entries) <= MAX_SLICE:
        return range(len(entries)), True
    ends = {entry[VALUE]: index for index, entry in enumerate(entries)}
    needed = {*_firsts(entries), *ends.values()}
    needed = {index for index in needed if entries[index][VALUE] in forbidden}
    rest = [index for index in range(len(entries)) if index not in needed]
    kept, lossless = _best(rest, MAX_SLICE - len(needed), lambda i: _lot(entries[i]))
    return [*needed, *kept], lossless


class Agenda:
    """When what has to be decided, and what which record decided."""

    def __init__(self) -> None:
        self._times: list[tuple[int, str]] = []
        self._decided: dict[int, list[str]] = {}

    def expect(self, own: Slice, patience: int) -> None:
        """Look at the slice again when the watermark has reached what it waits for."""
        time = due(own)
        if time is not None and (own.awaited is None or time < own.awaited):
            own.awaited = time
            heapq.heappush(self._times, (time + patience, own.key))

    def next(self) -> int | None:
        """The watermark that something waits for."""
        return self._times[0][0] if self._times else None

    def reached(self, watermark: int | None) -> Iterator[str]:
        """The slices that something can be decided of now."""
        times = self._times
        while times and watermark is not None and times[0][0] <= watermark:
            yield heapq.heappop(times)[1]

    def decided(self, own: Slice, offset: int) -> None:
        """The record at `offset` decided something of the slice."""
        self._decided.setdefault(offset, []).append(own.key)

    def decided_at(self, offset: int) -> Sequence[str]:
        """What the record decided when it was processed before."""
        return self._decided.get(offset, ())

    def settle(self, before: int) -> None:
        """Records before this offset are never processed again."""
        while self._decided and (first := next(iter(self._decided))) < before:
            del self._decided[first]
