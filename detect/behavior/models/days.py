"""A user's day as numbers: the detectors' highest scores, and what the user did.

Kept of each day until the next begins, in the profile; then in a ring of the newest days, from
which a model of insiders is trained (`insider.py`). Verdicts of analysts name days, too. Plain
Python: the behavior stage writes days without the models.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from detect.behavior.observation import Observation

#: Each of these is the highest score of the day of any of its detectors.
SCORES: Mapping[str, tuple[str, ...]] = {
    "rare hour": ("auth_rare_hour_for_a_user",),
    "rare source": (
        *("auth_rare_source_ip_for_a_user", "auth_rare_asn_for_a_user"),
        *("auth_rare_country_for_a_user", "auth_rare_source_country_for_a_user"),
    ),
    "rare device": ("auth_rare_device_for_a_user",),
    "rare host": ("auth_rare_host_for_a_user",),
    "rare program": ("rare_process_for_a_user", "masquerade"),
    "rare privilege": ("privilege_change_out_of_pattern",),
    "failed logons": ("auth_high_count_logon_fails", "brute_force_success"),
    "bulk download": ("bulk_download",),
    "strange folders": ("atypical_data_access",),
    "moved baseline": ("baseline_drift",),
}
#: Each of these is a sum over the day, of the observation's sums.
SUMS: Mapping[str, tuple[str, ...]] = {
    "objects": ("objects",),
    "bytes sent": ("bytes.out",),
    "bytes read": ("bytes.read",),
    "logon failures": ("logon.failures",),
    "administration": ("privileges", "calls"),
    "events": ("events",),
}
#: Beside them, how many slices of ten minutes had anything.
SLICES = "slices"
#: Where the score of a detector, and a sum of an observation, stands.
_SCORE_AT = {name: at for at, of in enumerate(SCORES.values()) for name in of}
_SUM_AT = {name: at for at, of in enumerate(SUMS.values()) for name in of}
FEATURES = (*SCORES, *SUMS, SLICES)
#: Highest score that is told apart; newest days and newest verdicts kept in a partition.
HIGHEST, MAX_DAYS, MAX_JUDGED = 20.0, 4_096, 1_024

#: Where a profile remembers the day that is not over.
DAY_OF_USER = "day"
#: Prefixes of the keys in the state.
DAYS, JUDGED = "day", "judged"


def added(memory: Any, observation: Observation, scores: Mapping[str, float]) -> list[Any]:
    """[day, scores in tenths, sums, slices] with this slice; `memory` is None at first."""
    now = observation.start // DAY
    if memory is None or memory[0] != now:
        memory = [now, [0] * len(SCORES), [0] * len(SUMS), 0]
    _, highest, sums, slices = memory
    highest, sums = [*highest], [*sums]
    for name, score in scores.items():
        if (at := _SCORE_AT.get(name)) is not None:
            highest[at] = max(highest[at], round(10 * min(score, HIGHEST)))
    for name, amount in observation.sums.items():
        if (at := _SUM_AT.get(name)) is not None:
            sums[at] = round(sums[at] + amount)
    return [now, highest, sums, slices + 1]


def vector(memory: Sequence[Any]) -> list[float]:
    """The day as a row of FEATURES: scores as they are, amounts as log10."""
    _, highest, sums, slices = memory
    return [
        *(each / 10 for each in highest),
        *(round(log10(1 + each), 2) for each in sums),
        round(log10(1 + slices), 2),
    ]


@dataclass(frozen=True, slots=True)
class Day:
    """A user's finished day; `open` whether an incident was open then: not learned from."""

    entity: str
    day: int
    open: bool
    row: list[float]


@dataclass(frozen=True, slots=True)
class Judged:
    """What an analyst said, at `at` (ms), of an alert about a user's day."""

    at: int
    entity: str
    day: int
    true: bool
    row: list[float]


