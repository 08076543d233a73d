"""What models make of live events: drift of the one in force, and what its shadow would have told.

Both are bounded, decay or stop growing, add up over partitions, and stand in the keyed state of the
behavior stage as JSON. Nothing here needs numpy: what is kept can be read without the models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from detect.behavior.calibrate import TOLD, Calibration, verdict_of
from detect.behavior.detector import DAY
from detect.behavior.models.drift import DRIFTED, Drift, Reference, counted, psi

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detect.behavior.detector import Spec

#: Half-life of what is counted for drift, days.
HALF_LIFE = 7.0
_FADE = 0.5 ** (1 / HALF_LIFE)
#: Width of a bin of differences between two scores, and how many there are on either side.
STEP, SIDE = 0.5, 10
#: Disagreements that are kept with their events, events of each, and entities kept quiet.
MAX_TOLD, MAX_EVENTS, MAX_QUIET = 16, 3, 256
#: Two scores that differ by no more agree.
AGREE = 0.5


@dataclass(slots=True)
class Watch:
    """What one version of a model was asked on live events, in one partition.

    `counts` are rows by bin of the references, `alerts` those of its detector; both decay by the
    day together with `days`, so that alerts / days is a rate.
    """

    version: str
    shares: dict[str, list[float]]
    day: int = -1
    days: float = 0.0
    rows: float = 0.0
    alerts: float = 0.0
    detector: str = ""
    counts: dict[str, list[float]] = field(default_factory=dict)

    def take(
        self, at: int, columns: Mapping[str, Sequence[float]], known: Mapping[str, Reference]
    ) -> None:
        """Count rows that came at `at` (ms)."""
        self._roll(at)
        rows = 0
        for name, values in columns.items():
            if (of := known.get(name)) is None:
                continue
            rows = len(values)
            before = self.counts.get(name) or [0.0] * len(of["shares"])
            found = counted(values, of["edges"])
            self.counts[name] = [old + new for old, new in zip(before, found, strict=True)]
        self.rows += rows

    def told(self, at: int, detector: str) -> None:
        """Its detector has made an alert."""
        self._roll(at)
        self.detector = detector
        self.alerts += 1

    def drifts(self) -> list[Drift]:
        """Every figure, the worst first."""
        rows = round(self.rows)
        found = [Drift(n, psi(c, self.shares[n]), rows) for n, c in self.counts.items()]
        return sorted(found, key=lambda drift: (-drift.psi, drift.name))

    @property
    def drifted(self) -> bool:
        """Whether any figure is past the threshold, of enough rows."""
        return any(each.psi >= DRIFTED and each.verdict == "drifted" for each in self.drifts())

    def _roll(self, at: int) -> None:
        day = at // DAY
        if day <= self.day:
            return
        fade = _FADE ** (day - self.day) if self.day >= 0 else 1.0
        self.counts = {n: [round(c * fade, 2) for c in found] for n, found in self.counts.items()}
        self.rows, self.alerts = round(self.rows * fade, 2), round(self.alerts * fade, 4)
        self.days, self.day = round(self.days * fade + 1, 4), day

    def add(self, other: Watch) -> None:
        """Add another partition's, of the same version."""
        self.day = max(self.day, other.day)
        self.days = max(self.days, other.days)
        self.rows, self.alerts = self.rows + other.rows, self.alerts + other.alerts
        self.detector = self.detector or other.detector
        for name, found in other.counts.items():
            own = self.counts.get(name) or [0.0] * len(found)
            if len(own) == len(found):
                self.counts[name] = [a + b for a, b in zip(own, found, strict=True)]

    def pack(self) -> list[Any]:
        """As plain JSON."""
        numbers = [self.day, self.days, self.rows, self.alerts]
        return [self.version, *numbers, self.detector, self.shares, {**self.counts}]

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> Watch:
        """What `pack` gave."""
        version, day, days, rows, alerts, detector, shares, counts = packed
        return cls(version, shares, day, days, rows, alerts, detector, dict(counts))


@dataclass(slots=True)
class Side:
    """One of two models beside each other: its own history of scores, whom it is quiet about."""

    calibration: Calibration = field(default_factory=Calibration)
    quiet: dict[str, int] = field(default_factory=dict)
    alerts: int = 0

    def tells(self, spec: Spec, score: float, entity: str, at: int, budget: float) -> bool:
        """Whether it would have made an alert, by the rules of those that do."""
        history = self.calibration
        history.roll(at)
        passes, _ = verdict_of(spec, history, score, budget, entity)
        if self.quiet.get(entity, 0) + TOLD <= at:
            history.add(score, entity)
        if not passes or self.quiet.get(entity, 0) > at:
            return False
        self.quiet.pop(entity, None)
        self.quiet[entity] = at + spec.refractory
        if len(self.quiet) > MAX_QUIET:
            del self.quiet[next(iter(self.quiet))]
        history.tell(score, entity)
        self.alerts += 1
        return True

    def pack(self) -> list[Any]:
        """As plain JSON."""
        return [self.calibration.pack(), {**self.quiet}, self.alerts]

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> Side:
        """What `pack` gave."""
        calibration, quiet, alerts = packed
        return cls(Calibration.unpack(calibration), dict(quiet), alerts)


