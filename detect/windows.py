"""Sliding event-time windows whose result depends on the set of events alone.

An event e satisfies a condition when enough distinct values have an event in
(e.at - timespan, e.at]: events themselves (event_count), values of a field (value_count),
referenced rules (temporal), or referenced rules in their order (temporal_ordered, where events
of one instant count as in order, because many sources only tell seconds). More events only make
more of them satisfied, so the set of satisfied events, and of the events in their windows, is the
same for every order of arrival. That set is what is emitted, each event as soon as it is known.

State: one index per slice, floor(at / timespan), `[at, event id, value, offset, fired, shown]`
sorted, and one member per event with what a finding tells of it. `offset` is of the record that
brought the event, `fired` and `shown` of the record that first emitted it as satisfied and as
evidence. A record that is processed again (offset o) emits again exactly what is marked with o
or later: whatever was emitted before o is durable.

Bounds. Of a slice, the first event of each of the N values seen first and the last event of
each of the N values seen last are *essential* (N = threshold). A window covers a beginning or an
end of a slice, and if it covers N values there, so does it cover N of the essential ones; hence
others are dropped once they were emitted, without any loss. Others that were not emitted yet are
dropped only beyond MAX_SLICE events in a slice, and counted: whether a group fires stays exact
then, which events are evidence does not. A temporal_ordered of three and more rules is exact up
to MAX_SLICE. event_count has none to lose: an event that is not essential is satisfied itself.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from detect.expiry import REDELIVERY
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tocsin.state import State

#: Events in a slice beyond which those that are not essential are dropped unemitted.
MAX_SLICE = 500

#: Longest value that is kept as it is; longer ones are kept as a digest, being only compared.
MAX_VALUE = 64

ConditionType: TypeAlias = Literal["event_count", "value_count", "temporal", "temporal_ordered"]

#: [at, event id, value, offset, fired, shown]
Entry: TypeAlias = list[Any]
AT, EVENT, VALUE, OFFSET, FIRED, SHOWN = range(6)

#: What a finding tells of an event; plain JSON, opaque here.
Member: TypeAlias = dict[str, Any]

_identity = itemgetter(AT, EVENT, VALUE)
_at = itemgetter(AT)


@dataclass(frozen=True, slots=True)
class Condition:
    """When an event is satisfied; `timespan` in ms, `order` for temporal_ordered only."""

    type: ConditionType
    timespan: int
    threshold: int
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.timespan <= 0 or self.threshold <= 0:
            raise ValueError("a window needs a timespan and a threshold above zero")
        if self.type == "temporal_ordered" and not self.order:
            raise ValueError("an ordered window needs the order of its rules")


class Occurrence(NamedTuple):
    """An event of a group: when, which, what is counted of it, and the record that brought it."""

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
    """A satisfied event with the events of its window that were not evidence yet, and itself."""

    event: Shown
    evidence: tuple[Shown, ...]


class Added(NamedTuple):
    """What became of an occurrence.

    `created` are the keys of new slices, for expiry; `evicted` counts events dropped unemitted.
    """

    firings: tuple[Firing, ...]
    created: tuple[str, ...]
    evicted: int
    duplicate: bool


def slice_due(key: str) -> int | None:
    """Start + 2 * timespan of the slice at a state key (ms), None for other keys.

    An event may need windows a timespan back, so once the watermark less the lateness has
    reached this, no event in time needs the slice.
    """
    if not key.startswith("slice|"):
        return None
    _, _, timespan, start = key.split("|")
    return int(start) + 2 * int(timespan)


def delete_slice(state: State, key: str) -> None:
    """Forget a slice and its members."""
    _, group, _, start = key.split("|")
    entries = state.pop(key)["entries"]
    for entry in entries:
        state.pop(_member_key(group, start, entry), None)


def _member_key(group: str, start: int | str, entry: Sequence[Any]) -> str:
    return f"member|{group}|{start}|{entry[EVENT]}|{entry[VALUE]}"


def add(
    state: State, group: str, condition: Condition, occurrence: Occurrence, member: Member
) -> Added:
    """Put an occurrence into the windows of `group` (a key without `|`) and see what fires.

    Idempotent: see the module on records that are processed again.
    """
    value = "" if condition.type == "event_count" else _compact(occurrence.value)
    window = _Window(state, group, condition, occurrence._replace(value=value))
    duplicate = window.insert(member)
    firings = tuple(window.fire())
    evicted = window.prune()
    return Added(firings, window.save(), evicted, duplicate)


def _compact(value: str) -> str:
    return value if len(value) <= MAX_VALUE else digest("value", value)


class _Window:
    """The three slices that an occurrence can touch, in one sorted list while it is added."""

    def __init__(self, state: State, group: str, condition: Condition, new: Occurrence) -> None:
        span = condition.timespan
        start = new.at // span * span
        self._state = state
        self._group = group
        self._condition = condition
        self._new = new
        self._starts = (start - span, start, start + span)
        self._keys = [f"slice|{group}|{span}|{at}" for at in self._starts]
        self._slices: list[list[Entry]] = []
        for key in self._keys:
            stored = state.get(key)
            self._slices.append(list(stored["entries"]) if stored else [])
        self._changed = [False, False, False]
        self._dropped: list[Entry] = []

    def insert(self, member: Member) -> bool:
        """Insert the new entry unless it is there already; True if it is."""
        new, own = self._new, self._slices[1]
        identity = (new.at, new.event_id, new.value)
        place = bisect_left(own, identity, key=_identity)
        if place < len(own) and _identity(own[place]) == identity:
            return True
        entry = [*identity, new.offset, None, None]
        own.insert(place, entry)
        self._changed[1] = True
        self._state[_member_key(self._group, self._starts[1], entry)] = member
        return False

    def fire(self) -> Iterator[Firing]:
        """Emit the events that the new one satisfies, mark them and what they show."""
        new, span = self._new, self._condition.timespan
        entries = [entry for part in self._slices for entry in part]
        first = bisect_left(entries, new.at, key=_at)
        last = bisect_left(entries, new.at + span, key=_at)
        open_ = [i for i in range(first, last) if _is_open(entries[i][FIRED], new.offset)]
        given: set[int] = set()
        fired = []
        for index, low, high in self._satisfied(entries, open_):
            fired.append(index)
            fresh = [
                i
                for i in range(low, high)
                if i == index or (i not in given and _is_open(entries[i][SHOWN], new.offset))
            ]
            given.update(fresh)
            yield Firing(self._shown(entries[index]), tuple(self._shown(entries[i]) for i in fresh))
        own = bisect_left(entries, (new.at, new.event_id, new.value), key=_identity)
        if own not in given and _is_open(entries[own][SHOWN], new.offset):
            # It satisfies nothing more, but may have come late into a window that has fired.
            earlier = (i for i in range(first, last) if entries[i][FIRED] is not None)
            if (shower := next(earlier, None)) is not None:
                given.add(own)
                evidence = (self._shown(entries[own]), self._shown(entries[shower]))
                yield Firing(evidence[1], evidence)
        self._mark(entries, FIRED, fired)
        self._mark(entries, SHOWN, given)

    def _shown(self, entry: Entry) -> Shown:
        start = entry[AT] // self._condition.timespan * self._condition.timespan
        member = self._state[_member_key(self._group, start, entry)]
        return Shown(entry[AT], entry[EVENT], member)

    def _satisfied(
        self, entries: list[Entry], candidates: Iterable[int]
    ) -> Iterator[tuple[int, int, int]]:
        """Index and window bounds of each satisfied candidate (ascending)."""
        span, threshold = self._condition.timespan, self._condition.threshold
        holds: Callable[[int, int, int], bool]
        match self._condition.type:
            case "event_count":
                holds = partial(_has_events, threshold)
            case "temporal_ordered":
                holds = _Chain(entries, self._condition.order).holds
            case _:
                holds = _Distinct(entries, threshold).holds
        for index in candidates:
            at = entries[index][AT]
            low = bisect_right(entries, at - span, key=_at)
            high = bisect_right(entries, at, key=_at)
            if holds(index, low, high):
                yield index, low, high

    def _mark(self, entries: list[Entry], column: int, indices: Iterable[int]) -> None:
        """Note the record that emitted entries first; values in the state are never mutated."""
        bounds = (len(self._slices[0]), len(self._slices[0]) + len(self._slices[1]))
        for index in indices:
            if entries[index][column] is not None:
                continue
            marked = entries[index].copy()
            marked[column] = self._new.offset
            entries[index] = marked
            part = (index >= bounds[0]) + (index >= bounds[1])
            offset_in_part = index - (0, *bounds)[part]
            self._slices[part][offset_in_part] = marked
            self._changed[part] = True

    def prune(self) -> int:
        """Drop what the new entry's slice need not hold; how many of them were not emitted."""
        own, condition = self._slices[1], self._condition
        lossless = condition.type != "temporal_ordered"
        if len(own) <= (2 * condition.threshold if lossless else MAX_SLICE):
            return 0
        essential = _essential(own, condition)
        gone: set[int] = set()
        if lossless:
            emitted = (i for i in range(len(own)) if self._is_durable(own[i]))
            gone.update(i for i in emitted if i not in essential)
        excess = len(own) - len(gone) - MAX_SLICE
        evicted: list[int] = []
        if excess > 0 and condition.type != "event_count":
            rest = [i for i in range(len(own)) if i not in essential and i not in gone]
            rest.sort(key=lambda i: own[i][SHOWN] is None)
            evicted = rest[:excess]
            gone.update(evicted)
        if gone:
            self._dropped = [own[index] for index in gone]
            self._slices[1] = [entry for i, entry in enumerate(own) if i not in gone]
            self._changed[1] = True
        return len(evicted)

    def _is_durable(self, entry: Entry) -> bool:
        """Whether nothing but an event's own record, processed again, could have to emit it."""
        fired = entry[FIRED]
        if fired is None:
            return False
        return bool(fired == entry[OFFSET] or fired <= self._new.offset - REDELIVERY)

    def save(self) -> tuple[str, ...]:
        """Assign what changed; the keys that are new in the state.

        Members are written before the index that names them and deleted after it, so that an
        index never names a missing one, wherever a sequence of writes is cut off.
        """
        created = []
        for key, entries, changed in zip(self._keys, self._slices, self._changed, strict=True):
            if changed:
                if key not in self._state:
                    created.append(key)
                self._state[key] = {"entries": entries}
        for entry in self._dropped:
            self._state.pop(_member_key(self._group, self._starts[1], entry), None)
        return tuple(created)


