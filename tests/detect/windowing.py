"""Windows driven by hand in tests, and the definitions that they must agree with, word by word."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from detect.conditions import Bound, Closing, Condition, Term
from detect.windows import Firing, Occurrence, Owner, Windows
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

SPAN = 10
LATENESS = 1_000
OWNER = Owner("correlation", "hash", "default", "group")


class Event(NamedTuple):
    at: int
    event_id: str
    value: str


class Emitted(NamedTuple):
    """What came out, or should have: satisfied events, decided windows, and all evidence."""

    fired: frozenset[str]
    windows: frozenset[int]
    evidence: frozenset[str]


def at_least(measure: str, number: int, **more: object) -> Condition:
    return Condition(measure, SPAN, (Bound("gte", number),), **more)  # type: ignore[arg-type]


def compared(measure: str, operator: str, number: int, **more: object) -> Condition:
    return Condition(measure, SPAN, (Bound(operator, number),), **more)  # type: ignore[arg-type]


AB = Term(("a", "b"))
WITHOUT = (Term(("a",), frozenset("c")), Term(("a", "b"), frozenset("d")))

AT_ONCE = (
    at_least("events", 1),
    at_least("events", 2),
    at_least("events", 4),
    at_least("values", 2),
    at_least("values", 3),
    at_least("rules", 2),
    at_least("chain", 2, order=("a", "b")),
    at_least("chain", 3, order=("a", "b", "c")),
    at_least("chain", 2, order=("a", "b", "c")),
    at_least("chain", 3, order=("a", "b", "a")),
    at_least("sum", 12),
    Condition("terms", SPAN, terms=(AB, Term(("c",)))),
    Condition("terms", SPAN, terms=(AB, Term(("c", "a"))), ordered=True),
)
LATER = (
    at_least("average", 4),
    compared("average", "gt", 7),
    at_least("median", 5),
    at_least("percentile", 6, percentile=75),
    Condition("terms", SPAN, terms=WITHOUT),
    Condition("terms", SPAN, terms=WITHOUT, ordered=True),
    compared("events", "lt", 3),
    compared("events", "eq", 2),
    compared("events", "eq", 0),
    compared("events", "neq", 2),
    compared("values", "lte", 1),
    compared("rules", "eq", 2),
    compared("chain", "eq", 1, order=("a", "b")),
    compared("sum", "lt", 9),
    compared("average", "lte", 3),
    compared("median", "neq", 5),
    Condition("events", SPAN, (Bound("gt", 1), Bound("lt", 4))),
)
CONDITIONS = AT_ONCE + LATER
#: Values that are letters for rules, and numbers for what is added up.
NUMBERS = {"a": "1", "b": "5", "c": "8", "d": "-3"}


def name(condition: Condition) -> str:
    bounds = "-".join(f"{bound.operator}{bound.number}" for bound in condition.bounds)
    return f"{condition.measure}-{bounds}{'-ordered' if condition.ordered else ''}"


def valued(condition: Condition, events: Iterable[Event]) -> list[Event]:
    """The events with values that the condition can measure."""
    if not condition.numeric:
        return list(events)
    return [event._replace(value=NUMBERS.get(event.value, event.value)) for event in events]


def oracle(condition: Condition, events: Iterable[Event], end: int | None = None) -> Emitted:
    """The definition; `end` is the time up to which everything is decided, None for ever."""
    known = set(events)
    if condition.closing is Closing.WINDOW:
        return _windows(condition, known, end)
    fired: set[str] = set()
    evidence: set[str] = set()
    for event in known:
        window = [e for e in known if event.at - condition.timespan < e.at <= event.at]
        if _decided(condition, event, end) and satisfied(condition, event, window, known):
            fired.add(event.event_id)
            evidence.update(e.event_id for e in window)
    return Emitted(frozenset(fired), frozenset(), frozenset(evidence))


def _decided(condition: Condition, event: Event, end: int | None) -> bool:
    if end is None or condition.closing is Closing.AT_ONCE:
        return True
    return event.at + (condition.timespan if condition.forbidden else 1) <= end


def _windows(condition: Condition, events: set[Event], end: int | None) -> Emitted:
    span = condition.timespan
    found: dict[int, set[str]] = {}
    starts = {event.at // span * span for event in events}
    for start in starts:
        window = [e for e in events if start <= e.at < start + span]
        measure = measured(condition, window)
        if measure is not None and condition.holds(measure) and _passed(start + span, end):
            found[start] = _kept(condition, window)
        silent = start + span not in starts and _passed(start + 2 * span, end)
        if silent and condition.empty_holds:
            found[start + span] = {max(_first_of_each(condition, window)).event_id}
    return Emitted(
        frozenset(), frozenset(found), frozenset(e for each in found.values() for e in each)
    )


def _passed(time: int, end: int | None) -> bool:
    return end is None or time <= end


def _kept(condition: Condition, window: Collection[Event]) -> set[str]:
    return {event.event_id for event in _first_of_each(condition, window)}


def _first_of_each(condition: Condition, window: Collection[Event]) -> list[Event]:
    """Evidence of a count: as many events as decide it, of each value the first; and the last."""
    if condition.measure == "events":
        return sorted({*sorted(window)[: condition.enough], max(window)})
    if condition.measure in ("values", "rules"):
        firsts = {event.value: event for event in sorted(window, reverse=True)}
        return sorted({*sorted(firsts.values())[: condition.enough], max(window)})
    return sorted(window)


def measured(condition: Condition, window: Collection[Event]) -> int | Fraction | None:
    match condition.measure:
        case "events":
            return len({e.event_id for e in window})
        case "values" | "rules":
            return len({e.value for e in window})
        case "chain":
            lengths = (chain(condition.order, e, window) for e in window)
            return max(lengths, default=0)
    numbers = sorted(Fraction(e.value) for e in window)
    if condition.measure == "sum":
        return sum((n for n in numbers if n > 0), Fraction(0))
    if not numbers:
        return None
    match condition.measure:
        case "average":
            return Fraction(sum(numbers)) / len(numbers)
        case "median":
            low, high = numbers[(len(numbers) - 1) // 2], numbers[len(numbers) // 2]
            return (low + high) / 2
        case _:
            exceeded = (
                n
                for n in numbers
                if sum(m <= n for m in numbers) * 100 >= condition.percentile * len(numbers)
            )
            return min(exceeded)


def satisfied(
    condition: Condition, event: Event, window: Collection[Event], known: Collection[Event]
) -> bool:
    match condition.measure:
        case "chain":
            return condition.holds(chain(condition.order, event, window))
        case "terms":
            near = {e.value for e in known if abs(e.at - event.at) < condition.timespan}
            return any(
                event.value in term.rules
                and {e.value for e in window} >= set(term.rules)
                and not near & term.without
                and (not condition.ordered or chain(term.rules, event, window) == len(term.rules))
                for term in condition.terms
            )
        case _:
            found = measured(condition, window)
            return found is not None and condition.holds(found)


def chain(order: Sequence[str], last: Event, window: Collection[Event]) -> int:
    """The most rules, one after the other or at the same time, that end with `last`."""
    return max(
        (
            1 + max((chain(order[:place], e, window) for e in window if e.at <= last.at), default=0)
            for place, rule in enumerate(order)
            if rule == last.value
        ),
        default=0,
    )


@dataclass
class Driver:
    """Feeds windows in batches of one size, and remembers what comes out of each record."""

    condition: Condition
    state: KeyedState = field(default_factory=KeyedState)
    lateness: int = LATENESS
    batch: int = 3
    late: int = 0
    evicted: int = 0

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """As after a restart."""
        conditions = {(OWNER.correlation, OWNER.hash): self.condition}
        self.windows = Windows(self.state, conditions, lateness=self.lateness, patience={})

    @property
    def watermark(self) -> int | None:
        found: list[int | None] = self.state.get("progress", [None])
        return found[0]

    def run(
        self, events: Sequence[Event], first_offset: int = 0, stride: int = 1
    ) -> list[tuple[int, Firing]]:
        """What comes out, each with the offset of the last record of its batch."""
        made: list[tuple[int, Firing]] = []
        for start in range(0, len(events), self.batch):
            part = events[start : start + self.batch]
            last = (first_offset + start + len(part) - 1) * stride
            fired: list[Firing] = []
            watermark = self.watermark
            for number, event in enumerate(part, first_offset + start):
                offset = number * stride
                fired += [firing for _, firing in self.windows.again(offset)]
                fired += self.add(event, offset, watermark)
                watermark = event.at if watermark is None else max(watermark, event.at)
                self.windows.expire(watermark, offset)
            fired += [firing for _, firing in self.windows.close(watermark, last)]
            self.evicted += self.windows.flush()
            self.state["progress"] = [watermark]
            made += [(last, firing) for firing in fired]
        return made

    def add(self, event: Event, offset: int, watermark: int | None) -> tuple[Firing, ...]:
        group = self.windows.group(OWNER, self.condition)
        occurrence = Occurrence(event.at, event.event_id, event.value, offset)
        added = self.windows.add(group, occurrence, {"id": event.event_id}, watermark)
        self.late += added.late
        self.evicted += added.evicted
        return added.firings

    def finish(self, at: int) -> list[Firing]:
        """What is decided once time has passed `at` for good."""
        return [firing for _, firing in self.windows.close(at + self.lateness, 10**9)]


def union(firings: Iterable[Firing]) -> Emitted:
    listed = list(firings)
    for firing in listed:
        assert firing.event in firing.evidence
        assert all(shown.member["id"] == shown.event_id for shown in firing.evidence)
    return Emitted(
        frozenset(firing.event.event_id for firing in listed if firing.window is None),
        frozenset(firing.window for firing in listed if firing.window is not None),
        frozenset(shown.event_id for firing in listed for shown in firing.evidence),
    )


def copy(state: KeyedState) -> KeyedState:
    """Through JSON, as a state is saved and loaded."""
    clone = KeyedState()
    clone.update(dict(state))
    return KeyedState({k: v for k, v in clone.changes().items() if v is not None})
