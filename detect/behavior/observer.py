"""From events to observations: one pass over the document, no copies, no validation.

`READERS` says which part of an event is read for which `event.category`; an event of several is
read by each of them, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.behavior.features import READERS, Sight, read_api, read_dns
from detect.behavior.observation import (
    MAX_PLACES,
    MAX_SAMPLES,
    MAX_TEXTS,
    MAX_TIMES,
    MAX_VALUES,
    OTHER,
    SLICE,
    Entity,
    Observation,
)
from tocsin.clock import parse_iso

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_TENANT = "default"
#: Seconds of event time that are remembered as text, so that most times are parsed once.
_REMEMBERED = 8_192


class Observer:
    """Takes events in, and gives the observations they make when it is flushed."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, str, int], Observation] = {}
        self._seconds: dict[str, int] = {}

    def add(self, event: Mapping[str, Any], recorded: int, position: str) -> bool:
        """Take in an event; whether it says anything of anybody.

        `recorded` (ms) and `position` stand for a time and an origin that the event lacks.
        """
        at = self._time(event.get("@timestamp"), recorded)
        told = event.get("event")
        if not isinstance(told, dict):
            return False
        spine = event.get("tocsin")
        if not isinstance(spine, dict):
            spine = {}
        sight = Sight(
            self._open,
            event,
            told,
            at,
            at - at % SLICE,
            spine.get("tenant") or _DEFAULT_TENANT,
            told.get("id") or position,
            spine.get("origin") or position,
        )
        if source := spine.get("source"):
            sums = sight.of("log", source).sums
            sums["events"] = sums.get("events", 0) + 1
        categories = told.get("category")
        if isinstance(categories, str):
            categories = (categories,)
        read: set[Any] = set()
        for category in categories or ():
            reader = READERS.get(category)
            if reader is not None and reader not in read:
                read.add(reader)
                reader(sight)
        if "cloud" in event:
            read_api(sight)
        if "dns" in event:
            read_dns(sight)
        return sight.touched

    def flush(self) -> list[Observation]:
        """The observations since the last time, by slice and entity."""
        made = [_finished(each) for each in self._open.values()]
        self._open.clear()
        made.sort(key=lambda each: (each.start, each.entity))
        return made

    def _time(self, text: Any, recorded: int) -> int:
        if not isinstance(text, str):
            return recorded
        if len(text) == 24 and text[23] == "Z" and text[19] == ".":
            second = self._seconds.get(text[:19])
            milliseconds = text[20:23]
            if second is not None and milliseconds.isdecimal():
                return second + int(milliseconds)
        try:
            at = parse_iso(text)
        except (ValueError, OverflowError):
            return recorded
        if len(text) == 24 and text[23] == "Z":
            if len(self._seconds) >= _REMEMBERED:
                self._seconds.clear()
            self._seconds[text[:19]] = at - at % 1000
        return at


def _finished(observation: Observation) -> Observation:
    """Within its bounds, and with the samples that are referred to, in order."""
    made = observation
    for feature, told in made.counts.items():
        if len(told) > MAX_VALUES:
            made.counts[feature] = bounded_counts(told)
    settle_samples(made)
    for name, texts in made.texts.items():
        made.texts[name] = sorted(set(texts))[:MAX_TEXTS]
    for told_times in made.times.values():
        if len(told_times) > MAX_VALUES:
            for value in sorted(told_times)[MAX_VALUES:]:
                del told_times[value]
        for value, moments in told_times.items():
            told_times[value] = sorted(moments)[:MAX_TIMES]
    if len(made.places) > 1:
        made.places = sorted(set(made.places))[:MAX_PLACES]
    made.entity = Entity(*made.entity)
    return made


def bounded_counts(told: dict[str, list[float]]) -> dict[str, list[float]]:
    """The first MAX_VALUES values, and the rest as one."""
    kept: dict[str, list[float]] = {}
    rest = 0.0
    for value, entry in sorted(told.items()):
        if value != OTHER and len(kept) < MAX_VALUES:
            kept[value] = entry
        else:
            rest += entry[0]
    kept[OTHER] = [rest, -1]
    return kept


def settle_samples(made: Observation) -> None:
    """Keep the earliest MAX_SAMPLES samples that values refer to, in order."""
    if len(made.samples) < 2:
        return
    used = {int(entry[1]) for told in made.counts.values() for entry in told.values()}
    used.discard(-1)
    samples = made.samples
    if not used:
        made.samples = [min(samples)]
        return
    order = sorted(used, key=lambda at: samples[at])[:MAX_SAMPLES]
    if len(order) == len(samples) and order == list(range(len(samples))):
        return
    places = {old: new for new, old in enumerate(order)}
    for told in made.counts.values():
        for entry in told.values():
            entry[1] = places.get(int(entry[1]), -1)
    made.samples = [samples[at] for at in order]
