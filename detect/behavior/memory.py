"""What the behavior stage remembers in one partition, in memory beside its keyed state.

Profiles stand in the state as texts (profile.py), at most `max_entities` of them: the one that
acted longest ago goes first. Some are kept decoded, those of the last slices.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

from detect.behavior.calibrate import Calibration
from detect.behavior.combine import combine
from detect.behavior.deciding import Scene
from detect.behavior.detector import DAY, HOUR
from detect.behavior.models.asking import ModelMemory
from detect.behavior.observation import SLICE, Entity, Observation, Piece
from detect.behavior.population import Population
from detect.behavior.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.state import State

#: Profiles that are kept decoded, about 15 KB each; and days without activity that end a profile.
DECODED, IDLE = 4_000, 90
#: Pieces of one slice that are told apart for what is delivered again, before they are folded.
MAX_PIECES = 8
#: The key of what a status wants to know, written once in an hour of event time.
STANDING = "standing"

Pieces = list[tuple[Piece, Observation]]


class Memory:
    """The memory of one partition; `save` writes what changed to the state."""

    def __init__(self, state: State, max_entities: int) -> None:
        self._state = state
        self._max = max_entities
        #: When, by the clock (ms), something last came in; None as long as nobody looked.
        self.heard: int | None = None
        #: Slices that start before this (ms) are decided.
        self.decided: int
        self._hour: int
        #: Until then (ms) nothing came at all: hours before it are nobody's silence.
        self.gap: int
        self.decided, self._hour, self.gap = (*state.get("decided", ()), 0, 0, 0)[:3]
        self._open: dict[int, dict[str, Pieces]] = {}
        self._decoded: OrderedDict[str, Profile] = OrderedDict()
        self._order: OrderedDict[str, int] = OrderedDict()
        self._populations: dict[str, Population] = {}
        self._calibrations: dict[str, Calibration] = {}
        self._dirty: dict[str, None] = {}
        self.models = ModelMemory()
        self._written: dict[str, None] = {}
        self._gone: dict[str, None] = {}
        self._stood: int = state.get(STANDING, {}).get("at", 0) // HOUR
        self._restore()

    def _restore(self) -> None:
        ages: list[tuple[int, str]] = []
        for key, value in self._state.items():
            kind, _, rest = key.partition("|")
            if kind == "profile":
                last = Profile.decode(value).last
                ages.append((last - last % SLICE, rest))
            elif kind == "open":
                start, _, entity = rest.partition("|")
                self._open.setdefault(int(start), {})[entity] = [
                    (Piece(*piece), Observation.of(body)) for piece, body in value
                ]
            elif kind == "population":
                self._populations[rest] = Population.decode(value)
            elif kind == "calibration":
                self._calibrations[rest] = Calibration.unpack(value)
            else:
                self.models.restore(kind, rest, value)
        self._order.update((entity, last) for last, entity in sorted(ages))

    @property
    def waits(self) -> bool:
        """Whether time alone can make something due: an open slice, or silence."""
        return bool(self._open) or any("|log|" in key for key in self._order)

    def is_decided(self, start: int) -> bool:
        """Whether the slice that starts then has been decided."""
        return start < self.decided

    def put(self, observation: Observation, piece: Piece) -> None:
        """Add an observation; one of the same events, delivered again, replaces what it was.

        What observes starts again where a batch of it began, and then gives everything from
        there on anew: so what reaches into or behind the new piece is dropped.
        """
        key = observation.entity.key
        slices = self._open.setdefault(observation.start, {})
        pieces = slices.get(key)
        if pieces is None:
            slices[key] = [(piece, observation)]
        else:
            last = pieces[-1][0]
            if last[0] == piece[0] and last[2] < piece[1]:  # the usual case, and nothing to drop
                pieces.append((piece, observation))
            else:
                pieces = [p for p in pieces if p[0][0] != piece[0] or p[0][2] < piece[1]]
                slices[key] = [*pieces, (piece, observation)]
            if len(slices[key]) > MAX_PIECES:
                slices[key] = _folded(slices[key])
        self._written[f"open|{observation.start:014d}|{key}"] = None

    def due(self, until: int) -> list[int]:
        """The starts of open slices that end by `until` (ms), in order."""
        return sorted(start for start in self._open if start + SLICE <= until)

    def take(self, start: int) -> Iterator[Observation]:
        """The observations of a slice, by entity; it is open no more."""
        slices = self._open.pop(start)
        for key in sorted(slices):
            name = f"open|{start:014d}|{key}"
            self._written.pop(name, None)
            if name in self._state:
                self._gone[name] = None
            yield combine([each for _, each in sorted(slices[key], key=lambda p: p[0])])

    def next_hour(self, until: int) -> int | None:
        """The next full hour (ms) up to `until` that was not looked at; None if there is none."""
        if not self._hour:
            self._hour = until // HOUR
            return None
        if self._hour >= until // HOUR:
            return None
        self._hour += 1
        return self._hour * HOUR

    def skip_hours(self, until: int) -> None:
        """Nothing came before `until` (ms): look at no hour of that time."""
        self._hour = max(self._hour, until // HOUR)
        self.gap = until

    def profile(self, entity: Entity, at: int) -> Profile:
        """The profile; a new one, first seen at `at`, if there is none."""
        key = entity.key
        profile = self._decoded.get(key)
        if profile is None:
            stored = self._state.get(f"profile|{key}")
            profile = Profile.empty(at) if stored is None else Profile.decode(stored)
            self._decoded[key] = profile
        return profile

    def known(self, entity: Entity) -> Profile | None:
        """The profile, if there is one."""
        if entity.key in self._order:
            return self.profile(entity, 0)
        return None

    def scene(self, observation: Observation) -> Scene:
        """What a decision on the observation works with; it is the entity's latest activity."""
        entity, start = observation.entity, observation.start
        profile = self.profile(entity, observation.first)
        self._order[entity.key] = start
        self._order.move_to_end(entity.key)
        self.changed(entity)
        peer = observation.peer or profile.peer
        whole = self._population(f"{entity.tenant}|{entity.kind}|", start)
        if profile.seen == 0:
            whole.entities += 1
        peers = self._population(f"{entity.tenant}|{entity.kind}|{peer}", start) if peer else None
        return Scene(profile, whole, peers, self.models)

    def _population(self, key: str, at: int) -> Population:
        population = self._populations.get(key)
        if population is None:
            population = self._populations[key] = Population()
        population.roll(at)
        self._dirty[f"population|{key}"] = None
        return population

    def calibration(self, detector: str) -> Calibration:
        """The history of a detector's scores, which is about to change."""
        calibration = self._calibrations.get(detector)
        if calibration is None:
            calibration = self._calibrations[detector] = Calibration()
        self._dirty[f"calibration|{detector}"] = None
        return calibration

    def changed(self, entity: Entity) -> None:
        """The entity's profile changes."""
        self._dirty[f"profile|{entity.key}"] = None
        self._decoded.move_to_end(entity.key)

    def logs(self) -> list[tuple[Entity, Profile]]:
        """The sources of logs that have profiles."""
        keys = sorted(key for key in self._order if "|log|" in key)
        entities = [Entity(*key.split("|", 2)) for key in keys]
        return [(entity, self.profile(entity, 0)) for entity in entities if entity.kind == "log"]

    def evict(self) -> int:
        """Give up the profiles that are too many or too old; how many were too many."""
        evicted = 0
        while self._order:
            key, last = next(iter(self._order.items()))
            crowded = len(self._order) > self._max
            if not crowded and last > self.decided - IDLE * DAY:
                break
            evicted += crowded
            del self._order[key]
            self._decoded.pop(key, None)
            self._dirty.pop(f"profile|{key}", None)
            self._gone[f"profile|{key}"] = None
        return evicted

    def save(self) -> None:
        """Write what changed to the state."""
        state = self._state
        for name in self._gone:
            if name in state:
                del state[name]
        for name in self._written:
            _, start, key = name.split("|", 2)
            pieces = self._open[int(start)][key]
            state[name] = [[list(piece), each.body()] for piece, each in pieces]
        for name in self._dirty:
            kind, _, rest = name.partition("|")
            state[name] = self._encoded(kind, rest)
        for name, value in self.models.changes():
            state[name] = value
        if state.get("decided") != (decided := [self.decided, self._hour, self.gap]):
            state["decided"] = decided
        if self._stood != self.decided // HOUR:
            self._stood = self.decided // HOUR
            state[STANDING] = self._standing()
        self._gone, self._written, self._dirty = {}, {}, {}
        while len(self._decoded) > DECODED:
            self._decoded.popitem(last=False)

    def _standing(self) -> dict[str, Any]:
        """What a status wants to know, so that it need not read everything."""
        kinds = Counter(key.split("|", 2)[1] for key in self._order)
        histories = sorted(self._calibrations.items())
        return {
            "at": self.decided,
            "profiles": dict(sorted(kinds.items())),
            "calibrations": {name: history.brief() for name, history in histories},
        }

    def _encoded(self, kind: str, rest: str) -> Any:
        if kind == "profile":
            return self._decoded[rest].encode()
        if kind == "population":
            return self._populations[rest].encode()
        return self._calibrations[rest].pack()


def _folded(pieces: Pieces) -> Pieces:
    """The older half of a partition's pieces as one; what is delivered again starts behind it."""
    pieces = sorted(pieces, key=lambda each: each[0])
    by_partition: dict[int, Pieces] = {}
    for each in pieces:
        by_partition.setdefault(each[0].partition, []).append(each)
    most = max(by_partition.values(), key=len)
    old, half = most[: len(most) // 2], most[len(most) // 2 :]
    if len(old) < 2:
        return pieces
    piece = Piece(old[0][0].partition, old[0][0].first, old[-1][0].last)
    folded = (piece, combine([each for _, each in old]))
    others = [each for each in pieces if each[0].partition != piece.partition]
    return [*others, folded, *half]
