"""An open alert in keyed state: what is stored of it and how events change it.

State of an alert: a header that changes with each event, a base that changes with its first one,
and a key for each event, which recognises it when it comes again and, for the first and last
ones, holds what the alert shows of it. So a finding costs a few small writes, however large the
alert.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import TYPE_CHECKING, Any

from detect.wording import describe, duration
from tocsin.contracts import Alert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.contracts import Evidence, Finding
    from tocsin.state import State

#: How many of the first and of the last events an alert shows.
SHOWN = 25

#: Most values an alert has of one entity field: the smallest ones.
MAX_ENTITIES = 50

#: Longest entity value, characters.
MAX_ENTITY = 1024

#: Longest original text of an event in an alert, characters; the whole stands in the log.
MAX_ORIGINAL = 1024

#: Events an alert counts. What comes beyond still moves its last ones, times and entities.
MAX_COUNTED = 10_000

#: Up to this count each event makes a revision that goes out at once; then at _MILESTONES.
PROMPT = 10
_MILESTONES = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


class StoredAlert:
    """One alert while a batch works on it; `save` writes what changed, as new values."""

    def __init__(
        self, state: State, key: str, header: dict[str, Any], base: dict[str, Any]
    ) -> None:
        self._state = state
        self._key = key
        self._header = header
        self._base = base
        self._events: dict[str, Any] = {}
        self._dropped: set[str] = set()
        self._base_changed = False
        self._before = header["count"]
        self._again = False
        self.id = key.rpartition("|")[2]
        self.base_key = f"base|{self.id}"

    @classmethod
    def load(cls, state: State, key: str) -> StoredAlert:
        """From the state, whose values are copied before they change."""
        stored = state[key]
        header = {
            **stored,
            "first": list(stored["first"]),
            "last": list(stored["last"]),
            "entities": dict(stored["entities"]),
            "fields": dict(stored["fields"]),
        }
        return cls(state, key, header, state[f"base|{key.rpartition('|')[2]}"])

    @classmethod
    def new(cls, state: State, key: str, finding: Finding, start: int) -> StoredAlert:
        """An alert without events yet."""
        header = {
            "count": 0,
            "severity": 0,
            "first": [],
            "last": [],
            "entities": {},
            "fields": {},
            "changed": False,
        }
        base = {
            "rule": finding.rule.model_dump(mode="json"),
            "key": finding.key,
            "tenant": finding.tenant,
            "start": start,
            "window": finding.window,
            "reasons": [],
            "first": None,
        }
        return cls(state, key, header, base)

    @property
    def changed(self) -> bool:
        """Whether there is something that has not gone out."""
        return bool(self._header["changed"])

    def add(self, finding: Finding, evidence: Sequence[Evidence]) -> int:
        """Add events; how many were beyond MAX_COUNTED."""
        new = [item for item in evidence if not self._knows(item.event_id)]
        self._again = self._again or not new
        uncounted = 0
        changed = self._merge(finding)
        for item in new:
            key, place = self._event_key(item.event_id), [item.at, item.event_id]
            if self._header["count"] < MAX_COUNTED:
                self._header["count"] += 1
                self._events[key] = 1
                changed = True
            else:
                uncounted += 1
            if self._show(place):
                original = item.original[:MAX_ORIGINAL]
                self._events[key] = {"origin": item.origin, "original": original}
                self._dropped.discard(key)
                changed = True
            self._lead(place, finding)
        self._header["changed"] = self._header["changed"] or changed
        return uncounted

    def _knows(self, event_id: str) -> bool:
        key = self._event_key(event_id)
        return key in self._events or key in self._state

    def _event_key(self, event_id: str) -> str:
        return f"event|{self.id}|{event_id}"

    def _show(self, place: list[Any]) -> bool:
        """Put an event among the first and last; True if it is one of them."""
        first, last = self._header["first"], self._header["last"]
        kept = False
        for ends, worst in ((first, -1), (last, 0)):
            if place in ends:
                kept = True
                continue
            insort(ends, place)
            if len(ends) > SHOWN:
                gone = ends.pop(worst)
                if gone == place:
                    continue
                if gone not in first and gone not in last:
                    self._hide(gone[1])
            kept = True
        return kept

    def _hide(self, event_id: str) -> None:
        """An event is no longer shown: only that it was counted is still worth knowing."""
        key = self._event_key(event_id)
        if self._header["count"] < MAX_COUNTED:
            self._events[key] = 1
        else:
            self._events.pop(key, None)
            self._dropped.add(key)

    def _lead(self, place: list[Any], finding: Finding) -> None:
        """The reasons are those of the first event."""
        if self._base["first"] is None or place < self._base["first"]:
            reasons = [reason.model_dump(mode="json") for reason in finding.reasons]
            self._base = {**self._base, "first": place, "reasons": reasons}
            if finding.rule.type == "behavior":  # its sentence says what the counts do not
                self._base["said"] = finding.message
            self._base_changed = True

    def _merge(self, finding: Finding) -> bool:
        """Take in what is a set; True if anything is new."""
        header = self._header
        before = (header["severity"], header["entities"].copy(), header["fields"].copy())
        header["severity"] = max(header["severity"], finding.severity)
        for name, values in finding.entities.items():
            header["entities"][name] = _smallest(header["entities"].get(name, ()), values)
        for name, value in finding.fields.items():
            header["fields"][name] = min(value, header["fields"].get(name, value))
        return before != (header["severity"], header["entities"], header["fields"])

    def is_prompt(self) -> bool:
        """Whether a revision goes out at once rather than with the next tick.

        A finding that brings no news is one that is processed again: what it made may be lost.
        """
        return self._again or _milestone(self._header["count"]) != _milestone(self._before)

    def save(self, *, sent: bool) -> list[str]:
        """Write to the state; the keys of events that are new there.

        The events first: wherever a sequence of writes is cut off, what is shown is there.
        """
        state = self._state
        new = [key for key in self._events if key not in state]
        for key, value in self._events.items():
            state[key] = value
        if self._base_changed:
            state[self.base_key] = self._base
        self._header["changed"] = self._header["changed"] and not sent
        if state.get(self._key) != self._header:
            state[self._key] = self._header
        for key in self._dropped:
            state.pop(key, None)
        return new

    def alert(self) -> Alert:
        """The alert as it stands in the state."""
        header, base = self._header, self._base
        shown = header["first"] + [
            place for place in header["last"] if place not in header["first"]
        ]
        first, last = shown[0][0], shown[-1][0]
        return Alert.model_validate(
            {
                "id": self.id,
                "rule": base["rule"],
                "severity": header["severity"],
                "key": base["key"],
                "window_start": base["start"],
                "window": base["window"],
                "revision": header["count"],
                "count": header["count"],
                "first_seen": first,
                "last_seen": last,
                "fields": dict(sorted(header["fields"].items())),
                "entities": dict(sorted(header["entities"].items())),
                "reasons": base["reasons"],
                "evidence": [
                    {"event_id": event_id, "at": at, **self._state[self._event_key(event_id)]}
                    for at, event_id in shown
                ],
                "message": base.get("said") or _message(base["rule"]["name"], header, last - first),
                "tenant": base["tenant"],
            }
        )


def _smallest(known: Sequence[str], values: Sequence[str]) -> list[str]:
    return sorted({*known, *(value[:MAX_ENTITY] for value in values)})[:MAX_ENTITIES]


def _milestone(count: int) -> int:
    if count <= PROMPT:
        return count
    return _MILESTONES[bisect_right(_MILESTONES, count) - 1]


def _message(rule: str, header: Mapping[str, Any], span: int) -> str:
    """`SSH brute force: 12 events from 203.0.113.9 in 4m 50s`."""
    count = header["count"]
    parts = [f"{rule}: {'at least ' * (count == MAX_COUNTED)}{count} event{'s' * (count != 1)}"]
    if header["fields"]:
        parts.append(describe(header["fields"]))
    if span:
        parts.append(f"in {duration(span)}")
    return " ".join(parts)