def _is_open(mark: int | None, offset: int) -> bool:
    """Whether an emission is due: never made, or made by this record or a later one."""
    return mark is None or mark >= offset


def _essential(entries: list[Entry], condition: Condition) -> set[int]:
    """Firsts of the N values that are seen first, lasts of the N that are seen last."""
    size, count = len(entries), condition.threshold
    if condition.type == "event_count":
        return {*range(min(count, size)), *range(max(0, size - count), size)}
    if condition.type == "temporal_ordered":
        count = len(condition.order)
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


def _has_events(threshold: int, _index: int, low: int, high: int) -> bool:
    return high - low >= threshold


class _Distinct:
    """Counts distinct values of windows whose bounds only grow."""

    def __init__(self, entries: list[Entry], threshold: int) -> None:
        self._entries = entries
        self._threshold = threshold
        self._counts: dict[str, int] = {}
        self._low = self._high = 0

    def holds(self, _index: int, low: int, high: int) -> bool:
        """Whether entries[low:high] have enough distinct values."""
        counts = self._counts
        if self._low < low and self._high <= low:
            counts.clear()
            self._low = self._high = low
        for entry in self._entries[self._high : high]:
            counts[entry[VALUE]] = counts.get(entry[VALUE], 0) + 1
        for entry in self._entries[self._low : low]:
            counts[entry[VALUE]] -= 1
            if not counts[entry[VALUE]]:
                del counts[entry[VALUE]]
        self._low, self._high = low, high
        return len(counts) >= self._threshold


class _Chain:
    """Looks for the rules of an order, one after the other, in a window."""

    def __init__(self, entries: list[Entry], order: tuple[str, ...]) -> None:
        self._entries = entries
        self._order = [_compact(rule) for rule in order]

    def holds(self, index: int, low: int, high: int) -> bool:
        """Whether entries[low:high] hold the chain and `index` is of its last rule."""
        if self._entries[index][VALUE] != self._order[-1]:
            return False
        step, now = 0, None
        instant: set[str] = set()
        for entry in self._entries[low:high]:
            if now != entry[AT]:
                now, instant = entry[AT], set()
            instant.add(entry[VALUE])
            while step < len(self._order) and self._order[step] in instant:
                step += 1
        return step == len(self._order)


__all__ = [
    "MAX_SLICE",
    "Added",
    "Condition",
    "Firing",
    "Member",
    "Occurrence",
    "Shown",
    "add",
    "delete_slice",
    "slice_due",
]
