"""What time makes due in one partition of the decide stage: timers, and runs that ended long ago.

All of it is a hint, made from the state and made anew where it is not for that state: the state
decides.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from playbooks.ended import TOMB, Agenda, ended_at, forgotten_at, shrinks_at
from playbooks.run_store import RUN, forget_run, shrink_run
from tocsin.contracts import Timer
from tocsin.state import peek, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playbooks.run_state import RunState
    from tocsin.state import State

#: A timer command that changed nothing after this long (ms) is written once more.
TIMER_REPEAT = 10_000

#: Timers at which those that are not set any more are first looked for; then at each doubling.
_COMPACT = 2_000
#: In a stored run (JSON, so never within a text): it has timers.
_HAS_TIMERS = b'"timers":{'


@dataclass(slots=True)
class Clockwork:
    """Timers and ended runs of one partition, from `state`.

    An entry of `timers` is (when to look, run, timer, due); `waiting` are the runs with effects
    that have no answer, for the first look after a restart.
    """

    state: Callable[[], object]
    kept_whole: int
    timers: list[tuple[int, str, str, int]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    shrinking: Agenda = field(default_factory=Agenda)
    forgetting: Agenda = field(default_factory=Agenda)
    _compact: int = _COMPACT

    def changed(self, before: RunState | None, run: RunState) -> None:
        """Note the timers that are new in `run`, and its end."""
        known = before.timers if before else {}
        for timer, due in run.timers.items():
            if known.get(timer) != due:
                heappush(self.timers, (due, run.run_id, timer, due))
        if run.finished and run.finished != (before.finished if before else 0):
            self.shrinking.add(run.run_id, shrinks_at(run.finished, self.kept_whole))

    def sweep(self, state: State, now: int) -> None:
        """Have what ended long enough before `now` be a tombstone, and in time nothing."""
        for run_id in self.shrinking.due(now):
            if (ended := shrink_run(state, run_id)) is not None:
                self.forgetting.add(run_id, forgotten_at(ended))
        for run_id in self.forgetting.due(now):
            ended = ended_at(peek(state, RUN + run_id)) if RUN + run_id in state else 0
            if ended and forgotten_at(ended) <= now:
                forget_run(state, run_id)

    def due(self, state: State, now: int) -> Iterator[Timer]:
        """Timers whose time has come."""
        if len(self.timers) > self._compact:
            self.timers = [entry for entry in self.timers if _has_timers(state, entry[1])]
            heapify(self.timers)
            self._compact = max(_COMPACT, 2 * len(self.timers))
        while self.timers and self.timers[0][0] <= now:
            _, run_id, name, due = heappop(self.timers)
            if _has_timers(state, run_id) and peek(state, RUN + run_id)["timers"].get(name) == due:
                yield Timer(run_id=run_id, timer=name, due=due, at=now)
                heappush(self.timers, (now + TIMER_REPEAT, run_id, name, due))


def _has_timers(state: State, run_id: str) -> bool:
    """Whether a run may have timers: no tombstone, and nothing that has ended."""
    return _HAS_TIMERS in (raw(state, RUN + run_id) or b"")


def wind(state: State, kept_whole: int) -> Clockwork:
    """The clockwork of a state; of the runs that wait a look makes no objects."""
    clockwork = Clockwork(_reference(state), kept_whole)
    for key in state:
        if not key.startswith(RUN):
            continue
        run_id, kept = key.removeprefix(RUN), peek(state, key)
        if TOMB in kept:
            clockwork.forgetting.add(run_id, forgotten_at(kept[TOMB]))
        elif ended := ended_at(kept):
            clockwork.shrinking.add(run_id, shrinks_at(ended, kept_whole))
        for timer, due in kept.get("timers", {}).items():
            clockwork.timers.append((due, run_id, timer, due))
        if kept.get("outbox"):
            clockwork.waiting.append(run_id)
    heapify(clockwork.timers)
    return clockwork


def _reference(state: State) -> Callable[[], object]:
    try:
        return weakref.ref(state)
    except TypeError:  # a plain dict cannot be referred to weakly
        return lambda: state
