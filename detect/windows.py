"""The event-time windows of one partition: what correlations and behaviour are decided by.

Events go in with what they belong to and what is measured of them; what fires comes out, at once
where more events change nothing (detect.sliding), else when the watermark has passed
(detect.closing). The result depends on the set of events alone, as long as none comes later than
is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect import closing, sliding
from detect.conditions import Condition
from detect.expiry import REDELIVERY
from detect.groups import Group, Owner
from detect.slices import Member, Slices
from detect.sliding import Added, Firing, Occurrence, Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from detect.slices import Slice
    from tocsin.state import State


class Windows:
    """Windows of one partition, kept in memory beside its `state`.

    `conditions` are those that may be decided later, by correlation id and hash; `patience` is how
    long (ms) events of each correlation may come late, `lateness` that of all others.
    """

    def __init__(
        self,
        state: State,
        conditions: Mapping[tuple[str, str], Condition],
        *,
        lateness: int,
        patience: Mapping[str, int],
    ) -> None:
        #: When, by the clock (ms), something last came in; None as long as nobody looked.
        self.heard: int | None = None
        self._agenda = closing.Agenda()
        self._slices = Slices(state, patience, lateness)
        self._expiry = self._slices.expiry
        #: The group of a key, None if it has no windows in memory.
        self.known: Callable[[str], Group | None] = self._slices.known
        self._restore(conditions)

    def _restore(self, conditions: Mapping[tuple[str, str], Condition]) -> None:
        """Find again what is waited for, and what which record decided."""
        restored: list[Slice] = []
        for key, owner in list(self._slices.closing()):
            condition = conditions.get((owner.correlation, owner.hash))
            if condition is not None:  # else its rule is gone, and so will the slice be
                group = self._slices.group(owner, condition)
                if (found := self._slices.live(key)) is not None:
                    restored.append(found)
                    self._agenda.expect(found, group.family.patience)
        decided = ((mark, found) for found in restored for mark in closing.marks(found))
        for mark, found in sorted(decided, key=lambda each: (each[0], each[1].key)):
            self._agenda.decided(found, mark)

    def group(self, owner: Owner, condition: Condition) -> Group:
        """The group, whether it has windows or not."""
        return self._slices.group(owner, condition)

    def add(
        self, group: Group, occurrence: Occurrence, member: Member, watermark: int | None = None
    ) -> Added:
        """Put an occurrence into the windows of its group, and see what fires at once.

        `watermark` is the partition's before this event.
        """
        if group.family.at_once:
            return sliding.add(self._slices, group, occurrence, member)
        return closing.insert(self._slices, self._agenda, group, occurrence, member, watermark)

    def close(self, watermark: int | None, offset: int) -> Iterator[tuple[Group, Firing]]:
        """Decide what can be decided; `offset` is of the last record that went in."""
        for key in self._agenda.reached(watermark):
            own = self._slices.live(key)
            if own is None or watermark is None:
                continue
            patience = own.group.family.patience
            own.awaited = None
            fired = list(closing.decide(self._slices, own, watermark - patience, offset))
            if fired:
                self._agenda.decided(own, offset)
            self._agenda.expect(own, patience)
            yield from ((own.group, firing) for firing in fired)
        self._agenda.settle(offset - REDELIVERY)

    def awaited(self) -> int | None:
        """The watermark at which something can be decided next; None if nothing waits."""
        return self._agenda.next()

    def again(self, offset: int) -> Iterator[tuple[Group, Firing]]:
        """What was decided with the record at `offset`, which is processed again."""
        for key in self._agenda.decided_at(offset):
            own = self._slices.live(key)
            if own is not None:
                for firing in closing.again(self._slices, own, offset):
                    yield own.group, firing

    def expire(self, watermark: int | None, offset: int) -> None:
        """Forget what no event in time can need, while the record at `offset` is processed."""
        ahead, due = self._expiry.ahead, self._expiry.due
        if watermark is not None and (
            (ahead and ahead[0][0] <= watermark) or (due and due[0][0] + REDELIVERY <= offset)
        ):
            self._slices.expire(watermark, offset)

    def flush(self) -> int:
        """Write what changed to the state; how many events were given up to make room."""
        self._slices.flush()
        evicted, self._slices.evicted = self._slices.evicted, 0
        return evicted


__all__ = [
    "Added",
    "Condition",
    "Firing",
    "Group",
    "Member",
    "Occurrence",
    "Owner",
    "Shown",
    "Windows",
]