class Ring:
    """The newest days and verdicts of one partition; `changes` gives what is to be written."""

    def __init__(self) -> None:
        self._days: dict[int, tuple[int, Day]] = {}
        self._judged: dict[int, tuple[int, Judged]] = {}
        self._slots: dict[tuple[str, int], int] = {}
        self._next = self._next_judged = 0
        self._dirty: dict[str, None] = {}

    def restore(self, prefix: str, slot: str, value: Sequence[Any]) -> bool:
        """Take what the state holds under a key; whether it is a day's."""
        if prefix == DAYS:
            day = Day(value[1], value[2], bool(value[3]), [*value[4]])
            self._days[int(slot)] = (value[0], day)
            self._slots[day.entity, day.day] = int(slot)
            self._next = max(self._next, value[0] + 1)
        elif prefix == JUDGED:
            self._judged[int(slot)] = (value[0], _judged(value))
            self._next_judged = max(self._next_judged, value[0] + 1)
        return prefix in (DAYS, JUDGED)

    def finish(self, entity: str, memory: Sequence[Any], *, open: bool) -> None:
        """A user's day is over."""
        slot = self._next % MAX_DAYS
        if (old := self._days.get(slot)) is not None:
            self._slots.pop((old[1].entity, old[1].day), None)
        day = Day(entity, memory[0], open, vector(memory))
        self._days[slot] = (self._next, day)
        self._slots[entity, day.day] = slot
        self._next += 1
        self._dirty[f"{DAYS}|{slot}"] = None

    def judge(self, entity: str, day: int, memory: Any, *, true: bool, at: int) -> None:
        """An analyst has said what an alert of that day was; another word replaces the first.

        `memory` is the day that is not over, None if there is none.
        """
        known = self._slots.get((entity, day))
        if known is not None:
            row = self._days[known][1].row
        elif memory is not None and memory[0] == day:
            row = vector(memory)
        else:
            return
        told = (j for _, j in self._judged.values())
        if any((j.entity, j.day) == (entity, day) for j in told):
            slot = next(
                s for s, (_, j) in self._judged.items() if (j.entity, j.day) == (entity, day)
            )
        else:
            slot = self._next_judged % MAX_JUDGED
        self._judged[slot] = (self._next_judged, Judged(at, entity, day, true, row))
        self._next_judged += 1
        self._dirty[f"{JUDGED}|{slot}"] = None

    def changes(self) -> Iterator[tuple[str, list[Any]]]:
        """Keys and values that changed since the last time."""
        for name in self._dirty:
            prefix, _, slot = name.partition("|")
            yield name, self._packed(prefix, int(slot))
        self._dirty = {}

    def every(self) -> Iterator[tuple[str, list[Any]]]:
        """Prefix and value of all that is kept."""
        for prefix, slots in ((DAYS, self._days), (JUDGED, self._judged)):
            for slot in slots:
                yield prefix, self._packed(prefix, slot)

    def _packed(self, prefix: str, slot: int) -> list[Any]:
        if prefix == DAYS:
            number, day = self._days[slot]
            return [number, day.entity, day.day, int(day.open), day.row]
        number, j = self._judged[slot]
        return [number, j.at, j.entity, j.day, int(j.true), j.row]


def _judged(value: Sequence[Any]) -> Judged:
    _, at, entity, day, true, row = value
    return Judged(at, entity, day, bool(true), [*row])


#: A day to learn from: its number, its row, and what was said of it (None: nothing).
Learnable = tuple[int, list[float], bool | None]


class Gathered:
    """Days and verdicts of all partitions, as they are learned from."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, int], Learnable] = {}
        self._judged: dict[tuple[str, int], tuple[int, Learnable]] = {}

    def add(self, prefix: str, value: Sequence[Any]) -> None:
        """What the state holds under a key of `prefix`."""
        if prefix == DAYS:
            _, entity, day, open_, row = value
            if not open_:
                self._days[entity, day] = (day, row, None)
            return
        judged = _judged(value)
        known = self._judged.get((judged.entity, judged.day))
        if known is None or known[0] <= judged.at:
            told = (judged.day, judged.row, judged.true)
            self._judged[judged.entity, judged.day] = (judged.at, told)

    def rows(self, days: int) -> list[Learnable]:
        """Those of the last `days` days, in the order of time; verdicts are kept however old."""
        last = max((day for _, day in self._days), default=0)
        said = {key: told for key, (_, told) in self._judged.items()}
        fresh = {key: told for key, told in self._days.items() if told[0] > last - days}
        return [
            told for _, told in sorted({**fresh, **said}.items(), key=lambda d: (d[1][0], d[0]))
        ]
