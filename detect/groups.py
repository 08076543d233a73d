"""Whose windows they are: the groups of a correlation, and what all of them have in common."""

from __future__ import annotations

from functools import partial
from operator import le, lt
from typing import TYPE_CHECKING, NamedTuple

from detect.chains import places
from detect.conditions import Closing
from tocsin.ids import hasher

if TYPE_CHECKING:
    from collections.abc import Callable

    from detect.conditions import Condition, Number
    from detect.slices import Slice

#: Events in a slice beyond which those that are not essential are dropped unemitted.
MAX_SLICE = 500
#: Events in a slice whose values are added up, averaged, ordered.
MAX_NUMBERS = 2_000
#: By how many entries a small slice, and a full one, may exceed what it needs before it is looked
#: through.
FEW, SLACK = 8, 64
#: Kinds of keys in the state: slices that are decided at once, and those that are decided later.
SLICE, CLOSING = "slice", "closing"
#: Timespans from the start of a slice to where no event in time needs it: one may need windows a
#: timespan back; what is decided when its window has passed, or what must not have happened
#: afterwards, is needed a timespan longer.
LIVES = {SLICE: 2, CLOSING: 3}

_NEVER = float("inf")


class Owner(NamedTuple):
    """Whose windows: the correlation's id and content hash, the tenant, the group's key."""

    correlation: str
    hash: str
    tenant: str
    group: str


class Family:
    """The groups of one correlation and tenant: what is the same for each of their events.

    `least`: fewer different values than that satisfy nothing; `exact`: enough of them may satisfy
    nothing either; `patience`: how long (ms) events may come late. Making it takes as long as
    three events, and most groups have less than ten.
    """

    __slots__ = (
        "_most",
        "at_once",
        "closing",
        "condition",
        "counts_events",
        "ends",
        "first_limit",
        "kind",
        "least",
        "lives",
        "measure",
        "named",
        "patience",
        "places",
        "reached",
        "timespan",
        "wait",
    )

    def __init__(self, owner: Owner, condition: Condition, patience: int) -> None:
        self.condition = condition
        self.patience = patience
        #: What the ids of the groups have in common.
        self.named = hasher("window", owner.hash, owner.tenant)
        self.measure = condition.measure
        self.closing = condition.closing
        self.at_once = self.closing is Closing.AT_ONCE
        self.timespan = condition.timespan
        self.kind = SLICE if self.at_once else CLOSING
        self.lives = LIVES[self.kind] * condition.timespan
        self.counts_events = condition.measure == "events"
        self.least = condition.least
        #: Of rules in their order, the positions of each, and those that a chain can end with.
        self.places = places(condition.order)
        self.ends = frozenset(condition.order[condition.threshold - 1 :])
        #: After an event, how long (ms) until what it satisfies can be decided.
        self.wait = (
            _NEVER
            if self.closing is Closing.WINDOW
            else (condition.timespan if condition.forbidden else 1)
        )
        #: Whether a measure is enough, as `Condition.holds`.
        self.reached = _reached(condition)
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


def _reached(condition: Condition) -> Callable[[Number], bool]:
    if len(condition.bounds) == 1 and condition.bounds[0].operator in ("gte", "gt"):
        bound = condition.bounds[0]
        return partial(le if bound.operator == "gte" else lt, bound.number)
    return condition.holds


class Group:
    """The windows of one group of a correlation."""

    __slots__ = ("family", "key", "owner", "prefix", "slices")

    def __init__(self, owner: Owner, family: Family) -> None:
        self.owner = owner
        self.family = family
        named = family.named.copy()
        group = owner.group.encode("utf-8", "surrogatepass")
        named.update(b"%d:%b" % (len(group), group))
        self.key = named.hexdigest()
        self.prefix = f"{family.kind}|{self.key}|{family.timespan}|"
        self.slices: dict[int, Slice] = {}

    @property
    def condition(self) -> Condition:
        """What the events of a window must satisfy."""
        return self.family.condition
