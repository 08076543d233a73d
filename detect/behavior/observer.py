"""From events to observations: one pass over the document, no copies, no validation.

`READERS` says which part of an event is read for which `event.category`; an event of several is
read by each of them, once.
"""

from __future__ import annotations

from itertools import pairwise
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
    Sample,
)
from detect.behavior.profile import bounded
from tocsin.clock import parse_iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.log.base import Record

_DEFAULT_TENANT = "default"
#: As Sample(*sample), which takes five times as long.
_SAMPLE = tuple.__new__
#: Seconds of event time that are remembered as text, so that most times are parsed once.
_REMEMBERED = 8_192


class Observer:
    """Takes events in, and gives the observations they make when it is flushed."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, str, int], Observation] = {}
        self._logs: dict[tuple[str, str, int], list[Any]] = {}
        self._seconds: dict[str, int] = {}
        self._sight = Sight(self._open)

    def add(self, event: Mapping[str, Any], recorded: int, position: Record | str) -> bool:
        """Take in an event; whether it says anything of anybody.

        `recorded` (ms) and `position`, that of the record, stand for a time and an origin that the
        event lacks.
        """
        at = self._time(event.get("@timestamp"), recorded)
        told = event.get("event")
        if not isinstance(told, dict):
            return False
        spine = event.get("tocsin")
        if not isinstance(spine, dict):
            spine = {}
        sight = self._sight
        sight.touched = False
        sight.event, sight.told = event, told
        sight.at, sight.start = at, at - at % SLICE
        sight.tenant = spine.get("tenant") or _DEFAULT_TENANT
        sight.id = told.get("id") or _named(position)
        sight.origin = spine.get("origin") or _named(position)
        if source := spine.get("source"):
            self._heard(source, sight)
        categories = told.get("category")
        if isinstance(categories, str):
            categories = (categories,)
        if categories:
            if len(categories) == 1:  # the usual case
                reader = READERS.get(categories[0])
                if reader is not None:
                    reader(sight)
            else:
                for reader in dict.fromkeys(map(READERS.get, categories)):
                    if reader is not None:
                        reader(sight)
        if "cloud" in event:
            read_api(sight)
        if "dns" in event:
            read_dns(sight)
        return sight.touched

    def _heard(self, source: str, sight: Sight) -> None:
        """A source of logs spoke: of each event only that is counted, so it costs little."""
        sight.touched = True
        at = sight.at
        key = (sight.tenant, source, sight.start)
        heard = self._logs.get(key)
        if heard is None:
            self._logs[key] = [1, at, at, (at, sight.id, sight.origin)]
            return
        heard[0] += 1
        if at > heard[2]:
            heard[2] = at
        elif at <= heard[1]:
            heard[1] = at
            heard[3] = min(heard[3], (at, sight.id, sight.origin))

    def flush(self) -> list[Observation]:
        """The observations since the last time, by slice and entity."""
        made = [_finished(each) for each in self._open.values()]
        for (tenant, source, start), (count, first, last, sample) in self._logs.items():
            entity = Entity(tenant, "log", bounded(source))
            heard = Observation(entity, start, first, last, sums={"events": count})
            heard.samples = [Sample(*sample)]
            made.append(heard)
        self._open.clear()
        self._logs.clear()
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


def _named(position: Record | str) -> str:
    return position if isinstance(position, str) else str(position.position)


def _finished(observation: Observation) -> Observation:
    """Within its bounds, and with the samples that are referred to, in order."""
    made = observation
    made.entity = Entity(*made.entity)
    counts = made.counts
    for feature, told in counts.items():
        if len(told) > MAX_VALUES:
            counts[feature] = bounded_counts(told)
    if len(made.samples) > 1:
        settle_samples(made)
        made.samples = [_SAMPLE(Sample, sample) for sample in made.samples]
    else:
        made.samples[0] = _SAMPLE(Sample, made.samples[0])
    if made.texts:
        made.texts = {name: sorted(set(each))[:MAX_TEXTS] for name, each in made.texts.items()}
    for feature, moments in made.times.items():
        if len(moments) > MAX_VALUES:
            made.times[feature] = moments = {v: moments[v] for v in sorted(moments)[:MAX_VALUES]}
        for value, each in moments.items():
            if len(each) > 1:
                moments[value] = sorted(each)[:MAX_TIMES]
    if len(made.places) > 1:
        made.places = sorted(set(made.places))[:MAX_PLACES]
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
    samples = made.samples
    if len(samples) < 2:
        return
    used = {entry[1] for told in made.counts.values() for entry in told.values()}
    used.discard(-1)
    if not used:
        made.samples = [min(samples)]
        return
    if len(used) == len(samples) <= MAX_SAMPLES and _ascending(samples):
        return
    order = sorted((int(at) for at in used), key=samples.__getitem__)[:MAX_SAMPLES]
    places = {old: new for new, old in enumerate(order)}
    for told in made.counts.values():
        for entry in told.values():
            entry[1] = places.get(int(entry[1]), -1)
    made.samples = [samples[at] for at in order]


def _ascending(samples: list[Sample]) -> bool:
    return all(one < other for one, other in pairwise(samples))