@dataclass(slots=True)
class Beside:
    """A shadow and the model in force on the same slices, in one partition.

    Both begin with no history when the shadow comes, so the difference is the models'. `active` is
    "" where none was in force. `since` and `until` are ms of the first and last slice, `days` how
    many had one; `differences` counts shadow less active by bins of STEP; a disagreement is
    [ms, entity, score in force, score of the shadow, ids of events].
    """

    shadow: str
    active: str
    detector: str = ""
    since: int = 0
    until: int = 0
    days: int = 0
    slices: int = 0
    both: int = 0
    sides: tuple[Side, Side] = field(default_factory=lambda: (Side(), Side()))
    differences: list[int] = field(default_factory=lambda: [0] * (2 * SIDE + 1))
    disagreements: list[list[Any]] = field(default_factory=list)

    def take(
        self,
        spec: Spec,
        scores: tuple[float, float],
        entity: str,
        at: int,
        budget: float,
        events: Iterable[str],
    ) -> None:
        """One slice: what the model in force and the shadow gave (0 for nothing)."""
        if not self.slices:
            self.since, self.detector = at, spec.name
        if not self.slices or at // DAY != self.until // DAY:
            self.days += 1
        self.until = max(self.until, at)
        self.slices += 1
        difference = scores[1] - scores[0]
        self.differences[min(max(round(difference / STEP), -SIDE), SIDE) + SIDE] += 1
        ours, theirs = (
            side.tells(spec, score, entity, at, budget)
            for side, score in zip(self.sides, scores, strict=True)
        )
        self.both += ours and theirs
        if ours != theirs:
            told = [round(score, 2) for score in scores]
            self.disagreements.append([at, entity, *told, [*events][:MAX_EVENTS]])
            del self.disagreements[:-MAX_TOLD]

    def add(self, other: Beside) -> None:
        """Add another partition's, of the same two versions."""
        self.since = min(filter(None, (self.since, other.since)), default=0)
        self.until, self.days = max(self.until, other.until), max(self.days, other.days)
        self.detector = self.detector or other.detector
        self.slices, self.both = self.slices + other.slices, self.both + other.both
        for own, more in zip(self.sides, other.sides, strict=True):
            own.alerts += more.alerts
        pairs = zip(self.differences, other.differences, strict=True)
        self.differences = [a + b for a, b in pairs]
        self.disagreements = sorted([*self.disagreements, *other.disagreements])[-MAX_TOLD:]

    def pack(self) -> list[Any]:
        """As plain JSON."""
        numbers = [self.since, self.until, self.days, self.slices, self.both]
        sides = [side.pack() for side in self.sides]
        told = [sides, [*self.differences], [*self.disagreements]]
        return [self.shadow, self.active, self.detector, *numbers, *told]

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> Beside:
        """What `pack` gave."""
        shadow, active, detector, since, until, days, slices, both, *rest = packed
        sides, differences, disagreements = rest
        ours, theirs = (Side.unpack(side) for side in sides)
        made = cls(shadow, active, detector, since, until, days, slices, both, (ours, theirs))
        made.differences, made.disagreements = [*differences], [*disagreements]
        return made

    def told(self) -> dict[str, Any]:
        """For people: how far the two agree, and alerts a day of each."""
        days = max(self.days, 1)
        middle = round(AGREE / STEP)
        close = self.differences[SIDE - middle : SIDE + middle + 1]
        return {
            "shadow": self.shadow,
            "active": self.active,
            "detector": self.detector,
            "days": self.days,
            "slices": self.slices,
            "agreement": round(sum(close) / self.slices, 4) if self.slices else 0.0,
            "alerts_a_day": round(self.sides[0].alerts / days, 3),
            "alerts_a_day_of_shadow": round(self.sides[1].alerts / days, 3),
            "both": self.both,
            "differences": {
                f"{(at - SIDE) * STEP:+g}": count
                for at, count in enumerate(self.differences)
                if count
            },
            "disagreements": [
                {"at": at, "entity": entity, "active": ours, "shadow": theirs, "events": events}
                for at, entity, ours, theirs, events in self.disagreements
            ],
        }
