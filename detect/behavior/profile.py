"""What is usual for one entity: bounded, decaying, and slow to believe what is unusual.

A profile counts days, not events: a value counts at most once a day, so nobody can make something
usual in a day by doing it often. Everything decays with a half-life of 14 days; beside it stands a
reference that decays in 180 days, which slow drift is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log10
from typing import TYPE_CHECKING, Any

import orjson

from detect.behavior.detector import DAY, HOUR
from detect.behavior.observation import MAX_VALUE, OTHER, Place, Sample
from detect.behavior.volume import Volume
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from detect.behavior.observation import Observation

#: Half-lives of what is usual and of the slow reference, days.
FAST_DAYS, SLOW_DAYS = 14.0, 180.0
_FAST, _SLOW = 0.5 ** (1 / FAST_DAYS), 0.5 ** (1 / SLOW_DAYS)
#: Most values of one feature and of all, and of places; most bytes of an encoded profile.
MAX_OF_FEATURE, MAX_OF_ALL, MAX_PLACES, MAX_BYTES = 24, 56, 3, 2_400
#: Days of weight of a value that was unusual when it came: ten such days count like one.
GUARDED = 0.1
#: Weights under it are forgotten, days.
_FORGOTTEN = 0.02
HOURS_OF_WEEK = 168
#: Features that profiles keep; others are for detectors alone.
LEARNED = frozenset(
    {
        *("source.ip", "source.as", "source.geo.country", "device", "process", "process.user"),
        *("process.parent", "destination", "destination.as", "object", "api.action", "privilege"),
        *("user", "host", "command"),
    }
)
#: Totals that profiles keep volumes of.
MEASURED = ("events", "bytes.out", "objects", "logon.failures")
#: How far an hour counts for its neighbours, by distance in hours; and for other days' same hour.
_KERNEL = ((0, 0.3), (1, 0.2), (-1, 0.2), (2, 0.1), (-2, 0.1), (3, 0.05), (-3, 0.05))
_OTHER_DAYS = 0.5


def hour_of_week(at: int) -> int:
    """0 (Monday, 0 h UTC) to 167."""
    return (at // HOUR + 72) % HOURS_OF_WEEK


@dataclass(slots=True)
class Profile:
    """One entity's; `empty` makes a new one, `encode` and `decode` its stored form (a text).

    `born` and `last` are event times in ms, `seen` counts events, `days` the days it was active
    (neither decays). `maps` holds feature → value → [days, days of the slow reference, the day it
    last counted]; `novel` feature → decayed days on which a new value came, and the last of them.
    """

    born: int
    last: int
    day: int
    seen: int = 0
    days: int = 0
    peer: str = ""
    hour: int = -1
    hours: list[float] = field(default_factory=lambda: [0.0] * HOURS_OF_WEEK)
    maps: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    novel: dict[str, list[float]] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    memories: dict[str, Any] = field(default_factory=dict)
    quiet: dict[str, int] = field(default_factory=dict)
    risk: dict[str, Any] = field(default_factory=dict)
    sample: Sample | None = None
    frozen: int = 0
    evicted: int = 0
    #: The hours as JSON, b"" when they have changed: most slices change none of 168 numbers.
    told_hours: bytes = b""

    @classmethod
    def empty(cls, at: int) -> Profile:
        """Of an entity first seen at `at` (ms)."""
        return cls(at, at, at // DAY)

    def memory(self, detector: str) -> Any:
        """What a detector remembers of the entity; None at first."""
        return self.memories.get(detector)

    def age(self, at: int) -> float:
        """Days since it was first seen."""
        return (at - self.born) / DAY

    def confidence(self, at: int) -> float:
        """How much is known: 1 from 20 events and 7 days on, less in proportion before."""
        return min(1.0, self.seen / 20) * min(1.0, self.age(at) / 7)

    def weight(self, feature: str, value: str) -> float:
        """Decayed days on which the entity had that value."""
        told = self.maps.get(feature, {}).get(value)
        return told[0] if told is not None else 0.0

    def total(self, feature: str) -> float:
        """Decayed days of all values of a feature."""
        return sum(told[0] for told in self.maps.get(feature, {}).values())

    def typical(self, feature: str, most: int = 3) -> list[str]:
        """The most usual values, the most usual first."""
        told = self.maps.get(feature, {})
        return sorted(told, key=lambda value: (-told[value][0], value))[:most]

    def hour_weight(self, hour: int) -> float:
        """Decayed weeks in which the entity was active about that hour of the week, smoothed."""
        hours = self.hours
        own = sum(w * hours[(hour + step) % HOURS_OF_WEEK] for step, w in _KERNEL)
        days = sum(
            w * sum(hours[(hour + step + 24 * day) % HOURS_OF_WEEK] for day in range(1, 7)) / 6
            for step, w in _KERNEL
        )
        return (1 - _OTHER_DAYS) * own + _OTHER_DAYS * days

    def decay(self, at: int) -> None:
        """Forget as much as the days since the last time ask for."""
        passed = at // DAY - self.day
        if passed <= 0:
            return
        self.day = at // DAY
        fast, slow = _FAST**passed, _SLOW**passed
        self.hours = [round(each * fast, 2) if each > _FORGOTTEN else 0.0 for each in self.hours]
        self.told_hours = b""
        for feature in list(self.maps):
            kept = {
                value: [round(told[0] * fast, 3), round(told[1] * slow, 3), told[2]]
                for value, told in self.maps[feature].items()
                if told[0] * fast > _FORGOTTEN or told[1] * slow > 10 * _FORGOTTEN
            }
            if kept:
                self.maps[feature] = kept
            else:
                del self.maps[feature]
        self.novel = {
            feature: [round(told[0] * fast, 3), told[1]]
            for feature, told in self.novel.items()
            if told[0] * fast > _FORGOTTEN
        }

    def novelty(self, feature: str) -> float:
        """Decayed days on which a value came that was new to the entity."""
        told = self.novel.get(feature)
        return told[0] if told is not None else 0.0

    def update(
        self,
        observation: Observation,
        unusual: frozenset[tuple[str, str]] = frozenset(),
        *,
        learn: bool = True,
    ) -> list[tuple[str, str]]:
        """Learn a slice; the (feature, value) pairs that count for the population, each once a day.

        `unusual` pairs count little (GUARDED). Without `learn` (an incident is open) only time
        passes, places and the last event are kept.
        """
        start = observation.start
        self.decay(start)
        counted: list[tuple[str, str]] = []
        day = start // DAY
        if learn:
            counted = self._learn(observation, unusual, day)
        self.seen += int(observation.sum("events")) or 1
        if day != self.last // DAY or self.days == 0:
            self.days += 1
        self.last = max(self.last, observation.last)
        self.peer = observation.peer or self.peer
        if observation.samples:
            self.sample = observation.samples[-1]
        if observation.places and learn:
            self.places = (self.places + observation.places)[-MAX_PLACES:]
        return counted

    def _learn(
        self, observation: Observation, unusual: frozenset[tuple[str, str]], day: int
    ) -> list[tuple[str, str]]:
        counted: list[tuple[str, str]] = []
        hour = observation.start // HOUR
        if hour != self.hour and acted(observation):
            self.hour = hour
            at = hour_of_week(observation.start)
            guarded = ("hour", str(at)) in unusual
            self.hours[at] += GUARDED if guarded else 1.0
            self.told_hours = b""
            if not guarded:
                counted.append(("hour", str(at)))
        for feature, told in observation.counts.items():
            if feature in LEARNED:
                self._count(feature, told, unusual, day, counted)
        for name in MEASURED:
            if (amount := observation.sums.get(name)) is not None:
                volume = self.volumes.get(name)
                if volume is None:
                    volume = self.volumes[name] = Volume()
                volume.add(observation.start, amount)
        return counted

    def _count(
        self,
        feature: str,
        told: Mapping[str, list[float]],
        unusual: frozenset[tuple[str, str]],
        day: int,
        counted: list[tuple[str, str]],
    ) -> None:
        into = self.maps.get(feature)
        if into is None:
            into = self.maps[feature] = {}
        for value in told:
            if value == OTHER:
                continue
            known = into.get(value)
            if known is not None and known[2] == day:
                continue
            pair = (feature, value)
            weight = GUARDED if pair in unusual else 1.0
            if known is None:
                if len(into) >= MAX_OF_FEATURE:
                    self._evict(into)
                if into:
                    self._renew(feature, day)
                into[value] = [weight, weight, day]
            else:
                into[value] = [known[0] + weight, known[1] + weight, day]
            if weight == 1.0:
                counted.append(pair)

    def _renew(self, feature: str, day: int) -> None:
        """A value came that is new to the entity; a day counts once, however many came."""
        told = self.novel.get(feature)
        if told is None:
            self.novel[feature] = [1.0, day]
        elif told[1] != day:
            self.novel[feature] = [told[0] + 1, day]

    def _evict(self, into: dict[str, list[float]]) -> None:
        """Give up the value that counted least, the oldest of those."""
        del into[min(into, key=lambda value: (into[value][0], into[value][2], value))]
        self.evicted += 1

    def encode(self) -> str:
        """At most MAX_BYTES characters: what counts least is given up to fit."""
        self._shrink(MAX_OF_ALL)
        data = self._dump()
        room = MAX_OF_ALL
        while len(data) > MAX_BYTES and room > 4:
            room = room * 3 // 4
            self._shrink(room)
            data = self._dump()
        return data.decode()

    def _shrink(self, most: int) -> None:
        if sum(map(len, self.maps.values())) <= most:
            return
        entries = [
            (told[0], told[2], feature, value)
            for feature, into in self.maps.items()
            for value, told in into.items()
        ]
        for _, _, feature, value in sorted(entries)[: len(entries) - most]:
            del self.maps[feature][value]
            self.evicted += 1

    def _dump(self) -> bytes:
        if not self.told_hours:
            hours = [round(100 * each) if each else 0 for each in self.hours]
            self.told_hours = orjson.dumps(hours if any(hours) else 0)
        body: list[Any] = [self.born, self.last, self.day, self.seen, self.days, self.peer]
        body += [self.hour, orjson.Fragment(self.told_hours)]
        body += [
            {
                feature: {
                    value: [round(told[0] * 100), round(told[1] * 100), self.day - int(told[2])]
                    for value, told in into.items()
                }
                for feature, into in self.maps.items()
            },
            {feature: [round(told[0], 2), told[1]] for feature, told in self.novel.items()},
            {name: volume.pack() for name, volume in self.volumes.items()},
            [list(place) for place in self.places],
            self.memories,
            {name: until for name, until in self.quiet.items() if until + 7 * DAY > self.last},
            self.risk,
            list(self.sample) if self.sample else 0,
            self.frozen,
        ]
        return orjson.dumps(body)

    @classmethod
    def decode(cls, text: str) -> Profile:
        """What `encode` made."""
        b = orjson.loads(text)
        made = cls(b[0], b[1], b[2], b[3], b[4], b[5], b[6])
        if b[7]:
            made.hours = [each / 100 for each in b[7]]
        made.maps = {
            feature: {v: [t[0] / 100, t[1] / 100, made.day - t[2]] for v, t in into.items()}
            for feature, into in b[8].items()
        }
        made.novel = b[9]
        made.volumes = {name: Volume.unpack(packed) for name, packed in b[10].items()}
        made.places = [Place(*place) for place in b[11]]
        made.memories, made.quiet, made.risk = b[12], b[13], b[14]
        made.sample = Sample(*b[15]) if b[15] else None
        made.frozen = b[16]
        return made


def acted(observation: Observation) -> bool:
    """Whether the slice says when the entity is up: of people only what they sign in for."""
    if observation.entity.kind == "user":
        return "logon.success" in observation.counts
    return "events" in observation.sums


def typical_hours(profile: Profile, most: int = 3) -> str:
    """When the entity is usually active, for people: `Mon-Fri 8-17 h UTC` or the like."""
    by_hour = [sum(profile.hours[h + 24 * d] for d in range(7)) for h in range(24)]
    total = sum(by_hour)
    if not total:
        return "not known"
    busy = [h for h in range(24) if by_hour[h] >= total / 48]
    return f"{_ranges(busy)} h UTC" if busy else "any hour"


def _ranges(hours: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for hour in hours:
        if runs and hour == runs[-1][1] + 1:
            runs[-1][1] = hour
        else:
            runs.append([hour, hour])
    if len(runs) > 1 and runs[0][0] == 0 and runs[-1][1] == 23:
        runs[0][0] = runs.pop()[0]
    return ", ".join(f"{first}-{(last + 1) % 24}" for first, last in runs)


def bounded(value: str) -> str:
    """A value as features carry it: at most MAX_VALUE characters."""
    if len(value) <= MAX_VALUE:
        return value
    return f"{value[: MAX_VALUE - 17]}…{digest('value', value)[:16]}"


def surprise(p: float) -> float:
    """-log10 p, at most 12."""
    return -log10(max(p, 1e-12))
